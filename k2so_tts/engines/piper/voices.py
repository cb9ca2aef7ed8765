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

"""Which Piper voices there are, each a `.onnx` file with a `.onnx.json`, and how one is chosen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from k2so_tts.engines import EngineUnavailable, Voice, match_voice
from k2so_tts.settings import paths_of
from k2so_tts.text.languages import normal_tag

MODULES = ("piper", "onnx", "onnxruntime")
"""The Python modules that speaking with a voice takes."""
_RATES = (8000, 48000)
_PHONEME_TYPES = ("espeak", "text", "pinyin", "hebrew", "japanese", "thai")
_LEAST_BYTES = 100_000
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class VoiceFile:
    """A voice on disk: its model, its sample rate (Hz), its language (BCP 47) and its speakers by
    name, the default one first; none if it has one voice only.
    """

    path: Path
    rate: int
    language: str
    speakers: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its full name, `en_US-joe-medium`."""
        return self.path.stem

    @property
    def short_name(self) -> str:
        """What people call it: `joe` of `en_US-joe-medium`."""
        parts = self.name.split("-")
        return parts[1] if len(parts) == 3 else self.name

    @property
    def config_path(self) -> Path:
        """The `.onnx.json` beside it."""
        return Path(f"{self.path}.json")


def voices_directory() -> Path:
    """Where a person's own voices lie: below `XDG_DATA_HOME`, or `~/.local/share`."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "k2so_tts" / "voices"


def has_voice(paths: str, name: str) -> bool:
    """Whether Piper can be expected to speak: its libraries are there, and a voice is.

    A voice that can't be used counts, so that loading it reports what is wrong with it.

    Args:
        paths: the value of the option `voice`.
        name: what the voice has to match, as for `Catalogue.find`; empty: any voice will do.
    """
    if not all(find_spec(module) for module in MODULES):
        return False
    try:
        named = named_voices(paths_of(paths))
    except EngineUnavailable:
        return True
    installed, faults = installed_voices()
    files = [*named, *installed]
    if not name:
        return bool(files or faults)
    return bool(files) and Catalogue(files).find(name) is not None


def named_voices(paths: Iterable[Path]) -> list[VoiceFile]:
    """The voices in files and directories that somebody named. Raises `EngineUnavailable` if one
    of them can't be used.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.onnx")) if path.is_dir() else [path]
        if not found:
            raise EngineUnavailable(f"parameter 'piper.voice': {path} holds no .onnx file")
        files += [file.absolute() for file in found]
    return [read_voice(file) for file in files]


def installed_voices() -> tuple[list[VoiceFile], list[str]]:
    """The voices in `voices_directory` and in installed Python packages; and, for each that can't
    be used, why.
    """
    paths = [*sorted(voices_directory().glob("**/*.onnx")), *_packaged()]
    read = [_read_or_fault(path.absolute()) for path in paths]
    voices = [each for each in read if isinstance(each, VoiceFile)]
    return voices, [each for each in read if isinstance(each, str)]


def _read_or_fault(path: Path) -> VoiceFile | str:
    try:
        return read_voice(path)
    except EngineUnavailable as error:
        return str(error)


def _packaged() -> Iterator[Path]:
    """The models that installed Python packages bring with a `.onnx.json` beside them."""
    for distribution in distributions():
        if ".onnx.json" not in (distribution.read_text("RECORD") or ""):
            continue
        names = {str(file) for file in distribution.files or ()}
        for name in sorted(names):
            if name.endswith(".onnx") and f"{name}.json" in names:
                path = Path(str(distribution.locate_file(name)))
                if path.exists():
                    yield path


def read_voice(path: Path) -> VoiceFile:
    """Read what is to be known of a voice. Raises `EngineUnavailable`, which says what is wrong."""
    _check_model(path)
    config_path = Path(f"{path}.json")
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineUnavailable(f"a Piper voice needs its {config_path.name}: {error}") from error
    except ValueError as error:
        raise EngineUnavailable(f"{config_path} is not valid JSON: {error}") from error
    try:
        return _described(path, config)
    except KeyError as error:
        raise EngineUnavailable(
            f"{config_path} is no configuration of a Piper voice: it lacks {error}"
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise EngineUnavailable(
            f"{config_path} is no configuration of a Piper voice: {error}"
        ) from error


def _check_model(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS_POINTER))
        size = path.stat().st_size
    except OSError as error:
        raise EngineUnavailable(f"{path} can't be read: {error}") from error
    if head == _LFS_POINTER:
        raise EngineUnavailable(f"{path} is a pointer of git-lfs: run 'git lfs pull' there")
    if size < _LEAST_BYTES:
        raise EngineUnavailable(f"{path} is no voice: {size} bytes; was it downloaded completely?")


def _described(path: Path, config: dict[str, Any]) -> VoiceFile:
    rate = config["audio"]["sample_rate"]
    if not isinstance(rate, int) or not _RATES[0] <= rate <= _RATES[1]:
        raise ValueError(f"sample_rate is {rate!r}; allowed: {_RATES[0]} to {_RATES[1]} Hz")
    kind = config.get("phoneme_type", "espeak")
    if kind not in _PHONEME_TYPES:
        raise ValueError(f"phoneme_type is {kind!r}; known: {' | '.join(_PHONEME_TYPES)}")
    if not config["phoneme_id_map"]:
        raise ValueError("phoneme_id_map is empty")
    language = (config.get("language") or {}).get("code") or config["espeak"]["voice"]
    return VoiceFile(path, rate, normal_tag(language), _speakers(config))


def _speakers(config: dict[str, Any]) -> dict[str, int]:
    count = int(config["num_speakers"])
    if count <= 1:
        return {}
    named = {str(name): int(id_) for name, id_ in (config.get("speaker_id_map") or {}).items()}
    speakers = named or {str(number): number for number in range(count)}
    default = int(config.get("default_speaker_id") or 0)
    return dict(sorted(speakers.items(), key=lambda item: (item[1] != default, item[1])))


class Catalogue:
    """The voices at hand, by the names under which they can be chosen, in order: the first is the
    default. A speaker of a voice that has several is `<voice>#<speaker>`.
    """

    def __init__(self, files: Sequence[VoiceFile], speaker: str = "") -> None:
        self._files = list({file.name: file for file in reversed(files)}.values())[::-1]
        self._chosen: dict[str, tuple[VoiceFile, int]] = {}
        for file in self._files:
            for name, number in (file.speakers or {"": 0}).items():
                full = f"{file.name}#{name}" if name else file.name
                self._chosen[full] = file, number
        self.voices = [Voice(name, file.language) for name, (file, _) in self._chosen.items()]
        self.default = self.voices[0].name
        if speaker:
            self.default = self._with_speaker(speaker)
            self.voices.sort(key=lambda voice: voice.name != self.default)

    def __getitem__(self, name: str) -> tuple[VoiceFile, int]:
        """The file of a voice, and the number of its speaker."""
        return self._chosen[name]

    def find(self, wanted: str) -> str | None:
        """The voice that is meant by a full or short name, a path, a language, or a speaker's name
        or number: `en_US-joe-medium`, `joe`, `/voices/joe.onnx`, `en`, `joe#spike`, `spike`, `#1`.
        Case does not matter.
        """
        base, _, speaker = wanted.strip().partition("#")
        if not base:
            return self._speaker_of(self._default_file(), speaker)
        file = self._file(base)
        if file is not None:
            return self._speaker_of(file, speaker)
        if speaker:
            return None
        files = [self._default_file(), *self._files]
        known = (self._speaker_of(file, base) for file in files if file.speakers)
        return match_voice(self.voices, base) or next(filter(None, known), None)

    def _default_file(self) -> VoiceFile:
        return self._chosen[self.default][0]

    def _file(self, wanted: str) -> VoiceFile | None:
        """A voice by its name or path."""
        for file in self._files:
            if wanted in (str(file.path), str(file.path.with_suffix(""))):
                return file
        plain = _plain(wanted)
        full = (file for file in self._files if _plain(file.name) == plain)
        short = (file for file in self._files if _plain(file.short_name) == plain)
        return next(full, None) or next(short, None)

    def _speaker_of(self, file: VoiceFile, speaker: str) -> str | None:
        """A voice's speaker by name or number; its default one if that is not said."""
        for name, (other, number) in self._chosen.items():
            if other is file:
                own = name.rpartition("#")[2].lower() if file.speakers else ""
                if not speaker or speaker.lower() in (own, str(number)):
                    return name
        return None

    def _with_speaker(self, speaker: str) -> str:
        file = self._default_file()
        found = self._speaker_of(file, speaker.lstrip("#")) if file.speakers else None
        if found is None:
            allowed = " | ".join(file.speakers) or "none, as the voice has one speaker only"
            raise EngineUnavailable(f"parameter 'piper.speaker' is {speaker!r}; allowed: {allowed}")
        return found


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
