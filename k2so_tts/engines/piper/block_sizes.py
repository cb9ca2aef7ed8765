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

"""How large the blocks are in which a voice is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

FIRST_FRAMES = 10
"""Latent frames of sound in the first block: 116 ms of a voice at 22.05 kHz. A player that waits
for three chunks starts on 93 ms; some more may be quiet enough to be trimmed."""
MOST_FRAMES = 96
"""In a block: what a cancel waits for, and what takes memory."""
STEADY_FACTOR = 0.8
"""Blocks that come later than they are made, by so much of their duration, cause no gap: as if it
took this part of it to make them."""
_MARGIN = 0.7
"""The part of the lead that the next block may take."""
_MOST_FIRST_FRAMES = 48
"""In the first block: a machine that needs larger ones collects what it needs in several."""
_EARLY_BLOCKS = 3
_REMEMBERED = 9


class Speed:
    """How fast blocks are computed, learned from one text to the next.

    A block of n frames takes as long as n + `context` frames without any: as much is computed
    around it, and thrown away.
    """

    def __init__(self, context: float) -> None:
        self.context = context
        self._latest: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def seconds_per_frame(self) -> float:
        """What a frame takes; the median of the latest blocks, 0.0 before the first."""
        return sorted(self._latest)[len(self._latest) // 2] if self._latest else 0.0

    def learn(self, seconds: float, frames: float) -> None:
        """Learn from a block: so many frames were computed, those around it included."""
        self._latest.append(seconds / frames)

    def frames_within(self, seconds: float) -> float:
        """How many frames a block may have that is computed in so many seconds."""
        return seconds / max(self.seconds_per_frame, 1e-9) - self.context

    def least_frames(self, frame_seconds: float, margin: float = 1.0) -> float:
        """How many frames a block must have for the next one like it to be computed within the part
        `margin` of its sound, `frame_seconds` each; infinity if none is long enough.
        """
        factor = self.seconds_per_frame / (margin * frame_seconds)
        return self.context * factor / (1.0 - factor) if factor < 1.0 else float("inf")


class BlockSizes:
    """How many latent frames each block of a text has.

    The first is small, so that it is heard early: as small as this machine can follow with others
    of that size. The next ones grow, as each is computed with context that is thrown away, but only
    so far that a block is ready before the ones before it are heard. `frame_seconds` is how long a
    frame sounds. `speeds` are that of the first blocks of texts and that of all: a busy machine
    computes faster for the first few hundred milliseconds after a rest.
    """

    def __init__(
        self, speeds: tuple[Speed, Speed], frame_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._early, self._speed = speeds
        self._frame_seconds = frame_seconds
        self._clock = clock
        self._silent = 0
        self._steady_lead = 0.0
        """Frames that would be left to be heard at `STEADY_FACTOR`."""
        self._made = 0
        self._count = 0
        self._began_at = 0.0
        self._first_at = 0.0

    def begin(self, silent: int) -> None:
        """A sentence begins, with so many silent frames; those of the first are not played."""
        if self._made == 0:
            self._silent = silent

    def next(self) -> int:
        """The size of the next block, which is begun now."""
        now = self._began_at = self._clock()
        speed = self._speed if self._made else self._early
        needed = speed.least_frames(self._frame_seconds, _MARGIN)
        least = max(FIRST_FRAMES, min(needed, _MOST_FIRST_FRAMES))
        if self._made == 0:
            return min(MOST_FRAMES, self._silent + int(least))
        if self._speed.least_frames(self._frame_seconds) > _MOST_FIRST_FRAMES:
            least = MOST_FRAMES
        lead = (self._made - self._silent) * self._frame_seconds - (now - self._first_at)
        in_time = self._speed.frames_within(_MARGIN * lead)
        steady = self._steady_lead / STEADY_FACTOR
        return int(min(MOST_FRAMES, max(least, min(steady, in_time))))

    def made(self, frames: int) -> None:
        """The block is made, and has so many frames: fewer than `next` said at a text's end."""
        now = self._clock()
        context = self._speed.context
        if self._made == 0:
            self._first_at = now
            context /= 2  # there is nothing before it
            self._steady_lead = frames - self._silent
        else:
            self._steady_lead += frames * (1.0 - STEADY_FACTOR)
        self._made += frames
        self._count += 1
        for speed in (self._early, self._speed) if self._count <= _EARLY_BLOCKS else (self._speed,):
            speed.learn(now - self._began_at, frames + context)
