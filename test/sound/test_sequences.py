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

"""Random sequences of what a tree may do, on the real nodes, judged by a recording."""

from __future__ import annotations

import random

import pytest
from std_srvs.srv import Trigger
from support.compare import align
from support.hearing import as_heard, check_heard, whole, words_in
from support.recording import retake
from support.ros import ABORTED, CANCELED, SUCCEEDED, Goal, Observer
from support.sound import SoundServer

from k2so_tts.audio import ns_to_frames

WORDS = (
    *("Apples", "Bridges", "Candles", "Doors", "Elephants", "Fountains", "Gardens"),
    *("Hammers", "Islands", "Jackets", "Kettles", "Lanterns", "Mountains", "Needles"),
)
"""No two begin alike, so that each is found in the recording."""
STEPS = len(WORDS)
ENDINGS = ("is short.", "goes on for a little while.")
ENGINE_RATE = 22_050
HEARD_CHUNKS = 6
"""In the middle of the longer text: the sixth chunk begins after 0.93 of 1.9 s."""
POLICIES = ("queue", "queue", "replace")


@retake
@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_a_tree_does_each_goal_ends_once_and_what_succeeded_was_heard(
    robot: Observer, sound_server: SoundServer, seed: int
) -> None:
    chance = random.Random(seed)
    sent: list[tuple[str, Goal]] = []
    with sound_server.record() as recording:
        recording.lost_frames()
        for step in range(STEPS):
            act(robot, chance, step, sent)
        robot.wait_for_end(*(goal for _, goal in sent), timeout=120)
        robot.wait(lambda: not robot.speaking[-1][1])
        recording.wait_for_frames(recording.frames + sound_server.rate, 10)
        heard = recording.whole()[:, 0]

    end = 0
    for text, goal in sent:
        assert goal.status in (SUCCEEDED, CANCELED, ABORTED)
        assert text.startswith(goal.text)
        if goal.status != SUCCEEDED:
            played = words_in(text, frames_played(robot, goal))
            assert abs(len(goal.text.split()) - len(played)) <= 1, (text, goal.text, played)
            continue
        assert goal.text == text
        expected = as_heard(whole(text), sound_server.rate)
        match = align(heard, expected)
        check_heard(heard, expected)
        assert match.offset >= end, "out of order"
        end = match.offset + len(expected)
    assert any(goal.status == SUCCEEDED for _, goal in sent)
    robot.wait(lambda: robot.status("/speak_server").get("goals_waiting") == "0")
    assert robot.status("/audio_player")["lost_frames"] == "0"


def frames_played(robot: Observer, goal: Goal) -> int:
    """How many frames of a goal the player had played when it ended, by its playheads."""
    if not goal.feedback:
        return 0
    assert goal.ended_at is not None
    start_ns = goal.feedback[0][1]
    heads = [head for at, head, _ in robot.playheads if goal.sent_at <= at <= goal.ended_at]
    return ns_to_frames(max([start_ns, *heads]) - start_ns, ENGINE_RATE)


def act(robot: Observer, chance: random.Random, step: int, sent: list[tuple[str, Goal]]) -> None:
    """Do one random thing. The last two are a goal that is cancelled in the middle, and one that
    nothing cuts off.
    """
    deeds = {0: "goal", STEPS - 2: "interrupt", STEPS - 1: "goal"}
    deed = deeds.get(step) or chance.choice(["goal", "goal", "cancel", "hear", "odd"])
    if deed == "goal":
        text = f"{WORDS[step]} {chance.choice(ENDINGS)}"
        sent.append((text, robot.send(text)))
        robot.wait(lambda: sent[-1][1].accepted)
    elif deed == "interrupt":
        text = f"{WORDS[step]} {ENDINGS[1]}"
        goal = robot.send(text)
        sent.append((text, goal))
        robot.wait(lambda: len(goal.feedback) >= HEARD_CHUNKS, timeout=60)
        robot.cancel(goal)
    elif deed == "cancel":
        robot.cancel(chance.choice(sent)[1])
    elif deed == "hear":
        goal = sent[-1][1]
        robot.wait(lambda: goal.feedback or goal.status is not None)
    elif chance.random() < 0.3:
        robot.call(Trigger, "/speak_server/stop")
    else:
        robot.set_parameter("/speak_server", "queue_policy", chance.choice(POLICIES))
