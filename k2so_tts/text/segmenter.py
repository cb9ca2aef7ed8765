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

"""Texts cut into segments for engines that must know all of one before its first sound.

The first segment is short, so that it is heard early; each next one is as long as what is still
unheard gives time to make. Where it is cut, and which pause belongs there, comes from the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import NamedTuple

from k2so_tts.remedies import pip_install
from k2so_tts.text.boundaries import (
    CLOSING,
    COLON_MARKS,
    COMMA_MARKS,
    SENTENCE_MARKS,
    Strength,
    boundaries,
    has_sound,
    past_space,
)
from k2so_tts.text.languages import language_code
from k2so_tts.text.stream import Segment

WORD, CLAUSE, SENTENCE = "word", "clause", "sentence"
SEGMENTATIONS = (WORD, CLAUSE, SENTENCE)
"""Where a text may be cut to be heard early: between words, at clauses, at sentences only."""

LONGEST = 240
"""Size of a segment at most: what an engine needs memory for, and can't be stopped in."""

LEAST = 12
"""Weighted length of a segment at least."""
_SHORT = 12
"""A sentence below this size is spoken together with the next one where time allows."""
_SURPLUS = 1.25
"""Rather this much above the room than a cut."""
_WIDE_SIZE = 3

_PARAGRAPH_SECONDS, _LINE_SECONDS = 0.7, 0.3
_PAUSES = ((SENTENCE_MARKS, 0.4), (COLON_MARKS + "-", 0.25), (COMMA_MARKS, 0.15))

_CONJUNCTIONS = {
    "en": "and or but because which that while when if so than then with from into for",
    "de": "und oder aber weil dass denn wenn während sondern mit von für bei",
    "fr": "et ou mais parce que qui car donc avec pour dans quand",
    "es": "y o pero porque que cuando con para si aunque",
    "it": "e o ma perché che quando con per se",
    "pt": "e ou mas porque que quando com para se",
    "nl": "en of maar omdat dat want als met voor",
}
_WORDS = re.compile(r"\s*\S+\s*")


class MissingSplitter(ImportError):
    """The package that knows sentences is not installed; the message says how to get it."""


class Segmenter:
    """Cuts `text`, from `start` on. The segments joined are the text.

    `language` is a BCP 47 tag; `cut` is one of `SEGMENTATIONS`.
    """

    def __init__(self, text: str, language: str, cut: str = WORD, start: int = 0) -> None:
        self._text = text
        self._language = language_code(language)
        self._segmentation = cut
        self._at = start
        self._ends = sentence_ends(text, self._language, start)
        self._known: list[int] = []

    def next(self, budget: float) -> Segment | None:
        """The next segment, of about the size `budget` at most; None at the end of the text."""
        if self._at >= len(self._text):
            return None
        start = self._at
        end, longest = self._sentence_end(0), start + _fitting(self._text, start, LONGEST)
        fits = end <= longest
        budget = LONGEST if self._segmentation == SENTENCE else min(budget, LONGEST)
        if fits and self._size_to(end) <= budget * _SURPLUS:
            end = self._with_short_ones(end, budget)
            pause = pause_after(self._text[start:end])
        else:
            end, pause = self._inside(min(end, longest), budget, fits)
        self._at = end
        self._known = [known for known in self._known if known > end]
        return Segment(start, self._text[start:end], pause)

    def _sentence_end(self, index: int) -> int:
        """Where the sentence ends that is `index` sentences after the one at hand."""
        while len(self._known) <= index:
            self._known.append(next(self._ends, len(self._text)))
        return self._known[index]

    def _size_to(self, end: int) -> int:
        return weighted_length(self._text[self._at : end])

    def _with_short_ones(self, end: int, budget: float) -> int:
        """A very short sentence is made together with the next one, if there is time."""
        index = 0
        while end < len(self._text) and self._size_to(end) < _SHORT:
            index += 1
            following = self._sentence_end(index)
            spoken = self._text[self._at : end]
            if "\n" in spoken[len(spoken.rstrip()) :] or self._size_to(following) > budget:
                break
            end = following
        return end

    def _inside(self, latest: int, budget: float, fits: bool) -> tuple[int, float]:
        """Where to cut a sentence that is too long for the room, and the pause there.

        `latest` is the end of the sentence if that `fits` into a segment, else of the segment.
        """
        part = self._text[self._at : latest]
        most = _fitting(part, 0, budget)
        sounds = [at for at, char in enumerate(part) if has_sound(char)] or [0]
        last = min(sounds[-1], len(part) - LEAST // 2) if fits else len(part)
        places = [
            _Place(boundary.strength, 0, past_space(part, boundary.end - self._at))
            for boundary in boundaries(self._text, self._language, self._at, latest)
        ]
        if self._segmentation == WORD or not (places or fits):
            places += _word_ends(part, _CONJUNCTIONS.get(self._language, "").split())
        least = max(most // 2, sounds[0] + 1)
        places = [place for place in places if least <= place.end <= last]
        within = [place for place in places if place.end <= most]
        if within:
            place = max(within)
        elif places:
            place = min(places, key=lambda place: place.end)
        else:
            end = len(part) if fits else _whole_character(self._text, self._at, latest) - self._at
            place = _Place(Strength.COMMA if fits else Strength.WORD, 0, end)
        pause = pause_after(part[: place.end]) if place.strength >= Strength.COMMA else 0.0
        return self._at + place.end, pause


class _Place(NamedTuple):
    """Where a sentence can be cut; the greater, the better. `end` counts from its beginning."""

    strength: Strength
    word: int
    end: int


def _word_ends(part: str, conjunctions: Sequence[str]) -> Iterator[_Place]:
    """Between words: before a conjunction, else rather after a longer word."""
    for before, after in pairwise(_WORDS.finditer(part)):
        word = before.group().rstrip()
        if word.endswith("."):
            continue  # an abbreviation
        joins = after.group().rstrip().lower() in conjunctions
        yield _Place(
            Strength.CONJUNCTION if joins else Strength.WORD, min(len(word), 4), before.end()
        )


def weighted_length(text: str) -> int:
    """How long a text is to speak, in letters: an ideograph or a syllable is several."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + (_WIDE_SIZE - 1) * wide


def pause_after(text: str) -> float:
    """Seconds of silence that belong after `text`, spoken at normal speed, before what follows."""
    words = text.rstrip()
    blank = text[len(words) :]
    if blank.count("\n") > 1:
        return _PARAGRAPH_SECONDS
    last = words.rstrip(CLOSING)[-1:]
    pause = next((pause for marks, pause in _PAUSES if last and last in marks), 0.0)
    return max(pause, _LINE_SECONDS) if "\n" in blank else pause


def sentence_ends(text: str, language: str, start: int = 0) -> Iterator[int]:
    """Where the sentences of a text end, the white space after them included, up to the end of the
    text. `language` is a BCP 47 tag. What has no sound belongs to a sentence that has.
    """
    last = len(text)
    while last > start and not has_sound(text[last - 1]):
        last -= 1
    for boundary in boundaries(text, language, start):
        if boundary.end >= last:
            break
        if boundary.strength is Strength.SENTENCE:
            yield past_space(text, boundary.end)
    yield len(text)


def require_splitter() -> None:
    """Raise `MissingSplitter` if the package that knows abbreviations is not installed."""
    if find_spec("sentencex") is None:
        raise MissingSplitter(
            "sentences can't be told apart: the package sentencex is missing; "
            f"install it with '{pip_install('sentencex')}'"
        )


def _fitting(text: str, start: int, budget: float) -> int:
    """How many characters of `text` from `start` on fit into `budget`; one at least."""
    size = 0
    for count, char in enumerate(text[start : start + int(budget) + 1]):
        size += weighted_length(char)
        if size > budget:
            return max(1, count)
    return len(text) - start


def _whole_character(text: str, start: int, end: int) -> int:
    """`end`, or where the character begins that it would take apart."""
    at = end
    while start < at < len(text) and (
        unicodedata.combining(text[at]) or text[at] in "\u200d\ufe0f" or text[at - 1] == "\u200d"
    ):
        at -= 1
    return at if at > start else end
