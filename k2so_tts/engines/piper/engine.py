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

"""Piper's neural voices: a `.onnx` file with its `.onnx.json` beside it.

Piper (GPL-3) runs in a worker process (see `worker.py`), which is started by `load`, and again when
it has died. A sentence is streamed: its decoder makes samples block by block.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from k2so_tts.audio import EMPTY_PCM, Block, Mark
from k2so_tts.engines import EngineError, EngineUnavailable, Prosody, UnknownVoice, Voice, require
from k2so_tts.engines.piper.prepared import PreparedVoice, is_temporary, prepare
from k2so_tts.engines.piper.units import units
from k2so_tts.engines.piper.voices import (
    MODULES,
    Catalogue,
    VoiceFile,
    has_voice,
    installed_voices,
    named_voices,
    voices_directory,
)
from k2so_tts.engines.toolkit.long_text import stretch_for
from k2so_tts.engines.toolkit.program import ProgramRunner
from k2so_tts.engines.toolkit.time_stretch import TimeStretch
from k2so_tts.engines.toolkit.worker_client import WorkerClient, python_environment
from k2so_tts.engines.toolkit.worker_protocol import MARK
from k2so_tts.remedies import pip_install
from k2so_tts.resampler import resampled
from k2so_tts.settings import Setting, brief, paths_of

_logger = logging.getLogger(__name__)

STALL_SECONDS = 15.0
INSTALL = f"install it with 'make piper', or on a robot '{pip_install('piper-tts onnx')}'"
_START_SECONDS = 60.0
_OWN = -1.0


class PiperEngine:
    """Speaks with voices of Piper, each named after its file.

    Speakers of a voice that has several are named `<voice>#<speaker>`. `warnings` says what limits
    the voices at hand: a graph that can't be cut, a file that can't be used.
    """

    options: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "voice",
            "",
            "Voices: .onnx files, directories of such (a.onnx:b.onnx), besides those installed.",
            paths=True,
        ),
        Setting("speaker", "", "The speaker of a voice with several, by name or number."),
        Setting("length_scale", 0.0, "Length of sounds; 0: the voice's own.", 0.0, 4.0),
        Setting("noise_scale", _OWN, "Variation of sound; -1: the voice's own.", _OWN, 2.0),
        Setting("noise_w", _OWN, "Variation of rhythm; -1: the voice's own.", _OWN, 2.0),
        Setting("threads", 0, "Threads that compute; 0: all cores.", 0, 256),
    )
    streams: ClassVar[bool] = False

    def __init__(self, *, stall_seconds: float = STALL_SECONDS, **options: Any) -> None:
        self.sample_rate = 0
        self.default_voice = ""
        self.warnings: list[str] = []
        self._options = options
        self._catalogue: Catalogue | None = None
        self._prepared: dict[str, PreparedVoice] = {}
        self._loudness: dict[str, float] = {}
        self._programs = ProgramRunner()
        worker_options = json.dumps({"threads": options["threads"] or os.cpu_count() or 1})
        self._process = WorkerClient(
            "piper",
            [sys.executable, "-m", "k2so_tts.engines.piper.worker", worker_options],
            INSTALL,
            start_seconds=_START_SECONDS,
            stall_seconds=stall_seconds,
            env=python_environment(),
        )

    @staticmethod
    def is_at_hand(options: Mapping[str, Any], voice: str) -> bool:
        """Whether `auto` may stand for this engine: its libraries are installed, none of which is
        imported to find out, and there is a voice that `find_voice` finds (empty: any voice).
        """
        return has_voice(str(options.get("voice", "")), voice)

    def load(self) -> None:
        """Find the voices, start the process, and open the default voice. A voice that is used for
        the first time is prepared, which takes seconds.

        Raises:
            EngineUnavailable: piper or a voice is missing, or a voice can't be used.
        """
        require("piper", MODULES, INSTALL)
        self._find_voices()
        self._process.start()
        try:
            self._open(self.default_voice)
        except EngineError as error:
            self.close()
            if isinstance(error, EngineUnavailable):
                raise
            path = self._at_hand()[self.default_voice][0].path
            raise EngineUnavailable(f"piper can't load {path}: {error}") from error

    @property
    def pid(self) -> int | None:
        """The process that holds piper, if one is running."""
        return self._process.pid

    def voices(self) -> Sequence[Voice]:
        """The voices at hand, the default one first."""
        return self._at_hand().voices

    def find_voice(self, name: str) -> str:
        """The voice for a full or short name, a path, a language, or a speaker's name or number.

        Raises `UnknownVoice`.
        """
        found = self._at_hand().find(name)
        if found is None:
            raise UnknownVoice(f"no Piper voice is named, or speaks, {brief(name)}")
        return found

    def loudness(self, voice: str) -> float | None:
        """How loud a voice is, in LUFS (ITU-R BS.1770), as measured when it was used for the first
        time; None before it has spoken.
        """
        return self._loudness.get(voice)

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        """Speak a text, with a mark at the end of each word and of the text. Closing the iterator
        ends what is computed, between two nodes of a graph.

        Raises `EngineError` when the process fails, or a voice used for the first time is damaged.
        """
        file, _ = self._at_hand()[voice]
        request = self._request(voice)
        request |= {"text": text, "units": units(text, file.language), "rate": prosody.rate}
        stretch = stretch_for(file.rate, prosody, has_rate=True)
        blocks = _blocks(self._ask(voice, request), text, stretch)
        yield from (
            blocks
            if file.rate == self.sample_rate
            else resampled(blocks, file.rate, self.sample_rate)
        )

    def close(self) -> None:
        """End the processes; a text under way fails with `EngineError`."""
        self._programs.close()
        self._process.close()
        for prepared in self._prepared.values():
            if is_temporary(prepared):
                shutil.rmtree(prepared.directory, ignore_errors=True)
        self._prepared.clear()

    def _at_hand(self) -> Catalogue:
        assert self._catalogue is not None, "load() comes first"
        return self._catalogue

    def _find_voices(self) -> None:
        named = named_voices(paths_of(str(self._options["voice"])))
        installed, faults = installed_voices()
        if not named + installed:
            because = f" ({'; '.join(faults)})" if faults else ""
            raise EngineUnavailable(
                f"piper needs a voice{because}: set piper.voice to an .onnx file or directory, put "
                f"one into {voices_directory()}, or run 'k2so-tts voices install joe'"
            )
        for fault in faults:
            self._warn(f"a voice is left out: {fault}")
        self._catalogue = Catalogue([*named, *installed], str(self._options["speaker"]))
        self.default_voice = self._catalogue.default
        self.sample_rate = self._catalogue[self.default_voice][0].rate

    def _warn(self, words: str) -> None:
        if words not in self.warnings:
            self.warnings.append(words)
            _logger.warning("%s", words)

    def _open(self, voice: str) -> None:
        """Have the process open a voice, and learn how loud it is."""
        for _ in self._ask(voice, self._request(voice)):
            pass

    def _ask(self, voice: str, request: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
        """The records that answer a request, without what they say of the voice, which is kept."""
        for kind, body in self._process.ask(request):
            if kind != b"V":
                yield kind, body
            elif (loudness := json.loads(body)["loudness"]) is not None:
                self._loudness[voice] = loudness

    def _request(self, voice: str) -> dict[str, Any]:
        """What to ask for, without a text."""
        file, speaker = self._at_hand()[voice]
        prepared = self._prepare(file)
        length = self._options["length_scale"] or _OWN
        scales = (self._options["noise_scale"], length, self._options["noise_w"])
        return {
            "text": "",
            "units": [],
            "voice": str(file.path),
            "parts": str(prepared.directory),
            "speaker": speaker,
            "scales": [None if scale < 0 else scale for scale in scales],
            "rate": 1.0,
        }

    def _prepare(self, file: VoiceFile) -> PreparedVoice:
        prepared = self._prepared.get(str(file.path))
        if prepared is None or not prepared.directory.exists():
            prepared = self._prepared[str(file.path)] = prepare(file, self._programs)
            if prepared.uncut:
                self._warn(
                    f"voice {file.name} is not streamed, each sentence is computed whole: its "
                    f"graph can't be cut ({prepared.uncut})"
                )
        return prepared


def _blocks(
    records: Iterator[tuple[bytes, bytes]], text: str, stretch: TimeStretch | None
) -> Iterator[Block]:
    """The blocks that records from the process make, and a mark at the end of the text."""
    frames = 0
    audio = bytearray()
    marks: list[Mark] = []
    for kind, body in records:
        if kind == b"A":
            audio += body if stretch is None else stretch(body)
        elif kind == b"W":
            marks.append(Mark(*MARK.unpack(body)))
        elif audio or marks:
            frames += len(audio) // 2
            yield Block(np.frombuffer(bytes(audio), "<i2"), tuple(marks))
            audio.clear()
            marks.clear()
    rest = EMPTY_PCM if stretch is None else np.frombuffer(stretch.flush(), np.int16)
    yield Block(rest, (Mark(len(text), frames + len(rest)),))
