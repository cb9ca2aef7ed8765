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

"""Random stories of goals, players and engines: every goal ends once, none claims too much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted_synthesis import PROMPT, Fail, Pause, Say, Stall
from support.simulated_robot import CHUNK, RATE, SETTINGS, SimulatedRobot

from k2so_tts.ros.speech_queue import ABORT, INTERRUPT, QUEUE, REPLACE, RESUME, WAIT

seconds = st.floats(0.0, 2.5)
part = st.one_of(
    st.builds(Say, st.integers(1, 2500), st.sampled_from([0.0, PROMPT, 0.9, 1.5, 4.0])),
    st.builds(Pause, st.floats(0.01, 4.0)),
    st.just(Stall()),
)
parts = st.builds(
    lambda body, last: (*body, *last),
    st.lists(part, max_size=4),
    st.sampled_from([(), (), (), (Fail(),), (Stall(),)]),
)
Action = Callable[[SimulatedRobot], None]


def _cancel(index: int) -> Action:
    def act(robot: SimulatedRobot) -> None:
        if robot.goals:
            robot.cancel(robot.goals[index % len(robot.goals)])

    return act


def _come(reports: bool, crashed: bool, loses: frozenset[int]) -> Action:
    """A player starts in place of the one before, which left or is still in the graph."""

    def act(robot: SimulatedRobot) -> None:
        if not crashed:
            robot.leave()
        for player in robot.connected:
            player.stop()
        _add_player(robot, reports, loses)

    return act


def _add_player(robot: SimulatedRobot, reports: bool, loses: frozenset[int]) -> None:
    """Where a part follows another without a pause, a short loss of its beginning does not show."""
    player = robot.player(reports=reports)
    player.loses, player.loses_beginnings = loses, False


def _hang(robot: SimulatedRobot) -> None:
    for player in robot.connected:
        player.stop()


def _resume(robot: SimulatedRobot) -> None:
    if robot.connected and robot.connected[-1].stopped:
        robot.connected[-1].resume()


losses = st.frozensets(st.integers(0, 20).map(lambda number: number * CHUNK), max_size=3)
actions = st.one_of(
    st.builds(
        lambda script, policy, priority: (
            lambda robot: robot.goal(*script, policy=policy, priority=priority)
        ),
        parts,
        st.sampled_from(["", "", QUEUE, REPLACE, INTERRUPT, INTERRUPT]),
        st.integers(0, 2),
    ),
    st.builds(_cancel, st.integers(0, 7)),
    st.builds(
        lambda policy: lambda robot: robot.set(policy=policy), st.sampled_from([QUEUE, REPLACE])
    ),
    st.builds(
        lambda what: lambda robot: robot.set(interrupted=what), st.sampled_from([RESUME, ABORT])
    ),
    st.builds(_come, st.sampled_from([True, True, False]), st.booleans(), losses),
    st.sampled_from([SimulatedRobot.leave, _hang, _resume]),
)


@pytest.mark.timeout(300)
@settings(max_examples=300)
@given(
    st.lists(st.tuples(actions, seconds), min_size=1, max_size=10),
    st.sampled_from(["none", "player", "foreign"]),
    losses,
    st.sampled_from(["abort", WAIT]),
    st.sampled_from([RATE, 1103]),
)
def test_every_goal_ends_once_whatever_happens(
    story: list[tuple[Action, float]],
    at_first: str,
    lost: frozenset[int],
    player_lost: str,
    rate: int,
) -> None:
    robot = SimulatedRobot(replace(SETTINGS, player_lost=player_lost), rate)
    if at_first != "none":
        _add_player(robot, at_first == "player", lost)
    for act, then in story:
        act(robot)
        robot.run(then)
    robot.finish_all(within=400)
    assert all(goal.outcome for goal in robot.goals)
    assert robot.steps <= 100 + 300 * (robot.now - 100.0) + 50 * len(story)
