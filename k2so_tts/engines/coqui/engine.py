"""Coqui's neural voices: VITS, XTTS, and whatever else the library `coqui-tts` can load.

How each kind of model speaks is in `coqui_models.py`, which `load` imports, and torch with it; a
VITS that onnxruntime runs is in `vits_onnx.py`, without torch. Nothing of that is imported by
importing this module.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
from k2so_tts.engines.toolkit.chunked_decoder import to_pcm
from k2so_tts.engines.toolkit.long_text import speak_pieces, stretch_for
from k2so_tts.engines.toolkit.worker_client import python_environment
from k2so_tts.settings import Setting, SettingError, paths_of

if TYPE_CHECKING:
    from k2so_tts.engines.coqui.models import Model
    from k2so_tts.engines.coqui.vits_onnx import OnnxVits

AUTO, CPU, CUDA = "auto", "cpu", "cuda"
TORCH, ONNX = "torch", "onnx"
NONE, INT8, FP16 = "none", "int8", "fp16"
OWN = -1.0
_INSTALL = (
    "install it with 'make neural', or on a robot 'pip install coqui-tts torch torchaudio "
    "torchcodec'; for runtime onnx also 'pip install onnx onnxruntime'"
)
_NAMED = "tts_models/"
_CHECKPOINTS = ("model.pth", "model_file.pth", "checkpoint.pth", "best_model.pth")
XTTS, VITS = "xtts", "vits"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speaker:
    """Who speaks: a speaker of the model, or a cloned one, and in which of its languages."""

    name: str
    language: str = ""
    clone: Any = None

    def speaking(self, language: str) -> Speaker:
        return replace(self, language=language)


class CoquiEngine:
    """Speaks with a model of coqui-tts: each of its speakers is a voice.

    Voices of a model that speaks several languages are named `<speaker>@<language>`.
    """

    options: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "model",
            "",
            "A model's .pth file or directory, or a name that coqui-tts knows.",
            paths=True,
            name_prefix=_NAMED,
        ),
        Setting("config_path", "", "The model's config.json; empty: beside the model.", paths=True),
        Setting("vocoder_path", "", "A vocoder's .pth file, for spectrograms.", paths=True),
        Setting("vocoder_config_path", "", "Its config.json; empty: beside it.", paths=True),
        Setting("speaker_wav", "", "Recordings (a.wav:b.wav) of a voice to clone.", paths=True),
        Setting("language", "", "The model's language for voices that name none; empty: its own."),
        Setting(
            "device", AUTO, "Where to compute; auto: on a GPU if any.", choices=(AUTO, CPU, CUDA)
        ),
        Setting("threads", 0, "Threads that compute on the CPU; 0: all cores.", 0, 256),
        Setting("runtime", TORCH, "What computes; onnx: a VITS on the CPU.", choices=(TORCH, ONNX)),
        Setting(
            "quantization",
            NONE,
            "Numbers to compute with: int8 (VITS with runtime onnx, XTTS), fp16 (XTTS on a GPU).",
            choices=(NONE, INT8, FP16),
        ),
        Setting("seed", -1, "Makes a text sound the same each time; -1: none.", -1, 2**31 - 1),
        Setting("noise_scale", OWN, "Variation of sound (VITS); -1: the model's own.", OWN, 2.0),
        Setting("noise_w", OWN, "Variation of rhythm (VITS); -1: the model's own.", OWN, 2.0),
    )
    streams: ClassVar[bool] = False

    def __init__(self, **options: Any) -> None:
        self.sample_rate = 0
        self.default_voice = ""
        self._options = options
        self._check_runtime()
        self._model: Model | OnnxVits | None = None
        self._lock = threading.Lock()
        self._program: subprocess.Popen[str] | None = None
        self._is_closed = False
        self._language = ""
        self._speakers: dict[str, Speaker] = {}
        self._voices: list[Voice] = []

    def load(self) -> None:
        """Import the library, load the model, and have it speak once, unheard.

        Raises:
            EngineUnavailable: the library or the model is missing, or the model can't be loaded.
        """
        try:
            model: Model | OnnxVits = (
                self._open_onnx() if self._options["runtime"] == ONNX else self._open_torch()
            )
            self._learn_voices(model)
            if self._language.startswith("en"):
                _import_speller()
            self.sample_rate = model.sample_rate
            model.warm_up(self._speakers[self.default_voice])
        except EngineError:
            raise
        except Exception as error:
            _logger.debug("coqui can't load", exc_info=True)
            said = (str(error).splitlines() or [""])[0]
            raise EngineUnavailable(
                f"coqui can't load {self._options['model']!r}: {type(error).__name__}: {said}"
            ) from error
        self._model = model

    def voices(self) -> Sequence[Voice]:
        return self._voices

    def find_voice(self, name: str) -> str:
        found = match_voice(self._voices, name)
        found = found or match_voice(self._voices, f"{name}@{self._language}")
        if found is None:
            raise UnknownVoice(f"the model has no voice or language {name!r}")
        return found

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        model = self._model
        if model is None:
            raise EngineError("coqui is closed")
        speaker = self._speakers[voice]

        def speak(piece: str) -> Iterator[Pcm]:
            for samples in model.speak(piece, speaker, prosody.rate):
                if self._model is None:
                    raise EngineError("coqui was closed in the middle of a text")
                yield to_pcm(samples)

        stretch = stretch_for(self.sample_rate, prosody, model.has_rate)
        yield from speak_pieces(text, model.longest, speak, stretch)

    def close(self) -> None:
        self._model = None
        with self._lock:
            self._is_closed = True
            if self._program is not None:
                self._program.kill()

    def _check_runtime(self) -> None:
        """Raises `SettingError` for options that do not go together."""
        if self._options["runtime"] == TORCH:
            return
        for name, refused, allowed in (
            ("quantization", FP16, (NONE, INT8)),
            ("device", CUDA, (AUTO, CPU)),
        ):
            if self._options[name] == refused:
                raise SettingError(
                    f"parameter 'coqui.{name}' is {refused!r}; allowed with coqui.runtime "
                    f"{ONNX!r}: {' | '.join(allowed)}"
                )

    def _open_torch(self) -> Model:
        require("coqui", ("torch", "TTS", "torchcodec"), _INSTALL)
        try:
            from k2so_tts.engines.coqui import models as coqui_models
        except ImportError as error:
            said = str(error).splitlines()[0]
            raise EngineUnavailable(f"coqui can't be used: {said}; {_INSTALL}") from error
        device = coqui_models.choose_device(self._options["device"], self._options["threads"])
        return coqui_models.wrap(self._load(device), self._options)

    def _open_onnx(self) -> OnnxVits:
        require("coqui", ("TTS", "onnxruntime", "onnx"), _INSTALL)
        from k2so_tts.engines.coqui import vits_onnx

        name = self._model_name()
        if name.startswith(_NAMED):
            raise EngineUnavailable(
                f"parameter 'coqui.model' is {name!r}; allowed with coqui.runtime {ONNX!r}: a file "
                "or a directory (where the library keeps a model that it has downloaded)"
            )
        model = Path(name).expanduser()
        config = self._config("config_path", model)
        kind = _kind(config)
        if kind != VITS:
            raise EngineUnavailable(
                f"parameter 'coqui.runtime' is {ONNX!r}; allowed for a model of the kind "
                f"{kind!r}: {TORCH}"
            )
        return vits_onnx.open_voice(
            _checkpoint(model, config), config, self._options, self._run_program
        )

    def _run_program(self, command: list[str]) -> None:
        """Run a program until it ends; `close` kills it. Raises `EngineUnavailable`."""
        with self._lock:
            if self._is_closed:
                raise EngineUnavailable("coqui was closed while it was loading")
            self._program = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=python_environment(),
            )
        _, said = self._program.communicate()
        if self._program.returncode != 0:
            last = (said.strip().splitlines() or [f"exit code {self._program.returncode}"])[-1]
            raise EngineUnavailable(f"coqui can't convert {self._options['model']!r}: {last}")

    def _load(self, device: str) -> Any:
        """The library's synthesizer. Of a model given as a file or directory nothing is
        downloaded.
        """
        from k2so_tts.engines.coqui import models as coqui_models

        vocoder = self._options["vocoder_path"]
        vocoder_path = Path(vocoder).expanduser() if vocoder else None
        vocoder_config = vocoder_path and self._config("vocoder_config_path", vocoder_path)
        model = self._model_name()
        if model.startswith(_NAMED):
            return coqui_models.load_named(model, vocoder_path, vocoder_config, device)
        path = Path(model).expanduser()
        config = self._config("config_path", path)
        return coqui_models.load_files(
            _checkpoint(path, config), config, vocoder_path, vocoder_config, device
        )

    def _model_name(self) -> str:
        """What is set as the model: a path or a name."""
        model = str(self._options["model"])
        if not model:
            raise EngineUnavailable(
                "coqui needs a model: set coqui.model to a file, a directory, or a name of "
                "'tts --list_models'"
            )
        return model

    def _config(self, option: str, model: Path) -> Path:
        """The configuration of a model, given or beside it."""
        if self._options[option]:
            return Path(self._options[option]).expanduser()
        beside = (model if model.is_dir() else model.parent) / "config.json"
        if not beside.is_file():
            raise EngineUnavailable(f"there is no {beside}: set coqui.{option}")
        return beside

    def _learn_voices(self, model: Model | OnnxVits) -> None:
        """Every speaker in every language: a cloned one first, and the chosen language."""
        languages = model.languages
        wanted = str(self._options["language"])
        if wanted and len(languages) > 1 and wanted not in languages:
            allowed = " | ".join(languages)
            raise EngineUnavailable(f"parameter 'coqui.language' is {wanted!r}; allowed: {allowed}")
        self._language = wanted or languages[0]
        if len(languages) > 1:
            languages = sorted(languages, key=lambda language: language != self._language)
        paths = paths_of(self._options["speaker_wav"])
        speakers = [(paths[0].stem, Speaker("", "", model.clone(paths)))] if paths else []
        speakers += [(name, Speaker(name)) for name in model.speakers]
        if not speakers:
            speakers = [("default", Speaker(""))]
        for name, speaker in speakers:
            for language in languages:
                self._add_voice(name, speaker, language if len(languages) > 1 else "")
        self.default_voice = self._voices[0].name

    def _add_voice(self, name: str, speaker: Speaker, language: str) -> None:
        full = f"{name}@{language}" if language else name
        self._speakers[full] = speaker.speaking(language)
        tag = (language or self._language).lower().replace("_", "-")
        self._voices.append(Voice(full, tag))


def _import_speller() -> None:
    """Import what coqui-tts spells English numbers with, as its first number would, but without
    checks of types: typeguard takes two seconds to compile them into every function.
    """
    if "inflect" in sys.modules or importlib.util.find_spec("inflect") is None:
        return
    from unittest import mock

    import typeguard

    with mock.patch.object(typeguard, "typechecked", lambda function: function):
        importlib.import_module("inflect")


def _checkpoint(path: Path, config: Path) -> Path:
    """The file that holds the weights; an XTTS is its whole directory."""
    if not path.is_dir():
        return path
    if _kind(config) == XTTS:
        return path
    for name in _CHECKPOINTS:
        if (path / name).is_file():
            return path / name
    raise EngineUnavailable(f"{path} holds none of {', '.join(_CHECKPOINTS)}")


def _kind(config: Path) -> str:
    """What kind of model a configuration is of."""
    return str(json.loads(config.read_text(encoding="utf-8")).get("model"))
