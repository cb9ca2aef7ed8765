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

"""The jitter buffer: one scenario per behaviour, and a comparison with a model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2so_tts.audio import Samples
from k2so_tts.playback.fades import fade_out
from k2so_tts.playback.jitter_buffer import MAX_DEPTH, JitterBuffer, State

RATE = 48_000
FADE = 240
LOUD = 0.25
LARGEST_STEP = 0.01
"""-40 dB of full scale; the sine itself makes steps of 0.0065."""


def sine(frames: int, start: int = 0) -> Samples:
    """A part of an endless 200 Hz sine."""
    phase = 2 * np.pi * 200 / RATE * np.arange(start, start + frames)
    signal: Samples = (LOUD * np.sin(phase)).astype(np.float32)[:, np.newaxis]
    return signal


def largest_step(sound: Samples) -> float:
    """The largest difference between two samples; silence before and after counts."""
    return float(np.abs(np.diff(sound, axis=0, prepend=0.0, append=0.0)).max(initial=0.0))


class Listening:
    """A buffer with a simulated device; what is pushed is `sine`, from frame 0 on."""

    def __init__(self, depth: int = 3) -> None:
        self.buffer = JitterBuffer(depth, FADE)
        self.pushed = 0
        self.blocks: list[Samples] = []
        self.real: list[Samples] = []
        self.used = 0

    def push(self, *sizes: int) -> None:
        for size in sizes:
            self.buffer.push(sine(size, self.pushed))
            self.pushed += size

    def render(self, frames: int) -> Samples:
        block = np.full((frames, 1), np.nan, np.float32)
        used = self.buffer.render(block)
        offset, position, count = self.buffer.span
        assert position == sum(map(len, self.real))
        assert offset + count <= used <= frames
        assert used == frames or self.buffer.state is State.ENDED
        self.real.append(block[offset : offset + count].copy())
        self.blocks.append(block[:used])
        self.used += used
        return block[:used]

    def until_the_end(self, block: int = 64) -> None:
        while self.buffer.state is not State.ENDED:
            self.render(block)

    @property
    def heard(self) -> Samples:
        return np.concatenate(self.blocks)

    @property
    def frames(self) -> Samples:
        return np.concatenate(self.real)


# One scenario per behaviour.


def test_it_starts_with_the_last_of_depth_chunks() -> None:
    listening = Listening(depth=3)
    listening.push(100, 100)
    assert not listening.render(50).any()
    assert listening.buffer.state is State.BUFFERING
    listening.push(100)
    np.testing.assert_array_equal(listening.render(50), sine(50))
    assert listening.buffer.buffered == 250


def test_a_long_chunk_counts_as_several() -> None:
    buffer = JitterBuffer(3, FADE, chunk_frames=100)
    for frames in (99, 1):
        buffer.push(sine(frames))
        assert not buffer.ready
    buffer.push(sine(1))
    assert buffer.ready
    buffer = JitterBuffer(3, FADE, chunk_frames=100)
    buffer.push(sine(299))
    assert not buffer.ready
    buffer = JitterBuffer(3, FADE, chunk_frames=100)
    buffer.push(sine(300))
    assert buffer.ready


def test_the_end_starts_it_at_once() -> None:
    listening = Listening(depth=3)
    listening.push(100)
    listening.buffer.end()
    np.testing.assert_array_equal(listening.render(150), sine(100))
    assert listening.buffer.state is State.ENDED
    assert listening.buffer.underruns == 0


def test_a_full_buffer_does_not_wait_for_more() -> None:
    listening = Listening(depth=3)
    listening.push(100)
    listening.buffer.start_early = True
    np.testing.assert_array_equal(listening.render(100), sine(100))
    listening.render(100)
    listening.push(100)
    assert not listening.render(100 + FADE)[FADE:].any(), "it starts early once only"


def test_nothing_at_all_ends_without_a_sound() -> None:
    listening = Listening()
    listening.buffer.end()
    assert len(listening.render(64)) == 0
    assert listening.buffer.state is State.ENDED


def test_running_dry_fades_out_waits_for_more_than_before_and_goes_on() -> None:
    listening = Listening(depth=2)
    listening.push(1000, 980)  # ends at a maximum
    listening.render(3000)
    assert listening.buffer.underruns == 1
    assert listening.buffer.depth == 3
    assert not listening.heard[1980 + FADE :].any()
    listening.push(1000, 1000)
    assert not listening.render(100).any()
    listening.push(1060)
    listening.buffer.end()
    listening.until_the_end()
    np.testing.assert_array_equal(listening.frames, sine(5040))
    assert largest_step(listening.heard) < LARGEST_STEP
    assert listening.buffer.underruns == 1


def test_it_gets_no_deeper_than_eight_chunks() -> None:
    listening = Listening(depth=6)
    depths = []
    for _ in range(4):
        listening.push(*[10] * listening.buffer.depth)
        listening.render(2000)
        depths.append(listening.buffer.depth)
    assert depths == [7, 8, 8, 8]
    assert listening.buffer.underruns == 4


def test_it_is_dry_when_it_has_played_all_and_waits_for_more() -> None:
    listening = Listening(depth=1)
    dry = [listening.buffer.is_dry]
    listening.push(1)
    dry.append(listening.buffer.is_dry)
    listening.render(2)
    dry.append(listening.buffer.is_dry)
    listening.push(1)
    dry.append(listening.buffer.is_dry)
    assert dry == [False, False, True, False]


def test_it_is_not_dry_before_a_frame_is_missing() -> None:
    listening = Listening(depth=1)
    listening.push(1)
    listening.render(2)
    listening.push(1, 1)
    while listening.buffer.buffered:
        listening.render(1)
    dry = [listening.buffer.is_dry]
    listening.render(1)
    dry.append(listening.buffer.is_dry)
    assert dry == [False, True]


def test_a_resumed_buffer_is_not_dry_before_it_has_played() -> None:
    assert not JitterBuffer(1, FADE, resumed=True).is_dry


def test_an_end_where_it_ends_anyway_is_no_cut() -> None:
    listening = Listening(depth=1)
    listening.push(1060)
    assert listening.buffer.end(at=1060) == 0
    listening.until_the_end()
    assert listening.used == 1060


def test_before_its_first_block_there_is_nothing_to_report() -> None:
    assert JitterBuffer(3, FADE).span == (0, 0, 0)


def test_a_resumed_utterance_fades_in() -> None:
    buffer = JitterBuffer(1, FADE, resumed=True)
    buffer.push(sine(1000, start=60))
    out = np.zeros((FADE + 1000, 1), np.float32)
    buffer.render(out)
    np.testing.assert_array_equal(out[FADE:], sine(1000, start=60))
    assert largest_step(out[: FADE + 900]) < LARGEST_STEP
    assert buffer.underruns == 1


@pytest.mark.parametrize("position", [1, 60, 239, 240, 1000, 1060, 1061, 2060])
def test_a_stop_in_mid_sentence_falls_silent_within_the_fade(position: int) -> None:
    listening = Listening(depth=1)
    listening.push(1000, 1000, 1000)
    listening.render(position)
    assert listening.buffer.end(at=0) == 3000 - position
    assert listening.buffer.buffered == 0
    listening.render(1000)
    assert listening.used == position + FADE
    assert largest_step(listening.heard) < LARGEST_STEP
    np.testing.assert_array_equal(listening.frames, sine(position))


def test_a_fade_mirrors_frames_of_the_chunk_before_as_well() -> None:
    listening = Listening(depth=1)
    listening.push(1000, 60)
    listening.render(1060 + FADE)
    np.testing.assert_array_equal(listening.heard[1060:], fade_out(sine(1060), FADE))


def test_a_cut_ahead_plays_up_to_it() -> None:
    listening = Listening(depth=1)
    listening.push(1000, 1000, 1000)
    listening.render(100)
    assert listening.buffer.end(at=1061) == 1939
    listening.render(3000)
    np.testing.assert_array_equal(listening.frames, sine(1061))
    assert listening.used == 1061 + FADE
    assert largest_step(listening.heard) < LARGEST_STEP


def test_an_abrupt_end_fades_and_a_proper_one_does_not() -> None:
    for abrupt, used in (False, 1060), (True, 1060 + FADE):
        listening = Listening(depth=1)
        listening.push(1060)
        listening.buffer.end(abrupt=abrupt)
        listening.until_the_end()
        assert listening.used == used


@pytest.mark.parametrize("position", [1, 60, 999, 1000, 1060])
def test_a_pause_keeps_everything(position: int) -> None:
    listening = Listening(depth=1)
    listening.push(1000, 1000)
    listening.render(position)
    for _ in range(3):
        listening.buffer.paused = True
        listening.render(700)
        assert not listening.render(10).any()
        listening.buffer.paused = False
        listening.render(FADE + 7)
    listening.buffer.end(abrupt=True)
    listening.until_the_end()
    np.testing.assert_array_equal(listening.frames, sine(2000))
    assert largest_step(listening.heard) < LARGEST_STEP
    assert listening.buffer.underruns == 0


def test_a_pause_before_the_start_does_not_start_it() -> None:
    listening = Listening(depth=2)
    listening.buffer.paused = True
    listening.push(100, 100)
    assert not listening.render(100).any()
    listening.buffer.paused = False
    np.testing.assert_array_equal(listening.render(100), sine(100))


def test_a_stop_ends_a_paused_sound() -> None:
    listening = Listening(depth=1)
    listening.push(1000)
    listening.render(100)
    listening.buffer.paused = True
    listening.render(1000)
    listening.buffer.end(at=0)
    assert len(listening.render(64)) == 0
    assert listening.buffer.state is State.ENDED


def test_a_pause_of_an_empty_buffer_waits_for_depth_chunks_again() -> None:
    listening = Listening(depth=2)
    listening.push(100, 100)
    listening.render(200)
    listening.buffer.paused = True
    listening.render(FADE)
    listening.buffer.paused = False
    listening.push(100)
    assert not listening.render(100).any()
    assert listening.buffer.underruns == 0
    listening.push(100)
    assert listening.render(FADE + 100).any()


def test_another_rate_in_the_middle_keeps_position_and_rest() -> None:
    listening = Listening(depth=1)
    listening.push(1000, 1000)
    listening.render(500)
    rest = np.concatenate(listening.buffer.pending())
    np.testing.assert_array_equal(rest, sine(1500, start=500))
    halved = np.repeat(rest[::2], 2, axis=1)
    listening.buffer.convert(halved, 0.5)
    assert (listening.buffer.position, listening.buffer.received) == (250, 1000)
    out = np.zeros((FADE // 2 + 750, 2), np.float32)
    listening.buffer.render(out)
    np.testing.assert_array_equal(out[FADE // 2 :], halved)


def test_fewer_channels_in_the_middle_of_a_fade_end_the_fade() -> None:
    buffer = JitterBuffer(1, FADE)
    buffer.push(np.repeat(sine(1000), 2, axis=1))
    buffer.render(np.zeros((60, 2), np.float32))
    buffer.paused = True
    buffer.render(np.zeros((10, 2), np.float32))
    buffer.convert(sine(940, start=60), 1.0)
    out = np.full((100, 1), np.nan, np.float32)
    buffer.render(out)
    assert not out.any()
    buffer.paused = False
    out = np.full((FADE + 940, 1), np.nan, np.float32)
    buffer.render(out)
    np.testing.assert_array_equal(out[FADE:], sine(940, start=60))


# Comparison with a model.


class Model:
    """A buffer that counts frames without holding any."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.waiting = 0
        self.chunks = 0
        self.played = 0
        self.underruns = 0
        self.complete = self.paused = self.playing = False
        self.silence = 0
        """Frames of fades that are due before anything else."""
        self.was_playing = False

    def render(self, frames: int) -> int:
        """The number of real frames in a block of `frames`."""
        before = self.played
        while frames and not (self.complete and not self.waiting and not self.silence):
            if self.silence:
                step = min(frames, self.silence)
                self.silence -= step
                frames -= step
            elif self.playing and (self.paused or not self.waiting):
                self.playing = False
                self.silence = FADE
                self.chunks = self.depth if self.waiting else 0
                if not self.paused:
                    self.underruns += 1
                    self.depth += self.depth < MAX_DEPTH
            elif self.playing:
                step = min(frames, self.waiting)
                self.waiting -= step
                self.played += step
                frames -= step
            elif self.waiting and not self.paused and (self.complete or self.chunks >= self.depth):
                self.playing = True
                self.silence = FADE if self.was_playing else 0
                self.was_playing = True
            else:
                break
        return self.played - before


SIZES = st.one_of(st.integers(1, 12), st.integers(1, 1024), st.just(0))
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), SIZES),
        st.tuples(st.just("render"), st.integers(1, 1024)),
        st.tuples(st.just("pause"), st.integers(0, 1)),
    ),
    max_size=60,
)
ENDS = st.one_of(st.none(), st.integers(-10, 8000))


@settings(max_examples=300)
@given(st.integers(1, 6), OPERATIONS, ENDS, st.integers(1, 1024))
def test_every_frame_is_heard_once_or_counted(
    depth: int, operations: list[tuple[str, int]], end: int | None, last_blocks: int
) -> None:
    listening = Listening(depth)
    model = Model(depth)
    for name, value in operations:
        if name == "push":
            listening.push(value)
            model.waiting += value
            model.chunks += 1
        elif name == "pause":
            listening.buffer.paused = model.paused = bool(value)
        else:
            listening.render(value)
            expected = model.render(value)
            assert len(listening.real[-1]) == expected
            assert listening.buffer.underruns == model.underruns
            assert listening.buffer.depth == model.depth
        assert listening.buffer.buffered == model.waiting

    played = listening.buffer.position
    thrown_away = listening.buffer.end(end)
    kept = listening.pushed if end is None else min(listening.pushed, max(end, played))
    assert thrown_away == listening.pushed - kept
    listening.buffer.push(sine(10))  # comes after the end
    listening.buffer.paused = False
    listening.until_the_end(last_blocks)

    np.testing.assert_array_equal(listening.frames, sine(kept))
    assert listening.buffer.underruns == model.underruns
    if thrown_away or not kept:
        assert largest_step(listening.heard) < LARGEST_STEP
    else:
        assert largest_step(listening.heard[:-1]) < LARGEST_STEP + abs(sine(kept)[-2:]).max()
    assert listening.used == 0 or not np.isnan(listening.heard).any()
