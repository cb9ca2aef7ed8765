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

"""Real models with random weights, small, saved as the libraries save theirs."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP
from tokenizers import Tokenizer
from tokenizers.models import BPE
from TTS.tts.configs.glow_tts_config import GlowTTSConfig
from TTS.tts.configs.vits_config import VitsConfig
from TTS.tts.configs.xtts_config import XttsConfig
from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
from TTS.tts.models.glow_tts import GlowTTS
from TTS.tts.models.vits import Vits
from TTS.tts.models.xtts import Xtts, XttsArgs
from TTS.vocoder.configs.hifigan_config import HifiganConfig
from TTS.vocoder.models.gan import GAN

SEED = 1
LETTERS = " abcdefghijklmnopqrstuvwxyz.,!?'"
SMALL: dict[str, Any] = {
    "hidden_channels": 64,
    "hidden_channels_ffn_text_encoder": 128,
    "num_layers_text_encoder": 2,
    "num_layers_posterior_encoder": 2,
    "num_layers_flow": 2,
    "upsample_initial_channel_decoder": 64,
}
SMALL_XTTS: dict[str, Any] = {
    "gpt_layers": 2,
    "gpt_n_model_channels": 64,
    "gpt_n_heads": 2,
    "gpt_max_audio_tokens": 120,
    "gpt_num_audio_tokens": 130,
    "gpt_start_audio_token": 128,
    "gpt_stop_audio_token": 129,
    "gpt_use_perceiver_resampler": True,
    "decoder_input_dim": 64,
    "d_vector_dim": 512,
}
PIPER_MEDIUM: dict[str, Any] = {
    "upsample_initial_channel_decoder": 256,
    "upsample_rates_decoder": [8, 8, 4],
    "upsample_kernel_sizes_decoder": [16, 16, 8],
    "resblock_type_decoder": "2",
    "resblock_kernel_sizes_decoder": [3, 5, 7],
    "resblock_dilation_sizes_decoder": [[1, 2], [2, 6], [3, 12]],
}
"""The decoder of a Piper voice of medium quality."""


def make_vits(directory: Path, speakers: int = 0, phonemes: bool = False, **args: Any) -> Vits:
    """A VITS of English letters, or of phonemes, saved as `model.pth` and `config.json`."""
    config = VitsConfig(
        text_cleaner="phoneme_cleaners" if phonemes else "english_cleaners",
        use_phonemes=phonemes,
        phonemizer="espeak" if phonemes else "",
        phoneme_language="en-us",
        languages=["en"],
        speakers=[f"speaker{number}" for number in range(speakers)],
        use_speaker_embedding=speakers > 0,
    )
    for name, value in {**SMALL, **args}.items():
        setattr(config.model_args, name, value)
    config.model_args.use_speaker_embedding = speakers > 0
    torch.manual_seed(SEED)
    return _save(Vits(config), directory)


def make_glow_tts(directory: Path) -> GlowTTS:
    """A GlowTTS: makes spectrograms, and takes a vocoder."""
    config = GlowTTSConfig(
        text_cleaner="english_cleaners",
        use_phonemes=False,
        languages=["en"],
        num_flow_blocks_dec=2,
        hidden_channels_enc=32,
        hidden_channels_dec=32,
        hidden_channels_dp=32,
    )
    torch.manual_seed(SEED)
    model = GlowTTS(config)
    torch.nn.init.constant_(model.encoder.duration_predictor.proj.bias, 1.5)  # frames per letter
    return _save(model, directory)


def make_vocoder(directory: Path) -> GAN:
    """A HiFi-GAN, small, for 80 mel bands at 22.05 kHz."""
    config = HifiganConfig()
    config.generator_model_params["upsample_initial_channel"] = 32
    torch.manual_seed(SEED)
    return _save(GAN(config), directory)


def make_xtts(directory: Path, **args: Any) -> Xtts:
    """An XTTS without speakers of its own, which clones, in English."""
    model_args = XttsArgs(**{**SMALL_XTTS, **args})
    config = XttsConfig(model_args=model_args, languages=["en"])
    directory.mkdir(parents=True, exist_ok=True)
    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]"]
    vocabulary = {token: id_ for id_, token in enumerate([*special, *LETTERS])}
    tokenizer = Tokenizer(BPE(vocabulary, [], unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(directory / "vocab.json"))
    torch.manual_seed(SEED)
    model = Xtts(config)
    model.tokenizer = VoiceBpeTokenizer(vocab_file=str(directory / "vocab.json"))
    model.init_models()
    return _save(model, directory)


def make_piper(directory: Path, speakers: int = 0, **args: Any) -> Vits:
    """A voice of Piper, `voice.onnx`: a VITS, whose letters stand for phonemes, in ONNX."""
    model = make_vits(directory, speakers, **args)
    letters = model.args.num_chars
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        model.export_onnx(str(directory / "voice.onnx"), verbose=False)
    config = {
        "audio": {"sample_rate": 22050},
        "espeak": {"voice": "en-us"},
        "language": {"code": "en_US"},
        "inference": {"noise_scale": 0.0, "length_scale": 3.0, "noise_w": 0.0},
        "num_symbols": letters,
        "num_speakers": max(1, speakers),
        "speaker_id_map": {f"speaker{number}": number for number in range(speakers)},
        "phoneme_id_map": {
            phoneme: [id_ % letters for id_ in ids]
            for phoneme, ids in DEFAULT_PHONEME_ID_MAP.items()
        },
    }
    (directory / "voice.onnx.json").write_text(json.dumps(config), encoding="utf-8")
    return model


def noise_of_torch(_: Any, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """An `OnnxVits._noise`: the numbers that torch draws for the library, which depend on how its
    tensors lie in memory.
    """
    batch, channels, length = shape
    lies_turned = channels > 2
    like = torch.empty(batch, length, channels).mT if lies_turned else torch.empty(shape)
    return np.asarray(torch.randn_like(like).numpy())


def say_codes(model: Xtts, count: int) -> NDArray[np.float32]:
    """How an XTTS says `count` codes drawn at random, which it would draw by itself otherwise:
    samples of shape (frames,).
    """
    drawn = torch.Generator().manual_seed(SEED)
    codes = torch.randint(0, model.gpt.start_audio_token, (1, count), generator=drawn)
    text = torch.IntTensor([model.tokenizer.encode("hello there.", lang="en")])
    conditions = torch.randn(1, 32, model.gpt.model_dim, generator=drawn)
    speaker = torch.randn(1, model.args.d_vector_dim, 1, generator=drawn)
    with torch.inference_mode():
        lengths = torch.tensor([text.shape[-1]]), torch.tensor([count * model.gpt.code_stride_len])
        latents = model.gpt(
            text, lengths[0], codes, lengths[1], cond_latents=conditions, return_latent=True
        )
        return np.asarray(model.hifigan_decoder(latents, g=speaker).float().flatten().numpy())


def _save(model: Any, directory: Path) -> Any:
    directory.mkdir(parents=True, exist_ok=True)
    model.config.save_json(directory / "config.json")
    torch.save({"model": model.state_dict()}, directory / "model.pth")
    return model.eval()
