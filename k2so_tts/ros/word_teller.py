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

"""Tells of words: of those that are audible now, and of those that will be."""

from __future__ import annotations

from typing import Protocol

from k2so_tts.ros.player_liveness import PlayerLiveness
from k2so_tts.ros.utterance import Utterance
from k2so_tts.synthesis.word_timeline import TimedWord


class WordListener(Protocol):
    """Who is told of words."""

    def wants_words(self, utterance: Utterance) -> bool:
        """Whether anybody wants to know the words of an utterance."""
        ...

    def audible_word(self, utterance: Utterance, word: TimedWord, elapsed_s: float) -> None:
        """A word begins to be heard, so long after the first frame of the utterance."""

    def upcoming_word(self, utterance: Utterance, word: TimedWord, in_s: float) -> None:
        """A word will be heard in so many seconds, as far as one can tell."""


class WordTeller:
    """Tells of each word of the utterance that is being heard once. Times are in seconds."""

    def __init__(self, listener: WordListener, liveness: PlayerLiveness) -> None:
        self._listener = listener
        self._liveness = liveness

    def tell(self, head: Utterance, position: float, now: float) -> int | None:
        """Tell of the words up to the frame `position`, and of what was sent after it.

        Returns the first frame of the next word if it becomes audible as time passes.
        """
        if head.synthesis is None or not self._listener.wants_words(head):
            return None
        words = head.synthesis.words
        for word in words[head.words_announced :]:
            if word.frame >= head.sent:
                break
            head.words_announced += 1
            if word.end_frame > position:
                seconds = self._seconds_until(head, word, position, now)
                self._listener.upcoming_word(head, word, seconds)
        for word in words[head.words_told :]:
            is_sent = word.frame < head.sent
            if not is_sent or not head.plays(word.frame, by_clock=self._liveness.follows_clock):
                return None
            if word.frame > position:
                return word.frame
            head.words_told += 1
            self._listener.audible_word(head, word, head.heard_seconds(now))
        return None

    def _seconds_until(
        self, head: Utterance, word: TimedWord, position: float, now: float
    ) -> float:
        """In how many seconds a word is heard."""
        start = 0.0
        if head.progress.confirmed is None and not self._liveness.follows_clock:
            start = max(0.0, self._liveness.usual_start - (now - head.wire.spans[0].due_at))
        return start + max(0.0, word.frame - position) / head.rate
