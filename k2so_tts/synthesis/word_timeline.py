# Copyright 2026 The k2so_tts authors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""When each word of an utterance is heard, and where it stands in the text as it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from k2so_tts.synthesis.synthesis_state import SynthesisState

_MARGINS = " \t\n.,;:!?…\"'“”‘’«»()[]{}<>*_~`|"
"""What stands around a word and is no part of it."""
_MARKUP = frozenset("[]<>*_~`|")


@dataclass(frozen=True)
class TimedWord:
    """A word, or what is spoken as several and was sent as one ("$12.50").

    `frame` to `end_frame` of the utterance is its sound, `start` to `end` (characters) its place in
    the text as it was sent.
    """

    frame: int
    end_frame: int
    start: int
    end: int
    text: str


class WordTimeline:
    """The words of an utterance that are made, in order; `words` grows as marks come.

    An engine that marks no words gives its segments.
    """

    def __init__(self, state: SynthesisState) -> None:
        self.words: list[TimedWord] = []
        self._state = state
        self._generation = state.chunks.generation
        self._marks: list[tuple[int, int]] = [(0, 0)]
        """The latest mark that ended a word, and those after it."""

    def extend(self) -> None:
        """Take in the marks that have come since the last call."""
        chunks = self._state.chunks
        generation, marks = chunks.marks_after(self._marks[-1])
        if generation != self._generation:  # words that were not taken are made again
            self._generation = generation
            _, marks = chunks.marks_after((0, 0))
            self._marks = [(0, 0)]
            self.words.clear()
        for mark in marks:
            self._marks.append(mark)
            self._end_word()

    def _end_word(self) -> None:
        """Add a word if the latest mark ends one; forget the marks before it."""
        state = self._state
        (_, begin), (end_frame, end) = self._marks[0], self._marks[-1]
        spoken = state.spoken_text[begin:end]
        start, stop = state.to_source(begin), state.to_source(end)
        sent = state.text[start:stop]
        if not _has_word(spoken):
            self._marks = [self._marks[-1]]  # a pause
        elif _has_word(sent):
            text = sent.lstrip(_MARGINS)
            start = stop - len(text)
            text = text.rstrip(_MARGINS)
            stop = start + len(text)
            shown = spoken.strip(_MARGINS) if _MARKUP & set(text) else text
            self.words.append(TimedWord(self._sound_start(), end_frame, start, stop, shown))
            self._marks = [self._marks[-1]]

    def _sound_start(self) -> int:
        """The frame at which the first of the words begins that the marks end."""
        text = self._state.spoken_text
        pairs = pairwise(self._marks)
        return next(frame for (frame, begin), (_, end) in pairs if _has_word(text[begin:end]))


def _has_word(text: str) -> bool:
    return any(char.isalnum() for char in text)
