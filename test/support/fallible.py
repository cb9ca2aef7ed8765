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

"""An engine that can't be relied on: files in a folder say what goes wrong with it.

- `loading`: while this file exists it is being loaded;
- `unavailable`: while this exists it can't run, for the reason that is in the file;
- `limited`: when it is loaded, what is in this file becomes a warning of the engine;
- `fault`: in the middle of a text with the word after the colon it fails: `raise:WORD` with an
  error of an engine, `crash:WORD` with another one, `stall:WORD` never comes back.

It writes what it does, a line each, into `log`: `load`, `close` and the texts it speaks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from k2so_tts.audio import Block, Pcm
from k2so_tts.engines import (
    EngineError,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    Voice,
    match_voice,
)
from k2so_tts.settings import Setting

RATE = 24_000
FRAMES_PER_CHARACTER = 480
_LOOK_SECONDS = 0.005


class FallibleEngine:
    """Hums a tone for as long as a text is."""

    options: ClassVar[tuple[Setting, ...]] = (Setting("folder", "", "Where those files are."),)
    streams: ClassVar[bool] = False

    def __init__(self, folder: str) -> None:
        self.sample_rate = RATE
        self.default_voice = "hum"
        self.warnings: list[str] = []
        self._folder = Path(folder)
        self._closed = threading.Event()

    def load(self) -> None:
        self._note("load")
        while (self._folder / "loading").exists() and not self._closed.is_set():
            time.sleep(_LOOK_SECONDS)
        reason = self._folder / "unavailable"
        if reason.exists():
            raise EngineUnavailable(reason.read_text())
        limits = self._folder / "limited"
        if limits.exists():
            self.warnings.append(limits.read_text())

    def voices(self) -> Sequence[Voice]:
        return [Voice("hum", "en"), Voice("brumm", "de")]

    def find_voice(self, name: str) -> str:
        if (found := match_voice(self.voices(), name)) is None:
            raise UnknownVoice(f"it does not hum in {name!r}")
        return found

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        self._note(f"{voice}: {text.strip()}")
        frames = round(len(text) * FRAMES_PER_CHARACTER / prosody.rate)
        pcm = hum(frames)
        yield Block(pcm[: frames // 2])
        fault = self._folder / "fault"
        kind, _, word = (fault.read_text() if fault.exists() else "").partition(":")
        if word and word in text:
            self._fail(kind)
        yield Block(pcm[frames // 2 :])

    def close(self) -> None:
        self._note("close")
        self._closed.set()

    def _fail(self, kind: str) -> None:
        if kind == "stall":
            threading.Event().wait()
        if kind == "raise":
            raise EngineError("it lost its voice")
        raise ZeroDivisionError("it broke")

    def _note(self, line: str) -> None:
        with (self._folder / "log").open("a") as log:
            log.write(f"{line}\n")


def hum(frames: int) -> Pcm:
    pcm: Pcm = (3000 * np.sin(np.arange(frames) * (2 * np.pi * 440 / RATE))).astype(np.int16)
    return pcm


class Control:
    """The folder that rules a `FallibleEngine`, and the installation of its package.

    `path` is to be put on Python's path.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "control"
        self._folder.mkdir()
        metadata = directory / "fallible-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fallible\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            "[k2so_tts.engines]\nfallible = support.fallible:FallibleEngine\n"
        )
        self.paths = (str(directory), str(Path(__file__).parents[1]))

    @property
    def folder(self) -> str:
        return str(self._folder)

    @property
    def log(self) -> list[str]:
        """What the engine has done."""
        path = self._folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def set(self, name: str, content: str = "") -> None:
        (self._folder / name).write_text(content)

    def clear(self, name: str) -> None:
        (self._folder / name).unlink()
