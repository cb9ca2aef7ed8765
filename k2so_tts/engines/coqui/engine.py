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

"""Coqui's neural voices: VITS, XTTS, and whatever else the library `coqui-tts` can load.

Models that run with torch are in `models.py`, a VITS that runs with onnxruntime in `vits_onnx.py`.
`load` imports what it needs of these, importing this module does not.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from k2so_tts.audio import Block
from k2so_tts.engines import (
    EngineError,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    Voice,
    match_voice,
    require,
)
from k2so_tts.engines.coqui.model_files import VITS, checkpoint_of, config_of, kind_of
from k2so_tts.engines.coqui.settings import LIBRARY_PREFIX, ONNX, OPTIONS, TORCH, check_runtime
from k2so_tts.engines.coqui.speaker import Speaker
from k2so_tts.engines.toolkit.long_text import speak_pieces, stretch_for
from k2so_tts.engines.toolkit.program import ProgramRunner
from k2so_tts.remedies import pip_install
from k2so_tts.settings import Setting, paths_of
from k2so_tts.text.languages import normal_tag

if TYPE_CHECKING:
    from k2so_tts.engines.coqui.torch_model import TorchModel
    from k2so_tts.engines.coqui.vits_onnx import OnnxVits

INSTALL = (
    "install it with 'make neural', or on a robot "
    f"'{pip_install('coqui-tts torch torchaudio torchcodec')}'; "
    f"for runtime onnx also '{pip_install('onnx onnxruntime')}'"
)

MODULES = ("torch", "TTS", "torchcodec")
"""What it takes with runtime torch."""
ONNX_MODULES = ("TTS", "onnxruntime", "onnx")
"""What it takes with runtime onnx, once a model is converted."""

_logger = logging.getLogger(__name__)


class CoquiEngine:
    """Speaks with a model of coqui-tts: each of its speakers is a voice.

    Voices of a model that speaks several languages are named `<speaker>@<language>`.
    """

    options: ClassVar[tuple[Setting, ...]] = OPTIONS
    streams: ClassVar[bool] = False

    def __init__(self, **options: Any) -> None:
        self.sample_rate = 0
        self.default_voice = ""
        self._options = options
        check_runtime(options)
        self._model: TorchModel | OnnxVits | None = None
        self._program = ProgramRunner()
        self._language = ""
        self._speakers: dict[str, Speaker] = {}
        self._voices: list[Voice] = []

    def load(self) -> None:
        """Import the library, load the model, and warm it up.

        Raises:
            EngineUnavailable: the library or the model is missing, or the model can't be loaded.
        """
        try:
            model: TorchModel | OnnxVits = (
                self._open_onnx() if self._options["runtime"] == ONNX else self._open_torch()
            )
            self._list_voices(model)
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
        """The speakers of the model, each in each of its languages; a cloned voice first."""
        return self._voices

    def find_voice(self, name: str) -> str:
        """The voice for a name, a speaker or a language tag. Raises `UnknownVoice`."""
        found = match_voice(self._voices, name)
        found = found or match_voice(self._voices, f"{name}@{self._language}")
        if found is None:
            raise UnknownVoice(f"the model has no voice or language {name!r}")
        return found

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        """Speak `text`, with a mark at the end of each piece of it, and with a VITS of each word.

        Raises `EngineError`.
        """
        model = self._model
        if model is None:
            raise EngineError("coqui is closed")
        speaker = self._speakers[voice]

        def speak(piece: str) -> Iterator[Block]:
            for block in model.speak(piece, speaker, prosody.rate):
                if self._model is None:
                    raise EngineError("coqui was closed in the middle of a text")
                yield block

        stretch = stretch_for(self.sample_rate, prosody, model.has_rate)
        yield from speak_pieces(text, model.longest, speak, stretch)

    def close(self) -> None:
        """Release the model, and end a conversion; a text that is being spoken fails."""
        self._model = None
        self._program.close()

    def _open_torch(self) -> TorchModel:
        require("coqui", MODULES, INSTALL)
        try:
            from k2so_tts.engines.coqui import models
        except ImportError as error:
            said = str(error).splitlines()[0]
            raise EngineUnavailable(f"coqui can't be used: {said}; {INSTALL}") from error
        device = models.choose_device(self._options["device"], self._options["threads"])
        return models.wrap(self._load(device), self._options)

    def _open_onnx(self) -> OnnxVits:
        require("coqui", ONNX_MODULES, INSTALL)
        from k2so_tts.engines.coqui import vits_onnx

        name = self._model_name()
        if name.startswith(LIBRARY_PREFIX):
            raise EngineUnavailable(
                f"parameter 'coqui.model' is {name!r}; allowed with coqui.runtime {ONNX!r}: a file "
                "or a directory (where the library keeps a model that it has downloaded)"
            )
        model = Path(name).expanduser()
        config = config_of(model, self._options["config_path"], "config_path")
        kind = kind_of(config)
        if kind != VITS:
            raise EngineUnavailable(
                f"parameter 'coqui.runtime' is {ONNX!r}; allowed for a model of the kind "
                f"{kind!r}: {TORCH}"
            )
        return vits_onnx.open_voice(
            checkpoint_of(model, config), config, self._options, self._run_program
        )

    def _run_program(self, command: list[str]) -> None:
        """Run a program until it ends; `close` kills it. Raises `EngineUnavailable`."""
        try:
            self._program.run(command)
        except EngineUnavailable as error:
            model = self._options["model"]
            raise EngineUnavailable(f"coqui can't convert {model!r}: {error}") from error

    def _load(self, device: str) -> Any:
        """The library's synthesizer; for a model in a file or directory nothing is downloaded."""
        from k2so_tts.engines.coqui import models

        vocoder = self._options["vocoder_path"]
        vocoder_path = Path(vocoder).expanduser() if vocoder else None
        option = "vocoder_config_path"
        vocoder_config = vocoder_path and config_of(vocoder_path, self._options[option], option)
        model = self._model_name()
        if model.startswith(LIBRARY_PREFIX):
            return models.load_named(model, vocoder_path, vocoder_config, device)
        path = Path(model).expanduser()
        config = config_of(path, self._options["config_path"], "config_path")
        return models.load_files(
            checkpoint_of(path, config), config, vocoder_path, vocoder_config, device
        )

    def _model_name(self) -> str:
        """The configured model, a path or a name. Raises `EngineUnavailable` if there is none."""
        model = str(self._options["model"])
        if not model:
            raise EngineUnavailable(
                "coqui needs a model: set coqui.model to a file, a directory, or a name of "
                "'tts --list_models'"
            )
        return model

    def _list_voices(self, model: TorchModel | OnnxVits) -> None:
        """Note every speaker in every language: a cloned voice and the chosen language first."""
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
        tag = normal_tag(language or self._language)
        self._voices.append(Voice(full, tag))


def _import_speller() -> None:
    """Import what coqui-tts spells English numbers with, before the first number does.

    Without typeguard, which would take two seconds to compile its checks into every function.
    """
    if "inflect" in sys.modules or importlib.util.find_spec("inflect") is None:
        return
    from unittest import mock

    import typeguard

    with mock.patch.object(typeguard, "typechecked", lambda function: function):
        importlib.import_module("inflect")
