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

"""A gain that never clips, and leaves alone what is within full scale."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from k2so_tts.audio import Pcm, Samples, apply_gain, to_samples
from k2so_tts.limiter import CEILING, THRESHOLD, Limiter

RATE = 22_050


def sine(peak: float, hertz: float = 200.0, seconds: float = 1.0) -> Samples:
    """Mono, shape (frames, 1)."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (peak * np.sin(2 * np.pi * hertz * time)).astype(np.float32)[:, np.newaxis]


def limited(samples: Samples, limiter: Limiter | None = None) -> Samples:
    out: Samples = samples.copy()
    (limiter or Limiter(RATE)).apply(out)
    return out


def distortion(samples: Samples, hertz: float = 200.0) -> float:
    """What is left of a sine without its fundamental, as a part of the whole (linear)."""
    time = np.arange(len(samples)) / RATE
    waves = np.stack([np.sin(2 * np.pi * hertz * time), np.cos(2 * np.pi * hertz * time)], axis=1)
    mono: NDArray[np.float32] = samples[:, 0]
    fitted = waves @ np.linalg.lstsq(waves, mono, rcond=None)[0]
    return float(np.linalg.norm(mono - fitted) / np.linalg.norm(mono))


def noise(peak: float, frames: int = RATE) -> Pcm:
    full = np.random.default_rng(3).uniform(-peak, peak, frames) * 32767
    return full.astype(np.int16)


def test_sound_within_the_threshold_passes_bit_by_bit() -> None:
    quiet = sine(THRESHOLD)
    assert (limited(quiet) == quiet).all()


@pytest.mark.parametrize("peak", [0.81, 1.0, 1.5, 4.0, 100.0])
def test_no_peak_exceeds_the_ceiling(peak: float) -> None:
    out = limited(sine(peak))
    assert np.abs(out).max() <= CEILING + 1e-6
    assert np.abs(out).max() > THRESHOLD


def test_a_loud_tone_stays_a_tone() -> None:
    """Clipped it would have overtones; turned down it has next to none, once that has begun."""
    loud = sine(2.0)
    after = RATE // 100
    assert distortion(np.clip(loud, -1.0, 1.0)[after:]) > 0.15
    assert distortion(limited(loud)[after:]) < 0.01


def test_the_gain_recovers_after_a_peak() -> None:
    limiter = Limiter(RATE)
    limited(sine(2.0), limiter)
    quiet = sine(0.5, seconds=0.2)
    out = limited(quiet, limiter)
    assert 0.4 < np.abs(out[:100]).max() / np.abs(quiet[:100]).max() < 0.6
    assert (out[-500:] == quiet[-500:]).all()
    assert (limited(quiet, limiter) == quiet).all()


def test_how_the_sound_is_split_into_blocks_makes_no_difference() -> None:
    loud = sine(0.4) * np.linspace(0.5, 6.0, RATE, dtype=np.float32)[:, np.newaxis]
    limiter = Limiter(RATE)
    pieces = [limited(block, limiter) for block in np.array_split(loud, 97)]
    np.testing.assert_allclose(np.concatenate(pieces), limited(loud), atol=1e-6)


def test_channels_are_turned_down_together() -> None:
    stereo = np.concatenate([sine(2.0), sine(0.5)], axis=1)
    out = limited(stereo)
    np.testing.assert_allclose(out[:, 1], out[:, 0] / 4, atol=1e-6)


@pytest.mark.parametrize("gain", [0.0, 0.3, 1.0])
def test_a_gain_up_to_one_is_only_a_gain(gain: float) -> None:
    pcm = noise(1.0)
    assert (Limiter(RATE).amplify(pcm, gain) == apply_gain(pcm, gain)).all()


def test_a_gain_above_one_is_only_a_gain_where_no_peak_is_high() -> None:
    pcm = noise(0.39)
    assert (Limiter(RATE).amplify(pcm, 2.0) == apply_gain(pcm, 2.0)).all()


def test_a_gain_above_one_never_clips() -> None:
    pcm = noise(1.0)
    out = Limiter(RATE).amplify(pcm, 2.0)
    assert np.abs(to_samples(out)).max() <= CEILING + 1 / 32768
    assert np.abs(out.astype(int)).max() < 32767


def test_silence_and_no_sound_at_all_stay_what_they_are() -> None:
    assert not limited(np.zeros((64, 2), np.float32)).any()
    assert limited(np.zeros((0, 2), np.float32)).shape == (0, 2)
    assert len(Limiter(RATE).amplify(np.zeros(0, np.int16), 2.0)) == 0
