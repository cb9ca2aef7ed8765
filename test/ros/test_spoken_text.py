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

"""What nodes speak of texts with markdown, units and thoughts, and what they say was heard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from std_msgs.msg import String
from support.fallible import Control
from support.ros import CANCELED, SUCCEEDED, Observer, running

from k2so_tts.synthesis.engine_slot import WARM_UPS

SENT = "**Go** 10 km/h to [the door](http://x.y), then stop. "


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


@pytest.fixture
def robot(observer: Observer, control: Control) -> Iterator[Observer]:
    """A server whose engine writes down what it is given, and a player."""
    env = {"PYTHONPATH": os.pathsep.join([*control.paths, os.environ["PYTHONPATH"]])}
    parameters: dict[str, Any] = {
        "engine": "fallible",
        "fallible.folder": control.folder,
        "phrase_cache_mib": 0,
        "cut_at": "sentence",
    }
    with (
        running("audio_player", device="null"),
        running("speak_server", env, **parameters, fallback_engine="''"),
    ):
        observer.wait_for_nodes()
        yield observer


def spoken(control: Control) -> str:
    """All that the engine was given after it was warmed up, joined by spaces."""
    given = [line.partition(": ")[2] for line in control.log if line.startswith("hum: ")]
    return " ".join(given).rpartition(WARM_UPS[-1])[2].strip()


def test_a_goal_is_spoken_as_a_person_would_read_it(robot: Observer, control: Control) -> None:
    goal = robot.say(SENT)
    assert goal.status == SUCCEEDED
    assert goal.text == SENT.strip()
    assert spoken(control) == "Go 10 kilometers per hour to the door, then stop."


def test_what_was_heard_is_a_part_of_what_was_sent(robot: Observer) -> None:
    goal = robot.send(SENT * 20)
    robot.wait(lambda: len(goal.feedback) > 12)
    robot.cancel(goal)
    robot.wait_for_end(goal)
    assert goal.status == CANCELED
    assert goal.text
    assert (SENT * 20).startswith(goal.text)


def test_a_goal_of_which_nothing_is_spoken_succeeds(robot: Observer, control: Control) -> None:
    goal = robot.say("<think>What do they want?</think> 🎉")
    assert goal.status == SUCCEEDED
    assert spoken(control) == ""


def test_thoughts_are_left_out_of_a_streamed_text(robot: Observer, control: Control) -> None:
    pieces = robot.node.create_publisher(String, "say_stream", 100)
    robot.wait(lambda: pieces.get_subscription_count() > 0)
    for piece in ("<th", "ink>Hm. ", "Well.</th", "ink>It is **5", " km** away. ", ""):
        pieces.publish(String(data=piece))
    robot.wait(lambda: "away." in spoken(control))
    assert spoken(control) == "It is 5 kilometers away."


def test_the_parameters_are_live(robot: Observer, control: Control, tmp_path: Path) -> None:
    lexicon = tmp_path / "lexicon.yaml"
    lexicon.write_text("K-2SO: kay two ess oh\n")
    for name, value in (("text_filters", "lexicon, markdown"), ("lexicon", str(lexicon))):
        assert robot.set_parameter("speak_server", name, value).successful
    assert robot.say("I am **K-2SO**, 5 km.").status == SUCCEEDED
    assert spoken(control) == "I am kay two ess oh, 5 km."


def test_what_is_invalid_is_refused_by_name(robot: Observer, tmp_path: Path) -> None:
    lexicon = tmp_path / "lexicon.yaml"
    lexicon.write_text("K-2SO: kay two ess oh\nROS: [a, b]\n")
    result = robot.set_parameter("speak_server", "lexicon", str(lexicon))
    assert not result.successful
    assert result.reason.startswith(f"lexicon '{lexicon}', line 2: ")
    result = robot.set_parameter("speak_server", "text_filters", "sparkle")
    assert not result.successful
    assert "'text_filters' holds 'sparkle'; allowed: all, or some of markdown, " in result.reason
