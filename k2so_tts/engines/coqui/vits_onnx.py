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

"""A VITS of coqui-tts that runs with onnxruntime: without torch, in a fifth of the memory.

`vits_export.py` converts the model once, in a process of its own; the result is kept on disk. Texts
become tokens by the library's own cleaners and phonemizers, imported without the rest of it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from k2so_tts.audio import Block, Mark
from k2so_tts.engines import EngineUnavailable
from k2so_tts.engines.coqui.speaker import Speaker
from k2so_tts.engines.coqui.words import marked, marks_of
from k2so_tts.engines.toolkit.chunked_decoder import ReceptiveField, decode_in_blocks
from k2so_tts.engines.toolkit.disk_cache import cached_directory, state_of
from k2so_tts.engines.toolkit.onnx_session import open_session, run

Samples = NDArray[np.float32]

VERSION = 1
"""Of the files that `vits_export.py` makes: those of another version are not used."""
TEXT, FLOW, DECODER = "text.onnx", "flow.onnx", "decoder.onnx"
DESCRIPTION, EMBEDDINGS = "voice.json", "embeddings.npz"
_BARE = ("TTS", "TTS.tts", "TTS.tts.utils", "TTS.tts.utils.text", "TTS.tts.utils.text.phonemizers")
"""Packages of the library that import torch, which the modules used here do not need."""
_KEPT_MODELS = 4
"""So many converted models are kept, of 50 to 150 MB each: those that were used last."""


class OnnxVits:
    """Speaks with what `export` of `vits_export.py` has put into a directory.

    `options` are those of the engine.
    """

    longest = 250
    """Characters that are spoken in one go: how long a cancel may have to wait."""
    has_rate = True
    """It can speak faster and slower by itself."""

    def __init__(self, directory: Path, options: Mapping[str, Any]) -> None:
        self._description = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
        self.sample_rate = int(self._description["sample_rate"])
        self.languages: list[str] = self._description["languages"]
        self.speakers: list[str] = self._description["speakers"]
        with np.load(directory / EMBEDDINGS, allow_pickle=False) as file:
            self._embeddings: dict[str, NDArray[np.float32]] = dict(file)
        self._tokenizer = Tokenizer(self._description["tokenizer"])
        self._scales = {
            name: options[name] if options[name] >= 0 else self._description[name]
            for name in ("noise_scale", "noise_w")
        }
        self._seed = int(options["seed"])
        self._random = np.random.default_rng()
        self._field = ReceptiveField(*self._description["reach"])
        self._frame_samples = int(self._description["frame_samples"])
        threads = options["threads"] or os.cpu_count() or 1
        self._text, self._flow, self._decoder = (
            open_session(directory / name, threads) for name in (TEXT, FLOW, DECODER)
        )

    def clone(self, _: Sequence[Path]) -> Any:
        """Raises `EngineUnavailable`: it can't clone voices."""
        raise EngineUnavailable("coqui.speaker_wav is set: voices are cloned with runtime torch")

    def warm_up(self, speaker: Speaker) -> None:
        """Speak a little, as the first time is slow."""
        for _ in self.speak("a.", speaker, 1.0):
            return

    def speak(self, text: str, speaker: Speaker, rate: float) -> Iterator[Block]:
        """The sound of a text, block by block as it is made, with the marks of its words."""
        found = self._decoder_input(text, speaker.name, speaker.language, rate)
        if found is None:
            return
        inputs, ends = found
        latent = inputs["latent"]

        def decode(first: int, last: int) -> Samples:
            return run(self._decoder, {**inputs, "latent": latent[:, :, first:last]})[0].reshape(-1)

        def find_marks() -> list[Mark]:
            return marks_of(text, inputs["tokens"][0].tolist(), self._tokenizer.letters, ends)

        blocks = decode_in_blocks(latent.shape[-1], self._field, self._frame_samples, decode)
        yield from marked(blocks, find_marks)

    def decoder_inputs(self, texts: Sequence[str], frames: int) -> Iterator[dict[str, Any]]:
        """The inputs of the decoder for some texts, at most so many latent frames of each."""
        speaker = self.speakers[0] if self.speakers else ""
        for text in texts:
            found = self._decoder_input(text, speaker, self.languages[0], 1.0)
            if found is not None:
                inputs, _ = found
                wanted = {each.name for each in self._decoder.get_inputs()}
                inputs["latent"] = inputs["latent"][:, :, :frames]
                yield {name: value for name, value in inputs.items() if name in wanted}

    def _decoder_input(
        self, text: str, speaker: str, language: str, rate: float
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]] | None:
        """The latent frames of a text, and the conditions; and the samples up to the end of each
        token. None: it knows none of the letters.
        """
        tokens = self._tokenizer(text, language or self.languages[0])
        if len(tokens) <= 1:
            return None
        if self._seed >= 0:
            self._random = np.random.default_rng(self._seed)
        inputs = self._condition(speaker, language)
        noise = self._noise((1, 2, len(tokens))) * np.float32(self._scales["noise_w"])
        inputs |= {"tokens": np.array([tokens], np.int64), "noise": noise}
        means, log_scales, log_frames = run(self._text, inputs)
        length_scale = np.float32(self._description["length_scale"] / rate)
        frames = np.ceil(np.exp(log_frames[0, 0]) * length_scale).astype(np.int64)
        means, log_scales = (np.repeat(each, frames, axis=2) for each in (means, log_scales))
        noise = self._noise(means.shape) * np.float32(self._scales["noise_scale"])
        (latent,) = run(self._flow, {**inputs, "latent": means + noise * np.exp(log_scales)})
        return {**inputs, "latent": latent}, np.cumsum(frames) * self._frame_samples

    def _condition(self, speaker: str, language: str) -> dict[str, NDArray[Any]]:
        """The embeddings of a speaker and a language, shape (1, channels, 1) each."""
        rows = {
            "speaker": self.speakers.index(speaker) if speaker in self.speakers else 0,
            "language": self.languages.index(language) if language in self.languages else 0,
        }
        return {name: table[rows[name]][None, :, None] for name, table in self._embeddings.items()}

    def _noise(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return self._random.standard_normal(shape, np.float32)


class Tokenizer:
    """Turns texts into tokens as the library does.

    `description` comes from `vits_export.py`.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._table: dict[str, int] = description["table"]
        self._blank: int | None = description["blank"]
        self._ends: list[int] = description["ends"]
        added = {self._blank, *self._ends}
        self.letters = {token: each for each, token in self._table.items() if token not in added}
        """What the tokens stand for, without those that are put between and around them."""
        self._cleaner: Callable[..., str] | None = None
        with _bare_packages():
            if description["cleaner"]:
                cleaners = importlib.import_module("TTS.tts.utils.text.cleaners")
                self._cleaner = getattr(cleaners, description["cleaner"])
            self._phonemizers = {
                language: getattr(importlib.import_module(module), name)(spoken)
                for language, (module, name, spoken) in description["phonemizers"].items()
            }

    def __call__(self, text: str, language: str) -> list[int]:
        """The tokens of a text; letters that there are no tokens for are left out."""
        if self._cleaner is not None:
            text = self._cleaner(text, lang=language.partition("-")[0])
        if self._phonemizers:
            phonemizer = self._phonemizers.get("") or self._phonemizers[language]
            text = phonemizer.phonemize(text, separator="", language=language)
        tokens = [self._table[letter] for letter in text if letter in self._table]
        if self._blank is not None:
            spaced = [self._blank] * (2 * len(tokens) + 1)
            spaced[1::2] = tokens
            tokens = spaced
        return [*self._ends[:1], *tokens, *self._ends[1:]]


@contextmanager
def _bare_packages() -> Iterator[None]:
    """Import modules in the packages `_BARE` without running these packages themselves."""
    if "TTS" in sys.modules:
        yield
        return
    before = set(sys.modules)
    spec = importlib.util.find_spec("TTS")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    root = Path(spec.submodule_search_locations[0])
    for name in _BARE:
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "TTS":
                del sys.modules[name]


def open_voice(
    model: Path, config: Path, options: Mapping[str, Any], run_program: Callable[[list[str]], None]
) -> OnnxVits:
    """The voice in a model's files, which are converted the first time.

    `run_program` runs a program until it ends, and raises `EngineUnavailable` when it fails.
    Raises `OSError` where the result can't be kept.
    """
    quantization = options["quantization"]

    def make(directory: Path) -> None:
        program = [sys.executable, "-m", "k2so_tts.engines.coqui.vits_export"]
        run_program([*program, str(model), str(config), quantization, str(directory)])

    states = [(str(path.resolve()), state_of(path)) for path in (model, config)]
    key = hashlib.sha256(repr((VERSION, quantization, states)).encode()).hexdigest()
    return cached_directory(
        f"vits/{key}", make, lambda directory: OnnxVits(directory, options), keep=_KEPT_MODELS
    )
