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

"""How loud what leaves the device is, in time that passes only where sound is rendered."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from support.simulated_player import (
    BLOCK,
    RATE,
    SimulatedPlayer,
    ones,
    sine,
)

from k2so_tts.audio import AudioFormat
from k2so_tts.playback import PlayerSettings
from k2so_tts.playback.level_meter import (
    LEVEL_SECONDS,
    LOUD_DB,
    SILENT_DB,
    WINDOW_SECONDS,
    LevelMeter,
    level_of,
)

BLOCK_SECONDS = BLOCK / RATE
SOFT = 10 ** ((SILENT_DB + LOUD_DB) / 2 / 20)
"""An amplitude in the middle of the scale."""


@pytest.fixture
def bench() -> SimulatedPlayer:
    bench = SimulatedPlayer(PlayerSettings(device="null"))
    bench.player.meter.wanted = True
    return bench


@pytest.mark.parametrize(
    ("loudness_db", "level"),
    [
        (-math.inf, 0.0),
        (-96.0, 0.0),
        (SILENT_DB, 0.0),
        (-40.5, 0.25),
        (-31.0, 0.5),
        (-21.5, 0.75),
        (LOUD_DB, 1.0),
        (0.0, 1.0),
        (6.0, 1.0),
    ],
)
def test_levels_are_linear_in_decibels(loudness_db: float, level: float) -> None:
    assert level_of(10 ** (loudness_db / 10)) == pytest.approx(level)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_level_is_the_rms_of_what_leaves_the_device(channels: int) -> None:
    bench = SimulatedPlayer(PlayerSettings(device="null"), AudioFormat(RATE, channels))
    bench.player.meter.wanted = True
    bench.say(sine(RATE))
    bench.hear(RATE // 2)
    rms_db = 20 * math.log10(0.2 / math.sqrt(2))
    assert bench.levels[-1][1] == pytest.approx((rms_db - SILENT_DB) / (LOUD_DB - SILENT_DB), 0.02)


def test_thirty_levels_a_second_and_one_of_silence_at_the_end(bench: SimulatedPlayer) -> None:
    bench.say(ones(2 * RATE, SOFT))
    began = bench.now
    bench.hear_all()
    bench.hear(RATE)
    times, levels = zip(*bench.levels, strict=True)
    assert times[0] == began
    assert len(times) == pytest.approx(2 / LEVEL_SECONDS + 1, abs=1)
    steps = [after - before for before, after in itertools.pairwise(times)]
    assert max(abs(step - LEVEL_SECONDS) for step in steps) <= BLOCK_SECONDS
    assert levels[:-2] == pytest.approx([0.5] * (len(levels) - 2), abs=0.01)
    assert levels[-1] == 0.0
    assert times[-1] <= began + 2 + WINDOW_SECONDS / 2 + LEVEL_SECONDS + 2 * BLOCK_SECONDS


def test_a_pause_within_an_utterance_is_one_level(bench: SimulatedPlayer) -> None:
    bench.say(np.concatenate([ones(RATE // 2), ones(RATE, 0.0), ones(RATE // 2)]))
    began = bench.now
    bench.hear_all()
    pause = [level for at, level in bench.levels if 0.52 < at - began < 1.48]
    assert pause == [0.0]
    assert bench.levels[-1][1] > 0.0


def test_a_level_is_told_when_its_sound_is_heard_not_when_it_is_rendered() -> None:
    meter = LevelMeter()
    meter.wanted = True
    heard_at = 1000.3
    meter.add(ones(RATE // 10, 0.0), heard_at, RATE)
    meter.add(ones(RATE // 10, 1.0), heard_at + 0.1, RATE)
    times = np.arange(1000.0, 1000.6, 0.001)
    levels = {at: meter.poll(at, heard=True) for at in times}
    loud = [at for at, level in levels.items() if level]
    assert loud[0] == pytest.approx(heard_at + 0.1, abs=WINDOW_SECONDS / 2 + LEVEL_SECONDS)
    assert loud[-1] == pytest.approx(heard_at + 0.2, abs=WINDOW_SECONDS / 2 + LEVEL_SECONDS)
    assert meter.poll(2000.0, heard=False) is None


def test_volume_and_mute_are_measured(bench: SimulatedPlayer) -> None:
    bench.say(ones(3 * RATE, SOFT))
    bench.hear(RATE // 2)
    bench.player.volume = 0.5
    bench.hear(RATE // 2)
    assert bench.levels[-1][1] == pytest.approx(0.5 - 6.02 / (LOUD_DB - SILENT_DB), abs=0.01)
    bench.player.muted = True
    bench.hear(RATE // 2)
    assert bench.levels[-1][1] == 0.0
    told = len(bench.levels)
    bench.hear(RATE // 2)
    assert len(bench.levels) == told
    bench.player.muted = False
    bench.hear(RATE // 2)
    assert len(bench.levels) > told + 10


def test_a_pause_of_the_player_is_silence(bench: SimulatedPlayer) -> None:
    bench.say(ones(RATE, SOFT))
    bench.hear(RATE // 2)
    bench.player.paused = True
    bench.hear(RATE // 2)
    assert [level for _, level in bench.levels[:-1]].count(0.0) == 0
    assert bench.levels[-1][1] == 0.0
    bench.player.paused = False
    bench.hear(RATE // 4)
    assert bench.levels[-1][1] == pytest.approx(0.5, abs=0.01)


def test_while_nobody_wants_to_know_nothing_is_measured(
    bench: SimulatedPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.player.meter, "add", pytest.fail)
    bench.player.meter.wanted = False
    bench.say(ones(RATE))
    bench.hear_all()
    assert bench.levels == []
    assert bench.player.meter.next_at == math.inf


def test_who_wants_to_know_in_mid_utterance_is_told_at_once(bench: SimulatedPlayer) -> None:
    bench.player.meter.wanted = False
    bench.say(ones(3 * RATE))
    bench.hear(RATE)
    bench.player.meter.wanted = True
    asked_at = bench.now
    bench.hear(RATE)
    told_at, level = bench.levels[0]
    assert told_at == pytest.approx(asked_at, abs=2 * BLOCK_SECONDS)
    assert level == 1.0
    bench.player.meter.wanted = False
    bench.hear(BLOCK)
    assert bench.levels[-1][1] == 0.0
    told = len(bench.levels)
    bench.hear_all()
    assert len(bench.levels) == told
    assert not bench.player.meter._blocks


def test_after_a_standstill_levels_do_not_come_in_a_burst() -> None:
    meter = LevelMeter()
    meter.wanted = True
    meter.add(ones(10 * RATE), 1000.0, RATE)
    assert meter.poll(1000.0, heard=True)
    assert meter.poll(1005.0, heard=True)
    assert meter.poll(1005.01, heard=True) is None
    assert meter.next_at == pytest.approx(1005.0 + LEVEL_SECONDS)


def test_blocks_that_were_heard_are_forgotten(bench: SimulatedPlayer) -> None:
    bench.say(ones(RATE))
    bench.hear(RATE // 2)
    assert len(bench.player.meter._blocks) < 2 * LEVEL_SECONDS / BLOCK_SECONDS


def test_an_exception_in_the_listener_does_not_end_the_levels(
    bench: SimulatedPlayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench.say(ones(2 * RATE))

    def on_level(level: float) -> None:
        raise LookupError(f"it failed at {level:g}")

    with monkeypatch.context() as patch:
        patch.setattr(bench, "on_level", on_level)
        bench.hear(RATE)
    assert caplog.text.count("it failed at 1") == 1
    bench.hear(RATE // 2)
    assert len(bench.levels) > 10


def test_a_player_that_is_closed_has_fallen_silent(bench: SimulatedPlayer) -> None:
    bench.say(ones(RATE))
    bench.hear(RATE // 2)
    assert bench.levels[-1][1] == 1.0
    reporter = bench.player._reporter
    reporter.close()
    reporter._run()
    assert bench.levels[-1][1] == 0.0
