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

"""Who is heard first, who may interrupt whom, and where what was interrupted goes on."""

from __future__ import annotations

import pytest
from support.scripted_synthesis import WORD, Pause, Say, words
from support.simulated_robot import RATE, Goal, SimulatedRobot

from k2so_tts.ros.endings import Outcome, Reason
from k2so_tts.ros.speech_queue import ABORT, INTERRUPT, QUEUE, REPLACE


def started(goal: Goal) -> float:
    return goal.sent[0][0]


def test_higher_priorities_are_heard_first_and_others_in_order() -> None:
    robot = SimulatedRobot()
    player = robot.player()
    for priority in (0, 0, 2, 1, 2):
        robot.goal(Say(500), priority=priority)
    robot.finish_all(5)
    assert [key for key, _ in player.heard] == [0, 2, 4, 3, 1]
    assert {goal.outcome for goal in robot.goals} == {Outcome.SUCCEEDED}


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.3, 0.42, 0.5, 0.62, 1.0, 1.37])
@pytest.mark.parametrize("reports", [True, False])
def test_an_interrupted_goal_goes_on_at_the_word_where_it_was_cut(
    moment: float, reports: bool
) -> None:
    robot = SimulatedRobot()
    player = robot.player(reports=reports)
    long = robot.goal(Say(3000))
    robot.run(moment)
    asked = robot.now
    urgent = robot.goal(Say(500), policy=INTERRUPT)
    robot.finish_all(8)
    assert [long.outcome, urgent.outcome] == [Outcome.SUCCEEDED] * 2
    assert (long.text, urgent.text) == (words(3000), words(500))
    assert started(urgent) - asked == pytest.approx(0, abs=0.002)
    if reports:
        assert [key for key, _ in player.heard] in ([0, 1, 0], [1, 0])
        assert long.utterance.wire.spans[-1].first % WORD == 0
        assert urgent.heard_at - asked <= 0.15 + 0.5 + 0.05
    assert [word.text for _, word, _ in long.words] == words(3000).split()


def test_an_interruption_waits_for_what_is_more_urgent() -> None:
    robot = SimulatedRobot()
    player = robot.player()
    robot.goal(Say(1000), priority=5)
    robot.run(0.3)
    robot.goal(Say(500), priority=3)
    robot.goal(Say(500), policy=INTERRUPT, priority=3)
    robot.finish_all(4)
    assert [key for key, _ in player.heard] == [0, 2, 1]


def test_an_interruption_does_not_overtake_what_waits_above_it() -> None:
    robot = SimulatedRobot()
    player = robot.player()
    robot.goal(Say(2000))
    robot.run(0.5)
    robot.goal(Say(500), priority=2)
    robot.goal(Say(500), policy=INTERRUPT, priority=1)
    robot.finish_all(6)
    assert [key for key, _ in player.heard] == [0, 1, 2, 0]


@pytest.mark.parametrize("before", [0.11, 0.05, 0.0])
def test_what_is_about_to_end_is_not_interrupted(before: float) -> None:
    robot = SimulatedRobot()
    player = robot.player()
    robot.set(interrupted=ABORT)
    goal = robot.goal(Say(1100))
    robot.run(1.103 - before)
    robot.goal(Say(500), policy=INTERRUPT)
    robot.finish_all(3)
    assert goal.ending is not None
    assert goal.ending.reason is Reason.FINISHED
    assert [key for key, _ in player.heard] == [0, 1]


@pytest.mark.parametrize("moment", [0.93, 0.943, 0.955, 0.99, 1.05])
def test_what_is_lost_just_before_an_interruption_is_not_heard(moment: float) -> None:
    """The player reports it when the other goal is spoken already."""
    robot = SimulatedRobot()
    robot.player().loses = frozenset({900})
    long = robot.goal(Say(3000))
    robot.run(moment)
    urgent = robot.goal(Say(500), policy=INTERRUPT)
    robot.finish_all(6)
    assert urgent.outcome is Outcome.SUCCEEDED
    assert long.ending is not None
    assert long.ending.reason is Reason.FRAMES_LOST
    assert long.text == words(900)


@pytest.mark.parametrize("moment", [0.4, 0.643, 0.655, 0.9])
def test_what_is_lost_of_an_interruption_counts_for_no_other(moment: float) -> None:
    robot = SimulatedRobot()
    player = robot.player()
    long = robot.goal(Say(3000))
    robot.run(moment)
    player.loses = frozenset({300})
    urgent = robot.goal(Say(800), policy=INTERRUPT)
    robot.run(0.8)
    player.loses = frozenset()
    robot.finish_all(6)
    assert long.outcome is Outcome.SUCCEEDED
    assert urgent.ending is not None
    assert urgent.ending.reason is Reason.FRAMES_LOST


def test_an_interruption_is_interrupted() -> None:
    robot = SimulatedRobot()
    player = robot.player()
    robot.goal(Say(2000))
    robot.run(0.5)
    robot.goal(Say(2000), policy=INTERRUPT)
    robot.run(0.7)
    robot.goal(Say(500), policy=INTERRUPT)
    robot.finish_all(8)
    assert [key for key, _ in player.heard] == [0, 1, 2, 1, 0]
    assert {goal.outcome for goal in robot.goals} == {Outcome.SUCCEEDED}


def test_a_goal_that_waits_interrupted_is_canceled_in_silence() -> None:
    robot = SimulatedRobot()
    robot.player()
    long = robot.goal(Say(3000))
    robot.run(1.02)
    urgent = robot.goal(Say(1000), policy=INTERRUPT)
    robot.run(0.4)
    robot.cancel(long)
    assert long.ending is not None
    assert long.ending.reason is Reason.CANCELED
    assert long.text == words(1000)
    robot.finish_all(2)
    assert urgent.outcome is Outcome.SUCCEEDED


def test_what_is_interrupted_ends_where_the_settings_say_so() -> None:
    robot = SimulatedRobot()
    robot.player()
    robot.set(interrupted=ABORT)
    long = robot.goal(Say(3000))
    waiting = robot.goal(Say(500))
    robot.run(1.02)
    robot.goal(Say(500), policy=INTERRUPT)
    assert long.ending is not None
    assert long.ending.reason is Reason.INTERRUPTED
    assert long.text == words(1000)
    robot.finish_all(3)
    assert waiting.outcome is Outcome.SUCCEEDED


def test_replace_ends_no_goal_of_a_higher_priority() -> None:
    robot = SimulatedRobot()
    player = robot.player()
    urgent = robot.goal(Say(1000), priority=3)
    lower = robot.goal(Say(1000), priority=1)
    robot.run(0.2)
    robot.goal(Say(500), policy=REPLACE, priority=1)
    assert lower.ending is not None
    assert lower.ending.reason is Reason.REPLACED
    robot.finish_all(4)
    assert urgent.outcome is Outcome.SUCCEEDED
    assert [key for key, _ in player.heard] == [0, 2]


def test_a_text_that_pauses_is_interrupted_in_its_pause() -> None:
    robot = SimulatedRobot()
    player = robot.player()
    goal = robot.goal(Say(500), Pause(2.0), Say(500))
    robot.run(1.0)
    robot.goal(Say(250), policy=INTERRUPT)
    robot.finish_all(6)
    assert goal.outcome is Outcome.SUCCEEDED
    assert [key for key, _ in player.heard] == [0, 1, 0]
    assert player.heard[-1] == (0, 500)


def test_a_goal_with_a_policy_of_its_own_does_not_follow_that_of_the_node() -> None:
    robot = SimulatedRobot()
    robot.player()
    robot.set(policy=REPLACE)
    first = robot.goal(Say(500))
    second = robot.goal(Say(500), policy=QUEUE)
    robot.finish_all(3)
    assert [first.outcome, second.outcome] == [Outcome.SUCCEEDED] * 2


def test_words_are_told_with_the_sound_and_ahead_of_it() -> None:
    robot = SimulatedRobot()
    player = robot.player()
    goal = robot.goal(Say(2000))
    robot.finish_all(4)
    assert [word.text for _, word, _ in goal.words] == words(2000).split()
    began = robot.goals[0].words[0][0]
    for number, (at, _, elapsed) in enumerate(goal.words):
        assert at - began == pytest.approx(number * WORD / RATE, abs=0.002)
        assert elapsed == pytest.approx(number * WORD / RATE, abs=0.002)
    later = robot.goal(Say(2000))
    robot.finish_all(4)
    for (expected, upcoming), (at, word, _) in zip(later.upcoming, later.words, strict=True):
        assert upcoming is word
        assert expected == pytest.approx(at, abs=0.01)
    assert player.heard


def test_nobody_is_told_of_words_who_does_not_want_to_know() -> None:
    robot = SimulatedRobot()
    robot.hears_words = False
    robot.player()
    goal = robot.goal(Say(2000))
    robot.finish_all(4)
    assert not goal.words
    assert not goal.upcoming
