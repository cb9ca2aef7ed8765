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

"""A model of coqui-tts that runs with torch, and speaks a text as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from TTS.utils.synthesizer import PAD_SILENCE_SAMPLES, Synthesizer

from k2so_tts.audio import Block
from k2so_tts.engines import EngineUnavailable
from k2so_tts.engines.coqui.speaker import Speaker
from k2so_tts.engines.toolkit.chunked_decoder import to_pcm

Samples = NDArray[np.float32]
"""Samples in -1.0 to 1.0, shape (frames,)."""


class TorchModel:
    """Speaks a text as a whole. `options` are those of the engine."""

    longest = 200
    """Characters that are spoken in one go: how long a cancel may have to wait."""

    def __init__(self, synthesizer: Synthesizer, options: Mapping[str, Any]) -> None:
        self.sample_rate = int(synthesizer.output_sample_rate)
        self._synthesizer = synthesizer
        self._model = synthesizer.tts_model
        self._seed = int(options["seed"])
        self._length_scale = getattr(self._model, "length_scale", None)

    @property
    def has_rate(self) -> bool:
        """Whether it can speak faster and slower by itself."""
        return self._length_scale is not None

    @property
    def languages(self) -> list[str]:
        """The languages that it speaks, as it calls them."""
        return [str(name) for name in self._model.language_manager.language_names]

    @property
    def speakers(self) -> list[str]:
        """The names of its speakers; empty if it has only one."""
        manager = self._model.speaker_manager
        return [str(name) for name in manager.speaker_names] if manager is not None else []

    def clone(self, recordings: Sequence[Path]) -> Any:
        """The voice in some recordings, as `Speaker.clone`.

        Raises `EngineUnavailable` for a model that can't clone voices.
        """
        if not self._model.config.supports_cloning:
            kind = self._model.config.model
            raise EngineUnavailable(f"coqui.speaker_wav is set, but {kind} models clone no voice")
        return [str(path) for path in recordings]

    def warm_up(self, speaker: Speaker) -> None:
        """Speak a little, as the first time is slow."""
        for _ in self.speak("a.", speaker, 1.0):
            return

    def speak(self, text: str, speaker: Speaker, rate: float) -> Iterator[Block]:
        """The sound of a text, block by block as it is made."""
        self._prepare(rate)
        wav = self._synthesizer.tts(
            text,
            speaker_name=speaker.name or None,
            language_name=speaker.language or None,
            speaker_wav=speaker.clone,
            split_sentences=False,
        )
        yield Block(to_pcm(np.asarray(wav[:-PAD_SILENCE_SAMPLES], np.float32)))

    def _prepare(self, rate: float) -> None:
        if self._seed >= 0:
            torch.manual_seed(self._seed)
        if self._length_scale is not None:
            self._model.length_scale = self._length_scale / rate
