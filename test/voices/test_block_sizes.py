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

"""How large blocks are: small at first, and never so large that a gap is heard."""

from __future__ import annotations

import pytest

from k2so_tts.engines.piper.streaming import FIRST_FRAMES, MOST_FRAMES, BlockSizes

CONTEXT = 86
FRAME_SECONDS = 256 / 22050


class Machine:
    """Computes blocks in time that passes only here, and plays them once the first is made."""

    def __init__(self, seconds_per_frame: float) -> None:
        self.now = 0.0
        self.sizes: list[int] = []
        self.silence = 0.0
        """Seconds in which nothing was left to be heard."""
        self._seconds_per_frame = seconds_per_frame
        self._heard_to: float | None = None

    def compute(self, frames: int, sizes: BlockSizes) -> None:
        left = frames
        while left > 0:
            size = min(left, sizes.next())
            self.now += self._seconds_per_frame * (size + CONTEXT / 2)
            sizes.made(size)
            self._hear(size)
            left -= size

    def _hear(self, size: int) -> None:
        self.sizes.append(size)
        begins = self.now if self._heard_to is None else max(self.now, self._heard_to)
        if self._heard_to is not None:
            self.silence += begins - self._heard_to
        self._heard_to = begins + size * FRAME_SECONDS


def test_a_fast_machine_soon_makes_large_blocks() -> None:
    machine = Machine(FRAME_SECONDS / 20)
    machine.compute(1000, BlockSizes(CONTEXT, FRAME_SECONDS, lambda: machine.now))
    assert machine.sizes[:3] == [FIRST_FRAMES, 12, 18]
    assert max(machine.sizes) == MOST_FRAMES
    assert machine.silence == 0


@pytest.mark.parametrize("factor", [8, 10, 14])
def test_a_slower_machine_leaves_no_gap(factor: float) -> None:
    """Blocks grow only as far as what was made before them lasts."""
    machine = Machine(FRAME_SECONDS / factor)
    machine.compute(1000, BlockSizes(CONTEXT, FRAME_SECONDS, lambda: machine.now))
    assert machine.silence == 0
    assert machine.sizes != [FIRST_FRAMES] * len(machine.sizes)


def test_a_machine_that_is_never_ahead_stays_with_small_blocks() -> None:
    machine = Machine(FRAME_SECONDS)
    machine.compute(100, BlockSizes(CONTEXT, FRAME_SECONDS, lambda: machine.now))
    assert set(machine.sizes[:-1]) == {FIRST_FRAMES}


def test_a_short_block_at_the_end_of_a_sentence_counts_as_what_it_is() -> None:
    """Many sentences of one frame give no lead in which a large block could be made."""
    machine = Machine(FRAME_SECONDS / 8)
    sizes = BlockSizes(CONTEXT, FRAME_SECONDS, lambda: machine.now)
    for _ in range(20):
        machine.compute(1, sizes)
    assert sizes.next() == FIRST_FRAMES
