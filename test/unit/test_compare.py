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

"""The comparison of recordings with what should have been heard (`support.compare`)."""

from __future__ import annotations

import time

import numpy as np
import pytest
from support.compare import Mono, align, find_speech, piece_of, snr_db


def noise(frames: int, seed: int = 1) -> Mono:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.7, 0.7, frames).astype(np.float32)


def test_find_speech() -> None:
    recorded = np.zeros((40_000, 2), np.float32)
    assert find_speech(recorded) == []
    recorded[1000:2000, 0] = 0.1
    recorded[5000:6000, 1] = -0.1  # one span with the first: the gap is short
    recorded[30_000:40_000] = 0.1
    assert find_speech(recorded) == [(1000, 6000), (30_000, 40_000)]
    assert find_speech(recorded, threshold=0.2) == []
    assert len(find_speech(recorded, min_gap=100)) == 3


def test_snr() -> None:
    signal_ = noise(10_000)
    assert snr_db(signal_, signal_) == np.inf
    assert snr_db(signal_ * np.float32(1.01), signal_) == pytest.approx(40, abs=0.01)


def padded(*parts: Mono) -> Mono:
    return np.concatenate([np.zeros(7000, np.float32), *parts, np.zeros(5000, np.float32)])


def test_equal_but_for_rounding_and_gain() -> None:
    signal_ = noise(50_000)
    rounded = (np.round(signal_ * 16_384) / 32_768).astype(np.float32)
    match = align(padded(rounded), signal_, gain=None)
    assert (match.offset, match.breaks, match.first_difference) == (7000, (), None)
    assert match.gain == pytest.approx(0.5, abs=1e-4)
    assert match.snr_db > 80
    assert align(padded(rounded), signal_).snr_db == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize(
    ("parts", "frame", "missing", "extra"),
    [
        pytest.param([(0, 60_000), 300, (60_000, 96_000)], 60_000, 0, 300, id="gap"),
        pytest.param([(0, 60_000), (60_256, 96_000)], 60_000, 256, 0, id="dropped"),
        pytest.param([(0, 60_000), (59_744, 96_000)], 60_000, 0, 256, id="repeated"),
        pytest.param([(0, 60_000), 256, (60_256, 96_000)], 60_000, 256, 256, id="silenced"),
        pytest.param([(0, 60_000), 1, (60_001, 96_000)], 60_000, 1, 1, id="one sample"),
        pytest.param([(0, 60_000)], 60_000, 36_000, 0, id="cut short"),
        pytest.param([(2000, 96_000)], 0, 2000, 2000, id="begun late"),
    ],
)
def test_breaks(parts: list[tuple[int, int] | int], frame: int, missing: int, extra: int) -> None:
    signal_ = noise(96_000)
    signal_[30_000:40_000] = 0
    signal_[70_000:75_000] = 0
    pieces = [np.zeros(p, np.float32) if isinstance(p, int) else signal_[slice(*p)] for p in parts]
    match = align(padded(*pieces), signal_)
    (found,) = match.breaks
    # Samples that happen to be near zero cannot be told from silence.
    assert found.frame == pytest.approx(frame, abs=2)
    assert found.missing == pytest.approx(missing, abs=2)
    assert found.extra == pytest.approx(extra, abs=2)
    assert found.missing - found.extra == missing - extra
    assert match.first_difference == found.frame
    assert match.snr_db < 60


def test_several_breaks_and_what_is_not_there() -> None:
    signal_ = noise(200_000)
    silence = np.zeros(500, np.float32)
    recorded = padded(signal_[:50_000], silence, signal_[50_000:120_000], signal_[120_480:])
    match = align(recorded, signal_)
    assert [(b.missing, b.extra) for b in match.breaks] == [(0, 500), (480, 0)]
    assert (match.missing_frames, match.extra_frames) == (480, 500)
    with pytest.raises(ValueError, match="not in the recording"):
        align(noise(100_000, seed=2), signal_)


def test_a_piece() -> None:
    signal_ = noise(100_000)
    fade = np.linspace(1, 0, 200, dtype=np.float32)
    assert piece_of(padded(signal_), signal_, fade=0) == [(0, 100_000)]
    assert piece_of(np.zeros(9999, np.float32), signal_, fade=0) == []
    assert piece_of(padded(signal_[40_000:41_000]), signal_, fade=0) == [(40_000, 41_000)]
    faded = padded(signal_[:50_000], signal_[49_999:49_799:-1] * fade)
    ((start, end),) = piece_of(faded, signal_, fade=240)
    assert start == 0
    assert end == pytest.approx(50_000, abs=5)
    gap = np.zeros(500, np.float32)
    for pieces in (
        [signal_[:50_000], signal_[40_000:]],
        [signal_[:50_000], gap, signal_[50_000:]],
        [signal_[:50_000], signal_[50_001:]],
        [signal_[:50_000], np.zeros(60_000, np.float32), noise(500, seed=2)],
        [noise(50_000, seed=2)],
    ):
        with pytest.raises(ValueError, match="departs"):
            piece_of(padded(*pieces), signal_, fade=240)


def test_five_minutes() -> None:
    minutes = np.zeros(300 * 48_000, np.float32)
    for start in range(0, len(minutes), 20 * 48_000):
        minutes[start : start + 8 * 48_000] = noise(8 * 48_000, seed=start)
    where = 240 * 48_000 + 100_000
    recorded = np.concatenate(
        [np.zeros(400_000, np.float32), minutes[:where], minutes[where + 64 :]]
    )
    begin = time.monotonic()
    match = align(recorded, minutes)
    assert match.offset == 400_000
    assert [(b.frame, b.missing, b.extra) for b in match.breaks] == [(where, 64, 0)]
    assert match.snr_db < 20
    assert time.monotonic() - begin < 20
