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

"""Anybody's streams, as they come out of the loudspeaker: judged to the frame by a recording."""

from __future__ import annotations

import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from audio_common_msgs.msg import AudioStamped
from std_srvs.srv import SetBool, Trigger
from support.compare import align
from support.recording import retake
from support.ros import SUCCEEDED, Observer, running
from support.sound import STEADY, SoundServer

from k2so_tts.audio import EMPTY_PCM, Pcm, frames_to_ns
from k2so_tts.ros.messages import SAMPLE_FIELDS, speech_qos, to_message, to_time

Mono = npt.NDArray[np.float32]

pytestmark = retake

RATE = 48_000
CHUNK = 4096
FADE = int(0.005 * RATE)
CLICK = 0.01
"""A step between two frames that can be heard: -40 dB of full scale."""
START_NS = 1_800_000_000 * 10**9


def smooth_noise(frames: int, seed: int = 0) -> Mono:
    """Never the same twice, and without a step: what has one was not played as it is."""
    window = np.hanning(800)
    noise = np.random.default_rng(seed).standard_normal(frames + len(window) - 1)
    smooth = np.convolve(noise, window, "valid")
    edge = np.minimum(1.0, np.minimum(np.arange(frames), np.arange(frames)[::-1]) / 2000)
    loud: Mono = (0.2 * edge * smooth / np.abs(smooth).max()).astype(np.float32)
    return loud


def as_pcm(sound: Mono) -> Pcm:
    pcm: Pcm = np.rint(sound * 32768.0).astype(np.int16)
    return pcm


def as_sound(pcm: Pcm) -> Mono:
    sound: Mono = pcm.astype(np.float32) / np.float32(32768.0)
    return sound


@pytest.fixture
def player(observer: Observer, sound_env: dict[str, str]) -> Iterator[Observer]:
    """A player on the virtual loudspeaker, and who watches it."""
    with playing(observer, sound_env):
        yield observer


@contextmanager
def playing(observer: Observer, env: dict[str, str], **parameters: Any) -> Iterator[None]:
    with running("audio_player", env, **STEADY, **parameters):
        observer.wait(lambda: observer.speaking)
        yield


class Sender:
    """Publishes chunks as a node of its own would."""

    def __init__(self, observer: Observer, name: str = "sender") -> None:
        self._name = name
        self._publisher = observer.node.create_publisher(AudioStamped, "audio", speech_qos())
        observer.wait(lambda: self._publisher.get_subscription_count() >= 2)

    def send(self, pcm: Pcm, numbers: Sequence[int], start_ns: int = START_NS) -> None:
        """The chunks of a sound that have these numbers, stamped as they should be."""
        for number in numbers:
            first = number * CHUNK
            stamp_ns = start_ns + frames_to_ns(first, RATE)
            self._publish(stamp_ns, pcm[first : first + CHUNK])

    def end(self, pcm: Pcm, start_ns: int = START_NS) -> None:
        self._publish(start_ns + frames_to_ns(len(pcm), RATE), EMPTY_PCM)

    def publish(self, message: AudioStamped) -> None:
        self._publisher.publish(message)

    def _publish(self, stamp_ns: int, pcm: Pcm) -> None:
        self._publisher.publish(to_message(stamp_ns, pcm, RATE, self._name))


def record(
    observer: Observer, server: SoundServer, send: Callable[[], None], utterances: int = 1
) -> Mono:
    """What is heard of what is sent, up to the end of so many utterances."""
    with server.record() as recording:
        recording.lost_frames()
        send()
        observer.wait(lambda: counted(observer, "utterances") == utterances)
        recording.wait_for_frames(recording.frames + RATE, 10)
        heard: Mono = recording.whole()[:, 0]
    return heard


def counted(observer: Observer, name: str) -> int:
    return int(observer.status("/audio_player").get(name, -1))


def find(heard: Mono, sound: Mono) -> int:
    """Where a smooth sound, which resembles itself a few frames later, begins in a recording."""
    near = align(heard, sound).offset
    places = range(max(0, near - 500), near + 500)
    return min(places, key=lambda at: np.square(heard[at : at + len(sound)] - sound).sum())


def place(heard: Mono, sound: Mono) -> int:
    """Where a sound begins that is in a recording bit by bit."""
    offset = find(heard, sound)
    assert np.array_equal(heard[offset : offset + len(sound)], sound)
    return offset


def check_pause(gap: Mono) -> None:
    """A short fade, silence, a short fade."""
    assert not gap[FADE:-FADE].any()
    assert gap[:FADE].any()
    assert gap[-FADE:].any()


def check_no_click(heard: Mono) -> None:
    assert np.abs(np.diff(heard)).max() < CLICK


def test_a_lost_chunk_becomes_silence_of_its_length(
    player: Observer, sound_server: SoundServer
) -> None:
    pcm = as_pcm(smooth_noise(12 * CHUNK))
    sound, sender = as_sound(pcm), Sender(player)

    def send() -> None:
        sender.send(pcm, [0, 1, 2, 3, 6, 7, 8, 9, 10, 11])
        sender.end(pcm)

    heard = record(player, sound_server, send)
    begin = place(heard, sound[: 4 * CHUNK])
    again = place(heard, sound[6 * CHUNK :])
    assert again - begin == 6 * CHUNK
    check_pause(heard[begin + 4 * CHUNK : again])
    check_no_click(heard)
    assert counted(player, "lost_frames") == 2 * CHUNK
    assert counted(player, "underruns") == 0


def test_what_comes_twice_or_too_late_is_heard_once(
    player: Observer, sound_server: SoundServer
) -> None:
    pcm = as_pcm(smooth_noise(10 * CHUNK))
    sender = Sender(player)

    def send() -> None:
        sender.send(pcm, [0, 1, 1, 2, 3, 4, 2, 5, 6, 6, 7, 8, 9])
        sender.end(pcm)

    place(record(player, sound_server, send), as_sound(pcm))
    assert counted(player, "dropped_frames") == 3 * CHUNK
    assert counted(player, "lost_frames") == 0


def test_running_dry_is_a_pause_and_nothing_is_lost(
    player: Observer, sound_server: SoundServer
) -> None:
    pcm = as_pcm(smooth_noise(12 * CHUNK))
    sound, sender = as_sound(pcm), Sender(player)
    sender.end(pcm, START_NS - 10**9)  # tells that it sends markers

    def send() -> None:
        sender.send(pcm, range(4))
        player.wait(lambda: counted(player, "underruns") == 1)
        sender.send(pcm, range(4, 7))
        assert counted(player, "utterances") == 0
        sender.send(pcm, range(7, 12))
        sender.end(pcm)

    heard = record(player, sound_server, send)
    begin = place(heard, sound[: 4 * CHUNK])
    again = place(heard, sound[4 * CHUNK :])
    check_pause(heard[begin + 4 * CHUNK : again])
    check_no_click(heard)
    assert counted(player, "underruns") == 1


def test_a_pause_keeps_what_is_buffered(player: Observer, sound_server: SoundServer) -> None:
    pcm = as_pcm(smooth_noise(20 * CHUNK))
    sound, sender = as_sound(pcm), Sender(player)

    def stands_still() -> bool:
        last = [head for _, head, _ in player.playheads[-10:]]
        return len(last) == 10 and len(set(last)) == 1

    def send() -> None:
        sender.send(pcm, range(20))
        sender.end(pcm)
        player.wait(lambda: player.speaking[-1][1])
        player.call(SetBool, "/audio_player/pause", data=True)
        player.wait(stands_still)
        player.call(SetBool, "/audio_player/pause", data=False)

    heard = record(player, sound_server, send)
    begin = place(heard, sound[:CHUNK])
    at = int(np.flatnonzero(heard[begin : begin + len(sound)] != sound)[0])
    again = place(heard, sound[at:])
    assert again > begin + at + 2 * FADE
    check_pause(heard[begin + at : again])
    check_no_click(heard)


def test_stop_throws_away_what_is_buffered_without_a_click(
    player: Observer, sound_server: SoundServer
) -> None:
    pcm = as_pcm(smooth_noise(40 * CHUNK))
    sound, sender = as_sound(pcm), Sender(player)

    def send() -> None:
        sender.send(pcm, range(40))
        sender.end(pcm)
        player.wait(lambda: player.speaking[-1][1])
        player.call(Trigger, "/audio_player/stop")

    heard = record(player, sound_server, send)
    length = int(np.flatnonzero(heard)[-1]) + 1 - place(heard, sound[: 2 * CHUNK]) - FADE
    assert 2 * CHUNK < length < len(sound) // 2
    place(heard, sound[:length])
    check_no_click(heard)


def test_volume_and_mute_move_without_a_click(player: Observer, sound_server: SoundServer) -> None:
    pcm = as_pcm(smooth_noise(30 * CHUNK))
    sound, sender = as_sound(pcm), Sender(player)
    half = sound[-4 * CHUNK :] * np.float32(0.5)

    def send() -> None:
        sender.send(pcm, range(30))
        sender.end(pcm)
        player.wait(lambda: player.speaking[-1][1])
        assert player.set_parameter("/audio_player", "volume", 0.5).successful
        player.call(SetBool, "/audio_player/mute", data=True)
        player.wait(lambda: not player.speaking[-1][1])
        player.call(SetBool, "/audio_player/mute", data=False)

    heard = record(player, sound_server, send)
    place(heard, half)
    check_no_click(heard)
    assert counted(player, "lost_frames") == 0


@pytest.mark.parametrize("publishers", ["in_turn", "mix"])
def test_two_publishers_at_once(
    observer: Observer, sound_server: SoundServer, sound_env: dict[str, str], publishers: str
) -> None:
    first, second = (as_pcm(smooth_noise(12 * CHUNK, seed)) for seed in (1, 2))
    with playing(observer, sound_env, publishers=publishers):
        senders = Sender(observer, "one"), Sender(observer, "two")

        def send() -> None:
            for number in range(12):
                senders[0].send(first, [number])
                senders[1].send(second, [number])
            senders[0].end(first)
            senders[1].end(second)

        heard = record(observer, sound_server, send, utterances=2)
    if publishers == "in_turn":
        begin = place(heard, as_sound(first))
        assert place(heard, as_sound(second)) == begin + len(first)
    else:
        residue = heard[find(heard, as_sound(first)) :][: len(first)] - as_sound(first)
        assert np.corrcoef(residue, as_sound(second))[0, 1] > 0.99


def test_a_publisher_that_stalls_before_it_is_heard_holds_up_no_goal(player: Observer) -> None:
    stalled = Sender(player)
    with running("speak_server"):
        player.wait_for_nodes()
        stalled.end(EMPTY_PCM, START_NS - 1)  # it tells its ends: more of it is waited for
        stalled.send(as_pcm(smooth_noise(2 * CHUNK)), [0, 1])
        player.wait(lambda: float(player.status("/audio_player").get("buffered_ms", 0)) > 100)
        goal = player.say("This is heard now.")
        assert (goal.status, goal.text) == (SUCCEEDED, "This is heard now.")


def test_every_format_rate_and_number_of_channels_is_heard_one_after_the_other(
    player: Observer, sound_server: SoundServer
) -> None:
    sender = Sender(player)
    cases = [
        (1, "f", 1.0, 0, 44_100, 2),
        (2, "i", 2.0**31, 0, 192_000, 1),
        (8, "h", 2.0**15, 0, 8_000, 3),
        (16, "b", 2.0**7, 0, 16_000, 1),
        (32, "B", 2.0**7, 128, 22_050, 8),
        (8, "h", 2.0**15, 0, 11_025, 1),
    ]
    sounds, expected = [], []
    for number, (_, code, scale, zero, rate, channels) in enumerate(cases):
        sound = smooth_noise(rate, number)
        values = np.rint(sound * (1 if code == "f" else scale)) + zero if code != "f" else sound
        sounds.append(np.repeat(values.astype(np.dtype(code)), channels))
        played = ((values - zero) / scale).astype(np.float32)
        expected.append(soxr.resample(played, rate, RATE, quality="HQ"))

    def send() -> None:
        start_ns = START_NS
        for (code, _, _, _, rate, channels), values in zip(cases, sounds, strict=True):
            for first in range(0, rate, rate // 5):
                piece = values[first * channels : (first + rate // 5) * channels]
                stamp_ns = start_ns + frames_to_ns(first, rate)
                sender.publish(stamped(code, piece, stamp_ns, rate, channels))
            sender.publish(stamped(code, values[:0], start_ns + 10**9, rate, channels))
            start_ns += 2 * 10**9

    heard = record(player, sound_server, send, utterances=len(cases))
    end = 0
    for sound in expected:
        begin = find(heard, sound)
        noise = heard[begin : begin + len(sound)] - sound
        assert 10 * np.log10(np.square(sound).sum() / np.square(noise).sum()) > 50
        assert begin >= end
        end = begin + len(sound)
    check_no_click(heard)
    assert counted(player, "refused_messages") == 0


def stamped(
    code: int, values: npt.NDArray[Any], stamp_ns: int, rate: int, channels: int
) -> AudioStamped:
    fields = dict(zip((1, 2, 8, 16, 32), SAMPLE_FIELDS, strict=True))
    message = AudioStamped()
    message.header.stamp = to_time(stamp_ns)
    message.header.frame_id = "formats"
    info = message.audio.info
    info.format, info.rate, info.channels = code, rate, channels
    info.chunk = len(values) // channels
    data = array.array(values.dtype.char, values.tobytes())
    setattr(message.audio.audio_data, fields[code], data)
    return message
