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

"""What a node can know of the clocks of others."""

from __future__ import annotations

import pytest

from k2so_tts.audio import NANOSECONDS
from k2so_tts.ros.clock_offset import EARLY_NS, LATE_NS, SenderClock, StampClocks, describe_offset

NOW_NS = 1_700_000_000 * NANOSECONDS
HOUR_NS = 3600 * NANOSECONDS
MILLISECOND_NS = 1_000_000


def offset(sent_ns: int, stamp_ns: int, *delays_ms: float, shift_ns: int = 0) -> int:
    """What is told when messages took so long, and the receiver's clock is ahead by `shift_ns`."""
    clocks = StampClocks()
    for delay in delays_ms:
        arrived_ns = NOW_NS + int(delay * MILLISECOND_NS) + shift_ns
        clocks.note("who", stamp_ns, sent_ns, arrived_ns)
    return clocks.offset_ns("who")


@pytest.mark.parametrize("behind_ms", [0, 10, 5000, 30_000])
@pytest.mark.parametrize("delays_ms", [(0.3,), (90.0,), (2000.0, 0.5), (0.5, 2000.0)])
def test_with_one_clock_there_is_no_offset_however_late_the_engine_was(
    behind_ms: int, delays_ms: tuple[float, ...]
) -> None:
    assert offset(NOW_NS, NOW_NS - behind_ms * MILLISECOND_NS, *delays_ms) == 0


@pytest.mark.parametrize("shift_ns", [HOUR_NS, -HOUR_NS, NANOSECONDS, -NANOSECONDS // 50])
def test_a_clock_that_is_off_is_noticed(shift_ns: int) -> None:
    found = offset(NOW_NS, NOW_NS - 10 * MILLISECOND_NS, 0.5, 3.0, shift_ns=shift_ns)
    assert found == pytest.approx(-shift_ns, abs=MILLISECOND_NS)


def test_chunks_that_are_sent_ahead_of_their_time_tell_no_offset() -> None:
    assert offset(NOW_NS, NOW_NS + 30 * NANOSECONDS, 0.5) == 0


def test_a_simulated_clock_that_both_share_tells_no_offset() -> None:
    clocks = StampClocks()
    clocks.note("who", 5 * NANOSECONDS, NOW_NS, 6 * NANOSECONDS)
    assert clocks.offset_ns("who") == 0


@pytest.mark.parametrize("sent_ns", [NOW_NS, 0])
@pytest.mark.parametrize("stamp_ns", [5 * NANOSECONDS, NOW_NS + HOUR_NS])
def test_a_stamp_far_from_now_is_of_another_clock(sent_ns: int, stamp_ns: int) -> None:
    assert offset(sent_ns, stamp_ns, 0.5) == pytest.approx(stamp_ns - NOW_NS, abs=MILLISECOND_NS)


def test_each_publisher_has_a_clock_of_its_own() -> None:
    clocks = StampClocks()
    clocks.note("right", NOW_NS, NOW_NS, NOW_NS)
    clocks.note("wrong", NOW_NS, NOW_NS, NOW_NS + HOUR_NS)
    assert clocks.offset_ns("right") == clocks.offset_ns("unknown") == 0
    assert clocks.offset_ns("wrong") == -HOUR_NS


def test_a_clock_that_was_set_is_forgotten() -> None:
    clock = SenderClock()
    clock.note(NOW_NS + HOUR_NS, NOW_NS)
    assert clock.offset_ns == HOUR_NS
    for _ in range(16):
        clock.note(NOW_NS, NOW_NS + MILLISECOND_NS)
    assert clock.offset_ns == 0
    assert clock.ahead_ns == -MILLISECOND_NS


def test_the_time_a_message_takes_is_no_offset() -> None:
    for delay_ns, told_ns in ((LATE_NS, 0), (LATE_NS + 1, -LATE_NS - 1), (-EARLY_NS, 0)):
        clock = SenderClock()
        clock.note(NOW_NS, NOW_NS + delay_ns)
        assert clock.offset_ns == told_ns


def test_an_offset_in_words() -> None:
    assert describe_offset("it", HOUR_NS) == "the clock of it is 3600.000 s ahead of this node's"
    assert describe_offset("it", -1) == "the clock of it is 0.000 s behind this node's"
