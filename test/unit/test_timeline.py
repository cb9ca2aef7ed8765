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

"""The timeline: losses, repeats, and streams whose stamps do not count frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from k2so_tts.audio import AudioFormat, Samples, frames_to_ns
from k2so_tts.playback.timeline import Timeline

RATE = 22_050
CHUNK = 4096
START = 1_700_000_000_123_456_789
FADE = int(0.005 * RATE)


def numbered(start: int, frames: int, channels: int = 1) -> Samples:
    """Frames that encode their position; no value occurs twice."""
    values = (np.arange(start, start + frames, dtype=np.float32) + 1) / 2**22
    return np.repeat(values[:, np.newaxis], channels, axis=1)


class Stream:
    """A timeline and a stream of chunks of 4096 frames that keeps the contract."""

    def __init__(self, rate: int = RATE, chunk: int = CHUNK, start_ns: int = START) -> None:
        self.timeline = Timeline(start_ns, AudioFormat(rate))
        self.chunk = chunk
        self.placed: list[Samples] = []

    def send(self, number: int, frames: int | None = None, shift: int = 0) -> Samples:
        """Deliver chunk `number`, its stamp `shift` frames beside its place."""
        start = number * self.chunk
        stamp = START + frames_to_ns(start + shift, self.timeline.format.rate)
        return self.send_at(stamp, numbered(start, frames or self.chunk))

    def send_at(self, stamp_ns: int, samples: Samples) -> Samples:
        self.placed.append(self.timeline.place(stamp_ns, samples))
        return self.placed[-1]

    @property
    def sound(self) -> Samples:
        return np.concatenate(self.placed)


def test_chunks_that_follow_each_other_are_left_as_they_are() -> None:
    stream = Stream()
    for number in range(4):
        np.testing.assert_array_equal(stream.send(number), numbered(number * CHUNK, CHUNK))
    stream.send(4, frames=17)
    assert stream.timeline.exact
    assert stream.timeline.frames == 4 * CHUNK + 17
    assert stream.timeline.end_ns == START + frames_to_ns(4 * CHUNK + 17, RATE)
    assert stream.timeline.lost_frames == stream.timeline.dropped_frames == 0


@pytest.mark.parametrize("lost", [[1], [2], [2, 3], [5]])
def test_a_loss_is_concealed_with_exactly_its_length(lost: list[int]) -> None:
    stream = Stream()
    for number in range(7):
        if number not in lost:
            stream.send(number, frames=100 if number == 6 else None)
    sound = stream.sound
    assert len(sound) == 6 * CHUNK + 100
    assert stream.timeline.lost_frames == len(lost) * CHUNK
    gap = slice(lost[0] * CHUNK, (lost[-1] + 1) * CHUNK)
    real = np.delete(sound, gap, axis=0)
    expected = np.delete(numbered(0, 6 * CHUNK + 100), gap, axis=0)
    assert real.shape == expected.shape
    np.testing.assert_array_equal(real, expected)
    assert not sound[gap][FADE:-FADE].any()


def test_losses_are_told_once_playback_has_passed_the_first_of_them() -> None:
    stream = Stream()
    for number in (0, 1, 3, 6):
        stream.send(number)
    timeline = stream.timeline
    first_lost = START + frames_to_ns(2 * CHUNK, RATE)
    assert [timeline.lost_before(stamp) for stamp in (START, first_lost)] == [0, 0]
    later = [first_lost + 1, timeline.end_ns]
    assert [timeline.lost_before(stamp) for stamp in later] == [3 * CHUNK, 3 * CHUNK]


def test_what_is_missing_at_the_end_is_told_when_its_place_is_reached() -> None:
    stream = Stream()
    stream.send(0)
    stream.send(1)
    stream.timeline.conceal(500)
    before = START + frames_to_ns(2 * CHUNK, RATE)
    assert stream.timeline.lost_before(before) == 0
    assert stream.timeline.lost_before(stream.timeline.end_ns) == 500


def test_nothing_is_lost_of_a_stream_that_is_whole() -> None:
    stream = Stream()
    for number in range(4):
        stream.send(number)
    assert stream.timeline.lost_before(stream.timeline.end_ns + 10**9) == 0


def test_concealment_fades_without_a_step() -> None:
    phase = 2 * np.pi * 200 / RATE * np.arange(3 * CHUNK)
    sound = (0.1 * np.sin(phase)).astype(np.float32)[:, np.newaxis]
    timeline = Timeline(START, AudioFormat(RATE))
    heard = [timeline.place(START, sound[:CHUNK])]
    third = START + frames_to_ns(2 * CHUNK, RATE)
    heard.append(timeline.place(third, sound[2 * CHUNK :]))
    assert np.abs(np.diff(np.concatenate(heard), axis=0)).max() < 0.01


def test_concealment_of_less_than_a_fade_has_no_step_either() -> None:
    chunk = FADE // 2
    phase = 2 * np.pi * 200 / RATE * np.arange(10 * chunk)
    sound = (0.1 * np.sin(phase)).astype(np.float32)[:, np.newaxis]
    timeline = Timeline(START, AudioFormat(RATE))
    heard = []
    for number in (0, 1, 2, 4, 5):
        frame = number * chunk
        stamp = START + frames_to_ns(frame, RATE)
        heard.append(timeline.place(stamp, sound[frame : frame + chunk]))
    assert timeline.lost_frames == chunk
    assert np.abs(np.diff(np.concatenate(heard), axis=0)).max() < 0.01


@pytest.mark.parametrize("again", [0, 1, 2])
def test_a_repeated_or_late_chunk_is_dropped(again: int) -> None:
    stream = Stream()
    for number in range(3):
        stream.send(number)
    assert len(stream.send(again)) == 0
    stream.send(3)
    assert stream.timeline.dropped_frames == CHUNK
    np.testing.assert_array_equal(stream.sound, numbered(0, 4 * CHUNK))


def test_the_first_chunk_twice_is_one_chunk() -> None:
    stream = Stream()
    stream.send(0)
    assert len(stream.send(0)) == 0
    stream.send(1)
    np.testing.assert_array_equal(stream.sound, numbered(0, 2 * CHUNK))


def test_a_second_chunk_that_the_third_overtakes_is_dropped() -> None:
    stream = Stream()
    for number in (0, 2, 1, 3):
        stream.send(number)
    assert len(stream.sound) == 4 * CHUNK
    assert stream.timeline.lost_frames == stream.timeline.dropped_frames == CHUNK


def test_of_an_overlap_only_the_new_part_is_placed() -> None:
    stream = Stream()
    stream.send(0)
    stream.send(1)
    frame = 2 * CHUNK - 3000
    rest = stream.send_at(START + frames_to_ns(frame, RATE), numbered(frame, CHUNK))
    np.testing.assert_array_equal(rest, numbered(2 * CHUNK, CHUNK - 3000))
    assert stream.timeline.dropped_frames == 3000
    assert stream.timeline.frames == 3 * CHUNK - 3000


def test_an_end_later_than_what_came_is_a_loss() -> None:
    stream = Stream()
    stream.send(0)
    stream.send(1)
    concealed = stream.timeline.conceal(1000)
    assert len(concealed) == 1000
    assert not concealed[FADE:].any()
    assert concealed[:FADE].any()
    assert stream.timeline.frames == 2 * CHUNK + 1000
    assert stream.timeline.lost_frames == 1000


def test_stamps_of_zero_are_no_stamps() -> None:
    stream = Stream(start_ns=0)
    for number in range(5):
        sent = numbered(number * CHUNK, CHUNK)
        np.testing.assert_array_equal(stream.send_at(0, sent), sent)
    assert stream.timeline.exact is False


@given(st.lists(st.floats(-0.08, 0.08), min_size=12, max_size=12))
def test_stamps_of_the_time_of_sending_change_nothing(jitter: list[float]) -> None:
    stream = Stream(start_ns=START)
    stream.send(0)
    late = [0.03, *jitter]  # the second one shows that they don't count frames
    for number, seconds in enumerate(late, start=1):
        frame = number * CHUNK + round(seconds * RATE)
        sent = numbered(number * CHUNK, CHUNK)
        placed = stream.send_at(START + frames_to_ns(frame, RATE), sent)
        np.testing.assert_array_equal(placed, sent)
    assert stream.timeline.lost_frames == stream.timeline.dropped_frames == 0


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_a_stamp_that_is_rounded_by_a_frame_moves_nothing(shift: int) -> None:
    stream = Stream()
    for number in range(3):
        stream.send(number, shift=shift * (number % 2))
    assert stream.timeline.exact
    np.testing.assert_array_equal(stream.sound, numbered(0, 3 * CHUNK))


@pytest.mark.parametrize("shift", [-CHUNK // 2 + 1, -2, 2, CHUNK // 2 - 1])
def test_a_jump_of_less_than_half_a_chunk_shows_that_stamps_do_not_count_frames(
    shift: int,
) -> None:
    stream = Stream()
    for number in range(3):
        stream.send(number)
    stream.send(3, shift=shift)
    assert stream.timeline.exact is False
    np.testing.assert_array_equal(stream.sound, numbered(0, 4 * CHUNK))


def test_a_jump_of_half_a_chunk_is_a_loss() -> None:
    stream = Stream()
    for number in range(3):
        stream.send(number)
    stream.send(3, shift=CHUNK // 2)
    assert stream.timeline.exact
    assert stream.timeline.lost_frames == CHUNK // 2


def test_half_a_chunk_is_half_of_the_shortest() -> None:
    stream = Stream()
    for number in range(3):
        stream.send(number)
    jump = CHUNK // 8
    stream.send(3, frames=jump, shift=jump)
    assert stream.timeline.lost_frames == jump, "this one is the shortest"
    frame = 3 * CHUNK + 2 * jump
    stream.send_at(START + frames_to_ns(frame + jump, RATE), numbered(frame, CHUNK))
    assert stream.timeline.lost_frames == 2 * jump, "that one was the shortest"
    assert stream.timeline.exact


def test_the_rest_of_an_overlap_counts_as_a_chunk() -> None:
    stream = Stream()
    for number in range(2):
        stream.send(number)
    rest = CHUNK // 8
    frame = CHUNK + rest
    stream.send_at(START + frames_to_ns(frame, RATE), numbered(frame, CHUNK))
    end = 2 * CHUNK + rest
    stream.send_at(START + frames_to_ns(end + rest, RATE), numbered(end, CHUNK))
    assert stream.timeline.lost_frames == rest


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_whole_chunks_missing_after_the_first_are_a_loss(shift: int) -> None:
    stream = Stream()
    stream.send(0)
    stream.send(3, shift=shift)
    assert stream.timeline.exact
    assert stream.timeline.lost_frames == 2 * CHUNK + shift


@pytest.mark.parametrize("shift", [-2, 2, CHUNK // 2])
def test_anything_else_missing_after_the_first_is_not(shift: int) -> None:
    stream = Stream()
    stream.send(0)
    stream.send(3, shift=shift)
    assert stream.timeline.exact is False
    assert stream.timeline.lost_frames == 0
    assert stream.timeline.frames == 2 * CHUNK


@pytest.mark.parametrize("frame", [0, 1, CHUNK // 4])
def test_a_second_chunk_stamped_within_the_first_shows_that_stamps_do_not_count_frames(
    frame: int,
) -> None:
    stream = Stream()
    stream.send(0)
    stream.send(1, shift=frame - CHUNK)
    assert stream.timeline.exact is False
    np.testing.assert_array_equal(stream.sound, numbered(0, 2 * CHUNK))


def test_a_second_chunk_from_before_the_start_is_late() -> None:
    stream = Stream()
    stream.send(0)
    assert len(stream.send(-1)) == 0
    assert stream.timeline.exact is None
    assert stream.timeline.dropped_frames == CHUNK


@pytest.mark.parametrize(("frames", "follows"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_what_continues_a_stream_is_stamped_to_a_frame(frames: int, follows: bool) -> None:
    stream = Stream()
    stream.send(0)
    end = START + frames_to_ns(CHUNK + frames, RATE)
    assert stream.timeline.continues(stream.timeline.end_ns)
    assert stream.timeline.continues(end) is follows
    stream.send(1, shift=700)
    assert not stream.timeline.continues(stream.timeline.end_ns), "its stamps do not count frames"


@pytest.mark.parametrize("seconds", [0.1, 0.25, 0.7])
def test_a_late_second_chunk_stamped_when_it_was_sent_is_not_a_loss(seconds: float) -> None:
    stream = Stream()
    stream.send(0)
    stream.send(1, shift=round(seconds * RATE))
    stream.send(2, shift=round(0.01 * RATE))
    np.testing.assert_array_equal(stream.sound, numbered(0, 3 * CHUNK))


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000])
def test_stamps_rounded_to_milliseconds_change_nothing(rate: int) -> None:
    stream = Stream(rate)
    for number in range(200):
        stamp = (START + frames_to_ns(number * CHUNK, rate)) // 10**6 * 10**6
        stream.send_at(stamp, numbered(number * CHUNK, CHUNK))
    np.testing.assert_array_equal(stream.sound, numbered(0, 200 * CHUNK))


def test_after_a_clock_that_stepped_back_it_plays_on() -> None:
    stream = Stream()
    for number in range(10):
        stream.send(number)
    for number in range(10, 20):
        stream.send(number, shift=-9 * CHUNK)
    assert stream.timeline.dropped_frames == 3 * CHUNK
    np.testing.assert_array_equal(stream.placed[-1], numbered(19 * CHUNK, CHUNK))


def test_an_end_marker_cuts_what_lies_after_it() -> None:
    stream = Stream()
    stream.send(0)
    stream.send(1)
    end = stream.timeline.end_ns
    assert stream.timeline.cut_at(end) is None
    assert stream.timeline.cut_at(START + frames_to_ns(100, RATE)) == 100
    assert stream.timeline.cut_at(START) == 0
    assert stream.timeline.cut_at(START - 10**9) == 0
    last = 2 * CHUNK - 1
    assert stream.timeline.cut_at(START + frames_to_ns(last, RATE)) is None, "rounded by a frame"
    assert stream.timeline.cut_at(START + frames_to_ns(last - 1, RATE)) == last - 1


def test_without_exact_stamps_only_the_start_cuts() -> None:
    stream = Stream()
    stream.send(0)
    stream.send(1, shift=700)
    assert stream.timeline.cut_at(START + frames_to_ns(100, RATE)) is None
    assert stream.timeline.cut_at(START) == 0
    unstamped = Stream(start_ns=0)
    unstamped.send_at(0, numbered(0, CHUNK))
    assert unstamped.timeline.cut_at(0) is None


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, list[int]]:
    """How many chunks there are, and which arrive, in that order: some never, some twice."""
    count = draw(st.integers(1, 20))
    times = draw(st.lists(st.sampled_from([0, 1, 1, 1, 2]), min_size=count, max_size=count))
    arrivals = [
        (number + draw(st.floats(0, 2.9)), number)
        for number, copies in enumerate(times)
        for _ in range(copies)
    ]
    assume(arrivals)
    return count, [number for _, number in sorted(arrivals)]


@settings(max_examples=300)
@given(
    deliveries(),
    st.sampled_from([8000, 22_050, 44_100, 48_000, 192_000]),
    st.integers(8, 300),
    st.integers(2, 8),
)
def test_every_frame_is_at_its_place_or_counted(
    delivered: tuple[int, list[int]], rate: int, chunk: int, last: int
) -> None:
    count, order = delivered
    stream = Stream(rate, chunk, START + frames_to_ns(order[0] * chunk, rate))
    due = first = order[0] * chunk
    real: list[tuple[int, int]] = []
    lost = dropped = late = 0
    for number in order:
        frames = last if number == count - 1 else chunk
        start = number * chunk
        if start < due:
            dropped += frames
            late += 1
            assume(late <= 3)
        else:
            late = 0
            lost += start - due
            due = start + frames
            real.append((start, due))
        stream.send(number, frames)

    assert stream.timeline.frames == len(stream.sound) == due - first
    assert stream.timeline.lost_frames == lost
    assert stream.timeline.dropped_frames == dropped
    for begin, end in real:
        np.testing.assert_array_equal(
            stream.sound[begin - first : end - first], numbered(begin, end - begin)
        )
