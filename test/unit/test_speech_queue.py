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

"""The order, the end and the result of goals, in simulated time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted_synthesis import TICK, Pause, Say, words
from support.simulated_robot import CHUNK, LEAD, RATE, SimulatedRobot

from k2so_tts.audio import frames_to_ns
from k2so_tts.ros.endings import Outcome, Reason
from k2so_tts.ros.server_parameters import PARAMETERS
from k2so_tts.ros.speech_queue import ABORT, QUEUE, REJECT, REPLACE, WAIT, QueueSettings
from k2so_tts.ros.wire_timeline import PlayerTrack


def test_done_means_heard() -> None:
    robot = SimulatedRobot(rate=22_050)
    robot.player()
    goal = robot.goal(Say(30_000))
    robot.run(30_000 / 22_050 - 0.02)
    assert not goal.ended
    robot.run(0.3)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.text == words(30_000)
    assert robot.faults == []


def test_feedback_comes_with_the_playhead() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(1050))
    robot.finish_all(3)
    assert [start for _, start in goal.feedback] == [*range(0, 1050, CHUNK)]
    began = goal.feedback[0][0]
    assert [at - began for at, _ in goal.feedback] == pytest.approx(
        [start / RATE for _, start in goal.feedback], abs=0.002
    )


def test_no_feedback_before_a_slow_engine_lets_the_player_begin() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(500, pace=5.0))
    robot.run(1.4)
    assert len(goal.sent) == 2
    assert goal.feedback == []
    robot.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED
    assert [start for _, start in goal.feedback] == [0, 100, 200, 300, 400]


def test_cancel_silences_at_once_and_returns_what_was_heard() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(5000))
    robot.run(1.6)
    robot.cancel(goal)
    assert goal.outcome is Outcome.CANCELED
    assert goal.text == words(1500)
    assert goal.markers[-1] == (robot.now, goal.sent[0][1])
    heard = goal.heard_to
    following = robot.goal(Say(300))
    robot.run(1)
    assert goal.heard_to == heard
    assert following.outcome is Outcome.SUCCEEDED


def test_a_queued_goal_is_cancelled_without_waiting_for_its_turn() -> None:
    robot = SimulatedRobot()
    robot.player()
    first, second, third = (robot.goal(Say(1000)) for _ in range(3))
    robot.run(0.3)
    robot.cancel(second)
    assert second.outcome is Outcome.CANCELED
    assert second.sent == []
    robot.finish_all(5)
    assert [first.outcome, third.outcome] == [Outcome.SUCCEEDED] * 2


def test_cancelling_what_is_unknown_changes_nothing() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(300))
    robot.queue.cancel("nobody")
    robot.finish_all(2)
    robot.cancel(goal)
    assert goal.outcome is Outcome.SUCCEEDED


def test_replace_cuts_everything_before() -> None:
    robot = SimulatedRobot()
    robot.player()
    first, second = robot.goal(Say(3000)), robot.goal(Say(1000))
    robot.run(0.6)
    robot.set(policy=REPLACE)
    third = robot.goal(Say(400))
    assert [first.outcome, second.outcome] == [Outcome.ABORTED] * 2
    assert first.text == words(500)
    assert second.sent == []
    robot.finish_all(2)
    assert third.outcome is Outcome.SUCCEEDED


def test_the_last_playhead_of_a_cut_goal_is_not_taken_for_the_next_one() -> None:
    robot = SimulatedRobot()
    robot.player()
    cut = robot.goal(Say(3000))
    robot.run(1.02)
    robot.cancel(cut)
    goal = robot.goal(Say(3000, pace=1.0))
    robot.run(0.105)
    assert len(goal.sent) == 1
    robot.queue.playhead(cut.sent[0][1] + frames_to_ns(1060, RATE))
    robot.queue.playhead(
        goal.sent[0][1] + frames_to_ns(50, RATE), "", PlayerTrack(cut.sent[0][1], 0)
    )
    assert goal.utterance.progress.confirmed is None
    robot.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED


def test_stop_ends_everything() -> None:
    robot = SimulatedRobot()
    robot.player()
    goals = [robot.goal(Say(1000)) for _ in range(3)]
    robot.run(0.2)
    robot.queue.stop(Reason.STOPPED, "enough")
    robot.step()
    assert {(goal.outcome, goal.reason) for goal in goals} == {(Outcome.ABORTED, "enough")}


def test_the_next_goal_is_synthesised_while_the_first_is_heard() -> None:
    robot = SimulatedRobot()
    robot.player()
    first, second = robot.goal(Say(1000)), robot.goal(Say(1000, pace=0.5))
    robot.run(0.6)
    assert second.script is not None
    assert second.script.done
    assert second.sent == []
    robot.finish_all(4)
    assert second.sent[0][0] - first.ended_at == pytest.approx(0, abs=TICK)


def test_a_text_with_a_pause_is_one_goal_of_two_spans() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(250), Pause(3), Say(250))
    robot.run(1)
    end_ns = goal.sent[-1][1] + frames_to_ns(50, RATE)
    assert [stamp_ns for _, stamp_ns in goal.markers] == [end_ns]
    assert not goal.ended
    resumes_ns = robot.now_ns()
    robot.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.sent[3][1] >= resumes_ns
    assert [start for _, start in goal.feedback] == [0, 100, 200, 250, 350, 450]
    assert robot.faults == []


def test_nothing_to_say_succeeds() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal()
    robot.run(0.01)
    assert goal.outcome is Outcome.SUCCEEDED
    assert not goal.sent
    assert not goal.markers


def test_after_a_clock_was_set_back_stamps_are_of_the_new_time() -> None:
    robot = SimulatedRobot()
    robot.player()
    goal = robot.goal(Say(500))
    robot.queue._sender._heard_until_ns = robot.now_ns() + 3600 * 10**9
    utterance = replace(goal.utterance, accepted_ns=robot.now_ns() + 3600 * 10**9)
    assert robot.queue._sender._start_ns(utterance) == robot.now_ns()
    assert robot.queue._sender._start_ns(utterance) == robot.now_ns()
    utterance.accepted_ns = robot.now_ns() - 5
    assert robot.queue._sender._start_ns(utterance) == robot.now_ns()


def test_two_minutes_do_not_drift() -> None:
    robot = SimulatedRobot(rate=22_050, chunk=4096)
    goal = robot.goal(Say(120 * 22_050))
    robot.run(60)
    assert len(goal.utterance.progress.unheard) <= 4 + LEAD * 22_050 / 4096
    robot.finish_all(70)
    _, first_ns, _ = goal.sent[0]
    _, last_ns, last = goal.sent[-1]
    assert last_ns == first_ns + frames_to_ns(last.start, 22_050)
    assert goal.markers[-1][1] == first_ns + 120 * 10**9


def test_the_settings_are_by_default_those_of_the_parameters() -> None:
    defaults = {setting.name: setting.default for setting in PARAMETERS}
    assert QueueSettings() == QueueSettings(
        policy=defaults["queue_policy"],
        max_lead=defaults["max_lead"],
        max_unheard_chunks=192,
        wait_for_player=defaults["wait_for_player"],
        player_lost=defaults["player_lost"],
        player_wait=defaults["player_wait"],
        engine_timeout=defaults["engine_timeout"],
    )
    assert (QUEUE, REPLACE, REJECT) == ("queue", "replace", "reject")
    assert (ABORT, WAIT) == ("abort", "wait")
