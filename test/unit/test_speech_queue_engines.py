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

"""Engines that fail, stall, or are merely slow."""

from __future__ import annotations

from support.scripted_synthesis import Fail, Hold, Pause, Say, Stall, words
from support.simulated_robot import SimulatedRobot

from k2so_tts.ros.endings import Outcome


def test_an_engine_that_raises_ends_only_its_goal() -> None:
    robot = SimulatedRobot()
    robot.player()
    bad, good = robot.goal(Say(300, pace=1.0), Fail()), robot.goal(Say(300))
    robot.run(0.31)
    assert bad.outcome is Outcome.ABORTED
    assert bad.reason == "broken"
    assert robot.raised == {"engine"}
    robot.finish_all(2)
    assert good.outcome is Outcome.SUCCEEDED
    assert robot.faults == [("engine", "broken"), ("engine", None)]


def test_an_engine_that_stalls_is_abandoned() -> None:
    robot = SimulatedRobot()
    robot.player()
    bad, good = robot.goal(Say(300), Stall()), robot.goal(Say(300))
    robot.run(1.9)
    assert not bad.ended
    robot.finish_all(3)
    assert robot.abandoned == 1
    assert bad.outcome is Outcome.ABORTED
    assert bad.reason == "the engine stalled: no audio for 2 s"
    assert bad.script is not None
    assert bad.script.cancelled
    assert good.outcome is Outcome.SUCCEEDED


def test_another_engine_takes_over_from_one_that_stalls() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal, following = robot.goal(Say(300), Stall(), Say(500), Stall(), Say(200)), robot.goal(Say(3))
    robot.run(2.4)
    assert robot.abandoned == 1
    assert not goal.ended
    robot.finish_all(4)
    assert robot.abandoned == 2
    assert (goal.outcome, goal.text) == (Outcome.SUCCEEDED, words(1000))
    assert following.outcome is Outcome.SUCCEEDED
    assert robot.faults == []


def test_an_engine_that_makes_a_long_text_as_a_whole_does_not_count_as_stalled() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Hold(), Say(3000, pace=2.0))
    robot.run(5.9)
    assert not goal.ended
    robot.finish_all(6)
    assert robot.abandoned == 0
    assert goal.outcome is Outcome.SUCCEEDED


def test_an_engine_that_stalls_after_a_pause_in_the_text_is_abandoned() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(300), Pause(7), Stall())
    robot.run(8.9)
    assert not goal.ended
    robot.finish_all(1)
    assert robot.abandoned == 1


def test_a_pause_in_the_text_is_not_counted_against_the_engine() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(300), Pause(7), Say(300, pace=5.0))
    robot.run(7.1)
    waiting = robot.goal(Say(100))
    robot.finish_all(5)
    assert [goal.outcome, waiting.outcome] == [Outcome.SUCCEEDED] * 2
    assert robot.abandoned == 0
