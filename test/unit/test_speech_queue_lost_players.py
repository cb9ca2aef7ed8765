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

"""Players that die, hang or are cut off in the middle of a goal, and come back or not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from support.scripted_synthesis import Pause, Say, words
from support.simulated_robot import RATE, SETTINGS, SimulatedRobot

from k2so_tts.ros.endings import Outcome
from k2so_tts.ros.speech_queue import WAIT


@pytest.mark.parametrize(
    ("reports", "after"), [(True, 0.01), (True, 0.5), (True, 0.98), (False, 0.01), (False, 0.5)]
)
def test_a_player_that_dies_aborts_the_goal_within_a_second(reports: bool, after: float) -> None:
    robot = SimulatedRobot()
    robot.player(reports=reports)
    goal = robot.goal(Say(1000))
    robot.run(after)
    robot.leave()
    robot.run(1.0)
    assert goal.outcome is Outcome.ABORTED
    assert len(goal.text) <= len(words(int(RATE * after)))
    assert goal.reason == "the player was lost"
    message = "the player is lost: it does not report its playhead any more"
    assert robot.faults == [("player", message)]


@pytest.mark.parametrize("frames", [1000, 8000])
@pytest.mark.parametrize("after", [0.0, 0.5])
def test_a_player_that_hangs_aborts_the_goal_within_a_second(frames: int, after: float) -> None:
    robot = SimulatedRobot()
    player = robot.player_heard_before()
    if not after:
        player.stop()
    goal = robot.goal(Say(frames))
    robot.run(after)
    player.stop()
    robot.run(1.0)
    assert goal.outcome is Outcome.ABORTED


@pytest.mark.parametrize(
    ("late", "outcome"), [(3.1, Outcome.SUCCEEDED), (math.inf, Outcome.ABORTED)]
)
def test_a_new_player_may_start_its_first_goal_late(late: float, outcome: Outcome) -> None:
    robot = SimulatedRobot()
    player = robot.player()
    player.stop()
    goal = robot.goal(Say(600))
    robot.run(min(late, 3.9))
    assert not goal.ended
    if late < math.inf:
        player.resume()
    robot.finish_all(1)
    assert goal.outcome is outcome
    assert robot.raised == (set() if late < math.inf else {"player"})


def test_what_was_not_heard_is_sent_again_to_a_restarted_player() -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT))
    robot.player()
    goal = robot.goal(Say(2000))
    robot.run(0.53)
    robot.leave()
    robot.run(2)
    assert not goal.ended
    assert robot.raised == {"player"}
    player = robot.player()
    robot.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert player.heard == [(0, 500)]  # from the last playhead on
    assert robot.raised == set()


def test_a_player_restarted_before_its_loss_was_noticed_is_sent_what_was_not_heard() -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT))
    robot.player()
    goal = robot.goal(Say(900))
    robot.run(0.5)
    robot.leave()
    robot.player()
    robot.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.replayed


def test_a_restarted_foreign_player_is_sent_what_was_not_heard() -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT))
    robot.player(reports=False)
    goal = robot.goal(Say(1000))
    robot.run(0.55)
    robot.leave()
    robot.run(2)
    robot.player(reports=False)
    robot.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.ended_at - goal.sent[0][0] == pytest.approx(3.0, abs=0.15)


def test_a_new_player_replaces_a_crashed_one_that_is_still_in_the_graph() -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT))
    robot.player_heard_before().stop()
    goal = robot.goal(Say(600))
    robot.run(1.5)
    assert not goal.ended
    assert goal.replayed == 0
    robot.player()
    robot.finish_all(3)
    assert goal.outcome is Outcome.SUCCEEDED


def test_a_player_that_was_only_suspended_resumes() -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT))
    player = robot.player()
    goal = robot.goal(Say(3000))
    robot.run(0.5)
    player.stop()
    robot.run(2)
    player.resume()
    robot.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.replayed == 0


@pytest.mark.parametrize("heard_before", [0.0, 0.5])
def test_a_player_that_was_cut_off_is_not_sent_again_what_it_has(heard_before: float) -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT))
    player = robot.player()
    if not heard_before:
        player.stop()
    goal = robot.goal(Say(3000))
    robot.run(heard_before)
    player.stop()
    robot.run(2)
    robot.queue.player_seen()  # it says that it has run dry sooner than how far it came
    robot.run(0.2)
    player.resume()
    robot.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.replayed == 0


def test_a_player_that_discovery_has_forgotten_and_found_again_is_a_new_one() -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT))
    player = robot.player()
    goal = robot.goal(Say(3000))
    robot.run(0.5)
    player.stop()
    robot.run(1)
    robot.connected.remove(player)
    robot.player(reports=False)
    robot.run(1)
    robot.connected.append(player)
    robot.queue.player_seen()
    robot.run(0.2)
    assert goal.replayed
    player.resume()
    robot.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED


def test_an_unheard_goal_is_not_heard_after_its_end() -> None:
    robot = SimulatedRobot()
    player = robot.player()
    player.stop()
    aborted = robot.goal(Say(600))
    robot.finish_all(5)
    unheard = robot.goal(Say(600))
    robot.finish_all(3)
    assert (aborted.outcome, unheard.outcome) == (Outcome.ABORTED, Outcome.SUCCEEDED)
    player.resume()
    robot.run(3)
    assert player.heard == []


def test_a_server_that_was_suspended_does_not_blame_the_player() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(3000))
    robot.run(0.5)
    robot.now += 3.0
    robot.step()
    assert not goal.ended
    assert robot.raised == set()
    robot.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED


def test_a_player_restarted_after_its_loss_clears_the_fault() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(1000))
    robot.run(0.5)
    robot.leave()
    robot.run(1.0)
    assert goal.outcome is Outcome.ABORTED
    assert robot.raised == {"player"}
    robot.player()
    assert robot.raised == set()


def test_a_player_restarted_before_its_loss_was_noticed_clears_the_fault() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(1000))
    robot.run(0.5)
    robot.leave()
    robot.run(0.2)
    robot.player()
    robot.run(1.0)
    assert goal.outcome is Outcome.ABORTED
    assert ("player", None) in robot.faults
    assert robot.raised == set()


def test_nothing_is_sent_again_before_the_subscription_of_a_restarted_player_is_known() -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT))
    robot.player()
    goal = robot.goal(Say(1000))
    robot.run(0.5)
    robot.leave()
    robot.run(1.0)
    robot.subscriptions_known = False
    robot.player()
    robot.run(1.0)
    assert goal.replayed == 0
    robot.subscriptions_known = True
    robot.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.replayed


@pytest.mark.parametrize("reports", [True, False])
def test_a_player_that_does_not_come_back_ends_the_goal(reports: bool) -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT))
    robot.player(reports=reports)
    goal = robot.goal(Say(2000))
    robot.run(0.5)
    robot.leave()
    robot.finish_all(7)
    assert goal.outcome is Outcome.ABORTED


@pytest.mark.parametrize("frames", [40, 140, 290, 900])
def test_a_pause_is_marked_for_a_player_restarted_in_the_middle(frames: int) -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=WAIT), chunk=200)
    robot.player()
    goal = robot.goal(Say(900 + frames), Pause(6), Say(300))
    robot.run(0.9)
    robot.leave()
    robot.run(1.0)
    robot.player()
    robot.run(frames / RATE + 0.1)
    assert goal.heard_to == 900 + frames
    robot.finish_all(10)
    assert goal.outcome is Outcome.SUCCEEDED
