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

"""Chunks, time, and conversions between sample types."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import k2so_tts
from k2so_tts.audio import (
    EMPTY_PCM,
    NANOSECONDS,
    Block,
    Chunk,
    Chunker,
    apply_gain,
    clip,
    fade_ramp,
    frames_to_ns,
    ns_to_frames,
    to_pcm,
    to_samples,
)

RATES = [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 16))
def test_chunks_are_the_blocks_and_nothing_else(lengths: list[int], frames: int) -> None:
    samples = np.arange(sum(lengths), dtype=np.int16)
    blocks = np.split(samples, np.cumsum(lengths)[:-1]) if lengths else []
    chunker = Chunker(frames)
    full = [chunk for block in blocks for chunk in chunker.push(block)]
    rest = chunker.flush()
    short = [max(1, frames // divisor) for divisor in (8, 8, 4, 4, 4, 2, 2)]
    assert [len(chunk) for chunk in full] == [*short, *[frames] * len(full)][: len(full)]
    assert len(rest) <= 1
    assert all(0 < len(chunk) < frames for chunk in rest)
    np.testing.assert_array_equal(np.concatenate([EMPTY_PCM, *full, *rest]), samples)
    assert chunker.flush() == []


def test_chunks_come_as_soon_as_they_are_full() -> None:
    chunker = Chunker(16)
    assert chunker.push(np.zeros(1, np.int16)) == []
    assert [len(chunk) for chunk in chunker.push(np.zeros(50, np.int16))] == [
        *(2, 2, 4, 4, 4, 8, 8, 16)
    ]
    assert [len(chunk) for chunk in chunker.flush()] == [3]
    assert [len(chunk) for chunk in chunker.push(np.zeros(5, np.int16))] == [2, 2]


@given(st.integers(0, 10**10), st.sampled_from(RATES))
def test_frames_survive_the_way_to_nanoseconds_and_back(frames: int, rate: int) -> None:
    nanoseconds = frames_to_ns(frames, rate)
    assert ns_to_frames(nanoseconds, rate) == frames
    assert abs(nanoseconds * rate - frames * NANOSECONDS) * 2 <= rate


@pytest.mark.parametrize("rate", RATES)
def test_a_day_is_a_day(rate: int) -> None:
    assert frames_to_ns(86_400 * rate, rate) == 86_400 * NANOSECONDS


def test_a_gain_of_one_changes_no_bit() -> None:
    pcm = np.array([-32768, -1, 0, 1, 32767], np.int16)
    assert apply_gain(pcm, 1.0) is pcm


@given(st.lists(st.integers(-32768, 32767), max_size=20), st.floats(0.0, 4.0))
def test_gain_is_rounded_and_clipped_once(values: list[int], gain: float) -> None:
    scaled = apply_gain(np.array(values, np.int16), gain)
    assert scaled.dtype == np.int16
    exact = np.clip(np.array(values, float) * gain, -32768, 32767)
    assert np.all(np.abs(scaled - exact) <= 0.51)


def test_one_gain_per_frame_is_applied_to_each() -> None:
    gains = np.array([0.0, 0.5, 1.0, 2.0], np.float32)
    assert apply_gain(np.full(4, 20_000, np.int16), gains).tolist() == [0, 10_000, 20_000, 32_767]


def test_pcm_survives_the_way_to_floating_point_and_back() -> None:
    pcm = np.arange(-32_768, 32_768).astype(np.int16)
    samples = to_samples(pcm)
    assert samples.shape == (65_536, 1)
    assert samples.dtype == np.float32
    assert (samples[0, 0], samples[-1, 0]) == (-1.0, 32_767 / 32_768)
    np.testing.assert_array_equal(to_pcm(samples[:, 0]), pcm)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([-128, 0, 64], np.int8), [-1.0, 0.0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1.0, 0.0, 0.5]),
        (np.array([-7.0, 0.25, 1.5], np.float32), [-1.0, 0.25, 1.0]),
    ],
)
def test_samples_of_any_type_become_floating_point(
    values: NDArray[Any], expected: list[float]
) -> None:
    before = values.copy()
    assert to_samples(values)[:, 0].tolist() == expected
    np.testing.assert_array_equal(values, before)


def test_interleaved_channels_are_told_apart() -> None:
    values = np.array([16_384, -16_384, 8192, 0], np.int16)
    assert to_samples(values, 2).tolist() == [[0.5, -0.5], [0.25, 0.0]]
    with pytest.raises(ValueError, match="shape"):
        to_samples(values, 3)


def test_floating_point_is_rounded_and_clipped_once() -> None:
    samples = np.array([1.0, -1.0, 9.0, -9.0, 0.6 / 32_768, -0.6 / 32_768, 0.4 / 32_768])
    assert to_pcm(samples).tolist() == [32_767, -32_768, 32_767, -32_768, 1, -1, 0]
    assert to_pcm(samples[:2], full_scale=32_767.0).tolist() == [32_767, -32_767]


def test_samples_are_clipped_in_place() -> None:
    samples = np.array([[-2.0, 0.5, 2.0]], np.float32)
    assert clip(samples) is samples
    assert samples.tolist() == [[-1.0, 0.5, 1.0]]


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 240, 1001])
def test_a_fade_rises_from_zero_to_just_below_one(frames: int) -> None:
    ramp = fade_ramp(frames)
    assert ramp.shape == (frames,)
    assert ramp.dtype == np.float32
    assert not ramp[:1].any()
    assert (np.diff(ramp) > 0).all()
    assert (ramp < 1.0).all()
    if frames % 2 == 0 and frames:
        assert ramp[frames // 2] == pytest.approx(0.5)
        np.testing.assert_allclose(ramp[1:] + ramp[:0:-1], 1.0, atol=1e-6)


def dataclasses_of_arrays() -> Iterator[tuple[str, str]]:
    """Each dataclass of the package that has arrays, and its decorators."""
    for path in Path(k2so_tts.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ClassDef):
                continue
            fields = [ast.unparse(n.annotation) for n in node.body if isinstance(n, ast.AnnAssign)]
            if any(name in field for field in fields for name in ("Pcm", "Samples", "NDArray")):
                yield node.name, " ".join(map(ast.unparse, node.decorator_list))


def test_no_dataclass_compares_arrays() -> None:
    """Their comparison is an array, which is neither true nor false."""
    found = dict(dataclasses_of_arrays())
    assert {"Chunk", "Block"} <= found.keys()
    assert [name for name, made in found.items() if "eq=False" not in made] == []


def test_what_holds_samples_is_compared_by_identity() -> None:
    one, other = (np.zeros(3, np.int16) for _ in range(2))
    assert Chunk(0, one) != Chunk(0, other)
    assert Block(one) != Block(other)
    assert len({Chunk(0, one), Block(one)}) == 2


def test_a_chunk_knows_its_end() -> None:
    assert Chunk(10, np.zeros(5, np.int16)).end == 15
