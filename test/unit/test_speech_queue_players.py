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

"""For whom goals are spoken: players, those that report nothing, several of them, and none."""

from __future__ import annotations

import pytest
from support.scripted_synthesis import Pause, Say
from support.simulated_robot import CHUNK, RATE, SETTINGS, SimulatedRobot, WirePlayer

from k2so_tts.audio import frames_to_ns
from k2so_tts.ros.endings import Outcome, Reason
from k2so_tts.ros.wire_timeline import DEVICE, NOWHERE, PlayerTrack


def test_without_a_player_it_speaks_by_the_clock_and_reports_that_once() -> None:
    robot = SimulatedRobot()
    goals = [robot.goal(Say(1000)), robot.goal(Say(1000))]
    robot.run(0.9)
    assert goals[0].sent == []
    robot.finish_all(6)
    assert [goal.outcome for goal in goals] == [Outcome.SUCCEEDED] * 2
    message = "nobody subscribes to the audio; speaking by the clock, unheard"
    assert robot.faults == [("player", message)]
    robot.player()
    robot.goal(Say(300))
    robot.finish_all(2)
    assert robot.faults[1:] == [("player", None)]


def test_it_waits_for_a_player_that_is_on_its_way() -> None:
    robot = SimulatedRobot()
    goal = robot.goal(Say(1000))
    robot.run(0.5)
    player = robot.player()
    robot.run(0.01)
    assert goal.sent
    robot.finish_all(2)
    assert player.heard == [(0, 0)]
    assert goal.outcome is Outcome.SUCCEEDED


def test_a_player_that_appears_just_before_the_end_of_an_unheard_goal_does_not_delay_it() -> None:
    robot = SimulatedRobot()
    goal = robot.goal(Say(500))
    robot.run(1.2)
    robot.player()
    robot.finish_all(2)
    assert goal.outcome is Outcome.SUCCEEDED


def test_a_foreign_player_is_followed_by_the_clock() -> None:
    robot = SimulatedRobot()
    robot.player(reports=False)
    goal = robot.goal(Say(1000))
    robot.finish_all(2)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.ended_at - goal.sent[0][0] == pytest.approx(1.0, abs=0.01)
    assert len(goal.feedback) == 10
    assert robot.faults == []


def test_a_foreign_player_is_sent_no_more_than_it_keeps() -> None:
    robot = SimulatedRobot()
    robot.player(reports=False)
    goal = robot.goal(Say(3000, pace=0.0))
    robot.finish_all(5)
    began = goal.sent[0][0]
    leads = [chunk.end - (at - began) * RATE for at, _, chunk in goal.sent]
    assert max(leads) == 4 * CHUNK
    assert min(leads[3:-1]) > 3 * CHUNK


def test_a_foreign_player_hears_a_text_with_a_pause_to_its_end() -> None:
    robot = SimulatedRobot()
    robot.player(reports=False)
    goal = robot.goal(Say(800), Pause(0.2), Say(500))
    robot.finish_all(4)
    assert goal.ended_at - goal.sent[0][0] == pytest.approx(1.3, abs=0.01)


def test_a_player_that_joins_in_mid_sentence_is_not_followed() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(4000, pace=0.0))
    robot.run(0.5)
    robot.queue.playhead(goal.sent[-1][1], "ahead")
    assert goal.utterance.progress.confirmed is not None
    assert goal.utterance.progress.confirmed <= goal.heard_to
    robot.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(("joins_at", "reason"), [(0, Reason.FINISHED), (1500, Reason.UNHEARD)])
def test_it_was_heard_if_a_player_with_a_device_has_played_all_of_it(
    joins_at: int, reason: Reason
) -> None:
    robot = SimulatedRobot()
    goal = robot.goal_for_a_silent_player()
    start_ns = goal.sent[0][1]

    def report(frame: int, player: str, first: int, sink: str) -> None:
        stamp_ns, first_ns = (start_ns + frames_to_ns(at, RATE) for at in (frame, first))
        robot.queue.playhead(stamp_ns, player, PlayerTrack(first_ns, 0, sink))

    for frame in (500, 1600, 2000):
        report(frame, "silent", 0, NOWHERE)
        report(max(joins_at, frame - 100), "loudspeaker", joins_at, DEVICE)
        if frame == 500 and not joins_at:
            assert goal.utterance.progress.confirmed == 400, "not what nobody has heard"
        robot.run(0.01)
    assert goal.outcome is None
    report(2000, "loudspeaker", joins_at, DEVICE)
    robot.run(0.01)
    assert goal.utterance.why_complete[0] is reason


def test_one_that_joins_before_anything_was_heard_does_not_decide() -> None:
    robot = SimulatedRobot()
    robot.player().stop()
    goal = robot.goal_for_a_silent_player()
    start_ns = goal.sent[0][1]
    late_ns = start_ns + frames_to_ns(400, RATE)
    for frame in (0, 300, 2000):
        stamp_ns = start_ns + frames_to_ns(max(frame, 400), RATE)
        robot.queue.playhead(stamp_ns, "late", PlayerTrack(late_ns, 0))
        stamp_ns = start_ns + frames_to_ns(frame, RATE)
        robot.queue.playhead(stamp_ns, "first", PlayerTrack(start_ns, 0))
        robot.run(0.01)
    assert goal.utterance.why_complete[0] is Reason.FINISHED


def test_a_first_report_that_is_ahead_of_the_time_is_of_an_earlier_utterance() -> None:
    robot = SimulatedRobot()
    robot.player(reports=False)
    goal = robot.goal(Say(4000))
    robot.run(0.5)
    start = goal.utterance.wire.spans[0]
    possible = int((robot.now - start.due_at) * goal.utterance.rate)

    def report(frame: int) -> int | None:
        stamp = start.start_ns + frames_to_ns(frame, goal.utterance.rate)
        robot.queue.playhead(stamp, "player of another make")
        return goal.utterance.progress.confirmed

    assert possible > 100
    assert report(possible + 3) is None
    assert report(possible) == possible
    assert report(possible + 3) == possible + 3, "it may be a little early later"


def test_of_several_players_another_is_followed_when_the_first_falls_silent() -> None:
    robot = SimulatedRobot()
    first = robot.player()
    robot.player(name="other")
    goal = robot.goal(Say(4000))
    robot.run(0.5)
    first.stop()
    robot.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED
    assert robot.raised == set()


def test_a_player_that_has_not_announced_itself_is_waited_for() -> None:
    robot = SimulatedRobot()
    robot.connected.append(WirePlayer(robot))
    goal = robot.goal(Say(500))
    robot.run(0.2)
    assert goal.sent == []
    robot.queue.player_seen()
    robot.step()
    assert goal.sent


def test_a_bystander_that_is_discovered_before_the_player_is_not_taken_for_one() -> None:
    robot = SimulatedRobot(up_for=0.1)
    robot.player(reports=False)
    goal = robot.goal(Say(500))
    robot.run(0.2)
    assert goal.sent == []
    player = robot.player()
    robot.finish_all(3)
    assert goal.outcome is Outcome.SUCCEEDED
    assert player.heard == [(0, 0)]


def test_a_foreign_player_is_waited_for_at_the_start_only() -> None:
    robot = SimulatedRobot(up_for=0.1)
    robot.player(reports=False)
    first = robot.goal(Say(500))
    robot.finish_all(3)
    second = robot.goal(Say(500))
    robot.finish_all(3)
    waited = [goal.sent[0][0] - goal.utterance.turn_at for goal in (first, second)]
    assert waited == pytest.approx([SETTINGS.wait_for_player - 0.1, 0.0], abs=0.02)
    assert robot.raised == set()


def test_a_player_whose_subscription_is_not_known_yet_is_waited_for() -> None:
    robot = SimulatedRobot()
    robot.player()
    robot.subscriptions_known = False
    goal = robot.goal(Say(500))
    robot.run(0.2)
    assert goal.sent == []
    robot.subscriptions_known = True
    robot.step()
    assert goal.sent


def test_a_player_that_never_subscribes_is_waited_for_only_so_long() -> None:
    robot = SimulatedRobot()
    robot.player()
    robot.subscriptions_known = False
    goal = robot.goal(Say(500))
    robot.finish_all(3)
    assert goal.outcome is Outcome.SUCCEEDED
    waited = goal.sent[0][0] - goal.utterance.turn_at
    assert waited == pytest.approx(SETTINGS.wait_for_player, abs=0.05)
    assert robot.raised == set()


def test_a_player_that_appears_too_late_to_have_heard_anything_is_not_expected_to_report() -> None:
    robot = SimulatedRobot()
    robot.player(reports=False)
    goal = robot.goal(Say(500))
    robot.run(0.1)
    robot.player().stop()
    robot.finish_all(3)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.ended_at - goal.sent[0][0] == pytest.approx(0.5, abs=0.05)
    assert robot.raised == set()
