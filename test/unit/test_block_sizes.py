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

from k2so_tts.engines.piper.block_sizes import (
    FIRST_FRAMES,
    MOST_FRAMES,
    STEADY_FACTOR,
    BlockSizes,
    Speed,
)

CONTEXT = 29
FRAME_SECONDS = 256 / 22050
SILENT = 5


class Machine:
    """Computes blocks in time that passes only here, and plays them once the first is made.

    A frame takes `factor` times as long as it sounds.
    """

    def __init__(self, factor: float) -> None:
        self.now = 0.0
        self.speeds = Speed(CONTEXT), Speed(CONTEXT)
        self.sizes: list[int] = []
        self.silence = 0.0
        """Seconds in which nothing was left to be heard."""
        self.first_seconds = 0.0
        self._seconds_per_frame = factor * FRAME_SECONDS

    def compute(self, frames: int) -> None:
        """A text of so many frames."""
        sizes = BlockSizes(self.speeds, FRAME_SECONDS, lambda: self.now)
        self.sizes, self.silence = [], 0.0
        began = self.now
        heard_to = 0.0
        sizes.begin(SILENT)
        while (left := frames - sum(self.sizes)) > 0:
            size = min(left, sizes.next())
            self.now += self._seconds_per_frame * (size + CONTEXT / (1 if self.sizes else 2))
            sizes.made(size)
            if self.sizes:
                self.silence += max(0.0, self.now - heard_to)
                heard_to = max(heard_to, self.now) + size * FRAME_SECONDS
            else:
                self.first_seconds = self.now - began
                heard_to = self.now + (size - SILENT) * FRAME_SECONDS
            self.sizes.append(size)


def test_a_fast_machine_soon_makes_large_blocks() -> None:
    machine = Machine(0.05)
    machine.compute(1000)
    assert machine.sizes[:4] == [SILENT + FIRST_FRAMES, 12, 15, 19]
    assert max(machine.sizes) == MOST_FRAMES
    assert machine.silence == 0


@pytest.mark.parametrize("factor", [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.56])
def test_a_slower_machine_leaves_no_gap(factor: float) -> None:
    """It has learned how slow it is from the text before."""
    machine = Machine(factor)
    machine.compute(200)
    for frames in (20, 120, 1000):
        machine.compute(frames)
        assert machine.silence == 0


@pytest.mark.parametrize(("factor", "seconds"), [(0.05, 0.02), (0.3, 0.15), (0.5, 0.6)])
def test_the_first_block_is_no_larger_than_the_machine_needs(factor: float, seconds: float) -> None:
    machine = Machine(factor)
    for _ in range(2):
        machine.compute(300)
    assert machine.first_seconds < seconds


def test_a_machine_that_can_not_follow_works_as_well_as_it_can() -> None:
    """Small blocks, most of whose work is thrown away, would make it slower still."""
    machine = Machine(1.0)
    for _ in range(2):
        machine.compute(300)
    assert machine.sizes[1:-1] == [MOST_FRAMES] * 2


def test_a_block_that_stood_still_changes_nothing() -> None:
    machine = Machine(0.1)
    machine.compute(300)
    expected = machine.sizes
    for speed in machine.speeds:
        speed.learn(1.0, 8)
    machine.compute(300)
    assert machine.sizes == expected


@pytest.mark.parametrize("factor", [0.5, 0.75])
def test_delays_in_proportion_to_the_sound_make_no_gap(factor: float) -> None:
    """Whatever delays blocks after they are made, such as a slow decoder behind: each of them
    lasts for as long as the next one is delayed.
    """
    machine = Machine(0.01)
    machine.compute(1000)
    sounds = [machine.sizes[0] - SILENT, *machine.sizes[1:]]
    at, heard_to = 0.0, None
    for size in sounds:
        at += factor * size * FRAME_SECONDS
        assert heard_to is None or at <= heard_to + FRAME_SECONDS / 2
        heard_to = (heard_to or at) + size * FRAME_SECONDS
    assert factor < STEADY_FACTOR


def test_a_short_block_at_the_end_of_a_sentence_counts_as_what_it_is() -> None:
    """Many sentences of one frame give no lead in which a large block could be made."""
    machine = Machine(0.1)
    machine.compute(300)
    sizes = BlockSizes(machine.speeds, FRAME_SECONDS, lambda: machine.now)
    for _ in range(20):
        sizes.begin(0)
        sizes.next()
        machine.now += machine.speeds[1].seconds_per_frame * (1 + CONTEXT)
        sizes.made(1)
    assert sizes.next() == FIRST_FRAMES
