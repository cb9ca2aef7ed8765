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

"""A `Synthesis` that follows a script, in simulated time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from k2so_tts.audio import EMPTY_PCM, Chunk, Pcm
from k2so_tts.engines import EngineError
from k2so_tts.synthesis.word_timeline import TimedWord

WORD = 250
"""Frames in a word."""
TICK = 1e-6
"""Seconds by which an event may be early."""
PROMPT = 0.01
"""Seconds that an engine takes for a second of audio."""


@dataclass(frozen=True)
class Say:
    """`frames` of audio, made in `pace` seconds per second."""

    frames: int
    pace: float = PROMPT


@dataclass(frozen=True)
class Pause:
    """No more text for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Fail:
    """The engine throws."""


@dataclass(frozen=True)
class Stall:
    """The engine never comes back; if anything follows, another one goes on with that."""


@dataclass(frozen=True)
class Hold:
    """Nothing is given before all is made: the traditional way."""


Part = Say | Pause | Fail | Stall | Hold


class ScriptedSynthesis:
    """A `Synthesis` of parts, in simulated time. Its samples are the numbers of their frames."""

    def __init__(
        self, parts: Sequence[Part], now: Callable[[], float], rate: int, chunk: int
    ) -> None:
        self.rate = rate
        self._chunk = chunk
        self.seconds = 0.0
        self.cancelled = False
        self._now = now
        self._start = now()
        self._events: list[tuple[float, Any]] = []
        self._chunks: list[tuple[float, Chunk]] = []
        self._words: list[TimedWord] = []
        self._taken = 0
        self._held = Hold() in parts
        self.total = 0
        self._rest: Sequence[Part] = ()
        self._plan_all(parts, 0.0)

    def fail_over(self) -> bool:
        """Another engine goes on, if there is anything after the stall."""
        rest, self._rest = self._rest, ()
        if rest:
            self._plan_all(rest, self._now() - self._start)
        return bool(rest)

    def _plan_all(self, parts: Sequence[Part], at: float) -> None:
        for index, part in enumerate(parts):
            if isinstance(part, Stall):
                self._rest = parts[index + 1 :]
                break
            at = self._plan(part, at)
        else:
            if not parts or not isinstance(parts[-1], Fail):
                self._flush(at)
                self._events.append((at, True))
        self._times = sorted(at for at, _ in (*self._chunks, *self._events))

    def _plan(self, part: Part, at: float) -> float:
        if isinstance(part, Say):
            end = self.total + part.frames
            while self.total < end:
                frames = min(self._chunk, end - self.total)
                at += frames / self.rate * part.pace
                pcm = cast(Pcm, np.arange(self.total, self.total + frames))
                self._chunks.append((at, Chunk(self.total, pcm)))
                self.total += frames
        elif isinstance(part, Pause):
            self._flush(at)
            self._events += [(at, "starved"), (at + part.seconds, "fed")]
            at += part.seconds
        elif isinstance(part, Fail):
            self._events.append((at, EngineError("broken")))
        return at

    def _flush(self, at: float) -> None:
        if self.total:
            self._chunks.append((at, Chunk(self.total, EMPTY_PCM)))

    def _past(self) -> list[Any]:
        elapsed = self._now() - self._start + TICK
        return [event for at, event in self._events if at <= elapsed]

    def next_event(self) -> float:
        """When there is something new, after now."""
        index = bisect_right(self._times, self._now() - self._start + TICK)
        return self._start + self._times[index] if index < len(self._times) else math.inf

    @property
    def ends_at(self) -> float:
        return self._start + self._times[-1]

    @property
    def error(self) -> EngineError | None:
        return next((event for event in self._past() if isinstance(event, EngineError)), None)

    @property
    def done(self) -> bool:
        return self.cancelled or True in self._past() or self.error is not None

    @property
    def starved(self) -> bool:
        return self._past()[-1:] == ["starved"]

    @property
    def exhausted(self) -> bool:
        return self.done and self._taken == len(self._chunks)

    @property
    def frames(self) -> int:
        elapsed = self._now() - self._start + TICK
        made = bisect_right(self._chunks, elapsed, key=lambda chunk: chunk[0])
        return self._chunks[made - 1][1].end if made else 0

    @property
    def text(self) -> str:
        return words(self.total)

    def take(self) -> Chunk | None:
        if self._taken == len(self._chunks):
            return None
        at, chunk = self._chunks[self._taken]
        if at > self._now() - self._start + TICK or (self._held and not self.done):
            return None
        self._taken += 1
        return chunk

    def cancel(self) -> None:
        self.cancelled = True

    def suspend(self) -> None:
        """What is made does not depend on who else speaks."""

    def resume(self) -> None:
        """See `suspend`."""

    @property
    def words(self) -> list[TimedWord]:
        for at in range(len(self._words), self.frames // WORD):
            self._words.append(TimedWord(at * WORD, (at + 1) * WORD, at, at + 1, f"w{at}"))
        return self._words

    def heard_text(self, frames: int) -> str:
        return words(frames)


def words(frames: int) -> str:
    return " ".join(f"w{number}" for number in range(frames // WORD))
