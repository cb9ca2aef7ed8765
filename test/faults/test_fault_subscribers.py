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

"""Others that subscribe to the speech, reliably, and read nothing of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
from support.hearing import as_heard, check_heard, whole
from support.recording import retake
from support.ros import STOP_SECONDS, SUCCEEDED, Observer, running
from support.sound import STEADY, SoundServer

TEXT = " ".join(f"This is sentence number {n}, spoken in one breath." for n in range(3))
MOST_GROWTH = 20 << 20
"""Bytes that a server may grow by while it speaks for ten seconds."""
LATE_SECONDS = 1.0
SUBSCRIBER = """
import sys, rclpy
from audio_common_msgs.msg import AudioStamped
from k2so_tts.ros.messages import speech_qos
rclpy.init()
node = rclpy.create_node("deaf")
node.create_subscription(AudioStamped, "audio", lambda _: None, speech_qos())
print("subscribed", flush=True)
sys.stdin.read()
"""
"""Subscribes and never spins."""


@contextmanager
def subscriber() -> Iterator[psutil.Process]:
    command = [sys.executable, "-c", SUBSCRIBER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"subscribed\n"
            yield psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait(STOP_SECONDS)


@retake
@pytest.mark.timeout(120)
@pytest.mark.parametrize("stopped", [False, True], ids=["never spins", "stands still"])
def test_one_that_does_not_read_hurts_nobody(
    observer: Observer, sound_server: SoundServer, sound_env: dict[str, str], *, stopped: bool
) -> None:
    with (
        running("audio_player", sound_env, **STEADY),
        running("speak_server") as process,
        ExitStack() as stack,
        sound_server.record() as recording,
    ):
        observer.wait_for_nodes()
        server = psutil.Process(process.pid)
        assert observer.say("Ready.").status == SUCCEEDED
        known = observer.node.count_subscribers("audio")
        deaf = stack.enter_context(subscriber())
        observer.wait(lambda: observer.node.count_subscribers("audio") == known + 1)
        recording.lost_frames()
        begun = recording.frames
        goal = observer.send(TEXT)
        observer.wait(lambda: goal.feedback)
        if stopped:
            deaf.suspend()
        memory = server.memory_info().rss
        observer.wait_for_end(goal, timeout=60)
        assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
        assert server.memory_info().rss - memory < MOST_GROWTH
        assert observer.status("/audio_player")["underruns"] == "0"
        recording.wait_for_frames(recording.frames + sound_server.rate // 2, 10)
        heard = recording.whole()[begun:, 0]
    rate = sound_server.rate
    expected = as_heard(whole(TEXT), rate)
    check_heard(heard, expected)
    assert goal.ended_at is not None
    assert goal.ended_at - goal.sent_at < len(expected) / rate + LATE_SECONDS
