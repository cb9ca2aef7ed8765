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

"""The command line and the demo, run as a person runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.hearing import SENTENCE, whole
from support.sound import no_server_env

from k2so_tts.audio import Pcm

TIMEOUT = 60.0
SAY = ("k2so-tts", "say", "--engine", "espeak")
DEMO = Path(__file__).resolve().parents[2] / "tools" / "demo.py"


def run(
    *command: str,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    text_in: str | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env=env,
        cwd=cwd,
        input=text_in,
    )


def read_wav(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_say_writes_what_the_engine_makes(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    assert run(*SAY, SENTENCE, "--wav", str(path)).returncode == 0
    assert np.array_equal(read_wav(path), whole(SENTENCE))


def test_say_takes_manner_and_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    options = ["--voice", "de", "--rate", "2", "--volume", "0.5", "--wav", str(path)]
    assert run(*SAY, "-", *options, text_in="Guten Tag.").returncode == 0
    plain = whole("Guten Tag.", "de")
    assert 0 < len(read_wav(path)) < 0.7 * len(plain)
    assert np.abs(read_wav(path).astype(int)).max() < 0.7 * np.abs(plain.astype(int)).max()


def test_say_speaks_a_text_as_a_person_would_read_it(tmp_path: Path) -> None:
    path, lexicon = tmp_path / "out.wav", tmp_path / "lexicon.yaml"
    lexicon.write_text("K-2SO: kay two\n")
    options = ["--wav", str(path), "--lexicon", str(lexicon)]
    assert run(*SAY, "**K-2SO**, 5 km.", *options).returncode == 0
    assert np.array_equal(read_wav(path), whole("kay two, 5 kilometers."))
    assert run(*SAY, "K-2SO, 5 km.", *options, "--text-filters", "").returncode == 0
    assert np.array_equal(read_wav(path), whole("K-2SO, 5 km."))
    lexicon.write_text("- K-2SO\n")
    result = run(*SAY, "K-2SO", *options)
    assert result.returncode == 1
    assert result.stderr.startswith(f"k2so-tts: lexicon '{lexicon}', line 1: ")


def test_say_plays_on_a_device() -> None:
    result = run(*SAY, "One.", "--device", "null")
    assert result.returncode == 0, result.stderr


def test_say_works_without_any_ros(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    say = [*SAY[1:], "One.", "--wav", str(path)]
    code = (
        "import sys; sys.modules.update(rclpy=None, audio_common_msgs=None); "
        f"from k2so_tts.cli.main import main; main({say!r})"
    )
    assert run(sys.executable, "-c", code).returncode == 0
    assert np.array_equal(read_wav(path), whole("One."))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["say", "x", "--voice", "klingon", "--wav", "x.wav"], "no voice or language 'klingon'"),
        (["say", "x", "--rate", "9"], "9 is not between 0.25 and 4.0"),
        (["say", "x", "--engine", "parrot"], "invalid choice: 'parrot'"),
        (
            ["say", "x", "--engine", "espeak", "-o", "model=x"],
            "engine 'espeak' has no option 'model'; allowed: none",
        ),
        (["say", "x", "-o", "model"], "'model' is not of the form NAME=VALUE"),
        (["voices", "-o", "model=x"], "--engine NAME"),
        ([*SAY[1:], "x", "--wav", "/nowhere/x.wav"], "/nowhere/x.wav"),
        ([*SAY[1:], "x", "--wav", "/dev/full"], "No space left on device: '/dev/full'"),
        ([*SAY[1:], "x", "--device", "auto"], "this machine has no sound device"),
    ],
)
def test_invalid_arguments_are_told_in_one_line(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    env = {**os.environ, **no_server_env(tmp_path)}
    result = run("k2so-tts", *arguments, env=env, cwd=tmp_path)
    assert result.returncode != 0
    assert said in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def needed(doctor: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of `doctor`, without those of what few people install."""
    return [line for line in doctor.stdout.splitlines() if line.split()[1] != "coqui"]


def test_doctor_finds_everything_but_a_device(tmp_path: Path, sound_env: dict[str, str]) -> None:
    healthy = run("k2so-tts", "doctor", env=sound_env)
    assert healthy.returncode == 0, healthy.stdout
    assert {line.split()[0] for line in needed(healthy)} == {"ok"}
    deaf = run("k2so-tts", "doctor", env={**os.environ, **no_server_env(tmp_path)})
    assert deaf.returncode == 1
    (line,) = (line for line in needed(deaf) if not line.startswith("ok"))
    assert line.startswith("missing sound device")
    assert "PipeWire" in line


def test_voices_lists_the_engine_and_its_voices() -> None:
    espeak = ("k2so-tts", "voices", "--engine", "espeak")
    listed = run(*espeak, "--all").stdout.split()
    assert listed[0] == "espeak:"
    assert {"de", "en-us", "fr-fr"} <= set(listed)
    of_one = run(*espeak, "en").stdout.splitlines()
    assert {"  en-us", "  en-gb"} <= set(of_one)
    assert all(line.startswith("  en-") for line in of_one[1:])
    counted = run(*espeak).stdout
    assert "espeak: 22050 Hz, default en-us" in counted
    assert f" en {len(of_one) - 1} " in counted
    assert len(counted.splitlines()) < 20


def test_voices_says_what_is_missing_for_an_engine() -> None:
    assert run("k2so-tts", "voices", "--engine", "coqui").returncode == 2
    listed = run("k2so-tts", "voices")
    assert listed.returncode == 0
    lines = listed.stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("coqui: "))
    assert "coqui can't be used: no module" in line or "coqui needs a" in line
    assert "pip install" in line or "set coqui." in line
    assert "espeak: 22050 Hz, default en-us" in lines


def test_send_without_a_server_says_so() -> None:
    result = run("k2so-tts", "send", "Hello.", "--wait", "0.2")
    assert result.returncode == 1
    assert "no speak_server offers the action" in result.stderr


def test_send_to_what_is_no_namespace_says_so() -> None:
    result = run("k2so-tts", "send", "Hello.", "--namespace", "robot 1")
    assert result.returncode == 1
    assert result.stderr.startswith("Invalid namespace: namespace must not contain")
    assert "'/robot 1'" in result.stderr


def test_the_demo_speaks_into_a_file_where_there_is_no_device(tmp_path: Path) -> None:
    text = """It's "quoted" $HOME `ls`"""
    env = {**os.environ, **no_server_env(tmp_path), "TEXT": text, "ENGINE": "espeak"}
    result = run(sys.executable, str(DEMO), env=env, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "no sound device" in result.stdout
    assert "The engine is espeak" in result.stdout
    assert "first frame at the device" in result.stdout
    assert "made whole" in result.stdout
    heard = read_wav(tmp_path / "demo.wav")
    assert len(heard) / 48000 > len(whole(text)) / 22050
    assert np.abs(heard.astype(int)).max() > 3000


@pytest.mark.parametrize("heard", [0.0, 0.2, 1.0])
def test_ctrl_c_ends_the_demo_and_leaves_nothing(tmp_path: Path, heard: float) -> None:
    """The group is interrupted, as by a terminal, once so many seconds are in the file."""
    env = {**os.environ, **no_server_env(tmp_path), "TEXT": SENTENCE, "ENGINE": "espeak"}
    command = [sys.executable, str(DEMO)]
    demo = subprocess.Popen(
        command, env=env, cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE
    )
    family: set[psutil.Process] = set()
    wav = tmp_path / "demo.wav"
    deadline = time.monotonic() + TIMEOUT
    while not family or (heard and (not wav.exists() or wav.stat().st_size < 96_000 * heard)):
        assert time.monotonic() < deadline
        family.update(psutil.Process(demo.pid).children(recursive=True))
        time.sleep(0.01)
    family.update(psutil.Process(demo.pid).children(recursive=True))
    os.killpg(demo.pid, signal.SIGINT)
    demo.communicate(timeout=TIMEOUT)
    assert demo.returncode in (130, -signal.SIGINT, 1)
    _, left = psutil.wait_procs(family, TIMEOUT)
    assert left == []
