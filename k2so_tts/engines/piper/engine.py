"""Piper's neural voices: a `.onnx` file with its `.onnx.json` beside it.

Piper (GPL-3) runs in a process of its own (see `piper_process.py`), which is started by `load`, and
again when it has died. A sentence is streamed: the decoder makes samples block by block.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from k2so_tts.audio import Block, Pcm
from k2so_tts.engines import (
    EngineError,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    Voice,
    match_voice,
    require,
)
from k2so_tts.engines.toolkit.long_text import speak_pieces, stretch_for
from k2so_tts.engines.toolkit.worker_client import WorkerClient, python_environment
from k2so_tts.settings import Setting, paths_of

STALL_SECONDS = 15.0
_INSTALL = "install it with 'make neural', or on a robot 'pip install piper-tts onnx'"
_START_SECONDS = 60.0
_LONGEST = 250
OWN = -1.0


@dataclass(frozen=True)
class _File:
    """A voice on disk: its model, its sample rate (Hz), its language and its speakers."""

    path: Path
    rate: int
    language: str
    speakers: dict[str, int]


class PiperEngine:
    """Speaks with voices of Piper, each named after its file.

    Speakers of a voice that has several are named `<voice>#<speaker>`.
    """

    options: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "voice", "", "Voices: .onnx files, directories of such (a.onnx:b.onnx).", paths=True
        ),
        Setting("speaker", "", "The speaker of a voice with several; empty: its first."),
        Setting("length_scale", 0.0, "Length of sounds; 0: the voice's own.", 0.0, 4.0),
        Setting("noise_scale", OWN, "Variation of sound; -1: the voice's own.", OWN, 2.0),
        Setting("noise_w", OWN, "Variation of rhythm; -1: the voice's own.", OWN, 2.0),
        Setting("threads", 0, "Threads that compute; 0: all cores.", 0, 256),
    )
    streams: ClassVar[bool] = False

    def __init__(self, *, stall_seconds: float = STALL_SECONDS, **options: Any) -> None:
        self.sample_rate = 0
        self.default_voice = ""
        self._options = options
        self._files: dict[str, tuple[_File, int]] = {}
        self._voices: list[Voice] = []
        child_options = json.dumps({"threads": options["threads"] or os.cpu_count() or 1})
        self._process = WorkerClient(
            "piper",
            [sys.executable, "-m", "k2so_tts.engines.piper.worker", child_options],
            _INSTALL,
            start_seconds=_START_SECONDS,
            stall_seconds=stall_seconds,
            env=python_environment(),
        )

    def load(self) -> None:
        """Read which voices there are, start the process, and load the first of them.

        Raises:
            EngineUnavailable: piper or a voice is missing, or a voice can't be used.
        """
        require("piper", ("piper", "onnx", "onnxruntime"), _INSTALL)
        self._learn_voices()
        self._process.start()
        try:
            for _ in self._ask("", self.default_voice, Prosody()):
                pass
        except EngineError as error:
            self.close()
            name = self._files[self.default_voice][0].path
            raise EngineUnavailable(f"piper can't load {name}: {error}") from error

    @property
    def pid(self) -> int | None:
        """The process that holds piper, if one is running."""
        return self._process.pid

    def voices(self) -> Sequence[Voice]:
        return self._voices

    def find_voice(self, name: str) -> str:
        found = match_voice(self._voices, name)
        if found is None:
            raise UnknownVoice(f"no Piper voice at hand is or speaks {name!r}")
        return found

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        stretch = stretch_for(self.sample_rate, prosody, has_rate=True)
        yield from speak_pieces(
            text, _LONGEST, lambda piece: self._ask(piece, voice, prosody), stretch
        )

    def close(self) -> None:
        self._process.close()

    def _ask(self, text: str, voice: str, prosody: Prosody) -> Iterator[Pcm]:
        file, speaker = self._files[voice]
        length = self._options["length_scale"] or OWN
        scales = (self._options["noise_scale"], length, self._options["noise_w"])
        request = {
            "text": text,
            "voice": str(file.path),
            "speaker": speaker,
            "scales": [None if scale < 0 else scale for scale in scales],
            "rate": prosody.rate,
        }
        for kind, body in self._process.ask(request):
            if kind == b"A":
                yield np.frombuffer(body, "<i2")

    def _learn_voices(self) -> None:
        files = [_read_voice(path) for path in _voice_paths(str(self._options["voice"]))]
        rates = {file.rate: file.path.name for file in files}
        if len(rates) > 1:
            different = ", ".join(f"{name} {rate} Hz" for rate, name in rates.items())
            raise EngineUnavailable(f"the voices of 'piper.voice' differ in rate: {different}")
        self.sample_rate = files[0].rate
        for file in files:
            for speaker, number in self._speakers_first(file):
                name = f"{file.path.stem}#{speaker}" if speaker else file.path.stem
                self._files[name] = file, number
                self._voices.append(Voice(name, file.language))
        self.default_voice = self._voices[0].name

    def _speakers_first(self, file: _File) -> list[tuple[str, int]]:
        """The speakers of a voice, the chosen one first; one without a name if it has one only."""
        wanted = str(self._options["speaker"])
        if not file.speakers:
            return [("", 0)]
        if wanted and wanted not in file.speakers:
            allowed = " | ".join(file.speakers)
            raise EngineUnavailable(f"parameter 'piper.speaker' is {wanted!r}; allowed: {allowed}")
        return sorted(file.speakers.items(), key=lambda speaker: speaker[0] != wanted)


def _voice_paths(names: str) -> list[Path]:
    """The files that `piper.voice` names. Raises `EngineUnavailable`."""
    if not names:
        raise EngineUnavailable(
            "piper needs a voice: set piper.voice to an .onnx file or directory"
        )
    files = []
    for path in paths_of(names):
        found = sorted(path.glob("*.onnx")) if path.is_dir() else [path]
        if not found:
            raise EngineUnavailable(f"parameter 'piper.voice': {path} holds no .onnx file")
        files += [file.absolute() for file in found]
    return files


def _read_voice(path: Path) -> _File:
    config_path = Path(f"{path}.json")
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
        rate = int(config["audio"]["sample_rate"])
        language = config.get("language", {}).get("code") or config["espeak"]["voice"]
        speakers = {str(name): int(id_) for name, id_ in config.get("speaker_id_map", {}).items()}
        several = int(config["num_speakers"]) > 1
    except OSError as error:
        raise EngineUnavailable(f"a Piper voice needs its {config_path.name}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineUnavailable(
            f"{config_path} is no configuration of a Piper voice: {type(error).__name__} {error}"
        ) from error
    if several and not speakers:
        speakers = {str(number): number for number in range(int(config["num_speakers"]))}
    return _File(path, rate, language.lower().replace("_", "-"), speakers if several else {})
