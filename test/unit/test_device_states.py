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

"""What becomes of a device, event by event: no thread, no device and no clock."""

from __future__ import annotations

import pytest

from k2so_tts.playback.device_states import (
    CHANGING,
    LONGEST_RETRY_SECONDS,
    MAX_XRUNS,
    XRUN_SECONDS,
    Action,
    DeviceStates,
    Observation,
    State,
)

CLOSE, RUN_CLOCK, OPEN, RESCAN_AND_OPEN = Action
IDLE_CLOSE = 30.0
FINE = Observation(idle=False)
GONE = Observation("it is gone", idle=False)
START = 1000.0


def new(specification: str = "card", latency: float = 0.0, idle_close: float = 0.0) -> DeviceStates:
    return DeviceStates(specification, latency, idle_close, START)


def playing(
    specification: str = "card", latency: float = 0.0, idle_close: float = 0.0
) -> DeviceStates:
    states = new(specification, latency, idle_close)
    states.opened(START, 0)
    return states


def lost(specification: str = "card") -> DeviceStates:
    states = playing(specification)
    assert states.tick(START, GONE) == [RUN_CLOCK]
    return states


def idle_closed() -> DeviceStates:
    states = playing(idle_close=IDLE_CLOSE)
    assert states.tick(START + IDLE_CLOSE + 0.1, Observation()) == [CLOSE]
    return states


def unresponsive() -> DeviceStates:
    states = lost()
    states.became_unresponsive()
    return states


def test_a_device_that_plays_is_left_alone() -> None:
    states = playing(idle_close=IDLE_CLOSE)
    for second in range(100):
        assert states.tick(START + second, FINE) == []
    assert states.state is State.PLAYING
    assert states.error is None


# Loss and recovery.


def test_the_clock_runs_in_place_of_a_device_that_is_gone() -> None:
    states = lost()
    assert states.state is State.LOST
    assert states.error == "it is gone"
    assert states.losses == 1
    assert states.tick(START + 0.5, FINE) == []


def test_a_lost_device_is_tried_after_1_2_4_and_then_every_8_seconds() -> None:
    states = lost()
    now = START
    tried: list[float] = []
    while len(tried) < 6:
        now += 0.25
        actions = states.tick(now, FINE)
        if actions:
            assert actions == [RESCAN_AND_OPEN]
            assert states.state is State.OPENING
            tried.append(now - START)
            assert states.open_failed(now, "it is not back") == [RUN_CLOCK]
            assert states.error == "it is not back"
    assert tried == [1, 3, 7, 15, 23, 31]
    assert LONGEST_RETRY_SECONDS == 8
    assert states.losses == 1


def test_a_device_that_is_back_plays_and_is_tried_soon_when_it_is_lost_again() -> None:
    states = lost()
    for seconds in (1, 3, 7):
        assert states.tick(START + seconds, FINE) == [RESCAN_AND_OPEN]
        if seconds < 7:
            states.open_failed(START + seconds, "not yet")
    states.opened(START + 7, 0)
    assert states.state is State.PLAYING
    assert states.error is None
    assert states.tick(START + 8, GONE) == [RUN_CLOCK]
    assert states.losses == 2
    assert states.tick(START + 9, FINE) == [RESCAN_AND_OPEN]


def test_a_clock_that_died_is_replaced() -> None:
    assert lost().tick(START + 0.5, Observation("the clock failed")) == [RUN_CLOCK]
    assert lost("wav:x").tick(START + 0.5, Observation("the clock failed")) == [RUN_CLOCK]
    assert unresponsive().tick(START + 0.5, Observation("the clock failed")) == [RUN_CLOCK]


def test_null_is_no_device_to_look_for() -> None:
    assert lost("null").tick(START + 1, FINE) == [OPEN]


def test_only_a_device_that_never_streamed_gets_a_longer_buffer_when_it_is_lost() -> None:
    states = lost()
    assert states.latency_step == 0
    states = playing()
    states.tick(START, Observation("never asked", has_streamed=False))
    assert states.latency_step == 1


def test_a_device_that_was_never_there_is_waited_for() -> None:
    states = new()
    assert states.open_failed(START, "no such card") == [RUN_CLOCK]
    assert (states.state, states.error, states.losses) == (State.LOST, "no such card", 0)
    assert states.tick(START + 1, FINE) == [RESCAN_AND_OPEN]


def test_a_file_that_failed_is_not_tried_again() -> None:
    states = lost("wav:x")
    assert states.state is State.GIVEN_UP
    assert states.tick(START + 100, FINE) == []
    assert states.wake() == []
    assert states.change("wav:y") == [OPEN]


# Silence.


def test_an_idle_device_is_closed_until_there_is_something_to_play() -> None:
    states = idle_closed()
    assert states.closed(idle=True) == []
    assert states.tick(START + 100, Observation("it is closed")) == []
    assert states.state is State.IDLE_CLOSED
    assert states.error is None
    assert states.wake() == [OPEN]
    states.opened(START + 101, 0)
    assert states.tick(START + 102, GONE) == [RUN_CLOCK], "it is watched again"


def test_it_is_closed_so_long_after_the_last_sound_and_not_before() -> None:
    states = playing(idle_close=IDLE_CLOSE)
    assert states.tick(START + 20, FINE) == []
    assert states.tick(START + 20 + IDLE_CLOSE, Observation()) == []
    assert states.tick(START + 21 + IDLE_CLOSE, Observation(used_at=START + 25)) == []
    assert states.tick(START + 25.1 + IDLE_CLOSE, Observation(used_at=START + 25)) == [CLOSE]


def test_what_arrives_while_it_closes_opens_it_again() -> None:
    assert idle_closed().closed(idle=False) == [OPEN]


def test_a_wake_that_was_missed_is_made_up_for() -> None:
    assert idle_closed().tick(START + 100, FINE) == [OPEN]


def test_without_a_time_it_is_never_closed() -> None:
    assert playing(idle_close=0.0).tick(START + 10**6, Observation()) == []


def test_a_file_is_never_closed_for_silence() -> None:
    assert playing("wav:x", idle_close=1.0).tick(START + 10, Observation()) == []


def test_a_device_that_does_not_open_after_a_silence_is_lost() -> None:
    states = idle_closed()
    states.wake()
    assert states.open_failed(START + 50, "unplugged") == [RUN_CLOCK]
    assert states.state is State.LOST
    assert states.tick(START + 51, FINE) == [RESCAN_AND_OPEN]


@pytest.mark.parametrize("states", [new(), playing(), lost(), unresponsive()])
def test_there_is_nothing_to_wake_but_a_closed_device(states: DeviceStates) -> None:
    before = states.state
    assert states.wake() == []
    assert states.state is before


# Another device.


def test_another_device_is_opened_once_the_old_one_is_closed() -> None:
    states = playing()
    assert states.change("other") == [RUN_CLOCK, OPEN]
    assert states.specification == "other"
    assert states.error == CHANGING
    states.opened(START, 0)
    assert states.error is None


@pytest.mark.parametrize(
    ("states", "action"), [(lost(), RESCAN_AND_OPEN), (idle_closed(), OPEN), (lost("wav:x"), OPEN)]
)
def test_another_device_is_opened_at_once_where_none_plays(
    states: DeviceStates, action: Action
) -> None:
    assert states.change("other") == [action]


def test_another_device_is_tried_soon_however_long_the_old_one_was_lost() -> None:
    states = lost()
    for seconds in (1, 3, 7):
        states.tick(START + seconds, FINE)
        states.open_failed(START + seconds, "not yet")
    states.change("other")
    states.open_failed(START + 8, "nor this one")
    assert states.tick(START + 8.9, FINE) == []
    assert states.tick(START + 9, FINE) == [RESCAN_AND_OPEN]


# A driver that hangs.


def test_after_a_device_that_can_not_be_closed_the_clock_runs_for_good() -> None:
    states = unresponsive()
    assert states.tick(START + 100, FINE) == []
    assert states.change("other") == []
    assert states.open_failed(START + 100, "it was being opened") == []
    assert states.state is State.UNRESPONSIVE
    assert states.error == "it is gone"


def test_a_device_that_can_not_be_closed_in_a_silence_is_replaced_by_the_clock() -> None:
    states = idle_closed()
    states.became_unresponsive()
    assert states.closed(idle=True) == [RUN_CLOCK]
    assert states.error is not None


# Xruns.


def seen(xruns: int, *, idle: bool = True) -> Observation:
    return Observation(xruns=xruns, idle=idle)


def test_too_many_xruns_lengthen_the_buffer_in_the_next_silence() -> None:
    states = playing()
    assert states.tick(START + 1, seen(MAX_XRUNS)) == []
    assert states.tick(START + 2, seen(MAX_XRUNS + 1, idle=False)) == []
    assert states.tick(START + 3, seen(MAX_XRUNS + 1)) == [CLOSE]
    assert states.latency_step == 1
    assert states.wake() == [OPEN]
    states.opened(START + 4, MAX_XRUNS + 1)
    assert states.tick(START + 5, seen(MAX_XRUNS + 1)) == []


def test_xruns_of_a_device_before_do_not_count() -> None:
    states = playing()
    states.opened(START, 100)
    assert states.tick(START + 1, seen(100 + MAX_XRUNS)) == []


def test_few_xruns_in_a_long_time_are_forgiven() -> None:
    states = playing()
    assert states.tick(START + 1, seen(MAX_XRUNS)) == []
    assert states.tick(START + XRUN_SECONDS + 0.1, seen(MAX_XRUNS)) == []
    assert states.tick(START + XRUN_SECONDS + 1, seen(2 * MAX_XRUNS)) == []
    assert states.latency_step == 0


@pytest.mark.parametrize(
    ("specification", "latency"), [("null", 0.0), ("wav:x", 0.0), ("card", 0.3)]
)
def test_there_is_not_always_a_longer_buffer(specification: str, latency: float) -> None:
    states = playing(specification, latency)
    assert states.tick(START + 1, seen(MAX_XRUNS + 1)) == []
    assert states.latency_step == 0


def test_the_longest_buffer_is_kept() -> None:
    states = playing()
    xruns = 0
    for _ in range(6):
        xruns += MAX_XRUNS + 1
        if states.tick(START + 1, seen(xruns)):
            states.opened(START + 1, xruns)
    assert states.latency_step == 4
