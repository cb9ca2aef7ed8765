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

"""The example of an engine of one's own: installed as a package, and spoken with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "engine_package"
TIMEOUT = 120.0
DOT_SECONDS = 60.0 / (50 * 20)

pytestmark = pytest.mark.timeout(240)  # pip takes its time on a busy machine


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the package is installed."""
    source = tmp_path_factory.mktemp("source") / "engine_package"
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source)
    install = ["install", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", *install, str(source))
    return {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{os.environ['PYTHONPATH']}"}


def run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_speaks_like_any_engine(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "sos.wav"
    run(
        "k2so-tts", "say", "e e", "--engine", "morse", "--wav", str(path), "-o", "tone=500", env=env
    )
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate = file.getframerate()
    sounding = np.flatnonzero(np.abs(pcm.astype(int)) > 1000)
    assert sounding[-1] / rate == pytest.approx(9 * DOT_SECONDS, abs=0.01)  # . and 7 and .
    spectrum = np.abs(np.fft.rfft(pcm))
    assert np.argmax(spectrum) * rate / len(pcm) == pytest.approx(500, abs=20)


def test_it_is_listed_and_its_options_are_checked(env: dict[str, str]) -> None:
    listed = run("k2so-tts", "voices", "--engine", "morse", env=env)
    assert listed.splitlines() == ["morse: 22050 Hz, default morse", "  morse (en)"]
    command = ["k2so-tts", "say", "a", "--engine", "morse", "-o", "tone=5"]
    refused = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert refused.returncode != 0
    assert "'morse.tone' is '5'; allowed: a number from 100 to 4000" in refused.stderr
