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

"""Texts: cleaned, cut into segments that can be spoken one by one, or arriving piece by piece."""

from __future__ import annotations

import threading
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import regex

from k2so_tts.text.boundaries import CONTEXT, boundaries, ends_with_mark, past_space
from k2so_tts.text.speakable import SpeakableSettings, SpeakableStream

FLUSH_SECONDS = 0.3
"""How long a text that ends with a mark waits for more before that clause is spoken."""
_CONTROL = {"Cc", "Cs"}
_CLOSING = {"Pe", "Pf", "Po"}
_OPENING = {"Pi", "Ps", "Sc"}
"""Categories of characters that belong to the word before, and to the word after them."""
_UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
)
_WORD_BOUND = regex.compile(r"(?w)\b")
_WORD_CONTEXT = 32
"""How far after a place it is read whether a word ends there: 3.1 may go on as 3.14."""
_LONGEST_CLAUSE = 240
"""Characters without punctuation after which a stream is cut between words all the same."""
_LONGEST_WORD = 4000
"""Characters of a stream that are looked at, and after which it is cut anywhere."""


@dataclass(frozen=True)
class Segment:
    """A part of a text that is synthesised in one go; `start` is its offset in the text.

    `pause` is the silence that belongs after it, in seconds at normal speed, where an engine that
    is given one segment at a time does not know what follows.
    """

    start: int
    text: str
    pause: float = 0.0


def clean(text: str) -> str:
    """`text` as it is `printable`, without margins."""
    return printable(text).strip()


def printable(text: str) -> str:
    """`text` without control characters and surrogates, but with line breaks and tabs; control
    characters that are white space become spaces.
    """
    return "".join(map(_printable, text))


def _printable(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in _CONTROL:
        return char
    return " " if char.isspace() else ""


def whole_words(text: str, end: int) -> str:
    """The words of `text` that lie entirely within its first `end` characters.

    Words end where Unicode says (UAX #29): in Chinese after each character, in Thai, of which it
    would take a dictionary, after each cluster. Punctuation that closes a word belongs to it.
    """
    at = last_word_end(text, end)
    while 0 < at < len(text) and unicodedata.category(text[at]) in _CLOSING:
        at += 1
    while 0 < at < len(text) and unicodedata.category(text[at - 1]) in _OPENING:
        at -= 1
    return text[:at].rstrip()


def has_unspaced(text: str) -> bool:
    """Whether a text has letters of a script that puts no spaces between words."""
    return _UNSPACED.search(text) is not None


def last_word_end(text: str, end: int) -> int:
    """The last position up to `end` where `text` may be cut between words, as Unicode says (UAX
    #29); 0 if there is none.
    """
    if end >= len(text):
        return len(text)
    earliest = max(0, end - _LONGEST_WORD)
    space = max(earliest, text.rfind(" ", earliest, end))
    start = earliest + len(text[earliest:space].rstrip())  # there is no bound inside of white space
    bounds = _WORD_BOUND.finditer(text, start, end + _WORD_CONTEXT)
    return max((match.start() for match in bounds if match.start() <= end), default=0)


class TextStream:
    """A text that is still being written: one thread feeds it, another speaks what is complete.

    `poll` gives its clauses as they are complete; joined they are what is spoken of it, which is
    the text itself unless it is rewritten (`speak_as`). A clause that ends with a mark is taken to
    be complete when nobody has fed the text for `flush_after` seconds, and the text to have ended
    after `patience` seconds; pieces without anything to say do not count. `flush`, `end` and
    `cancel` may be called from any thread, any number of times.
    """

    def __init__(
        self,
        patience: float,
        flush_after: float = FLUSH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cancelled = False
        self.timed_out = False
        """It has ended as nothing to say came for `patience` seconds."""
        self.on_change: Callable[[], None] = lambda: None
        """Called, in any thread, when `poll` may give something new; must not block."""
        self._patience = patience
        self._flush_after = flush_after
        self._clock = clock
        self._fed_at = clock()
        """When something to say was last fed."""
        self.first_clause_at: float | None = None
        """When the first clause was complete (s, of the clock); None: none is yet."""
        self._flushes: list[int] = []
        """Up to which places of the text as it was written it is to be spoken."""
        self._flushed_to = 0
        """Up to which place of what is spoken."""
        self._changing = threading.Lock()
        self._sent = ""
        self._text = ""
        """What is spoken of it, as far as that is certain."""
        self._speaker: SpeakableStream | None = None
        self._spoken = 0
        self._flushed = True
        """Nothing has been held back for what might follow since the last piece."""
        self._ended = False

    @property
    def ended(self) -> bool:
        """No more pieces are taken."""
        return self._ended

    @property
    def text(self) -> str:
        """All that has been written so far."""
        return self._sent

    @property
    def spoken_text(self) -> str:
        """What is spoken of it, as far as that is certain; its clauses are parts of this."""
        return self._text

    def to_source(self, end: int) -> int:
        """How many characters of `text` are spoken once `end` of `spoken_text` are."""
        return end if self._speaker is None else self._speaker.to_source(end)

    def speak_as(self, language: str, settings: SpeakableSettings) -> None:
        """Have it rewritten from the beginning, unless it is already: before the first clause.

        `language` is that of the voice (a BCP 47 tag).
        """
        with self._changing:
            if self._speaker is not None:
                return
            speaker = self._speaker = SpeakableStream(language, settings)
            self._text = ""
            for start, end in pairwise([0, *self._flushes]):
                self._text += speaker.feed(self._sent[start:end], final=True)
                self._flushed_to = len(self._text)
            rest = self._sent[self._flushes[-1] if self._flushes else 0 :]
            self._text += speaker.feed(rest, final=self._ended)

    def feed(self, piece: str) -> None:
        """Append a piece of any length, control characters dropped."""
        piece = printable(piece)
        with self._changing:
            if not self._ended:
                self._sent += piece
                self._text += piece if self._speaker is None else self._speaker.feed(piece)
                if piece.strip():
                    self._flushed = False
                    self._fed_at = self._clock()
        self.on_change()

    def flush(self) -> None:
        """What was fed by now is spoken, though its last clause may not be complete."""
        with self._changing:
            if not self._ended:
                self._flush()
                self._flushes.append(len(self._sent))
                self._flushed_to = len(self._text)
        self.on_change()

    def end(self) -> None:
        """No more pieces will come; the rest is spoken."""
        with self._changing:
            self._end()
        self.on_change()

    def cancel(self) -> None:
        """No more pieces will come and the rest is not spoken."""
        with self._changing:
            self.cancelled = self._ended = True
            self._spoken = len(self._text)
        self.on_change()

    def poll(self, language: str = "en") -> Segment | None:
        """The complete clauses that were not given yet, without waiting for them.

        None: none is complete yet, and one may be in `seconds_left`, or nothing follows
        (`finished`). `language` is a BCP 47 tag.
        """
        with self._changing:
            end = None if self._ended else self._clauses_end(language)
            if end is None:
                if not self._ended and self._idle_seconds() >= self._patience:
                    self.timed_out = True
                    self._end()
                if self._ended or self._may_flush():
                    self._flush()
                    end = len(self._text)
            if self._flushed_to > self._spoken:
                end = max(end or 0, self._flushed_to)
            if end is None or end <= self._spoken:
                return None
            segment = Segment(self._spoken, self._text[self._spoken : end])
            self._spoken = end
            if self.first_clause_at is None:
                is_late = self._idle_seconds() >= self._flush_after
                self.first_clause_at = self._clock() if is_late else self._fed_at
            return segment

    @property
    def finished(self) -> bool:
        """No more pieces are taken, and all of the text was given."""
        return self._ended and self._spoken >= len(self._text)

    def seconds_left(self) -> float:
        """In how many seconds `poll` may give more, or the text ends, if nobody feeds it."""
        idle = self._idle_seconds()
        if idle < self._flush_after and self._ends_with_mark():
            return self._flush_after - idle
        return max(0.0, self._patience - idle)

    def _idle_seconds(self) -> float:
        return self._clock() - self._fed_at

    def _may_flush(self) -> bool:
        """The text seems to be complete as it is: it ends with a mark, and nothing came for a
        while.
        """
        return self._idle_seconds() >= self._flush_after and self._ends_with_mark()

    def _ends_with_mark(self) -> bool:
        return not self._flushed and ends_with_mark(self._sent[-CONTEXT:])

    def _flush(self) -> None:
        """What was held back for what might follow is spoken as it is."""
        if self._speaker is not None and not self._flushed:
            self._text += self._speaker.feed("", final=True)
        self._flushed = True

    def _end(self) -> None:
        """What is written so far is all."""
        if not self._ended:
            self._flush()
        self._ended = True

    def _clauses_end(self, language: str) -> int | None:
        """Where the last complete clause that was not given yet ends; None if there is none."""
        at = self._spoken
        while (end := _clause_end(self._text, language, at)) is not None:
            at = past_space(self._text, end)
        return at if at > self._spoken else None


def _clause_end(text: str, language: str, start: int) -> int | None:
    """Where the clause that begins at `start` ends; None while that is not known.

    A clause that is too long is cut: at a space, else between words, else anywhere.
    """
    start_of_words = past_space(text, start)
    boundary = next(boundaries(text, language, start, complete=False), None)
    end = len(text) if boundary is None else boundary.end
    if end - start_of_words > _LONGEST_CLAUSE:
        latest = start_of_words + _LONGEST_CLAUSE
        if (space := text.rfind(" ", start_of_words, latest + 1)) > 0:
            return space
        if (bound := last_word_end(text, latest)) > start_of_words:
            return bound
        end = min(end, start_of_words + _LONGEST_WORD)
        if (space := text.find(" ", latest, end)) > 0:
            return space
        if end == start_of_words + _LONGEST_WORD:
            return end
    return None if boundary is None else end
