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

"""Rates and channels: converting a stream in pieces equals converting it at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from k2so_tts.audio import AudioFormat, Samples
from k2so_tts.playback.converter import Converter, map_channels

RATES = (8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000)


def noise(frames: int, channels: int) -> Samples:
    random = np.random.default_rng(frames)
    return random.uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)


def converted(source: AudioFormat, target: AudioFormat, pieces: list[Samples]) -> Samples:
    converter = Converter(source, target)
    return np.concatenate([*map(converter.convert, pieces), converter.flush()])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("target", [44_100, 48_000])
def test_pieces_are_converted_as_the_whole(rate: int, target: int) -> None:
    sound = noise(20_001, 2)
    whole = sound if rate == target else soxr.resample(sound, rate, target, "HQ")
    cuts = [1, 2, 50, 4146, 4146, 8242, 20_000]
    pieces = np.split(sound, cuts)
    result = converted(AudioFormat(rate, 2), AudioFormat(target, 2), pieces)
    assert abs(len(result) - len(sound) * target / rate) <= 1
    np.testing.assert_allclose(result, whole[: len(result)], atol=2e-6)


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 1500), min_size=1, max_size=10),
    st.sampled_from(RATES),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_where_it_is_cut_makes_no_difference(
    sizes: list[int], rate: int, channels: int, to_channels: int
) -> None:
    sound = noise(sum(sizes), channels)
    source, target = AudioFormat(rate, channels), AudioFormat(48_000, to_channels)
    pieces = np.split(sound, list(itertools.accumulate(sizes))[:-1])
    result = converted(source, target, pieces)
    assert result.dtype == np.float32
    assert result.shape[1] == to_channels
    np.testing.assert_allclose(result, converted(source, target, [sound]), atol=2e-6)


def test_the_same_rate_changes_no_bit() -> None:
    sound = noise(5000, 3)
    result = converted(AudioFormat(48_000, 3), AudioFormat(48_000, 3), [sound[:7], sound[7:]])
    np.testing.assert_array_equal(result, sound)


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        ([1.0], 3, [1.0, 1.0, 1.0]),
        ([1.0, 2.0], 1, [1.5]),
        ([1.0, 2.0], 2, [1.0, 2.0]),
        ([1.0, 2.0], 4, [1.0, 2.0, 0.0, 0.0]),
        ([1.0, 2.0, 3.0], 2, [2.0, 2.0]),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, [3.0, 4.0]),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 1, [4.5]),
    ],
)
def test_channels_are_spread_or_averaged(
    present: list[float], wanted: int, expected: list[float]
) -> None:
    samples = np.array([present, np.negative(present)], np.float32)
    mapped = map_channels(samples, wanted)
    np.testing.assert_array_equal(mapped, np.array([expected, np.negative(expected)], np.float32))


def test_a_resampler_that_overshoots_is_clipped() -> None:
    square = np.sign(np.sin(np.arange(4000) / 20)).astype(np.float32)[:, np.newaxis]
    converter = Converter(AudioFormat(8000), AudioFormat(48_000))
    sound = np.concatenate([converter.convert(square), converter.flush()])
    assert np.abs(sound).max() == 1.0
