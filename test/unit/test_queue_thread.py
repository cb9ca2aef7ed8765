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

"""The thread that owns a speech queue: whatever fails, goals end and the thread is not lost."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from typing import cast

import pytest
from support.scripted_synthesis import Say
from support.simulated_robot import EPOCH_NS, SETTINGS, Goal, SimulatedRobot

from k2so_tts.ros.endings import Ending, Outcome
from k2so_tts.ros.queue_thread import QueueThread
from k2so_tts.ros.speech_queue import SpeechQueue
from k2so_tts.ros.utterance import Utterance
from k2so_tts.synthesis.synthesis import SynthesisOptions


class BrokenRobot(SimulatedRobot):
    """Nothing can be published."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.over = threading.Semaphore(0)
        self._error = error or RuntimeError("the context is gone")

    def publish(self, *_: object) -> None:
        raise self._error

    def post_goal(self, thread: QueueThread) -> Goal:
        """Post a goal whose audio is there at once."""
        key = len(self.goals)
        utterance = Utterance(key, "", SynthesisOptions("any"), 0.0, EPOCH_NS)
        self.goals.append(Goal((Say(300, pace=0.0),), utterance))
        thread.post(lambda queue: queue.submit(utterance))
        return self.goals[-1]

    def finish(self, utterance: Utterance, ending: Ending) -> None:
        super().finish(utterance, ending)
        self.over.release()


def test_the_thread_survives_exceptions_and_ends_its_goals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: SpeechQueue) -> None:
        raise ZeroDivisionError

    robot = BrokenRobot()
    thread = QueueThread(robot, replace(SETTINGS, wait_for_player=0.0))
    assert thread._thread.name == "speech queue"
    thread.post(fail)
    goals = [robot.post_goal(thread) for _ in range(3)]
    thread.start()
    assert all(robot.over.acquire(timeout=5) for _ in goals)
    assert {goal.outcome for goal in goals} == {Outcome.ABORTED}
    assert {goal.reason for goal in goals} == {"internal error: the context is gone"}
    assert thread._thread.is_alive()
    assert thread.failure is None
    assert {record.message for record in caplog.records} == {
        "speaking failed",
        "ending a goal failed",
    }
    assert all(record.exc_info for record in caplog.records)
    thread.close("enough")
    assert not thread._thread.is_alive()


def test_a_thread_that_dies_says_so_and_ends_its_goals(caplog: pytest.LogCaptureFixture) -> None:
    robot = BrokenRobot(SystemExit(3))
    thread = QueueThread(robot, replace(SETTINGS, wait_for_player=0.0))
    goals = [robot.post_goal(thread) for _ in range(2)]
    thread.start()
    thread._thread.join(5)
    assert not thread._thread.is_alive()
    assert thread.failure == "the speech queue has failed: SystemExit: 3"
    assert thread.failure in caplog.text
    assert "Traceback" in caplog.text
    assert {goal.outcome for goal in goals} == {Outcome.ABORTED}
    thread.close("enough")


def test_the_thread_steps_when_a_step_is_due_and_when_it_is_woken() -> None:
    stepped = threading.Semaphore(0)
    thread = QueueThread(SimulatedRobot(), SETTINGS)
    dues: list[float] = []
    called: list[float] = []

    class Steps:
        def step(self) -> float:
            called.append(time.monotonic())
            dues.append(math.inf if dues else called[0] + 0.05)
            stepped.release()
            return dues[-1]

        def __len__(self) -> int:
            return 0

        def stop(self, reason: str) -> None:
            assert reason == "enough"

    thread._queue = cast("SpeechQueue", Steps())
    thread.start()
    thread.wake()
    assert stepped.acquire(timeout=5), "woken"
    assert stepped.acquire(timeout=5), "due"
    assert not stepped.acquire(timeout=0.1), "nothing is due"
    assert called[1] >= dues[0], "not sooner"
    thread.close("enough")
    assert not thread._thread.is_alive()


def test_closing_ends_what_was_posted_before() -> None:
    robot = BrokenRobot()
    thread = QueueThread(robot, SETTINGS)
    thread.start()
    goal = robot.post_goal(thread)
    thread.close("enough")
    assert (goal.outcome, goal.reason) == (Outcome.ABORTED, "enough")
