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

"""What the player tells those who listen to it and those who call its services."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from audio_common_msgs.msg import AudioStamped
from sensor_msgs.msg import TimeReference
from std_msgs.msg import Float32
from std_srvs.srv import SetBool, Trigger
from support.ros import Observer, publish_hum, running

from k2so_tts.audio import EMPTY_PCM, NANOSECONDS
from k2so_tts.playback.player import Dropped
from k2so_tts.ros.messages import (
    metric_qos,
    playhead_qos,
    speech_qos,
    to_message,
    to_nanoseconds,
    to_playhead,
    track_of,
)
from k2so_tts.ros.player_replies import reply_to_mute, reply_to_pause, reply_to_stop
from k2so_tts.ros.wire_timeline import DEVICE, MUTED, NOWHERE, PlayerTrack

PLAYER = "/audio_player"


@pytest.fixture
def player(observer: Observer, tmp_path: Path) -> Iterator[Observer]:
    """A player into a file, and who watches it."""
    with running("audio_player", device=f"wav:{tmp_path}/played.wav"):
        observer.wait(lambda: observer.speaking)
        yield observer


# Where the sound goes


@pytest.mark.parametrize("sink", [DEVICE, MUTED, NOWHERE])
def test_the_sink_travels_with_the_playhead(sink: str) -> None:
    track = PlayerTrack(5 * NANOSECONDS, 7, sink)
    assert track_of(to_playhead(0, 0, PLAYER, track)) == track


def test_a_player_that_names_no_sink_has_a_device() -> None:
    message = TimeReference()
    message.header.frame_id = "start_ns=5 lost_frames=7"
    assert track_of(message) == PlayerTrack(5, 7, DEVICE)


@pytest.mark.parametrize("sink", ["sink=", "sink=jaw", "sink=muted ", "muted"])
def test_another_sink_is_not_understood(sink: str) -> None:
    message = TimeReference()
    message.header.frame_id = f"start_ns=5 lost_frames=7 {sink}"
    assert track_of(message) is None


class SinkWitness:
    """Plays short sounds on a player, and learns where they went."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._stamps = itertools.count(NANOSECONDS, NANOSECONDS)
        self._playheads: list[TimeReference] = []
        observer.node.create_subscription(
            TimeReference, "playhead", self._playheads.append, playhead_qos()
        )
        self._publisher = observer.node.create_publisher(AudioStamped, "audio", speech_qos())
        observer.wait(lambda: self._publisher.get_subscription_count() >= 2)

    def sinks(self) -> set[str]:
        """Of all playheads of a sound that is played now, to its end."""
        stamp_ns = next(self._stamps)
        end_ns = publish_hum(self._publisher, stamp_ns, "hum")

        def heads() -> dict[int, str]:
            tracks = [(track_of(head), to_nanoseconds(head.time_ref)) for head in self._playheads]
            return {
                head_ns: track.sink
                for track, head_ns in tracks
                if track is not None and track.start_ns == stamp_ns
            }

        self._observer.wait(lambda: end_ns in heads())
        return set(heads().values())


def test_the_playhead_tells_whether_the_sound_can_be_heard(player: Observer) -> None:
    witness = SinkWitness(player)
    assert witness.sinks() == {DEVICE}
    player.call(SetBool, f"{PLAYER}/mute", data=True)
    assert witness.sinks() == {MUTED}
    player.call(SetBool, f"{PLAYER}/mute", data=False)
    assert witness.sinks() == {DEVICE}
    assert player.set_parameter(PLAYER, "volume", 0.0).successful
    assert witness.sinks() == {MUTED}
    assert player.set_parameter(PLAYER, "device", "null").successful
    player.wait(lambda: player.status(PLAYER).get("device") == "null")
    assert witness.sinks() == {NOWHERE}


def test_a_player_whose_device_is_lost_says_that_nothing_is_heard(player: Observer) -> None:
    witness = SinkWitness(player)
    assert witness.sinks() == {DEVICE}
    assert player.set_parameter(PLAYER, "device", "wav:/nowhere/played.wav").successful
    player.wait(lambda: "no sound" in player.status(PLAYER).get("message", ""))
    assert witness.sinks() == {NOWHERE}


# The mouth


def test_the_mouth_is_open_while_there_is_sound_and_then_shut(player: Observer) -> None:
    moves: list[float] = []
    player.node.create_subscription(
        Float32, "mouth", lambda message: moves.append(message.data), metric_qos()
    )
    publisher = player.node.create_publisher(AudioStamped, "audio", speech_qos())
    player.wait(lambda: publisher.get_subscription_count() >= 2)
    player.wait(lambda: player.node.count_publishers("mouth"))
    for stamp_ns in itertools.count(NANOSECONDS, 2 * NANOSECONDS):
        moves.clear()
        publisher.publish(to_message(stamp_ns, np.full(8000, 3277, np.int16), 8000, "tone"))
        publisher.publish(to_message(stamp_ns + NANOSECONDS, EMPTY_PCM, 8000, "tone"))
        player.wait(lambda: player.speaking[-1][1])
        player.wait(lambda: not player.speaking[-1][1])
        if moves:  # the player knows of the subscription
            break
    player.wait(lambda: moves[-1] == 0.0)
    assert not any(before == after == 0.0 for before, after in itertools.pairwise(moves))
    assert np.median(moves) == pytest.approx(30 / 38, abs=0.02)
    assert len(moves) > 10


# What the services answer


def test_stop_answers_with_how_much_of_how_many_utterances_it_dropped() -> None:
    assert reply_to_stop(Dropped(0.0, 0)) == "nothing was being played"
    assert reply_to_stop(Dropped(0.04, 1)) == "dropped 0.0 s of 1 utterance"
    assert reply_to_stop(Dropped(2.345, 2)) == "dropped 2.3 s of 2 utterances"


@pytest.mark.parametrize(
    ("was_muted", "muted", "sink", "reply"),
    [
        (False, True, MUTED, "muted"),
        (True, True, MUTED, "was muted already"),
        (False, True, NOWHERE, "muted"),
        (True, False, DEVICE, "sound is on again"),
        (True, False, MUTED, "not muted any more, but the volume is 0"),
        (True, False, NOWHERE, "not muted any more, but there is no sound device"),
        (False, False, DEVICE, "was not muted"),
    ],
)
def test_mute_answers_with_what_it_did(was_muted: bool, muted: bool, sink: str, reply: str) -> None:
    assert reply_to_mute(was_muted, muted, sink) == reply


@pytest.mark.parametrize(
    ("was_paused", "paused", "buffered_seconds", "reply"),
    [
        (False, True, 1.23, "paused with 1.2 s buffered"),
        (False, True, 0.0, "paused with nothing buffered"),
        (True, True, 1.23, "was paused already"),
        (True, False, 1.23, "goes on with 1.2 s buffered"),
        (True, False, 0.0, "goes on with nothing buffered"),
        (False, False, 1.23, "was not paused"),
    ],
)
def test_pause_answers_with_what_it_did(
    was_paused: bool, paused: bool, buffered_seconds: float, reply: str
) -> None:
    assert reply_to_pause(was_paused, paused, buffered_seconds) == reply


def test_the_services_answer_with_what_they_did(player: Observer) -> None:
    def mute(data: bool) -> str:
        return str(player.call(SetBool, f"{PLAYER}/mute", data=data).message)

    def pause(data: bool) -> str:
        return str(player.call(SetBool, f"{PLAYER}/pause", data=data).message)

    def stop() -> str:
        return str(player.call(Trigger, f"{PLAYER}/stop").message)

    assert stop() == "nothing was being played"
    assert [mute(data) for data in (False, True, True, False)] == [
        "was not muted",
        "muted",
        "was muted already",
        "sound is on again",
    ]
    assert player.set_parameter(PLAYER, "volume", 0.0).successful
    assert [mute(data) for data in (True, False)] == [
        "muted",
        "not muted any more, but the volume is 0",
    ]
    assert [pause(data) for data in (False, True, True)] == [
        "was not paused",
        "paused with nothing buffered",
        "was paused already",
    ]
    publisher = player.node.create_publisher(AudioStamped, "audio", speech_qos())
    player.wait(lambda: publisher.get_subscription_count() >= 2)
    for name in ("one", "two"):
        publisher.publish(to_message(NANOSECONDS, np.ones(80_000, np.int16), 8000, name))
        publisher.publish(to_message(11 * NANOSECONDS, EMPTY_PCM, 8000, name))
    player.wait(lambda: float(player.status(PLAYER).get("buffered_ms", 0)) == 20_000)
    assert pause(False) == "goes on with 20.0 s buffered"
    assert pause(True).startswith("paused with ")
    assert stop().endswith(" s of 2 utterances")
    player.wait(lambda: player.status(PLAYER).get("utterances") == "2")
    assert stop() == "nothing was being played"
