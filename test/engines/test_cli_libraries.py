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

"""The command line where libraries are missing: one line names each, and how to install it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import k2so_tts

TIMEOUT = 60.0
PACKAGE_ROOT = Path(k2so_tts.__file__).parents[1]
PYTHON_PACKAGES = ("numpy", "soxr", "regex", "rich", "sentencex", "sounddevice")
BLOCKER = """
import ctypes, ctypes.util, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
find_library, load = ctypes.util.find_library, ctypes.CDLL

def find_unblocked(name):
    return None if "lib" + name in {missing!r} else find_library(name)

def load_unblocked(name, *arguments, **options):
    if str(name).partition(".")[0] in {missing!r}:
        raise OSError(f"{{name}}: cannot open shared object file")
    return load(name, *arguments, **options)

ctypes.util.find_library, ctypes.CDLL = find_unblocked, load_unblocked
from k2so_tts.cli.main import main
main({arguments!r})
"""


def run_without(missing: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `k2so-tts` in a process that finds none of these Python modules and C libraries."""
    code = BLOCKER.format(missing=set(missing), arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def run_bare(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `k2so-tts` with the standard library and this package alone."""
    code = f"from k2so_tts.cli.main import main; main({list(arguments)!r})"
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def rows(output: str) -> dict[str, tuple[str, str]]:
    """The verdict and the words of each line of `doctor`, by what was checked."""
    return {line[8:27].strip(): (line[:8].strip(), line[27:]) for line in output.splitlines()}


def test_doctor_starts_on_the_standard_library_alone() -> None:
    result = run_bare("doctor")
    assert result.returncode == 1
    assert result.stderr == ""
    found = rows(result.stdout)
    for name in PYTHON_PACKAGES:
        assert found[name] == (
            "missing",
            f"the Python package {name} is missing; install it with 'pip install {name}'",
        )
    assert found["rclpy (ROS 2)"][0] == "missing"
    assert "setup.bash" in found["rclpy (ROS 2)"][1]
    assert found["sound device"] == ("missing", "cannot be checked without numpy")
    assert found["audio_common_msgs"][0] == "missing"
    assert found["k2so_tts_msgs"][0] == "missing"


@pytest.mark.parametrize(
    ("library", "row", "command"),
    [
        *((name, name, f"pip install {name}") for name in PYTHON_PACKAGES),
        ("libportaudio", "PortAudio", "apt install libportaudio2"),
        ("libespeak-ng", "espeak-ng", "apt install espeak-ng"),
        ("rclpy", "rclpy (ROS 2)", "source /opt/ros/"),
        ("audio_common_msgs", "audio_common_msgs", "audio_common_msgs"),
        ("k2so_tts_msgs", "k2so_tts_msgs", "build interfaces/k2so_tts_msgs"),
    ],
)
def test_doctor_tells_how_to_install_a_library(library: str, row: str, command: str) -> None:
    result = run_without((library,), "doctor")
    assert result.stderr == ""
    verdict, words = rows(result.stdout)[row]
    assert verdict == "missing"
    assert command in words
    required = not row.startswith(("rclpy", "audio_common_msgs", "k2so_tts_msgs", "sentencex"))
    assert result.returncode == 1 or not required


@pytest.mark.parametrize(
    ("library", "arguments"),
    [
        ("numpy", ("say", "x")),
        ("soxr", ("say", "x")),
        ("regex", ("say", "x")),
        ("rich", ("say", "x")),
        ("sounddevice", ("say", "x")),
        ("numpy", ("voices",)),
        ("rich", ("send", "x")),
        ("rich", ("compare",)),
        ("soxr", ("bench",)),
        ("matplotlib", ("bench", "--plot", "x.png")),
        ("numpy", ("cache", "info")),
    ],
)
def test_a_missing_library_is_told_in_one_line(library: str, arguments: tuple[str, ...]) -> None:
    result = run_without((library,), *arguments)
    assert result.returncode == 2
    told = result.stderr or result.stdout
    assert f"the Python package {library} is missing" in told.splitlines()[-1]
    assert f"'pip install {library}'" in told
    assert "Traceback" not in told
    assert result.stdout == "" or arguments == ("voices",)


@pytest.mark.parametrize(
    ("library", "arguments", "command"),
    [
        ("libportaudio", ("say", "x"), "apt install libportaudio2"),
        ("rclpy", ("send", "x"), "source /opt/ros/"),
    ],
)
def test_a_missing_system_library_is_told_in_one_line(
    library: str, arguments: tuple[str, ...], command: str
) -> None:
    result = run_without((library,), *arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("k2so-tts: ")
    assert command in line


def test_a_wav_file_is_written_without_any_sound_library(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    arguments = ("say", "x", "--engine", "espeak", "--wav", str(path))
    result = run_without(("sounddevice", "libportaudio"), *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert path.stat().st_size > 1000


def test_help_needs_the_standard_library_alone() -> None:
    result = run_bare("--help")
    assert result.returncode == 0
    for name in ("say", "send", "voices", "doctor", "bench", "compare", "cache"):
        assert f"  {name} " in result.stdout
