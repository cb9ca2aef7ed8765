"""The vocabulary: chunks out of blocks, frames and nanoseconds, gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.audio import (
    EMPTY_PCM,
    NANOSECONDS,
    Chunk,
    Chunker,
    apply_gain,
    frames_to_ns,
    ns_to_frames,
)

RATES = [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 16))
def test_chunks_are_the_blocks_and_nothing_else(lengths: list[int], frames: int) -> None:
    samples = np.arange(sum(lengths), dtype=np.int16)
    blocks = np.split(samples, np.cumsum(lengths)[:-1]) if lengths else []
    chunker = Chunker(frames)
    full = [chunk for block in blocks for chunk in chunker.push(block)]
    rest = chunker.flush()
    short = max(1, frames // 2)
    assert [len(chunk) for chunk in full] == [short, short, *[frames] * len(full)][: len(full)]
    assert len(rest) <= 1
    assert all(0 < len(chunk) < frames for chunk in rest)
    np.testing.assert_array_equal(np.concatenate([EMPTY_PCM, *full, *rest]), samples)
    assert chunker.flush() == []


def test_chunks_come_as_soon_as_they_are_full() -> None:
    chunker = Chunker(4)
    assert chunker.push(np.zeros(1, np.int16)) == []
    assert [len(chunk) for chunk in chunker.push(np.zeros(8, np.int16))] == [2, 2, 4]
    assert [len(chunk) for chunk in chunker.flush()] == [1]
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


def test_a_chunk_knows_its_end() -> None:
    assert Chunk(10, np.zeros(5, np.int16)).end == 15
