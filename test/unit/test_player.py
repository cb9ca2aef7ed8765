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

"""The player with a simulated device and clock: what is heard, and when."""

from __future__ import annotations

import gc
import threading
import wave
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.simulated_player import (
    BLOCK,
    CHUNK,
    EMPTY,
    FADE,
    LARGEST_STEP,
    MONO,
    RATE,
    START,
    SimulatedPlayer,
    largest_step,
    ones,
    sine,
    sounding,
)

from k2so_tts.audio import AudioFormat, Pcm, Samples, frames_to_ns, to_pcm
from k2so_tts.metrics import PlaybackStats
from k2so_tts.playback import Player, PlayerSettings, play


@pytest.fixture
def bench() -> SimulatedPlayer:
    return SimulatedPlayer(PlayerSettings(device="null"))


# When it starts, ends and stops.


def test_it_starts_with_the_third_chunk(bench: SimulatedPlayer) -> None:
    for number in range(2):
        bench.send(ones(CHUNK), number * CHUNK)
        assert not bench.hear(CHUNK).any()
    assert bench.speaking == []
    bench.send(ones(CHUNK), 2 * CHUNK)
    assert bench.render().all()
    assert bench.speaking == [True]


@pytest.mark.parametrize(("seconds", "starts"), [(0.55, False), (0.6, True), (8, True)])
def test_a_long_message_is_heard_at_once(
    bench: SimulatedPlayer, seconds: float, starts: bool
) -> None:
    bench.send(ones(int(seconds * RATE)))
    assert bench.render().any() == starts


def test_a_short_utterance_starts_and_ends_with_its_marker(bench: SimulatedPlayer) -> None:
    bench.send(ones(1000))
    assert not bench.render().any()
    bench.send(EMPTY, 1000)
    assert len(sounding(bench.hear_all())) == 1000
    assert bench.speaking == [True, False]
    (heard,) = bench.heard
    assert heard.complete
    assert heard.duration_s == 1000 / RATE
    assert heard.stamp_ns == START


def test_a_stop_marker_after_the_end_marker_falls_silent_within_a_fade(
    bench: SimulatedPlayer,
) -> None:
    bench.say(sine(5 * CHUNK))
    before = bench.hear(CHUNK + 300)
    bench.send(EMPTY, 0)
    after = bench.render(1000)
    assert not after[FADE:].any()
    assert largest_step(np.concatenate([before, after])) < LARGEST_STEP
    bench.hear_all()
    (heard,) = bench.heard
    assert not heard.complete
    assert bench.speaking == [True, False]
    assert bench.playheads[-1][0] == START + frames_to_ns(len(before), RATE)


def test_a_stop_marker_leaves_what_was_said_before_alone(bench: SimulatedPlayer) -> None:
    end = bench.say(ones(2 * CHUNK))
    bench.say(ones(2 * CHUNK, 0.25), frame=end)
    bench.send(EMPTY, end)
    assert len(sounding(bench.hear_all())) == 2 * CHUNK
    assert [heard.complete for heard in bench.heard] == [True, False]


def test_an_early_end_marker_cuts_at_its_stamp(bench: SimulatedPlayer) -> None:
    bench.say(ones(4 * CHUNK), end=False)
    bench.send(EMPTY, 3 * CHUNK + 1)
    sound = sounding(bench.hear_all())
    assert (sound == 0.5).sum() == 3 * CHUNK + 1
    assert len(sound) == 3 * CHUNK + 1 + FADE - 1, "the fade ends at zero"


def test_stop_drops_the_rest_of_the_utterance_and_not_the_next(bench: SimulatedPlayer) -> None:
    bench.say(ones(4 * CHUNK), end=False)
    bench.hear(CHUNK)
    assert bench.player.stop() == (3 * CHUNK / RATE, 1)
    assert not bench.render(1000)[FADE:].any()
    assert bench.player.stop() == (0.0, 0)
    end = bench.say(ones(4 * CHUNK), frame=4 * CHUNK)
    assert not bench.hear(4 * CHUNK).any()
    assert [heard.complete for heard in bench.heard] == [False]
    bench.say(ones(500, 0.25), frame=end)
    np.testing.assert_array_equal(sounding(bench.hear_all()), ones(500, 0.25))
    assert [heard.complete for heard in bench.heard] == [False, True]


def test_stop_ends_an_utterance_that_was_received_as_a_whole(bench: SimulatedPlayer) -> None:
    bench.say(ones(4 * CHUNK))
    before = bench.hear(CHUNK)
    bench.player.stop()
    bench.hear_all()
    assert [heard.complete for heard in bench.heard] == [False]
    assert bench.playheads[-1][0] == START + frames_to_ns(len(before), RATE)


def test_stop_tells_how_much_of_how_many_utterances_it_drops(bench: SimulatedPlayer) -> None:
    assert bench.player.stop() == (0.0, 0)
    end = bench.say(ones(2 * CHUNK))
    assert bench.player.stop() == (2 * CHUNK / RATE, 1), "the device has not taken it yet"
    bench.hear_all()
    bench.say(ones(3 * CHUNK), frame=end)
    bench.say(ones(CHUNK), end=False, source="another")
    bench.render()
    dropped = bench.player.stop()
    assert dropped.seconds == pytest.approx((4 * CHUNK - BLOCK) / RATE)
    assert dropped.utterances == 2
    bench.hear_all()
    assert bench.player.stop() == (0.0, 0)


def test_stop_ends_an_utterance_that_did_not_start(bench: SimulatedPlayer) -> None:
    bench.send(ones(CHUNK))
    bench.player.stop()
    assert not bench.hear_all().any()
    bench.send(ones(CHUNK), CHUNK)
    bench.send(EMPTY, 2 * CHUNK)
    assert not bench.hear_all().any()
    (heard,) = bench.heard
    assert not heard.complete
    assert heard.began_at is None
    assert not bench.playheads
    assert not bench.speaking


def test_stop_ends_a_paused_utterance(bench: SimulatedPlayer) -> None:
    bench.say(ones(4 * CHUNK))
    bench.hear(CHUNK)
    bench.player.paused = True
    bench.hear(CHUNK)
    bench.player.stop()
    assert not bench.hear_all().any()
    assert [heard.complete for heard in bench.heard] == [False]


def test_tracks_and_sources_are_compared_by_identity(bench: SimulatedPlayer) -> None:
    """By value, each look-up in a list of them would compare all samples that they hold."""
    for number in range(2):
        bench.say(ones(CHUNK), source=number)
    bench.render(1)
    one, other = bench.player.active
    assert one != other
    assert one.source != other.source
    assert len({one, other, one.source, other.source}) == 4


def test_nothing_is_kept_of_an_utterance_that_was_heard(bench: SimulatedPlayer) -> None:
    bench.say(ones(3 * CHUNK))
    bench.render()
    track = weakref.ref(bench.player.active[0])
    bench.hear_all()
    gc.collect()
    assert track() is None


# Pause, mute, volume.


def test_a_pause_keeps_what_is_buffered(bench: SimulatedPlayer) -> None:
    bench.say(sine(20 * 240))
    before = bench.hear(1000)
    bench.player.paused = True
    bench.player._reporter.wake()
    during = bench.hear(3000)
    assert not during[FADE:].any()
    assert bench.speaking == [True, False]
    position = START + frames_to_ns(len(before), RATE)
    assert bench.playheads[-1][0] == position, "the playhead must not move"
    bench.player.paused = False
    after = bench.hear_all()
    heard = np.concatenate([before, during, after])
    assert largest_step(heard) < LARGEST_STEP
    np.testing.assert_array_equal(before, sine(len(before)))
    rest = sine(20 * 240 - len(before), start=len(before))
    np.testing.assert_array_equal(after[FADE : FADE + len(rest)], rest)
    assert bench.speaking == [True, False, True, False]
    assert bench.heard[0].underruns == 0


def test_what_arrives_during_a_pause_is_reported_at_its_start(bench: SimulatedPlayer) -> None:
    bench.player.paused = True
    bench.say(ones(3 * CHUNK))
    bench.hear(CHUNK)
    assert {stamp for stamp, *_ in bench.playheads} == {START}


def test_mute_keeps_the_timeline(bench: SimulatedPlayer) -> None:
    bench.say(ones(20 * CHUNK))
    bench.hear(CHUNK)
    bench.player.muted = True
    assert not bench.hear(4 * CHUNK)[960:].any()
    assert bench.speaking == [True, False]
    heard_at = bench.now
    bench.player.muted = False
    assert bench.hear(4 * CHUNK)[960:].all()
    bench.hear_all()
    assert bench.speaking == [True, False, True, False]
    assert bench.playheads[-1][0] == START + frames_to_ns(20 * CHUNK, RATE)
    for stamp, at in bench.playheads[1:-1]:
        assert (stamp - START) / 1e9 == pytest.approx(at - 1000.0, abs=1 / RATE)
    assert heard_at < bench.playheads[-1][1]


def test_volume_moves_within_20_ms(bench: SimulatedPlayer) -> None:
    bench.say(ones(10 * CHUNK, 1.0))
    assert (bench.hear(CHUNK) == 1.0).all()
    bench.player.volume = 0.0
    falling = bench.hear(1024)
    np.testing.assert_allclose(falling[:960, 0], 1 - np.arange(1, 961) / 960, atol=1e-6)
    assert not falling[960:].any()
    bench.player.volume = 0.5
    rising = bench.hear(1024)
    np.testing.assert_allclose(rising[:480, 0], np.arange(1, 481) / 960, atol=1e-6)
    assert (rising[480:] == 0.5).all()


def test_a_volume_above_one_is_limited_and_leaves_what_is_soft_alone(
    bench: SimulatedPlayer,
) -> None:
    bench.player.volume = 2.0
    bench.say(ones(3 * CHUNK, 0.25))
    assert np.array_equal(sounding(bench.hear_all()), ones(3 * CHUNK, 0.5))
    bench.say(ones(3 * CHUNK, 1.0), start_ns=2 * START)
    heard = sounding(bench.hear_all())
    assert 0.8 < heard.min() == heard.max() < 1.0


def test_the_volume_of_the_next_utterance_is_there_from_its_first_frame(
    bench: SimulatedPlayer,
) -> None:
    bench.render()
    bench.player.volume = 0.5
    bench.render()
    bench.say(ones(1000, 1.0))
    np.testing.assert_array_equal(sounding(bench.hear_all()), ones(1000, 0.5))


def test_a_volume_set_in_silence_applies_from_the_first_frame(bench: SimulatedPlayer) -> None:
    bench.say(ones(3 * CHUNK))
    bench.hear_all()
    bench.player.volume = 0.5
    bench.say(ones(3 * CHUNK), start_ns=2 * START)
    assert np.array_equal(sounding(bench.hear_all()), ones(3 * CHUNK, 0.25))


# Several sources.


def test_sources_are_heard_in_turn_each_to_its_end(bench: SimulatedPlayer) -> None:
    bench.say(ones(3 * CHUNK, 0.25), end=False, source="a")
    bench.render()
    bench.say(ones(3 * CHUNK, 0.5), source="b")
    bench.hear(CHUNK)
    bench.say(ones(3 * CHUNK, 0.25), frame=3 * CHUNK, source="a")
    sound = sounding(bench.hear_all())
    assert (sound[: 6 * CHUNK - BLOCK - CHUNK] == 0.25).all()
    np.testing.assert_array_equal(sound[-3 * CHUNK :], ones(3 * CHUNK, 0.5))
    assert len(bench.heard) == 2


def test_sources_are_mixed_and_clipped_once() -> None:
    bench = SimulatedPlayer(PlayerSettings(device="null", mix=True))
    bench.say(ones(3 * CHUNK, 0.25), source="a")
    bench.say(ones(2 * CHUNK, 0.5), source="b")
    bench.say(ones(CHUNK, 0.75), source="c")
    sound = bench.hear_all()
    assert (sound[:CHUNK] == 1.0).all()
    assert (sound[CHUNK : 2 * CHUNK] == 0.75).all()
    assert (sound[2 * CHUNK : 3 * CHUNK] == 0.25).all()
    assert bench.speaking == [True, False]
    assert len(bench.heard) == 3


def test_sources_are_mixed_and_utterances_of_one_source_are_not() -> None:
    bench = SimulatedPlayer(PlayerSettings(device="null", mix=True))
    bench.say(ones(3 * CHUNK, 0.25), source="a")
    bench.say(ones(3 * CHUNK, 0.125), source="a", start_ns=2 * START)
    bench.say(ones(6 * CHUNK, 0.5), source="b")
    sound = bench.hear_all()
    assert (sound[: 3 * CHUNK] == 0.75).all()
    assert (sound[3 * CHUNK : 6 * CHUNK] == 0.625).all()
    assert not sound[6 * CHUNK :].any()


def test_a_source_that_was_forgotten_does_not_block_the_others(bench: SimulatedPlayer) -> None:
    for number in range(80):
        bench.send(ones(10), source=number)
    bench.now += 10.0
    bench.hear_all()
    assert bench.player.counters.utterances == 80


def test_a_source_that_died_does_not_block_the_others(bench: SimulatedPlayer) -> None:
    bench.send(EMPTY, source="dead")
    bench.say(ones(3 * CHUNK, 0.25), end=False, source="dead")
    bench.render()
    bench.say(ones(CHUNK), source="alive")
    assert not (bench.hear(9 * CHUNK) == 0.5).any()
    bench.now += 5.0
    assert (bench.hear_all() == 0.5).sum() == CHUNK


def test_a_source_that_is_still_buffering_never_blocks_others(bench: SimulatedPlayer) -> None:
    bench.say(ones(2 * CHUNK, 0.25), end=False, source="slow")
    bench.say(ones(6 * CHUNK), source="quick")
    heard = [bench.hear(2 * CHUNK)]
    bench.say(ones(CHUNK, 0.25), frame=2 * CHUNK, source="slow")
    heard.append(bench.hear_all())
    np.testing.assert_array_equal(
        sounding(np.concatenate(heard)),
        np.concatenate([ones(6 * CHUNK), ones(3 * CHUNK, 0.25)]),
    )


def test_a_pause_does_not_change_whose_turn_it_is(bench: SimulatedPlayer) -> None:
    bench.player.paused = True
    bench.say(ones(3 * CHUNK, 0.25), end=False, source="first")
    bench.render()
    bench.say(ones(CHUNK), source="second")
    bench.render()
    bench.player.paused = False
    assert (bench.hear(CHUNK) == 0.25).any()


def test_a_restarted_source_is_heard_after_what_was_sent_before_the_restart(
    bench: SimulatedPlayer,
) -> None:
    bench.say(ones(3 * CHUNK, 0.25), source="before")
    bench.say(ones(2 * CHUNK, 0.25), end=False, source="before", frame=20 * CHUNK)
    bench.player.supersede("before")
    bench.player.supersede("unknown")
    bench.say(ones(CHUNK), source="anew")
    sound = bench.hear(16 * CHUNK)
    assert np.flatnonzero(sound == 0.25)[-1] < np.flatnonzero(sound == 0.5)[0]
    assert (sound == 0.25).sum() == 5 * CHUNK
    assert (sound == 0.5).sum() == CHUNK
    assert bench.player.idle


def test_a_superseded_source_that_sends_more_is_heard_to_its_end(bench: SimulatedPlayer) -> None:
    bench.say(ones(3 * CHUNK, 0.25), end=False, source="before")
    bench.player.supersede("before")
    bench.say(ones(CHUNK, 0.25), end=False, source="before", frame=3 * CHUNK)
    bench.say(ones(CHUNK), source="other")
    sound = bench.hear(4 * CHUNK + RATE)
    assert (sound == 0.25).sum() == 4 * CHUNK
    assert not (sound == 0.5).any()


def test_what_the_resampler_held_of_a_source_that_died_is_not_heard_seconds_later(
    bench: SimulatedPlayer,
) -> None:
    """The last few frames wait in the resampler; seconds later they are lost, and counted."""
    bench.say(sine(3 * CHUNK, rate=22_050), end=False, rate=22_050)
    heard = bench.hear(9 * CHUNK)
    assert heard.any()
    bench.now += 5.0
    assert not bench.hear_all().any()
    missing = bench.player.counters.lost_frames
    assert 0 < missing < 0.05 * 22_050
    (told,) = bench.heard
    assert told.duration_s == pytest.approx((3 * CHUNK - missing) / 22_050, abs=1e-3)


# The buffer's upper bound, and invalid stamps.


def test_what_overflows_is_refused_and_the_gap_concealed() -> None:
    bench = SimulatedPlayer(PlayerSettings(device="null", max_buffer=1.0))
    accepted = []
    for number in range(20):
        accepted.append(bench.send(ones(CHUNK), number * CHUNK))
        bench.render(1)
    count = accepted.index(False)
    assert (count - 1) * CHUNK <= RATE < count * CHUNK
    assert not any(accepted[count:])
    assert bench.player.counters.overflow_frames == (20 - count) * CHUNK
    bench.hear(CHUNK * (count - 2))
    assert bench.send(ones(CHUNK), 20 * CHUNK)
    bench.send(EMPTY, 21 * CHUNK)
    bench.hear_all()
    (heard,) = bench.heard
    assert heard.lost_frames == (20 - count) * CHUNK
    assert heard.duration_s == pytest.approx(21 * CHUNK / RATE)
    assert bench.playheads[-1][0] == START + frames_to_ns(21 * CHUNK, RATE)


@pytest.mark.parametrize("depth", [3, 6])
def test_a_full_buffer_is_played_however_deep_it_should_be(depth: int) -> None:
    bench = SimulatedPlayer(PlayerSettings(device="null", max_buffer=1.0, prebuffer_chunks=depth))
    for number in range(depth):
        bench.send(ones(RATE), number * RATE)
        bench.render(1)
    assert bench.render().all()
    assert bench.player.buffered_seconds <= 2.0


def test_an_utterance_that_was_refused_completely_leaves_no_trace() -> None:
    bench = SimulatedPlayer(PlayerSettings(device="null", max_buffer=1.0))
    end = 2 * RATE
    for frame in range(0, end, RATE):
        assert bench.send(ones(RATE), frame)
    bench.send(EMPTY, end)
    bench.render()
    assert not bench.send(ones(CHUNK), end)
    bench.send(EMPTY, end + CHUNK)
    bench.hear_all()
    assert bench.send(ones(CHUNK), end + CHUNK)
    bench.send(EMPTY, end + 2 * CHUNK)
    np.testing.assert_array_equal(sounding(bench.hear_all()), ones(CHUNK))
    assert [heard.lost_frames for heard in bench.heard] == [0, 0]


@pytest.mark.parametrize("seconds", [-7200, -31, 31, 7200, 10**8])
def test_a_large_jump_of_the_stamps_begins_another_utterance(
    bench: SimulatedPlayer, seconds: int
) -> None:
    bench.say(ones(2 * CHUNK), end=False)
    bench.say(ones(2 * CHUNK), frame=seconds * RATE)
    assert bench.player.buffered_seconds < 1.0
    bench.hear_all()
    assert bench.player.counters.lost_frames == 0
    assert bench.player.counters.utterances == 2


@pytest.mark.parametrize("seconds", [60, 7200, 10**8])
def test_concealment_up_to_a_distant_end_marker_is_limited(
    bench: SimulatedPlayer, seconds: int
) -> None:
    bench.say(ones(3 * CHUNK), end=False)
    bench.send(EMPTY, seconds * RATE)
    bench.render()
    assert bench.player.buffered_seconds <= 30.0 + 3 * CHUNK / RATE


# Loss, underruns.


@pytest.mark.parametrize("rate", [RATE, 22_050])
def test_a_loss_leaves_everything_else_at_its_place(bench: SimulatedPlayer, rate: int) -> None:
    sound = ones(CHUNK)
    for number in (0, 1, 3, 4, 4):
        bench.send(sound, number * CHUNK, rate=rate)
    bench.send(EMPTY, 6 * CHUNK, rate=rate)
    bench.hear_all()
    (heard,) = bench.heard
    assert heard.lost_frames == 2 * CHUNK
    assert heard.dropped_frames == CHUNK
    assert heard.duration_s == pytest.approx(6 * CHUNK / rate, abs=1 / RATE)
    assert bench.playheads[-1][0] == START + frames_to_ns(6 * CHUNK, rate)
    assert bench.player.counters.lost_frames == 2 * CHUNK


def test_it_buffers_deeper_after_each_underrun_until_an_utterance_has_none(
    bench: SimulatedPlayer,
) -> None:
    def chunks_to_start(frame: int) -> int:
        for count in range(1, 10):
            bench.send(ones(CHUNK), frame)
            frame += CHUNK
            if bench.hear(FADE + BLOCK)[FADE:].any():
                return count
        raise AssertionError("it never starts")

    needed = []
    frame = 0
    for _ in range(3):
        needed.append(chunks_to_start(frame))
        frame += needed[-1] * CHUNK
        bench.hear(needed[-1] * CHUNK)
    assert needed == [3, 4, 5]
    bench.send(EMPTY, frame)
    bench.hear_all()
    assert bench.heard[0].underruns == bench.player.counters.underruns == 3

    for expected in (6, 3):
        count = chunks_to_start(frame)
        frame += count * CHUNK
        bench.send(EMPTY, frame)
        bench.hear_all()
        assert count == expected


def test_an_utterance_with_underruns_is_heard_completely_and_without_a_click(
    bench: SimulatedPlayer,
) -> None:
    sound = sine(240 * 400, rate=22_050)
    for start in range(0, len(sound), CHUNK):
        bench.send(sound[start : start + CHUNK], start, rate=22_050)
        block = bench.hear(3 * CHUNK)
        assert largest_step(block) < LARGEST_STEP
    bench.send(EMPTY, len(sound), rate=22_050)
    bench.hear_all()
    (heard,) = bench.heard
    assert heard.underruns > 0
    assert heard.lost_frames == 0
    assert heard.duration_s == pytest.approx(len(sound) / 22_050, abs=1 / RATE)


# Streams without end markers or exact stamps.


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_stream_without_end_marker_ends_two_chunk_lengths_after_its_last(rate: int) -> None:
    bench = SimulatedPlayer(PlayerSettings(device="null"))
    chunk = rate // 10
    for number, jitter in enumerate((0, 300, 700, 200)):
        assert bench.send(ones(chunk), number * chunk + jitter, rate=rate)
    last = bench.now
    sound = bench.hear(RATE)
    assert bench.speaking == [True, False]
    (heard,) = bench.heard
    assert heard.complete
    assert heard.duration_s == pytest.approx(0.4, abs=1 / RATE)
    whole = sounding(sound)
    assert len(whole) == pytest.approx(0.4 * RATE + FADE, abs=150), "with the resampler's tail"
    assert bench.playheads[-1][1] >= last + 0.4
    assert heard.lost_frames == heard.dropped_frames == 0


def test_a_single_chunk_without_end_marker_is_heard_after_two_chunk_lengths(
    bench: SimulatedPlayer,
) -> None:
    chunk = RATE // 10
    bench.send(ones(chunk))
    assert not bench.hear(2 * chunk - BLOCK).any()
    sound = bench.hear(2 * chunk)
    assert (sound == 0.5).sum() == chunk
    assert len(bench.heard) == 1


def test_another_format_begins_another_utterance_without_a_click(bench: SimulatedPlayer) -> None:
    bench.say(sine(3 * CHUNK), end=False)
    right = np.repeat(sine(240 * 60, rate=44_100), 2, axis=1)
    bench.say(right, rate=44_100, start_ns=START + 10**9)
    sound = bench.hear_all()
    assert [heard.complete for heard in bench.heard] == [True, True]
    assert largest_step(sounding(sound)[: 3 * CHUNK + FADE + 2000]) < LARGEST_STEP


def test_empty_messages_of_a_stream_without_stamps_cut_nothing(bench: SimulatedPlayer) -> None:
    for _ in range(4):
        bench.player.receive("them", 0, MONO, ones(CHUNK))
    bench.player.receive("them", 0, MONO, EMPTY)
    np.testing.assert_array_equal(sounding(bench.hear_all()), ones(4 * CHUNK))


# Where the playhead is.


def test_the_first_and_the_last_frame_are_reported_when_they_are_heard(
    bench: SimulatedPlayer,
) -> None:
    latency = 0.3
    bench.say(ones(CHUNK))
    out = np.zeros((2 * CHUNK, 1), np.float32)
    rendered_at = bench.now
    bench.player._renderer.render(out, rendered_at + latency)
    bench.player._renderer.render(out, rendered_at + latency + 2 * CHUNK / RATE)
    bench.player._reporter.poll()
    assert not bench.playheads
    assert not bench.speaking
    bench.now = rendered_at + latency
    bench.player._reporter.poll()
    assert bench.playheads == [(START, rendered_at + latency)]
    assert bench.speaking == [True]
    bench.now += CHUNK / RATE
    bench.player._reporter.poll()
    stamp, heard_at = bench.playheads[-1]
    assert stamp == START + frames_to_ns(CHUNK, RATE)
    assert heard_at == pytest.approx(rendered_at + latency + CHUNK / RATE, abs=1e-9)
    assert bench.speaking == [True, False]
    assert bench.heard[0].began_at == rendered_at + latency


def test_a_loss_is_reported_with_the_first_playhead_after_it(bench: SimulatedPlayer) -> None:
    for number in (0, 1, 2, 4, 5):
        bench.send(ones(CHUNK), number * CHUNK)
    bench.send(EMPTY, 6 * CHUNK)
    bench.hear_all()
    first_lost = START + frames_to_ns(3 * CHUNK, RATE)
    assert {lost for stamp, lost in bench.losses if stamp <= first_lost} == {0}
    assert {lost for stamp, lost in bench.losses if stamp > first_lost} == {CHUNK}
    bench.losses.clear()
    bench.say(ones(4 * CHUNK), frame=10 * CHUNK)
    bench.hear_all()
    assert {lost for _, lost in bench.losses} == {0}


def test_the_playhead_moves_twenty_times_a_second(bench: SimulatedPlayer) -> None:
    bench.say(ones(RATE))
    bench.hear_all()
    times = [heard_at for _, heard_at in bench.playheads]
    assert 18 <= len(times) <= 22
    for stamp, heard_at in bench.playheads:
        assert (stamp - START) / 1e9 == pytest.approx(heard_at - times[0], abs=1 / RATE)


def test_after_ten_minutes_the_end_is_stamped_to_the_nanosecond(bench: SimulatedPlayer) -> None:
    rate = 22_050
    frames = 600 * rate + 13
    silence = np.zeros((CHUNK, 1), np.float32)
    for start in range(0, frames, CHUNK):
        assert bench.send(silence[: frames - start], start, rate=rate)
        if start >= 3 * CHUNK:
            bench.render(8900)
    bench.send(EMPTY, frames, rate=rate)
    bench.hear_all()
    (heard,) = bench.heard
    assert heard.underruns == 0
    assert bench.playheads[-1][0] == START + frames_to_ns(frames, rate)
    assert heard.duration_s == pytest.approx(frames / rate, abs=1 / RATE)
    stamps = [stamp for stamp, _ in bench.playheads]
    assert stamps == sorted(stamps)


# A change of the device, and failures.


@pytest.mark.parametrize("marked", [False, True], ids=["still coming", "all there"])
@pytest.mark.parametrize("device", [AudioFormat(44_100, 2), AudioFormat(RATE, 2)])
def test_another_device_plays_the_rest(
    bench: SimulatedPlayer, device: AudioFormat, marked: bool
) -> None:
    rate = 22_050
    sound = sine(8 * CHUNK, rate=rate)
    half = 8 * CHUNK if marked else 5 * CHUNK
    bench.say(sound[:half], rate=rate, end=marked)
    bench.hear(2 * CHUNK)
    position = bench.playheads[-1][0]
    bench.change_device(device)
    first = bench.render()
    assert first.shape == (BLOCK, 2)
    assert position <= bench.playheads[-1][0] <= position + 10**8
    if not marked:
        bench.say(sound[half:], frame=half, rate=rate)
    rest = bench.hear_all()
    (heard,) = bench.heard
    assert heard.complete
    assert heard.underruns == 0
    assert heard.duration_s == pytest.approx(8 * CHUNK / rate, abs=0.001)
    assert bench.playheads[-1][0] == START + frames_to_ns(8 * CHUNK, rate)
    if device.rate == RATE:
        assert largest_step(np.concatenate([first, rest[: 4 * CHUNK]])) < LARGEST_STEP
    stamps = [stamp for stamp, _ in bench.playheads]
    assert stamps == sorted(stamps)


def test_a_stop_after_a_change_of_channels_fades_without_a_click(bench: SimulatedPlayer) -> None:
    bench.say(sine(5 * CHUNK))
    bench.hear(CHUNK)
    bench.change_device(AudioFormat(RATE, 2))
    bench.render(10)
    bench.player.stop()
    assert largest_step(bench.hear(CHUNK)) < LARGEST_STEP
    assert [heard.complete for heard in bench.heard] == [False]


def test_a_failure_in_rendering_is_logged_and_ends_the_utterance(
    bench: SimulatedPlayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Samples) -> int:
        raise RuntimeError("it failed")

    bench.say(ones(3 * CHUNK), end=False)
    bench.render()
    track = bench.player.active[0]
    with monkeypatch.context() as patch:
        patch.setattr(track.buffer, "render", fail)
        assert not bench.render().any()
    assert "it failed" in caplog.text
    assert bench.speaking == [True, False]
    assert [heard.complete for heard in bench.heard] == [False]
    end = bench.say(ones(CHUNK), frame=3 * CHUNK)
    bench.say(ones(CHUNK), frame=end)
    np.testing.assert_array_equal(sounding(bench.hear_all()), ones(CHUNK))


# With its threads and a device that keeps time.


class Waiting:
    """A listener whose events can be waited for."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.over = threading.Event()

    def on_playhead(self, stamp_ns: int, heard_at: float, start_ns: int, lost_frames: int) -> None:
        """Not used."""

    def on_speaking(self, speaking: bool) -> None:
        if speaking:
            self.began.set()

    def on_utterance(self, heard: PlaybackStats) -> None:  # noqa: ARG002
        self.over.set()

    def on_level(self, level: float) -> None:
        """Not used."""


def pcm(sound: Samples) -> Pcm:
    return to_pcm(sound[:, 0], 32_767.0)


def recorded(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def own_threads() -> set[threading.Thread]:
    names = {"playhead", "device supervisor", "clocked device"}
    return {thread for thread in threading.enumerate() if thread.name in names}


def test_close_joins_every_thread() -> None:
    before = own_threads()
    listener = Waiting()
    player = Player(PlayerSettings(device="null"), listener)
    player.start()
    started = own_threads() - before
    assert len(started) == 3
    assert {thread.name for thread in started} == {
        "playhead",
        "device supervisor",
        "clocked device",
    }
    for number in range(3):
        player.receive("us", START + frames_to_ns(number * CHUNK, RATE), MONO, ones(CHUNK))
    assert listener.began.wait(10.0)
    player.close()
    assert not any(thread.is_alive() for thread in started)


def test_chunks_of_any_iterator_are_played_bit_exact(tmp_path: Path) -> None:
    sound = pcm(sine(RATE // 2) + np.float32(0.3))
    path = tmp_path / "out.wav"
    cuts = [1, 1, 300, 9000]
    heard = play(np.split(sound, cuts), RATE, PlayerSettings(device=f"wav:{path}"))
    assert heard is not None
    assert heard.complete
    assert heard.underruns == heard.lost_frames == 0
    np.testing.assert_array_equal(recorded(path)[: len(sound)], sound)


def test_an_iterator_may_take_its_time(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    quiet = threading.Event()

    def slowly() -> Iterator[Pcm]:
        yield pcm(ones(480, 0.1))
        quiet.wait(0.2)  # ten chunk lengths
        yield pcm(ones(480, 0.2))

    heard = play(slowly(), RATE, PlayerSettings(device=f"wav:{path}"))
    assert heard is not None
    assert heard.complete
    assert heard.duration_s == pytest.approx(960 / RATE)
    np.testing.assert_array_equal(np.unique(recorded(path)), [0, 3277, 6553])


def test_an_exception_in_on_heard_ends_the_playback_and_is_raised() -> None:
    sent = []

    def chunks() -> Iterator[Pcm]:
        for number in range(600):  # ten minutes
            sent.append(number)
            yield pcm(ones(RATE))

    def fail(position: float) -> None:
        raise LookupError(f"it failed at {position}")

    with pytest.raises(LookupError, match=r"it failed at 0\.0"):
        play(chunks(), RATE, PlayerSettings(device="null"), fail)
    assert len(sent) < 600
    assert not own_threads()


def test_an_exception_in_the_iterator_is_raised_and_closes_the_player() -> None:
    def chunks() -> Iterator[Pcm]:
        yield pcm(ones(RATE))
        raise LookupError("it failed")

    with pytest.raises(LookupError, match="it failed"):
        play(chunks(), RATE, PlayerSettings(device="null"))
    assert not own_threads()


def test_nothing_to_play_is_no_utterance() -> None:
    assert play([], RATE, PlayerSettings(device="null")) is None
    assert play([np.empty(0, np.int16)], RATE, PlayerSettings(device="null")) is None


def test_play_reports_its_position() -> None:
    positions: list[float] = []
    tell: Callable[[float], None] = positions.append
    play([pcm(ones(9600))], RATE, PlayerSettings(device="null"), tell)
    assert positions[0] == 0.0
    assert positions[-1] == pytest.approx(0.2)
    assert positions == sorted(positions)
