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

"""Converts a VITS of coqui-tts into ONNX graphs that run without torch (see `vits_onnx.py`).

A program of its own, so that torch, which takes a gigabyte, is gone when it ends. Started as
`python -m k2so_tts.engines.coqui.vits_export MODEL CONFIG QUANTIZATION DIRECTORY`, it fills the
directory.

The graphs end where noise comes in, so that noise is an input: `text.onnx` gives the length of each
token and the latent frames it stands for, `flow.onnx` and `decoder.onnx` turn those into samples.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from k2so_tts.engines.coqui.models import load_files
from k2so_tts.engines.coqui.settings import INT8, MODELS_OWN
from k2so_tts.engines.coqui.torch_vits import Vits, decoder_field
from k2so_tts.engines.coqui.vits_onnx import (
    DECODER,
    DESCRIPTION,
    EMBEDDINGS,
    FLOW,
    TEXT,
    OnnxVits,
)
from k2so_tts.engines.toolkit.worker_protocol import PR_SET_PDEATHSIG

_OPSET = 18
_CALIBRATION = (
    "The quick brown fox jumps over the lazy dog.",
    "Good morning, how may I help you today?",
    "I am going to the kitchen, and I shall be back in five minutes!",
)
_CALIBRATION_FRAMES = 64
_OPTIONS = {"seed": 0, "noise_scale": MODELS_OWN, "noise_w": MODELS_OWN}


class _Text(torch.nn.Module):  # type: ignore[misc] # torch comes without types here
    """Tokens (1, tokens) to means and log scales (1, channels, tokens), log frames (1, 1, tokens).

    `noise`, shape (1, 2, tokens), varies the rhythm.
    """

    def __init__(self, vits: Any) -> None:
        super().__init__()
        self.vits = vits

    def forward(self, tokens: Any, noise: Any, speaker: Any = None, language: Any = None) -> Any:
        """See the class."""
        vits = self.vits
        lengths = torch.ones_like(tokens).sum(1)
        hidden, means, log_scales, mask = vits.text_encoder(tokens, lengths, lang_emb=language)
        speaker = speaker if vits.args.condition_dp_on_speaker else None
        asked = {"g": speaker, "lang_emb": language}
        if vits.args.use_sdp:
            with mock.patch.object(torch, "randn", return_value=noise):
                log_frames = vits.duration_predictor(hidden, mask, reverse=True, **asked)
        else:
            log_frames = vits.duration_predictor(hidden, mask, **asked) + 0.0 * noise[:, :1]
        return means, log_scales, log_frames


class _Flow(torch.nn.Module):  # type: ignore[misc]
    """Latent frames of the text, shape (1, channels, frames), to those of the decoder."""

    def __init__(self, flow: Any) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, latent: Any, speaker: Any = None) -> Any:
        """See the class."""
        return self.flow(latent, torch.ones_like(latent[:, :1]), g=speaker, reverse=True)


class _Decoder(torch.nn.Module):  # type: ignore[misc]
    """Latent frames to samples, shape (1, 1, frames * frame samples)."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latent: Any, speaker: Any = None) -> Any:
        """See the class."""
        return self.decoder(latent, g=speaker)


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    """Gives inputs of the decoder, one after the other."""

    def __init__(self, inputs: Iterator[dict[str, NDArray[Any]]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next inputs; None: there are no more."""
        return next(self._inputs, None)


def export(model: Path, config: Path, quantization: str, directory: Path) -> None:
    """Fill `directory` with the graphs of a model and what else is needed to speak with it.

    `quantization` is that of `settings`. Raises `ValueError` for a model of another structure.
    """
    synthesizer = load_files(model, config, None, None, "cpu")
    voice = Vits(synthesizer, _OPTIONS)
    vits = synthesizer.tts_model.eval()
    if vits.args.encoder_sample_rate:
        raise ValueError("a VITS whose encoder has a sample rate of its own runs with torch only")
    decoder = voice.decoder
    embeddings = _embeddings(vits, voice)
    np.savez(directory / EMBEDDINGS, allow_pickle=False, **embeddings)
    conditions = {name: torch.from_numpy(rows[:1, :, None]) for name, rows in embeddings.items()}
    speaker = {name: value for name, value in conditions.items() if name == "speaker"}
    tokens = torch.randint(0, 2, (1, 100))
    latent = torch.zeros(1, vits.args.hidden_channels, 50)
    noise = torch.zeros(1, 2, 100)
    outputs = ["means", "log_scales", "log_frames"]
    _export(
        _Text(vits), {"tokens": tokens, "noise": noise, **conditions}, outputs, directory / TEXT
    )
    _export(_Flow(vits.flow), {"latent": latent, **speaker}, ["latent_out"], directory / FLOW)
    _export(_Decoder(decoder), {"latent": latent, **speaker}, ["samples"], directory / DECODER)
    field = decoder_field(decoder)
    description = {
        "sample_rate": voice.sample_rate,
        "frame_samples": voice.frame_samples,
        "reach": [field.left, field.right],
        "length_scale": float(vits.length_scale),
        "noise_scale": float(vits.inference_noise_scale),
        "noise_w": float(vits.inference_noise_scale_dp),
        "languages": voice.languages,
        "speakers": voice.speakers,
        "tokenizer": _describe_tokenizer(vits.tokenizer),
    }
    (directory / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
    if quantization == INT8:
        _quantize(directory)


def _embeddings(vits: Any, voice: Vits) -> dict[str, NDArray[np.float32]]:
    """The embeddings of the speakers and of the languages, as far as there are any: a row each."""
    found = {}
    with torch.inference_mode():
        rows = [_speaker(vits, name) for name in voice.speakers]
        if rows and rows[0] is not None:
            found["speaker"] = torch.cat(rows).squeeze(-1).numpy()
        if vits.args.use_language_embedding:
            numbers = [vits.language_manager.name_to_id[name] for name in voice.languages]
            found["language"] = vits.emb_l.weight[numbers].numpy()
    return found


def _speaker(vits: Any, name: str) -> torch.Tensor | None:
    """The embedding of a speaker that the library conditions a model on, shape (1, channels, 1)."""
    number, vector = vits._get_speaker_id_or_dvector(name)  # noqa: SLF001
    speaker = {"speaker_ids": number, "d_vectors": vector}
    return vits._get_speaker_conditioning(speaker, "emb_g", normalize_embedding=False)  # noqa: SLF001


def _export(
    module: torch.nn.Module, inputs: dict[str, torch.Tensor], outputs: list[str], file: Path
) -> None:
    free = {"tokens": {1: "tokens"}, "noise": {2: "tokens"}, "latent": {2: "frames"}}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            file,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes={name: axes for name, axes in free.items() if name in inputs},
            dynamo=False,
        )


def _describe_tokenizer(tokenizer: Any) -> dict[str, Any]:
    """All that turning a text into tokens as the library does takes."""
    characters = tokenizer.characters
    phonemizer = tokenizer.phonemizer
    several = getattr(phonemizer, "lang_to_phonemizer", {"": phonemizer} if phonemizer else {})
    return {
        "table": {letter: characters.char_to_id(letter) for letter in characters.vocab},
        "blank": tokenizer.blank_id if tokenizer.add_blank else None,
        "ends": [characters.bos_id, characters.eos_id] if tokenizer.use_eos_bos else [],
        "cleaner": tokenizer.text_cleaner.__name__ if tokenizer.text_cleaner else None,
        "phonemizers": {
            language: [type(each).__module__, type(each).__name__, each.language]
            for language, each in several.items()
        },
    }


def _quantize(directory: Path) -> None:
    """Quantize the convolutions of the decoder to 8 bits, for the values met in `_CALIBRATION`."""
    voice = OnnxVits(directory, {**_OPTIONS, "threads": 0})
    prepared = directory / "prepared.onnx"
    quant_pre_process(directory / DECODER, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        directory / DECODER,
        _Frames(voice.decoder_inputs(_CALIBRATION, _CALIBRATION_FRAMES)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
    )
    prepared.unlink()


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _, given_model, given_config, given_quantization, given_directory = sys.argv
    export(Path(given_model), Path(given_config), given_quantization, Path(given_directory))
