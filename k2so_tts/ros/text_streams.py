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

"""Texts that are still being written: which piece belongs to which of them.

There is no ROS in here. `clock` gives seconds.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from k2so_tts.text.stream import TextStream

EARLY_SECONDS = 5.0
"""How long pieces wait for the goal that names their stream."""
WRITING_PAUSE_SECONDS = 0.5
"""A writer that was cut off and then pauses for so long has begun with another text."""
_MOST_EARLY = 64
"""Streams whose pieces wait for their goals, at most; the oldest gives way."""
_REMEMBERED = 1024
"""Streams that have ended, of which late pieces are recognised."""

NewStream = Callable[[], TextStream]


@dataclass(frozen=True)
class Piece:
    """A piece of the text of a stream; see k2so_tts_msgs/TextPiece."""

    sequence: int
    text: str
    flush: bool = False
    end: bool = False


@dataclass(eq=False)
class _Named:
    """A stream whose goal is there."""

    text: TextStream
    room: int
    """How many more characters it may have."""
    expected: int = 0
    """The number of the next piece."""
    lost: int = 0


@dataclass(eq=False)
class _Early:
    """Pieces that came before their goal."""

    since: float
    pieces: list[Piece] = field(default_factory=list)
    characters: int = 0


class NamedStreams:
    """Streams of goals that name them, fed by pieces with the same name.

    A name is free again once its goal has ended: the piece with number 0 then begins another text,
    and late pieces of the one before are dropped. `longest` gives the most characters of a text.
    May be used by several threads.
    """

    def __init__(
        self, longest: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._longest = longest
        self.dropped = 0
        """Pieces that came too late, twice, or to no goal."""
        self.lost = 0
        """Pieces that never came."""
        self.cut = 0
        """Texts that were longer than is allowed."""
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Named] = {}
        self._early: OrderedDict[str, _Early] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    @property
    def counts(self) -> dict[str, object]:
        """The values in the diagnostics, by key."""
        return {"pieces_dropped": self.dropped, "pieces_lost": self.lost}

    def is_open(self, name: str) -> bool:
        """Whether a goal that has not ended names this stream."""
        return name in self._open

    def open(self, name: str, beginning: str, text: TextStream) -> TextStream:
        """Begin a text for a goal, with the pieces that have come already."""
        with self._lock:
            self._forget_overdue()
            named = self._open[name] = _Named(text, self._longest())
            self._feed(named, beginning)
            early = self._early.pop(name, None)
            for piece in early.pieces if early is not None else ():
                self._take(named, piece)
        return text

    def close(self, name: str) -> int:
        """A goal has ended. Returns how many pieces of its text were lost."""
        with self._lock:
            named = self._open.pop(name, None)
            if named is None:
                return 0
            named.text.cancel()
            self._ended[name] = None
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)
            return named.lost

    def piece(self, name: str, piece: Piece) -> None:
        """Take a piece."""
        with self._lock:
            self._forget_overdue()
            named = self._open.get(name)
            if named is None:
                self._keep_early(name, piece)
            elif named.expected == 0 and piece.sequence and name in self._ended:
                self.dropped += 1  # of the text before, which had the same name
            else:
                self._take(named, piece)

    def _take(self, named: _Named, piece: Piece) -> None:
        if piece.sequence < named.expected or named.text.ended:
            self.dropped += 1
            return
        missing = piece.sequence - named.expected
        named.lost += missing
        self.lost += missing
        named.expected = piece.sequence + 1
        self._feed(named, piece.text)
        if piece.flush:
            named.text.flush()
        if piece.end:
            named.text.end()

    def _feed(self, named: _Named, text: str) -> None:
        if not text:
            return
        self.cut += len(text) > named.room >= 0
        if named.room > 0:
            named.text.feed(text[: named.room])
        named.room -= len(text)

    def _keep_early(self, name: str, piece: Piece) -> None:
        """Keep a piece for a goal that may come."""
        if name in self._ended and name not in self._early and piece.sequence:
            self.dropped += 1
            return
        early = self._early.setdefault(name, _Early(self._clock()))
        if early.characters > self._longest():
            self.dropped += 1
            return
        early.pieces.append(piece)
        early.characters += len(piece.text) + 1
        if len(self._early) > _MOST_EARLY:
            _, given_up = self._early.popitem(last=False)
            self.dropped += len(given_up.pieces)

    def _forget_overdue(self) -> None:
        """Drop the pieces whose goals did not come."""
        while self._early:
            name, oldest = next(iter(self._early.items()))
            if self._clock() - oldest.since < EARLY_SECONDS:
                return
            del self._early[name]
            self.dropped += len(oldest.pieces)


@dataclass(eq=False)
class _Written:
    """What a publisher is writing."""

    text: TextStream
    fed_at: float


class PublisherStreams:
    """Streams without a name, one at a time of each publisher, ended by an empty piece.

    `begin` makes a new one, which is cancelled already if it is refused. Of one that was cancelled
    the rest is dropped: up to its end, or until its writer has paused, and begins with another. All
    methods belong to one thread.
    """

    def __init__(self, begin: NewStream, clock: Callable[[], float] = time.monotonic) -> None:
        self._begin = begin
        self._clock = clock
        self._written: OrderedDict[Hashable, _Written] = OrderedDict()

    def piece(self, publisher: Hashable, piece: str, longest: int) -> bool:
        """Take a piece; an empty one ends the text. False if its text is too long with it."""
        written = self._written.get(publisher)
        if not piece:
            if written is not None:
                written.text.end()
                del self._written[publisher]
            return True
        if written is None or self._is_over(written):
            written = self._written[publisher] = _Written(self._begin(), self._clock())
        self._written.move_to_end(publisher)
        if len(self._written) > _MOST_EARLY:
            self._written.popitem(last=False)[1].text.end()
        written.fed_at = self._clock()
        room = max(0, longest - len(written.text.text))
        written.text.feed(piece[:room])
        return len(piece) <= room or written.text.cancelled

    def _is_over(self, written: _Written) -> bool:
        """Whether a publisher that writes again begins another text."""
        if written.text.cancelled:
            return self._clock() - written.fed_at >= WRITING_PAUSE_SECONDS
        return written.text.ended
