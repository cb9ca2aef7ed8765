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

import re
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from k2so_tts.text.speakable import SpeakableSettings, SpeakableStream

_CONTROL = {"Cc", "Cs"}
_CLAUSE_END = re.compile(r"[.!?…;:,][\"'”’)\]]*(?=\s)|[。！？、；：，]|\n")
IsEnd = Callable[[str, int], bool]
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
    """`text` without control characters (but line breaks and tabs), surrogates and margins."""
    return _without_controls(text).strip()


def _without_controls(text: str) -> str:
    return "".join(
        char for char in text if char in "\n\t" or unicodedata.category(char) not in _CONTROL
    )


def whole_words(text: str, end: int) -> str:
    """The words of `text` that lie entirely within its first `end` characters."""
    while end < len(text) and not text[end].isalnum() and not text[end].isspace():
        end += 1
    if end < len(text) and not text[end].isspace():
        end = next((at for at in range(end, 0, -1) if text[at - 1].isspace()), 0)
    return text[:end].rstrip()


class TextStream:
    """A text that is still being written: one thread feeds it, another speaks what is complete.

    `clauses` yields a `Segment` for each clause as soon as it is complete, and None when all that
    is known was yielded and the next clause has to be waited for. The segments joined are what is
    spoken of the text: the text itself unless it is rewritten (`speak_as`). A text that nobody
    feeds for `patience` seconds has ended. `end` and `cancel` may be called from any thread, any
    number of times.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.cancelled = False
        self.on_change: Callable[[], None] = lambda: None
        """Called, in any thread, when `poll` may give something new; must not block."""
        self._patience = patience
        self._clock = clock
        self._fed_at = clock()
        self._changed = threading.Condition()
        self._sent = ""
        self._text = ""
        """What is spoken of it, as far as that is certain."""
        self._speaker: SpeakableStream | None = None
        self._spoken = 0
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
        with self._changed:
            if self._speaker is None:
                self._speaker = SpeakableStream(language, settings)
                self._text = self._speaker.feed(self._sent, final=self._ended)

    def feed(self, piece: str) -> None:
        """Append a piece of any length, control characters dropped."""
        piece = _without_controls(piece)
        with self._changed:
            if not self._ended:
                self._sent += piece
                self._text += piece if self._speaker is None else self._speaker.feed(piece)
                self._fed_at = self._clock()
                self._changed.notify_all()
        self.on_change()

    def end(self) -> None:
        """No more pieces will come; the rest is spoken."""
        with self._changed:
            self._end()
            self._changed.notify_all()
        self.on_change()

    def cancel(self) -> None:
        """No more pieces will come and the rest is not spoken."""
        with self._changed:
            self.cancelled = self._ended = True
            self._spoken = len(self._text)
            self._changed.notify_all()
        self.on_change()

    def poll(self, is_end: IsEnd = lambda _, __: True) -> Segment | None:
        """The next complete clause, without waiting for it (see `clauses` for `is_end`).

        None: it is not complete yet and may be in `seconds_left`, or nothing follows (`finished`).
        """
        with self._changed:
            if self.seconds_left() <= 0 and self._clause_end(is_end) is None:
                self._end()
            return self._next(is_end)

    @property
    def finished(self) -> bool:
        """No more pieces are taken, and all of the text was given."""
        return self._ended and self._spoken >= len(self._text)

    def seconds_left(self) -> float:
        """In how many seconds the text ends if nobody feeds it."""
        return max(0.0, self._fed_at + self._patience - self._clock())

    def __iter__(self) -> Iterator[Segment | None]:
        return self.clauses()

    def clauses(self, is_end: IsEnd = lambda _, __: True) -> Iterator[Segment | None]:
        """What was written and not yielded yet, clause by clause.

        `is_end` is asked whether a clause ends at a position of a text that looks like it.
        """
        while True:
            with self._changed:
                segment = self._next(is_end)
                if segment is None and self._ended:
                    return
            yield segment
            if segment is None:
                self._wait_for_a_clause(is_end)

    def _end(self) -> None:
        """What is written so far is all: what was held back for what might follow is spoken."""
        if self._speaker is not None and not self._ended:
            self._text += self._speaker.feed("", final=True)
        self._ended = True

    def _wait_for_a_clause(self, is_end: IsEnd) -> None:
        with self._changed:
            while not self._ended and self._clause_end(is_end) is None:
                left = self._fed_at + self._patience - self._clock()
                if left <= 0:
                    self._end()
                else:
                    self._changed.wait(left)

    def _next(self, is_end: IsEnd) -> Segment | None:
        end = len(self._text) if self._ended else self._clause_end(is_end)
        if end is None or end <= self._spoken:
            return None
        segment = Segment(self._spoken, self._text[self._spoken : end])
        self._spoken = end
        return segment

    def _clause_end(self, is_end: IsEnd) -> int | None:
        """Where the last complete clause that is not spoken yet ends, if there is one."""
        rest = self._text[self._spoken : self._spoken + _LONGEST_WORD]
        blank = len(rest) - len(rest.lstrip())
        ends = [match.end() for match in _CLAUSE_END.finditer(rest) if match.end() > blank]
        if (end := next((end for end in reversed(ends) if is_end(rest, end)), None)) is not None:
            return self._spoken + end
        if len(rest) > _LONGEST_CLAUSE and (space := rest.rfind(" ")) > 0:
            return self._spoken + space
        return self._spoken + _LONGEST_WORD if len(rest) == _LONGEST_WORD else None
