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

"""What is learned of an engine's speed: how long texts may be, and how much is collected."""

from __future__ import annotations

import pytest

from k2so_tts.synthesis.pace import FIRST_SECONDS, MadeBlock, PaceEstimator, needed_prebuffer
from k2so_tts.text.segmenter import LONGEST, WORD, Segmenter, weighted_length

FOX = "The quick brown fox jumps over the lazy dog and the cat. "


def made(first: float, seconds: float, audio: float) -> list[MadeBlock]:
    """Two blocks: the first there after `first`, all there after `seconds`."""
    return [MadeBlock(first, audio / 2), MadeBlock(seconds, audio / 2)]


def in_step(sizes: list[float], factor: float, first: float = 0.0) -> list[MadeBlock]:
    """Blocks of these durations, each of which takes `factor` times its own to be made."""
    now, blocks = first, []
    for size in sizes:
        now += factor * size
        blocks.append(MadeBlock(now, size))
    return blocks


def gaps(blocks: list[MadeBlock], prebuffer: float) -> float:
    """Seconds of silence inside, if playback begins once more than `prebuffer` is there."""
    collected, ends, silence = 0.0, None, 0.0
    for block in blocks:
        collected += block.seconds
        if ends is not None:
            silence += max(0.0, block.at - ends)
            ends = max(block.at, ends) + block.seconds
        elif collected >= prebuffer:
            ends = block.at + collected
    return silence


def test_pace_gives_the_room_that_is_heard_meanwhile() -> None:
    pace = PaceEstimator()
    assert 10 <= pace.budget(None) <= 20
    pace.learn(0, made(1.0, 1.0, 1.0))
    pace.learn(9, [])
    assert 10 <= pace.budget(None) <= 20
    pace.learn(100, made(2.0, 3.0, 8.0))
    assert pace.budget(None) == pytest.approx(FIRST_SECONDS * 50)
    assert pace.budget(2.0) == pytest.approx(0.8 * 2.0 * 50)
    assert pace.budget(100.0) == LONGEST


@pytest.mark.parametrize(("fixed", "per_size"), [(0.1, 0.01), (0.0, 0.02), (0.2, 0.0)])
def test_what_a_text_costs_whatever_its_size_is_told_apart(fixed: float, per_size: float) -> None:
    pace = PaceEstimator()
    for size in (30, 5, 30, 80, 12, 12, 12, 100, 7, 60, 20):
        pace.learn(size, made(fixed + per_size * size, 1.5, 3.0))
    pace.learn(50, made(9.0, 9.0, 3.0))  # the machine was busy
    assert pace.fixed_seconds == pytest.approx(fixed, abs=0.01)
    assert pace.seconds_per_size == pytest.approx(per_size, abs=2e-4)


def test_nothing_is_cut_off_that_would_not_come_earlier_for_it() -> None:
    pace = PaceEstimator()
    for size in (4, 33, 80):
        pace.learn(size, made(0.5 + 0.002 * size, 1.0, 3.0))
    assert pace.budget(None) > 60


def test_an_engine_below_real_time_pauses_between_sentences() -> None:
    pace = PaceEstimator()
    pace.learn(100, [MadeBlock(20.0, 8.0)])
    assert pace.budget(None) == LONGEST
    assert pace.budget(0.5) == LONGEST


def test_short_texts_that_take_longer_than_they_sound_are_not_a_slow_engine() -> None:
    """What a text takes whatever its length says nothing of long ones."""
    pace = PaceEstimator()
    for audio in (0.3, 0.5, 0.2, 0.4):
        pace.learn(10 * audio, [MadeBlock(0.4 + 0.1 * audio, audio)])
    assert pace.real_time_factor == pytest.approx(0.1)
    assert pace.budget(2.0) < LONGEST or pace.fixed_seconds < 1.6


@pytest.mark.parametrize("factor", [0.05, 0.3, 0.6, 0.79])
def test_what_is_heard_covers_what_is_made(factor: float) -> None:
    """No gap below a real-time factor of 0.8, whatever the text."""
    per_size = 0.07
    pace = PaceEstimator()
    pace.learn(100, [MadeBlock(100 * per_size * factor, 100 * per_size)])
    cutter = Segmenter(FOX * 10, "en", WORD)
    now, heard_until = 0.0, None
    while (
        segment := cutter.next(pace.budget(None if heard_until is None else heard_until - now))
    ) is not None:
        size = weighted_length(segment.text)
        now += size * per_size * factor
        assert heard_until is None or now <= heard_until
        heard_until = (heard_until or now) + size * per_size


@pytest.mark.parametrize("factor", [0.1, 0.5, 0.75, 0.85, 0.99])
@pytest.mark.parametrize(
    "sizes",
    [[0.2] * 12, [0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0, 1.1, 1.1], [1.0, 0.1, 2.0, 0.1, 3.0], [0.5]],
    ids=["equal", "growing", "mixed", "one"],
)
def test_nothing_more_than_what_was_needed_is_collected(factor: float, sizes: list[float]) -> None:
    blocks = in_step(sizes, factor, first=0.3)
    needed = needed_prebuffer(blocks)
    assert gaps(blocks, needed) == 0.0
    before = max((s for s in _collected(sizes) if s < needed), default=None)
    if before is not None:  # a block less, and each taking a little longer, as they may
        assert gaps([MadeBlock(1.1 * at, seconds) for at, seconds in blocks], before) > 0.0


def _collected(sizes: list[float]) -> list[float]:
    return [sum(sizes[: count + 1]) for count in range(len(sizes))]


def test_playback_begins_with_the_first_block_of_a_fast_engine() -> None:
    assert needed_prebuffer(in_step([0.1, 0.13, 0.17, 0.22, 0.3], 0.5, first=1.0)) == 0.0


def test_as_much_is_collected_as_one_of_the_latest_texts_needed() -> None:
    pace = PaceEstimator()
    busy = [MadeBlock(0.1, 0.2), MadeBlock(0.8, 1.6)]
    assert pace.prebuffer_seconds(30) == 0.0
    pace.learn(30, in_step([0.2] * 9, 0.3))
    pace.learn(30, busy)
    for _ in range(7):
        assert pace.prebuffer_seconds(30) == pytest.approx(1.0)
        pace.learn(30, in_step([0.2] * 9, 0.3))
    assert pace.prebuffer_seconds(30) == pytest.approx(1.0)
    pace.learn(30, in_step([0.2] * 9, 0.3))
    assert pace.prebuffer_seconds(30) == 0.0, "it was busy once, long ago"


def test_it_learns_from_texts_that_are_cancelled() -> None:
    pace = PaceEstimator()
    pace.learn(30, [MadeBlock(0.1, 0.2), MadeBlock(0.8, 1.6)])
    for _ in range(3):
        pace.learn_beginning(in_step([0.2] * 4, 0.3))
        assert pace.prebuffer_seconds(30) == pytest.approx(1.0), "too short to tell"
    for _ in range(8):
        pace.learn_beginning(in_step([0.2] * 5, 0.3))
    assert pace.prebuffer_seconds(30) == 0.0


@pytest.mark.parametrize("factor", [1.33, 2.0])
def test_an_engine_slower_than_real_time_is_collected_until_the_rest_is_made_in_time(
    factor: float,
) -> None:
    pace = PaceEstimator()
    per_size = 0.06
    for size in (10, 40, 25):
        pace.learn(size, in_step([0.1] * round(10 * per_size * size), factor, first=0.2))
    blocks = in_step([0.1] * 42, factor, first=0.2)
    collected = pace.prebuffer_seconds(70)
    assert gaps(blocks, collected) == 0.0
    assert collected < 0.7 * 4.2, "and not all of it"
