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

"""How loud what leaves the device is, moment by moment: for a jaw, or a light."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from k2so_tts.audio import Samples

LEVEL_SECONDS = 1 / 30
"""Interval of levels (s)."""
WINDOW_SECONDS = 0.03
"""How much sound, around a moment, is its level taken of (s)."""
SILENT_DB = -50.0
"""What is no louder than this has level 0 (RMS, dB of full scale)."""
LOUD_DB = -12.0
"""What is at least as loud as this, as loud speech is, has level 1 (RMS, dB of full scale)."""
_MAX_BLOCKS = 1024


@dataclass(frozen=True, eq=False)
class _Block:
    """What leaves the device from `heard_at` (s, monotonic) on."""

    samples: Samples
    heard_at: float
    rate: int

    @property
    def end_at(self) -> float:
        """When its last frame does (s, monotonic)."""
        return self.heard_at + len(self.samples) / self.rate

    def between(self, begin: float, end: float) -> Samples:
        """Its frames between two moments (s, monotonic)."""
        first, last = (round((at - self.heard_at) * self.rate) for at in (begin, end))
        return self.samples[max(0, first) : max(0, last)]


class LevelMeter:
    """Levels, 30 a second, of what leaves the device while they are `wanted`.

    `add` is called in the rendering thread, which it never blocks, and `poll` in another one.
    """

    def __init__(self) -> None:
        self.wanted = False
        """Whether anybody wants to know; any thread may set it at any time."""
        self.next_at = math.inf
        """When the next level is due (s, monotonic)."""
        self._blocks: deque[_Block] = deque(maxlen=_MAX_BLOCKS)
        self._level = 0.0

    def add(self, out: Samples, heard_at: float, rate: int) -> None:
        """Take a copy of what was rendered, shape (frames, channels) at `rate` Hz.

        Its first frame leaves the device at `heard_at` (s, monotonic).
        """
        self._blocks.append(_Block(out.copy(), heard_at, rate))

    def poll(self, now: float, *, heard: bool) -> float | None:
        """Return the level, 0 to 1, of what leaves the device at `now` (s, monotonic).

        None if none is due, and as long as it stays 0: that it has fallen silent is told once.
        `heard` says whether an utterance is being heard.
        """
        before = self._level
        if not self.wanted:
            self._blocks.clear()
        if not self.wanted or not (heard or before):
            self.next_at, self._level = math.inf, 0.0
        elif now < self.next_at < math.inf:
            return None
        else:
            due_at = self.next_at + LEVEL_SECONDS
            self.next_at = due_at if now < due_at < math.inf else now + LEVEL_SECONDS
            self._level = self._measure(now)
        return self._level if self._level or before else None

    def _measure(self, now: float) -> float:
        """The level of the sound around a moment, as far as it was rendered already."""
        begin, end = now - WINDOW_SECONDS / 2, now + WINDOW_SECONDS / 2
        while self._blocks and self._blocks[0].end_at <= begin:
            self._blocks.popleft()
        parts = [block.between(begin, end) for block in list(self._blocks)]
        values = sum(part.size for part in parts)
        energy = sum(float(np.square(part).sum()) for part in parts)
        return level_of(energy / values) if values else 0.0


def level_of(power: float) -> float:
    """Return the level, 0 to 1, of a mean square (1.0: full scale), linear in dB in between."""
    if power <= 0.0:
        return 0.0
    loudness_db = 10 * math.log10(power)
    return min(1.0, max(0.0, (loudness_db - SILENT_DB) / (LOUD_DB - SILENT_DB)))
