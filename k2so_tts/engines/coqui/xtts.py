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

"""An XTTS: it clones voices, and is streamed as coqui-tts streams it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from TTS.utils.synthesizer import Synthesizer

from k2so_tts.audio import Block
from k2so_tts.engines import EngineUnavailable
from k2so_tts.engines.coqui.quantization import MATRICES, replace_matrices
from k2so_tts.engines.coqui.settings import NONE
from k2so_tts.engines.coqui.speaker import Speaker
from k2so_tts.engines.coqui.torch_model import TorchModel
from k2so_tts.engines.toolkit.chunked_decoder import to_pcm
from k2so_tts.engines.toolkit.disk_cache import cached_arrays, state_of
from k2so_tts.processes import give_back_memory

_CLONING_RATE = 22050
"""In Hz: the rate at which the library conditions on recordings."""


class Xtts(TorchModel):
    """An XTTS, which clones voices and streams the output of its language model.

    `quantization` applies to the matrices of that language model, which is most of it.
    """

    has_rate = True

    def __init__(self, synthesizer: Synthesizer, options: Mapping[str, Any]) -> None:
        super().__init__(synthesizer, options)
        if options["quantization"] != NONE:
            replace_matrices(self._model.gpt.gpt, MATRICES[options["quantization"]])
        give_back_memory()

    @property
    def languages(self) -> list[str]:
        """The languages that it speaks, as it calls them."""
        return [str(name) for name in self._model.config.languages]

    @property
    def speakers(self) -> list[str]:
        """The names of its speakers."""
        manager = self._model.speaker_manager
        return list(manager.speakers) if manager is not None else []

    def clone(self, recordings: Sequence[Path]) -> tuple[torch.Tensor, torch.Tensor]:
        """The conditioning of the voice in some recordings: computed once, then kept on disk."""
        config = self._model.config
        lengths = [config.max_ref_len, config.gpt_cond_len, config.gpt_cond_chunk_len]
        key = hashlib.sha256(f"{self._identity()} {lengths} {config.sound_norm_refs}".encode())
        for path in recordings:
            key.update(hashlib.sha256(path.read_bytes()).digest())
        arrays = cached_arrays(
            f"voices/{key.hexdigest()}.npz",
            ("latents", "embedding"),
            lambda: self._condition(recordings),
        )
        return torch.from_numpy(arrays["latents"]), torch.from_numpy(arrays["embedding"])

    def _condition(self, recordings: Sequence[Path]) -> dict[str, NDArray[Any]]:
        """What the library's `get_conditioning_latents` does, which needs FFmpeg to read a file."""
        config = self._model.config
        samples = [self._read(path) for path in recordings]
        embeddings = [self._model.get_speaker_embedding(audio, _CLONING_RATE) for audio in samples]
        latents = self._model.get_gpt_cond_latents(
            torch.cat(samples, dim=-1),
            _CLONING_RATE,
            length=config.gpt_cond_len,
            chunk_length=config.gpt_cond_chunk_len,
        )
        embedding = torch.stack(embeddings).mean(dim=0)
        return {"latents": latents.cpu().numpy(), "embedding": embedding.cpu().numpy()}

    def _read(self, path: Path) -> torch.Tensor:
        """The beginning of a recording, shape (1, frames). Raises `EngineUnavailable`."""
        config = self._model.config
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise EngineUnavailable(f"coqui.speaker_wav: {error}") from error
        samples = soxr.resample(samples.mean(axis=1), rate, _CLONING_RATE)
        samples = samples[: _CLONING_RATE * config.max_ref_len].clip(-1.0, 1.0)
        if config.sound_norm_refs:
            samples *= 0.75 / max(np.abs(samples).max(), 1e-4)
        return torch.from_numpy(samples)[None].to(self._model.device)

    def _identity(self) -> str:
        """What tells its weights from others: the path, size and date of their file."""
        checkpoint = Path(self._synthesizer.tts_checkpoint)
        file = checkpoint / "model.pth" if checkpoint.is_dir() else checkpoint
        return f"{file.resolve()} {state_of(file)}"

    def speak(self, text: str, speaker: Speaker, rate: float) -> Iterator[Block]:
        """The sound of a text, block by block as it is made."""
        self._prepare(rate)
        config = self._model.config
        conditioning = speaker.clone or self._model.speaker_manager.speakers[speaker.name].values()
        latents, embedding = conditioning
        blocks = self._model.inference_stream(
            text,
            speaker.language or self.languages[0],
            latents,
            embedding,
            temperature=config.temperature,
            length_penalty=config.length_penalty,
            repetition_penalty=config.repetition_penalty,
            top_k=config.top_k,
            top_p=config.top_p,
            speed=rate,
        )
        try:
            for samples in blocks:
                yield Block(to_pcm(samples.float().cpu().numpy()))
        finally:
            blocks.close()
