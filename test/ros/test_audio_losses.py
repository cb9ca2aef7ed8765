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

"""Audio that is lost between `speak_server` and `audio_player`: none is, and a loss is reported."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from audio_common_msgs.msg import AudioStamped
from support.hearing import whole
from support.ros import (
    ABORTED,
    CANCELED,
    STOP_SECONDS,
    SUCCEEDED,
    TIMEOUT,
    Observer,
    running,
    start,
)

from k2so_tts.audio import frames_to_ns
from k2so_tts.ros.messages import (
    AUDIO_DEPTH,
    MOST_UNHEARD_CHUNKS,
    speech_qos,
    to_nanoseconds,
    to_playhead,
    track_of,
)
from k2so_tts.ros.wire_timeline import PlayerTrack

RATE = 22_050
TEXT = " ".join(f"Number {n} is spoken." for n in range(6))


FOREIGN_PLAYER = """
import sys, time, rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from audio_common_msgs.msg import AudioStamped
rclpy.init()
node = rclpy.create_node("foreign")
frames, free_at = 0, 0.0

def play(message):
    global frames, free_at
    info = message.audio.info
    frames += info.chunk
    free_at = max(free_at, time.monotonic()) + info.chunk / info.rate
    time.sleep(max(0.0, free_at - time.monotonic() - 0.02))
    print(frames, flush=True)

qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
node.create_subscription(AudioStamped, "audio", play, qos)
while not node.count_publishers("audio"):
    rclpy.spin_once(node, timeout_sec=0.1)
print("ready", flush=True)
rclpy.spin(node)
"""
"""How audio_common's player subscribes and plays: its device takes sound while it blocks, and it
says nothing of what is heard.
"""


def recorded_frames(observer: Observer) -> int:
    """How many frames of one utterance were published; their stamps must be contiguous."""
    messages = [message for _, message in observer.audio if message.audio.info.chunk]
    start_ns = to_nanoseconds(messages[0].header.stamp)
    frames = 0
    for message in messages:
        assert to_nanoseconds(message.header.stamp) == start_ns + frames_to_ns(frames, RATE)
        frames += message.audio.info.chunk
    return frames


@pytest.mark.parametrize(("chunk_frames", "max_lead"), [(256, 2.0), (256, 30.0), (1024, 30.0)])
def test_no_chunk_is_lost_while_a_player_stands_still(
    observer: Observer, chunk_frames: int, max_lead: float
) -> None:
    player = start("audio_player", device="null")
    server = running("speak_server", chunk_frames=chunk_frames, max_lead=max_lead)
    try:
        with server:
            observer.wait_for_nodes()
            player.send_signal(signal.SIGSTOP)
            goal = observer.send(TEXT)
            enough = min(MOST_UNHEARD_CHUNKS, int(0.9 * max_lead * RATE / chunk_frames), 100)
            observer.wait(lambda: len(observer.audio) >= enough)
            player.send_signal(signal.SIGCONT)
            observer.wait_for_end(goal)
            assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
            ended = to_nanoseconds(observer.audio[-1][1].header.stamp)
            began = to_nanoseconds(observer.audio[0][1].header.stamp)
            assert ended == began + frames_to_ns(recorded_frames(observer), RATE)
            observer.wait(lambda: observer.status("/audio_player").get("utterances") == "1")
            assert observer.status("/audio_player")["lost_frames"] == "0"
    finally:
        player.send_signal(signal.SIGCONT)
        player.send_signal(signal.SIGINT)
        assert player.wait(STOP_SECONDS) == 0


@contextlib.contextmanager
def player_behind_a_relay(observer: Observer, lost: range) -> Iterator[None]:
    """A player that hears `audio` through a relay, which loses these messages of a stream."""
    publisher = observer.node.create_publisher(AudioStamped, "relayed", speech_qos())
    relayed = 0

    def relay(message: AudioStamped) -> None:
        nonlocal relayed
        if relayed not in lost:
            publisher.publish(message)
        relayed += 1

    relaying = observer.node.create_subscription(AudioStamped, "audio", relay, speech_qos())
    command = ["audio_player", "--ros-args", "-r", "audio:=relayed", "-p", "device:=null"]
    player = subprocess.Popen(command)
    try:
        observer.wait(publisher.get_subscription_count)
        yield
    finally:
        player.send_signal(signal.SIGINT)
        assert player.wait(STOP_SECONDS) == 0
        observer.node.destroy_subscription(relaying)
        observer.node.destroy_publisher(publisher)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_goal_does_not_say_that_lost_words_were_heard(
    observer: Observer, *, cancelled: bool
) -> None:
    lost = range(20, 23)
    with player_behind_a_relay(observer, lost), running("speak_server"):
        observer.wait_for_nodes()
        goal = observer.send(TEXT)
        if cancelled:
            observer.wait(lambda: len(goal.feedback) > lost.stop + 4)
            observer.cancel(goal)
        observer.wait_for_end(goal)
        seconds_before = to_nanoseconds(
            observer.audio[lost.start][1].header.stamp
        ) - to_nanoseconds(observer.audio[0][1].header.stamp)
        assert goal.status == (CANCELED if cancelled else ABORTED)
        assert TEXT.startswith(goal.text)
        words = len(goal.text.split())
        share = len(TEXT.split()) * seconds_before / frames_to_ns(len(whole(TEXT)), RATE)
        assert share - 4 < words <= share + 2
        if not cancelled:
            observer.wait(lambda: "were lost on the way to the player" in str(observer.log))
        assert "player" not in observer.status("/speak_server")["message"]


def test_a_player_that_missed_the_beginning_aborts_the_goal(observer: Observer) -> None:
    with player_behind_a_relay(observer, range(2)), running("speak_server"):
        observer.wait_for_nodes()
        goal = observer.say(TEXT, timeout=TIMEOUT)
        assert (goal.status, goal.text) == (ABORTED, "")


def test_a_player_that_keeps_five_messages_hears_all(observer: Observer) -> None:
    player = subprocess.Popen([sys.executable, "-c", FOREIGN_PLAYER], stdout=subprocess.PIPE)
    try:
        with running("speak_server"):
            assert player.stdout is not None
            assert player.stdout.readline() == b"ready\n"
            observer.wait(lambda: observer.node.count_subscribers("audio") == 2)
            assert observer.client.wait_for_server(TIMEOUT)
            goal = observer.say(TEXT)
            assert goal.status == SUCCEEDED
            frames = recorded_frames(observer)
            assert frames > 4 * RATE
            heard = 0
            while heard < frames:  # the time-out of the test ends it where some are lost
                heard = int(player.stdout.readline())
    finally:
        player.kill()
        player.communicate(timeout=TIMEOUT)


@pytest.mark.parametrize("frames", [0, 1, 4096, 10**9])
def test_lost_frames_travel_with_the_playhead(frames: int) -> None:
    track = PlayerTrack(5 * 10**9, frames)
    message = to_playhead(5 * 10**9 + 3, 7 * 10**9 + 1, "/player", track)
    assert track_of(message) == track
    assert to_nanoseconds(message.time_ref) == 5 * 10**9 + 3
    assert to_nanoseconds(message.header.stamp) == 7 * 10**9 + 1
    assert message.source == "/player"


@pytest.mark.parametrize("frame_id", ["", "base_link", "lost_frames=", "lost_frames=-1", "9"])
def test_a_player_of_another_kind_reports_no_losses(frame_id: str) -> None:
    message = to_playhead(0, 0, "/player", PlayerTrack(0, 0))
    message.header.frame_id = frame_id
    assert track_of(message) is None


def test_a_subscriber_has_room_for_all_that_is_unheard() -> None:
    assert speech_qos().depth == AUDIO_DEPTH > MOST_UNHEARD_CHUNKS
