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

"""Voices cut once, by `cut_voice.py`, and kept on disk."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from k2so_tts.engines import EngineUnavailable
from k2so_tts.engines.piper.voices import VoiceFile
from k2so_tts.engines.toolkit.disk_cache import cache_directory, cached_directory, state_of
from k2so_tts.engines.toolkit.program import ProgramRunner

_FORMAT = 1
"""Of what `cut_voice.py` makes: what another version made is not used."""
_PROGRAM = "k2so_tts.engines.piper.cut_voice"
LAYOUT, REASON = "layout.json", "uncut.txt"
"""Files in the directory of a voice that was cut, and of one that can't be."""


@dataclass(frozen=True)
class PreparedVoice:
    """Where the parts of a voice are; or, if its graph can't be cut, why not (`uncut`)."""

    directory: Path
    uncut: str = ""


def prepare(voice: VoiceFile, programs: ProgramRunner) -> PreparedVoice:
    """The parts of a voice, which are made if they were not yet: that takes seconds.

    Raises `EngineUnavailable` if the model is damaged, or `programs` was closed.
    """
    family = hashlib.sha256(str(voice.path).encode()).hexdigest()[:16]
    states = [state_of(voice.path), state_of(voice.config_path), _runtime_version(), _FORMAT]
    state = hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16]
    name = f"piper/{voice.name}-{family}/{state}"

    def make(directory: Path) -> None:
        _forget_others(directory)
        _cut(voice, directory, programs)

    try:
        return cached_directory(name, make, _read)
    except OSError as error:  # nothing can be kept here
        directory = Path(tempfile.mkdtemp(prefix="k2so_tts-piper-"))
        try:
            _cut(voice, directory, programs)
            return _read(directory)
        except (EngineUnavailable, OSError):
            shutil.rmtree(directory, ignore_errors=True)
            raise EngineUnavailable(f"{voice.path} can't be prepared: {error}") from error


def is_temporary(prepared: PreparedVoice) -> bool:
    """Whether it lies outside of the cache, and goes with whoever prepared it."""
    return cache_directory() not in prepared.directory.parents


def _forget_others(directory: Path) -> None:
    """Remove what other versions of the voice or of onnxruntime had; they are of no use any more,
    and large. `directory` lies in a temporary one beside them.
    """
    for other in directory.parents[1].iterdir():
        if other != directory.parent and not other.name.endswith(".part"):
            shutil.rmtree(other, ignore_errors=True)


def _read(directory: Path) -> PreparedVoice:
    reason = directory / REASON
    if reason.exists():
        return PreparedVoice(directory, reason.read_text(encoding="utf-8"))
    json.loads((directory / LAYOUT).read_text(encoding="utf-8"))
    return PreparedVoice(directory)


def _cut(voice: VoiceFile, directory: Path, programs: ProgramRunner) -> None:
    """Raises `EngineUnavailable`."""
    files = (voice.path, voice.config_path, directory)
    try:
        programs.run([sys.executable, "-m", _PROGRAM, *map(str, files)])
    except EngineUnavailable as error:
        raise EngineUnavailable(
            f"piper can't load {voice.path}: {error}; was it downloaded completely?"
        ) from error


def _runtime_version() -> str:
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return ""
