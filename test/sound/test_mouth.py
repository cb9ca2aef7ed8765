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

"""The mouth moves as what is heard from the virtual loudspeaker rises and falls."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from std_msgs.msg import Float32
from support.hearing import SENTENCE
from support.recording import RecorderLostFramesError, Recording, retake
from support.ros import SUCCEEDED, Observer
from support.sound import SoundServer

from k2so_tts.ros.graph import with_info
from k2so_tts.ros.messages import metric_qos

Values = npt.NDArray[np.float64]

UTTERANCES = 3
TRIES = 8
"""Recordings that may be made for these; a recorder that lost frames tells no time."""
STEP = 0.002
"""Seconds between two lags that are tried."""
MOST_LAG = 0.04
SEARCHED = 0.3
"""Lags that are tried are no longer than this (s)."""
RMS_SECONDS = 0.03
SILENT_DB, LOUD_DB = -50.0, -12.0


class Mouth:
    """Notes each value, and when it was published (s, monotonic)."""

    def __init__(self, observer: Observer) -> None:
        self.moves: list[tuple[float, float]] = []
        self._observer = observer
        on_mouth = with_info(self._on_mouth)
        observer.node.create_subscription(Float32, "mouth", on_mouth, metric_qos())

    def _on_mouth(self, message: Float32, info: Mapping[str, Any]) -> None:
        """The publisher's time counts, where rclpy tells it: this process may be late."""
        now_ns = time.time_ns()
        ago = (now_ns - info.get("source_timestamp", now_ns)) / 1e9
        with self._observer.changed:
            self.moves.append((time.monotonic() - ago, message.data))
            self._observer.changed.notify_all()


@pytest.fixture
def mouth(quick_robot: Observer) -> Mouth:
    mouth = Mouth(quick_robot)
    quick_robot.wait(lambda: quick_robot.node.count_publishers("mouth"))
    while not mouth.moves:  # the player does not know of the subscription
        quick_robot.say("One.")
    quick_robot.wait(lambda: mouth.moves and mouth.moves[-1][1] == 0.0)
    return mouth


class Loudness:
    """How loud a recording is at any moment (s, monotonic), from 0 to 1."""

    def __init__(self, samples: npt.NDArray[np.float32], began_at: float, rate: int) -> None:
        self._energy = np.concatenate([[0.0], np.cumsum(samples[:, 0].astype(np.float64) ** 2)])
        self._began_at = began_at
        self._rate = rate

    def at(self, moments: Values) -> Values:
        frames = np.rint((moments - self._began_at) * self._rate).astype(int)
        half = int(self._rate * RMS_SECONDS / 2)
        ends, begins = (np.clip(frames + by, 0, len(self._energy) - 1) for by in (half, -half))
        power = (self._energy[ends] - self._energy[begins]) / (2 * half)
        loudness_db = 10 * np.log10(np.maximum(power, 1e-12))
        level: Values = np.clip((loudness_db - SILENT_DB) / (LOUD_DB - SILENT_DB), 0.0, 1.0)
        return level


@contextmanager
def listening(server: SoundServer) -> Iterator[Recording]:
    with server.record() as recording:
        recording.lost_frames()
        yield recording


def heard_of(robot: Observer, server: SoundServer, mouth: Mouth, text: str) -> Loudness:
    """What is heard of a text, up to the moment at which the mouth is shut."""
    with listening(server) as recording:
        mouth.moves.clear()
        assert robot.say(text).status == SUCCEEDED
        robot.wait(lambda: mouth.moves and mouth.moves[-1][1] == 0.0)
        robot.wait(lambda: not robot.speaking[-1][1])
        recording.wait_for_frames(recording.frames + server.rate // 2, 10)
        began_at = recording.time_of(0)
        return Loudness(recording.whole(), began_at, server.rate)


def lag_of(moves: list[tuple[float, float]], loudness: Loudness) -> tuple[float, float]:
    """By how much the mouth is late (s), and how well it fits then (correlation)."""
    times, levels = np.array(moves).T
    lags = np.arange(-SEARCHED, SEARCHED, STEP)
    fits = [float(np.corrcoef(levels, loudness.at(times - lag))[0, 1]) for lag in lags]
    best = int(np.nanargmax(fits))
    return float(lags[best]), fits[best]


@retake
@pytest.mark.timeout(240)
def test_the_mouth_moves_in_time_with_the_sound(
    quick_robot: Observer, quick_sound_server: SoundServer, mouth: Mouth
) -> None:
    found: list[tuple[float, float]] = []
    intervals: list[float] = []
    for _ in range(TRIES):
        try:
            loudness = heard_of(quick_robot, quick_sound_server, mouth, SENTENCE)
        except RecorderLostFramesError:
            continue
        found.append(lag_of(mouth.moves, loudness))
        intervals += [after - before for (before, _), (after, _) in pairwise(mouth.moves)]
        if len(found) == UTTERANCES:
            break
    else:
        raise RecorderLostFramesError(f"in more than {TRIES - UTTERANCES} of {TRIES} recordings")
    assert abs(median(lag for lag, _ in found)) < MOST_LAG, found
    assert median(fit for _, fit in found) > 0.9, found
    assert median(intervals) == pytest.approx(1 / 30, abs=0.005)
