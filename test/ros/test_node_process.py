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

"""The processes of the two nodes: how they start, end by signals, and report what breaks them."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.ros import SUCCEEDED, TIMEOUT, Observer, running, start

from k2so_tts.ros.main import _CRASH_LOOP_SECONDS
from k2so_tts.ros.messages import to_nanoseconds

READY = {"audio_player": "playing on", "speak_server": "ready to speak"}
ROUNDS = 6
"""Processes that get signals, hundreds of them each, from when they are ready until they end."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("program", READY)
def test_repeated_signals_end_a_node_in_order(program: str) -> None:
    chance = random.Random(1)
    parameters: dict[str, Any] = {"device": "null"} if program == "audio_player" else {}
    for _ in range(ROUNDS):
        with running(program, **parameters) as process:
            assert process.stderr is not None
            next(line for line in process.stderr if READY[program] in line)
            distance_s = 10 ** chance.uniform(-5.0, -3.5)
            deadline = time.monotonic() + TIMEOUT
            while process.poll() is None:
                if time.monotonic() > deadline:
                    process.kill()  # it hangs
                process.send_signal(chance.choice([signal.SIGINT, signal.SIGTERM]))
                due = time.perf_counter() + chance.uniform(0.0, distance_s)
                while time.perf_counter() < due:
                    pass
            assert process.returncode == 0
            assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("module", "remedy"),
    [
        ("numpy", "k2so-tts doctor"),
        ("rclpy", "k2so-tts doctor"),
        ("sensor_msgs", "k2so-tts doctor"),
        ("soxr", "pip install soxr"),
    ],
)
def test_a_missing_module_is_named_on_one_line(module: str, remedy: str) -> None:
    process = start("audio_player", patch=f"import sys; sys.modules[{module!r}] = None")
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert errors.startswith("audio_player: ")
    assert module in errors
    assert remedy in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_missing_interface_package_is_named_on_one_line() -> None:
    process = start("speak_server", patch="import sys; sys.modules['audio_common_msgs'] = None")
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "speak_server: k2so_tts needs audio_common_msgs 4.x" in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_node_whose_thread_dies_at_once_logs_it_and_exits() -> None:
    patch = """
from k2so_tts.ros.queue_thread import QueueThread
QueueThread._run = lambda self: 1 / 0
"""
    process = start("speak_server", patch=patch)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "died: ZeroDivisionError: division by zero" in errors
    assert "Traceback" in errors


def test_a_node_whose_thread_dies_later_restarts(tmp_path: Path) -> None:
    patch = f"""
import pathlib, time
from k2so_tts.ros.queue_thread import QueueThread
run, flag = QueueThread._run, pathlib.Path({str(tmp_path / "once")!r})
def run_once(self):
    if flag.exists():
        return run(self)
    flag.touch()
    time.sleep({2 * _CRASH_LOOP_SECONDS})
    1 / 0
QueueThread._run = run_once
"""
    with running("speak_server", patch=patch) as process:
        assert process.stderr is not None
        for expected in ("ready to speak", "; restarting", "ready to speak"):
            next(line for line in process.stderr if expected in line)


def test_a_failing_callback_is_logged_and_the_node_goes_on(observer: Observer) -> None:
    patch = """
from k2so_tts.ros.speak_server import SpeakServer
collect = SpeakServer._collect
failures = [ZeroDivisionError("of a test")]
def fail_once(self):
    if failures:
        raise failures.pop()
    return collect(self)
SpeakServer._collect = fail_once
"""
    with (
        running("audio_player", device="null"),
        running("speak_server", patch=patch) as server,
    ):
        assert server.stderr is not None
        expected = "a callback failed: ZeroDivisionError: of a test"
        next(line for line in server.stderr if expected in line)
        observer.wait_for_nodes()
        assert observer.say("All is well.").status == SUCCEEDED


def test_a_cancel_request_while_a_goal_changes_its_state_fails_no_goal(
    observer: Observer,
) -> None:
    patch = """
import time
from rclpy.action.server import ServerGoalHandle
checked = ServerGoalHandle.is_cancel_requested
def check_slowly(self):
    is_requested = checked.fget(self)
    time.sleep(0.1)
    return is_requested
ServerGoalHandle.is_cancel_requested = property(check_slowly)
"""
    with running("audio_player", device="null"), running("speak_server", patch=patch):
        observer.wait_for_nodes()
        for _ in range(3):
            goals = [observer.send(text) for text in ("One.", "Two.")]
            observer.cancel(goals[0])
            observer.wait_for_end(*goals)
            assert goals[0].text in {"", "One."}
            assert goals[1].status == SUCCEEDED
        assert not [entry.msg for entry in observer.log if "internal error" in entry.msg]
        observer.wait(lambda: observer.status("/speak_server").get("goals_waiting") == "0")


def test_a_chunk_is_encoded_once_for_the_audio_and_the_feedback(observer: Observer) -> None:
    patch = """
import sys
from k2so_tts.ros import speak_server
encode = speak_server.to_message
def to_message(*arguments):
    print("encoded", file=sys.stderr, flush=True)
    return encode(*arguments)
speak_server.to_message = to_message
"""
    with (
        running("audio_player", device="null"),
        running("speak_server", patch=patch) as server,
    ):
        observer.wait_for_nodes()
        goal = observer.say("One, two, three, four, five.")
        stamps = [to_nanoseconds(message.header.stamp) for _, message in observer.audio]
        assert [stamp for _, stamp in goal.feedback] == stamps[:-1], "all but the end marker"
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=TIMEOUT)
        assert errors.count("encoded") == len(stamps)
