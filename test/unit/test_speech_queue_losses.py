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

"""Audio that is lost on the way to the player, and how much is sent ahead so that none is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted_synthesis import Pause, Say, words
from support.simulated_robot import (
    CHUNK,
    RATE,
    SETTINGS,
    Goal,
    SimulatedRobot,
)

from k2so_tts.audio import frames_to_ns
from k2so_tts.ros.endings import Outcome, Reason
from k2so_tts.ros.speech_queue import WAIT
from k2so_tts.ros.wire_timeline import PlayerTrack

REPORT = RATE // 20
"""Frames between two reports of a playhead."""


def unheard_chunks(robot: SimulatedRobot, goal: Goal) -> int:
    heard = goal.utterance.position(robot.now, by_clock=robot.queue._liveness.follows_clock)
    return sum(chunk.end > heard for _, _, chunk in goal.sent)


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("most", [5, 8])
def test_no_more_chunks_are_sent_ahead_than_a_subscriber_holds(most: int, reports: bool) -> None:
    robot = SimulatedRobot(replace(SETTINGS, max_unheard_chunks=most))
    robot.player(reports=reports)
    goal = robot.goal(Say(3000))
    robot.run(0.1)
    expected = most if reports else 4
    assert len(goal.sent) == expected
    ahead = []
    while not goal.ended:
        ahead.append(unheard_chunks(robot, goal))
        robot.run(0.02)
    assert max(ahead) == expected
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.ended_at - goal.sent[0][0] == pytest.approx(3.0, abs=0.06)


def test_chunks_are_sent_as_soon_as_there_is_room_for_them() -> None:
    robot = SimulatedRobot(replace(SETTINGS, max_unheard_chunks=5, max_lead=30.0))
    robot.player()
    goal = robot.goal(Say(2000, pace=0.0))
    robot.finish_all(3)
    began = goal.feedback[0][0]
    sent = [at - began for at, _, _ in goal.sent]
    assert sent[:5] == pytest.approx([0.0] * 5, abs=0.002)
    assert sent[5:] == pytest.approx([number * CHUNK / RATE for number in range(1, 16)], abs=0.01)


def test_everything_that_is_unheard_may_be_sent_again_at_once() -> None:
    robot = SimulatedRobot(replace(SETTINGS, max_unheard_chunks=6, player_lost=WAIT))
    robot.player()
    goal = robot.goal(Say(3000))
    robot.run(0.5)
    robot.leave()
    robot.run(1.0)
    robot.player()
    robot.run(0.1)
    assert 0 < goal.replayed <= 7  # the playhead was extrapolated by a chunk
    robot.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED


def test_a_goal_of_which_frames_were_lost_is_aborted_with_the_words_before() -> None:
    robot = SimulatedRobot()
    player = robot.player()
    player.loses = frozenset({1200, 1300, 2000})
    goal = robot.goal(Say(4000))
    robot.run(3.9)
    assert not goal.ended, "it is spoken to its end"
    robot.finish_all(1)
    assert goal.outcome is Outcome.ABORTED
    assert goal.reason == "300 frames were lost on the way to the player"
    assert goal.text == words(1200 - REPORT)
    assert robot.faults == []
    following = robot.goal(Say(500))
    robot.finish_all(1)
    assert (following.outcome, following.text) == (Outcome.SUCCEEDED, words(500))


def test_frames_lost_at_the_end_abort_the_goal() -> None:
    robot = SimulatedRobot()
    robot.player().loses = frozenset({1900})
    goal = robot.goal(Say(2000))
    robot.finish_all(3)
    assert (goal.outcome, goal.text) == (Outcome.ABORTED, words(1850))
    assert goal.reason == "100 frames were lost on the way to the player"


@pytest.mark.parametrize("how", ["cancel", "stop"])
def test_a_goal_that_ends_early_does_not_claim_lost_words(how: str) -> None:
    robot = SimulatedRobot()
    robot.player().loses = frozenset({600})
    goal = robot.goal(Say(4000))
    robot.run(2.0)
    if how == "cancel":
        robot.cancel(goal)
    else:
        robot.queue.stop(Reason.STOPPED, "enough")
    assert goal.outcome is (Outcome.CANCELED if how == "cancel" else Outcome.ABORTED)
    assert goal.reason == ("canceled by its client" if how == "cancel" else "enough")
    assert goal.text == words(550)


def test_losses_of_several_parts_add_up() -> None:
    robot = SimulatedRobot()
    robot.player().loses = frozenset({500, 1300})
    goal = robot.goal(Say(1000), Pause(3), Say(1000))
    robot.finish_all(8)
    assert (goal.outcome, goal.text) == (Outcome.ABORTED, words(500))
    assert goal.reason == "200 frames were lost on the way to the player"


def test_a_player_that_does_not_count_reports_no_losses() -> None:
    robot = SimulatedRobot()
    robot.player(counts=False).loses = frozenset({1200})
    goal = robot.goal(Say(4000))
    robot.finish_all(5)
    assert (goal.outcome, goal.text) == (Outcome.SUCCEEDED, words(4000))


def test_a_lost_beginning_aborts_the_goal() -> None:
    robot = SimulatedRobot()
    robot.player().loses = frozenset({0, 100})
    goal = robot.goal(Say(2000, pace=0.9))
    robot.finish_all(5)
    assert (goal.outcome, goal.text) == (Outcome.ABORTED, "")
    assert goal.reason == "the player skipped a part of it"


def test_a_lost_beginning_of_a_later_part_aborts_the_goal() -> None:
    robot = SimulatedRobot()
    robot.player().loses = frozenset({500})
    goal = robot.goal(Say(500), Pause(2), Say(500))
    robot.finish_all(8)
    assert (goal.outcome, goal.text) == (Outcome.ABORTED, words(500))
    assert goal.reason == "the player skipped a part of it"


def test_what_nobody_could_hear_at_the_start_is_no_loss() -> None:
    robot = SimulatedRobot()
    goal = robot.goal(Say(5000, pace=0.9))
    robot.run(3.0)
    assert goal.sent
    robot.player()
    robot.finish_all(6)
    assert (goal.outcome, goal.text) == (Outcome.SUCCEEDED, words(5000))


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_reports_that_are_late_or_missing_are_no_loss(late: float) -> None:
    robot = SimulatedRobot()
    goal = robot.goal_for_a_silent_player()
    track = PlayerTrack(goal.sent[0][1], 0)
    robot.now += late
    for frame in (300, 900):
        robot.queue.playhead(track.start_ns + frames_to_ns(frame, RATE), "", track)
    assert not goal.utterance.progress.losses


@pytest.mark.parametrize(("first", "intact"), [(301, True), (450, False)])
def test_a_player_that_goes_on_later_than_where_another_was_has_skipped(
    first: int, intact: bool
) -> None:
    robot = SimulatedRobot()
    goal = robot.goal_for_a_silent_player()
    start_ns = goal.sent[0][1]
    robot.queue.playhead(start_ns + frames_to_ns(300, RATE), "", PlayerTrack(start_ns, 0))
    later_ns = start_ns + frames_to_ns(first, RATE)
    robot.queue.playhead(later_ns, "", PlayerTrack(later_ns, 0))
    assert bool(goal.utterance.progress.losses) is not intact
    assert goal.utterance.heard_text(2000) == (words(2000) if intact else words(300))


def test_a_playhead_between_two_parts_is_of_neither() -> None:
    robot = SimulatedRobot()
    robot.player(counts=False)
    goal = robot.goal(Say(400), Pause(1.0), Say(2000))
    robot.run(1.5)
    wire = goal.utterance.wire
    first_ns, second_ns = (span.start_ns for span in wire.spans)
    first, second = wire.spans
    assert wire.locate(first_ns - 1) is None
    assert wire.locate(first_ns + frames_to_ns(400, RATE)) == (first, 400)
    assert wire.locate(first_ns + frames_to_ns(402, RATE)) is None
    assert wire.locate(second_ns - 10_000_000) is None
    assert wire.locate(second_ns + frames_to_ns(7, RATE)) == (second, 407)
