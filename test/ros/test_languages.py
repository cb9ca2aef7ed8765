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

"""Languages and scripts at the wire: which voice speaks, and which words were heard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import String
from support.fallible import Control
from support.ros import CANCELED, SUCCEEDED, Goal, Observer, running

from k2so_tts.audio import Pcm
from k2so_tts.engines import NORMAL
from k2so_tts.engines.espeak.engine import EspeakEngine

RATE = 22_050


@pytest.fixture
def robot(observer: Observer) -> Iterator[Observer]:
    """A robot that is configured for German."""
    with (
        running("audio_player", device="null"),
        running("speak_server", voice="de", stream_timeout=600.0),
    ):
        observer.wait_for_nodes()
        yield observer


def sent_pcm(observer: Observer) -> Pcm:
    """All that was sent, shape (frames,); what was sent is forgotten."""
    blocks = [message.audio.audio_data.int16_data for _, message in observer.audio]
    observer.audio.clear()
    return np.concatenate([np.asarray(block, np.int16) for block in blocks])


def spoken(espeak: EspeakEngine, text: str, voice: str) -> Pcm:
    return np.concatenate([block.pcm for block in espeak.synthesise(text, voice, NORMAL)])


def cancel_after(robot: Observer, goal: Goal, seconds: float) -> None:
    """Cancel a goal once so much of it was reported as heard."""
    robot.wait(lambda: goal.feedback)
    first = goal.feedback[0][1]
    robot.wait(lambda: robot.playheads and robot.playheads[-1][1] - first > seconds * 1e9)
    robot.cancel(goal)
    robot.wait_for_end(goal)
    robot.playheads.clear()


def test_a_goal_is_spoken_in_the_language_that_it_asks_for(
    robot: Observer, espeak: EspeakEngine
) -> None:
    for language, voice in (
        ("", "de"),
        ("en", "de"),
        ("de-CH", "de"),
        ("en-US", "en-us"),
        ("en-IN", "en-gb"),
        ("zh-TW", "cmn"),
    ):
        goal = robot.say("Ja", language=language)
        assert (goal.status, goal.text) == (SUCCEEDED, "Ja")
        np.testing.assert_array_equal(sent_pcm(robot), spoken(espeak, "Ja", voice), str(language))
    assert robot.say("Ola", language="gl-ES").accepted is False
    reason = (
        "language is 'gl-ES': espeak-ng has no voice or language 'gl-ES'; see 'k2so-tts voices'"
    )
    robot.wait(lambda: [entry for entry in robot.log if reason in entry.msg])


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh-CN", "你好，我是一个机器人，很高兴见到你。今天我们一起去公园散步吧。"),
        ("ja-JP", "こんにちは。私はロボットです。今日は一緒に公園を散歩しましょう。"),
        ("th-TH", "สวัสดีครับผมชื่อหุ่นยนต์ยินดีที่ได้รู้จักวันนี้เราไปเดินเล่นกัน"),
        ("en-US", "one,two,three,four,five,six,seven,eight,nine,ten,eleven"),
    ],
)
def test_a_cancelled_text_without_spaces_returns_what_was_heard(
    robot: Observer, language: str, text: str
) -> None:
    goal = robot.send(text, language=language)
    cancel_after(robot, goal, 1.0)
    assert goal.status == CANCELED
    assert text.startswith(goal.text)
    assert 0 < len(goal.text) < len(text)


def test_a_streamed_clause_is_spoken_although_nothing_follows(robot: Observer) -> None:
    publisher = robot.node.create_publisher(String, "say_stream", 100)
    robot.wait(publisher.get_subscription_count)
    for piece in ("Let", " me", " check", "."):
        publisher.publish(String(data=piece))
    robot.wait(lambda: robot.audio)
    publisher.publish(String(data=""))
    robot.wait(lambda: robot.status("/speak_server").get("goals_succeeded") == "1")


def test_a_text_in_another_script_is_spoken_by_a_voice_that_reads_it(
    robot: Observer, espeak: EspeakEngine
) -> None:
    goal = robot.say("你好，世界")
    assert (goal.status, goal.text) == (SUCCEEDED, "你好，世界")
    np.testing.assert_array_equal(sent_pcm(robot), spoken(espeak, "你好，世界", "cmn"))
    assert robot.set_parameter("/speak_server", "script_voices", value=False).successful
    assert robot.say("你好").status == SUCCEEDED
    np.testing.assert_array_equal(sent_pcm(robot), spoken(espeak, "你好", "de"))


def test_a_script_that_only_the_fallback_reads_is_spoken_by_it_and_others_are_reported(
    observer: Observer, tmp_path: Path
) -> None:
    """The engine hums in English and German; nobody here reads Lao."""
    control = Control(tmp_path)
    env = {"PYTHONPATH": ":".join([*control.paths, os.environ["PYTHONPATH"]])}
    options: dict[str, Any] = {"fallible.folder": control.folder, "phrase_cache_mib": 0}

    def status() -> dict[str, str]:
        return observer.status("/speak_server")

    def say(text: str) -> None:
        goal = observer.say(text, rate=4.0)
        assert (goal.status, goal.text) == (SUCCEEDED, text)

    with (
        running("audio_player", device="null"),
        running("speak_server", env, engine="fallible", **options),
    ):
        observer.wait_for_nodes()
        observer.wait(lambda: status().get("engine_state") == "ready")
        say("你好，世界")
        say("That is 你好 again.")
        assert "你好" not in "".join(control.log)
        observer.wait(lambda: status().get("goals_succeeded") == "2")
        assert (status()["message"], status()["fallback_utterances"]) == ("ready", "0")
        say("That is ສະບາຍດີ.")
        reported = "a part of the last text seems to be in lo: fallible has no voice for it"
        observer.wait(lambda: reported in status().get("message", ""))
        observer.wait(lambda: [entry for entry in observer.log if entry.msg == reported])
        say("That is it.")
        observer.wait(lambda: status().get("message") == "ready")
