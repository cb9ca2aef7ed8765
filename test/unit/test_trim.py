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

"""Streams of blocks: trimmed at both ends, and resampled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.audio import Block, Mark, Pcm
from k2so_tts.resampler import resampled
from k2so_tts.synthesis.trim import AFTER_SECONDS, BEFORE_SECONDS, QUIET, trimmed

RATE = 1000
BEFORE, AFTER = round(BEFORE_SECONDS * RATE), round(AFTER_SECONDS * RATE)
FADE = 4


def tone(frames: int) -> Pcm:
    pcm: Pcm = (10_000 * np.cos(np.arange(frames))).astype(np.int16)
    return pcm


def hush(frames: int) -> Pcm:
    return np.resize(np.array([QUIET, -QUIET, 3], np.int16), frames)


def blocks_of(pcm: Pcm, cuts: list[int], marks: tuple[Mark, ...] = ()) -> Iterator[Block]:
    parts = np.split(pcm, sorted(cut % (len(pcm) + 1) for cut in cuts))
    for part in parts[:-1]:
        yield Block(part)
    yield Block(parts[-1], marks)


def pcm_of(blocks: list[Block]) -> Pcm:
    return np.concatenate([np.empty(0, np.int16), *(block.pcm for block in blocks)])


@given(
    st.integers(0, 200),
    st.integers(1, 300),
    st.integers(0, 200),
    st.integers(0, 200),
    st.lists(st.integers(0, 1000), max_size=9),
)
def test_silence_is_trimmed_wherever_the_blocks_are_cut(
    before: int, sound: int, pause: int, after: int, cuts: list[int]
) -> None:
    pcm = np.concatenate([hush(before), tone(sound), hush(pause), tone(sound), hush(after)])
    kept = pcm_of(list(trimmed(blocks_of(pcm, cuts), RATE)))
    loud = np.flatnonzero(np.abs(pcm.astype(int)) > QUIET)
    first, last = max(0, loud[0] - BEFORE), min(len(pcm), loud[-1] + 1 + AFTER)
    assert len(kept) == last - first
    np.testing.assert_array_equal(kept[FADE:-FADE], pcm[first:last][FADE:-FADE])
    assert kept[0] == kept[-1] == 0, "no click"
    assert (np.abs(kept.astype(int)) <= np.abs(pcm[first:last].astype(int))).all()


def test_what_is_loud_is_given_at_once() -> None:
    blocks = iter([Block(tone(100)), Block(hush(400)), Block(tone(100)), Block(hush(400))])
    stream = trimmed(blocks, RATE)
    assert len(next(stream).pcm) == 100 - FADE
    assert len(next(stream).pcm) == FADE
    assert len(next(stream).pcm) == 400 + 100 - FADE
    assert len(next(stream).pcm) == FADE
    assert len(next(stream).pcm) == AFTER
    assert list(stream) == []


def test_nothing_but_silence_is_nothing() -> None:
    blocks = list(trimmed(iter([Block(hush(500), (Mark(3, 400),))]), RATE))
    assert pcm_of(blocks).size == 0
    assert [mark.frame for block in blocks for mark in block.marks] == [0]
    assert list(trimmed(iter([]), RATE)) == []


@given(st.integers(0, 300), st.lists(st.integers(0, 1000), max_size=5))
def test_marks_move_with_the_sound(before: int, cuts: list[int]) -> None:
    pcm = np.concatenate([hush(before), tone(200), hush(200)])
    marks = (Mark(1, before + 50), Mark(2, before + 200), Mark(3, len(pcm)))
    blocks = list(trimmed(blocks_of(pcm, cuts, marks), RATE))
    first = max(0, before - BEFORE)
    moved = [mark for block in blocks for mark in block.marks]
    total = len(pcm_of(blocks))
    assert [mark.text_end for mark in moved] == [1, 2, 3]
    assert [mark.frame for mark in moved[:2]] == [before + 50 - first, before + 200 - first]
    assert total <= moved[2].frame <= len(pcm) - first


@pytest.mark.parametrize(("source", "target"), [(22_050, 24_000), (22_050, 16_000), (8000, 48_000)])
def test_resampling_leaves_no_seam(source: int, target: int) -> None:
    times = np.arange(source) / source
    pcm = (8000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)
    marks = (Mark(5, source // 2),)
    blocks = list(resampled(blocks_of(pcm, [*range(0, source, 700)], marks), source, target))
    heard = pcm_of(blocks)
    assert abs(len(heard) - target) <= 1
    expected = 8000 * np.sin(2 * np.pi * 440 * np.arange(len(heard)) / target)
    assert np.abs(heard - expected)[500:-500].max() < 40
    assert [mark.frame for block in blocks for mark in block.marks] == [target // 2]


def test_the_same_rate_changes_nothing() -> None:
    blocks = [Block(tone(5), (Mark(1, 2),)), Block(tone(0))]
    assert list(resampled(iter(blocks), RATE, RATE)) == blocks


def test_a_mark_in_the_silence_before_the_first_sound_is_at_the_start() -> None:
    blocks = list(
        trimmed(iter([Block(np.concatenate([hush(500), tone(100)]), (Mark(3, 7),))]), RATE)
    )
    assert [mark.frame for block in blocks for mark in block.marks] == [0]


def test_sound_up_to_the_very_end_is_kept_whole() -> None:
    blocks = list(trimmed(iter([Block(np.concatenate([hush(50), tone(100), hush(1)]))]), RATE))
    assert len(pcm_of(blocks)) == BEFORE + 101
