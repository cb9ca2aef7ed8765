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

"""The phrase cache as the nodes and `k2so-tts cache` use it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.fallible import Control
from support.ros import SUCCEEDED, Observer, running

from k2so_tts.synthesis.phrase_cache import PhraseCache

TEXT = "This is said again and again. It always sounds the same."
TIMEOUT = 60.0


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


@pytest.fixture
def env(control: Control) -> dict[str, str]:
    paths = os.pathsep.join([*control.paths, os.environ["PYTHONPATH"]])
    return {**os.environ, "PYTHONPATH": paths}


def texts(control: Control) -> list[str]:
    return [line for line in control.log if line.startswith(("hum: ", "brumm: "))]


def warm(env: dict[str, str], control: Control, text: str, *arguments: str) -> str:
    command = ["k2so-tts", "cache", "warm", "-", "--engine", "fallible"]
    command += ["-o", f"folder={control.folder}", *arguments]
    done = subprocess.run(
        command, env=env, input=text, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_warmed_is_not_made_by_the_node(
    observer: Observer, control: Control, env: dict[str, str]
) -> None:
    told = warm(env, control, f"{TEXT}\n\nHello.\n{TEXT}\n", "--voice", "brumm", "--rate", "1.5")
    assert "2 made, 1 there already" in told
    made = len(texts(control))
    parameters: dict[str, Any] = {
        "engine": "fallible",
        "fallible.folder": control.folder,
        "voice": "brumm",
    }
    with (
        running("audio_player", device="null"),
        running("speak_server", env, **parameters, fallback_engine="''"),
    ):
        observer.wait_for_nodes()
        warm_ups = len(texts(control)) - made
        control.set("fault", "raise:a")
        goal = observer.say(TEXT, rate=1.5)
        assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
        assert observer.say("Hello.", rate=1.5, volume=0.5).status == SUCCEEDED
        values = {"phrase_cache_hits": "2", "phrase_cache_misses": "0"}
        observer.wait(lambda: observer.status("/speak_server").items() >= values.items())
        assert len(texts(control)) - made == warm_ups
        control.clear("fault")
        assert observer.say("New.").status == SUCCEEDED
        observer.wait(lambda: observer.status("/speak_server")["phrase_cache_misses"] == "1")
    assert "3 phrases" in run(env, "info")
    run(env, "clear")
    assert "0 phrases" in run(env, "info")


def run(env: dict[str, str], action: str) -> str:
    command = ["k2so-tts", "cache", action]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=True
    ).stdout


@pytest.mark.parametrize(
    ("text", "arguments", "named"),
    [
        (b"fine\n\xff\xfe\n", ["--engine", "fallible"], "line 2"),
        (b"fine", ["--engine", "espeak"], "speaks without delay"),
        (b"fine", ["--engine", "fallible", "--mib", "0"], "--mib is 0"),
    ],
)
def test_what_can_not_be_warmed_is_told(
    env: dict[str, str], tmp_path: Path, text: bytes, arguments: list[str], named: str
) -> None:
    path = tmp_path / "phrases.txt"
    path.write_bytes(text)
    command = ["k2so-tts", "cache", "warm", str(path), *arguments]
    refused = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert refused.returncode == 1
    assert named in refused.stderr


def test_a_node_that_can_not_keep_phrases_says_so_and_speaks(
    observer: Observer, control: Control, env: dict[str, str], phrases: PhraseCache
) -> None:
    phrases.path.parent.mkdir(parents=True, exist_ok=True)
    phrases.path.mkdir()
    parameters: dict[str, Any] = {"engine": "fallible", "fallible.folder": control.folder}
    try:
        with (
            running("audio_player", device="null"),
            running("speak_server", env, **parameters, fallback_engine="''"),
        ):
            observer.wait_for_nodes()
            assert observer.say(TEXT).status == SUCCEEDED
            observer.wait(
                lambda: "phrases can't be kept" in observer.status("/speak_server")["message"]
            )
    finally:
        phrases.path.rmdir()


def test_nothing_is_kept_of_an_engine_that_speaks_at_once(
    observer: Observer, phrases: PhraseCache
) -> None:
    with running("audio_player", device="null"), running("speak_server"):
        observer.wait_for_nodes()
        assert observer.say("Hello.").status == SUCCEEDED
        assert "phrase_cache_hits" not in observer.status("/speak_server")
    assert not phrases.path.exists()
