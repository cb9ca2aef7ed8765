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

"""The command line with the real voice, run as a person runs it."""

from __future__ import annotations

import json
import subprocess
import wave
from pathlib import Path

import pytest

TIMEOUT = 120.0
QUIET = ("-o", "noise_scale=0", "-o", "noise_w=0")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["k2so-tts", *command], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def seconds_of(path: Path) -> float:
    with wave.open(str(path)) as file:
        seconds: float = file.getnframes() / file.getframerate()
    return seconds


def test_say_speaks_with_the_natural_voice_unless_told_otherwise(tmp_path: Path) -> None:
    text = "This is said in about three seconds, by whoever it may be."
    said = {}
    for name, options in {
        "auto": QUIET,
        "joe": ("--engine", "piper", "--voice", "joe", *QUIET),
        "de": ("--voice", "de"),
        "espeak": ("--engine", "espeak", "--voice", "de"),
    }.items():
        path = tmp_path / f"{name}.wav"
        result = run("say", text, "--cut-at", "sentence", *options, "--wav", str(path))
        assert (result.returncode, result.stderr) == (0, "")
        assert 1.5 < seconds_of(path) < 8
        said[name] = path.read_bytes()
    assert said["de"] == said["espeak"]
    assert len(said["auto"]) == len(said["joe"]) != len(said["espeak"])


def test_say_names_the_languages_that_the_voice_can_not_read(tmp_path: Path) -> None:
    wav = str(tmp_path / "a.wav")
    result = run("say", "Hello, 你好。", "--engine", "piper", *QUIET, "--wav", wav)
    assert result.returncode == 0
    assert (
        result.stderr == "a part of the last text seems to be in cmn: piper has no voice for it\n"
    )


def test_compare_measures_the_engine_that_is_named(tmp_path: Path) -> None:
    text = "This is one sentence. This is another one."
    plot = tmp_path / "bars.png"
    command = ["compare", "--device", "null", "--text", text, "--json", "--plot", str(plot)]
    result = run(*command, *QUIET)
    assert result.returncode == 0, result.stderr
    assert plot.read_bytes().startswith(b"\x89PNG")
    found = json.loads(result.stdout)
    assert found["machine"]["engine"] == "piper"
    assert found["machine"]["voice"] == "en_US-joe-medium"
    (compared,) = found["texts"]
    assert compared["differing"] is None, "a voice speaks each time in its own way"
    assert 0 < compared["streamed"]["heard"][0][0] < compared["traditional"]["heard"][0][0]


@pytest.mark.parametrize("command", ["say", "compare", "bench"])
def test_an_engine_that_can_not_speak_is_not_replaced(command: str, tmp_path: Path) -> None:
    text = ["Hello."] if command == "say" else []
    options = ["--engine", "piper", "-o", f"voice={tmp_path}", "--device", "null"]
    result = run(command, *text, *options)
    assert result.returncode == 2
    assert f"{tmp_path} holds no .onnx file" in result.stderr
    assert "Traceback" not in result.stderr
