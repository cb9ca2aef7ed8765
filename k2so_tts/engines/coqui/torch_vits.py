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

"""A VITS that runs with torch, streamed inside a text.

All that comes before the decoder is done once; the decoder then turns latent frames into samples,
block by block (see `toolkit.chunked_decoder`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize
from TTS.utils.synthesizer import Synthesizer

from k2so_tts.audio import Block, Mark
from k2so_tts.engines import EngineError
from k2so_tts.engines.coqui.speaker import Speaker
from k2so_tts.engines.coqui.torch_model import Samples, TorchModel
from k2so_tts.engines.coqui.words import marked, marks_of
from k2so_tts.engines.toolkit.chunked_decoder import ReceptiveField, decode_in_blocks
from k2so_tts.processes import give_back_memory

_TRAINING_PARTS = ("disc", "posterior_encoder")
"""Parts of a VITS that only training takes: two thirds of its weights."""


class Vits(TorchModel):
    """A VITS without what only training takes, its decoder taken out to be run in blocks."""

    longest = 250

    def __init__(self, synthesizer: Synthesizer, options: Mapping[str, Any]) -> None:
        super().__init__(synthesizer, options)
        model = self._model
        for part in _TRAINING_PARTS:
            setattr(model, part, None)
        for module in list(model.modules()):
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        give_back_memory()
        if options["noise_scale"] >= 0:
            model.inference_noise_scale = options["noise_scale"]
        if options["noise_w"] >= 0:
            model.inference_noise_scale_dp = options["noise_w"]
        self.decoder = model.waveform_decoder
        self._field = decoder_field(self.decoder)
        self.frame_samples = int(np.prod([up.stride[0] for up in self.decoder.ups]))
        self._letters = _letters(model.tokenizer)
        self._capture = model.waveform_decoder = _DecoderCapture()

    def speak(self, text: str, speaker: Speaker, rate: float) -> Iterator[Block]:
        """The sound of a text, block by block as it is made, with the marks of its words."""
        self._prepare(rate)
        language = speaker.language or None
        try:
            with torch.inference_mode():
                made = self._model.synthesize(
                    text, speaker=speaker.name or None, speaker_wav=speaker.clone, language=language
                )
        except IndexError:
            if len(self._model.tokenizer.text_to_ids(text, language or self.languages[0])) > 1:
                raise
            return  # the model knows none of the letters
        frames, conditions = self._capture.take()

        def find_marks() -> list[Mark]:
            durations = made["outputs"]["durations"].flatten().long().cpu().numpy()
            tokens = made["text_inputs"].flatten().tolist()
            ends = np.cumsum(durations) * self.frame_samples
            return marks_of(text, tokens, self._letters, ends)

        yield from marked(self.decode(frames, conditions), find_marks)

    def decode(self, frames: torch.Tensor, conditions: torch.Tensor | None) -> Iterator[Samples]:
        """The samples of latent frames, shape (1, channels, frames), block by block."""

        def decode(first: int, last: int) -> Samples:
            with torch.inference_mode():
                samples = self.decoder(frames[:, :, first:last], g=conditions)
            return np.asarray(samples[0, 0].float().cpu().numpy())

        yield from decode_in_blocks(frames.shape[-1], self._field, self.frame_samples, decode)


class _DecoderCapture(torch.nn.Module):  # type: ignore[misc] # torch comes without types here
    """In place of a decoder: keeps its input, and returns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._input: tuple[torch.Tensor, torch.Tensor | None] | None = None

    def forward(self, frames: torch.Tensor, g: torch.Tensor | None = None) -> torch.Tensor:
        """Keep `frames`, shape (1, channels, frames), and the conditions `g`."""
        self._input = frames, g
        return frames.new_zeros(1, 1, 1)

    def take(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The input of the decoder, once: latent frames (1, channels, frames) and conditions."""
        captured, self._input = self._input, None
        if captured is None:
            raise EngineError("the model did not reach its decoder")
        return captured


def _letters(tokenizer: Any) -> dict[int, str]:
    """What the tokens of a text stand for, without those that are put between and around them."""
    characters = tokenizer.characters
    added = {tokenizer.blank_id, tokenizer.pad_id, characters.bos_id, characters.eos_id}
    letters = {characters.char_to_id(letter): letter for letter in characters.vocab}
    return {token: letter for token, letter in letters.items() if token not in added}


def decoder_field(decoder: torch.nn.Module) -> ReceptiveField:
    """How many latent frames around its own a sample of a HiFi-GAN depends on, by its layers."""
    field = _before(ReceptiveField(), decoder.conv_post)
    for index in reversed(range(decoder.num_upsamples)):
        first = index * decoder.num_kernels
        summed = ReceptiveField()
        for branch in decoder.resblocks[first : first + decoder.num_kernels]:
            of_branch = field
            for layer in branch.modules():
                if isinstance(layer, torch.nn.Conv1d):
                    of_branch = _before(of_branch, layer)
            summed |= of_branch
        up = decoder.ups[index]
        field = summed.before_upsampling(up.kernel_size[0], up.stride[0], up.padding[0])
    return _before(field, decoder.conv_pre)


def _before(field: ReceptiveField, layer: torch.nn.Conv1d) -> ReceptiveField:
    return field.before_convolution(layer.kernel_size[0], layer.dilation[0], layer.padding[0])
