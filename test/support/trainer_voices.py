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

"""Voices as Piper's own trainer exports them, tiny and with random weights.

    python test/support/trainer_voices.py test/voices/exports

makes anew what lies there, with torch and the trainer of piper-tts (`make neural`).
"""

from __future__ import annotations

import json
import lzma
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP
from piper.train.vits.models import SynthesizerTrn

MEDIUM: dict[str, Any] = {
    "resblock": "2",
    "resblock_kernel_sizes": (3, 5, 7),
    "resblock_dilation_sizes": ((1, 2), (2, 6), (3, 12)),
    "upsample_rates": (8, 8, 4),
    "upsample_initial_channel": 16,
    "upsample_kernel_sizes": (16, 16, 8),
}
"""The decoder of voices of low and medium quality, narrower."""
HIGH: dict[str, Any] = {
    "resblock": "1",
    "resblock_kernel_sizes": (3, 7, 11),
    "resblock_dilation_sizes": ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
    "upsample_rates": (8, 8, 2, 2),
    "upsample_initial_channel": 16,
    "upsample_kernel_sizes": (16, 16, 4, 4),
}
"""The decoder of voices of high quality, narrower."""
_SYMBOLS = 256
_WIDTH = 8


def make_trainer_voice(path: Path, speakers: int, decoder: dict[str, Any]) -> None:
    """Export a voice as `piper.train.export_onnx` does, and write its configuration."""
    torch.manual_seed(1)
    model = SynthesizerTrn(
        n_vocab=_SYMBOLS,
        spec_channels=65,
        segment_size=32,
        inter_channels=_WIDTH,
        hidden_channels=_WIDTH,
        filter_channels=2 * _WIDTH,
        n_heads=2,
        n_layers=1,
        kernel_size=3,
        p_dropout=0.1,
        n_speakers=speakers,
        gin_channels=_WIDTH if speakers > 1 else 0,
        **decoder,
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # some begin as zeros, and would hide mistakes
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.dec.remove_weight_norm()

    def infer(text: Any, lengths: Any, scales: Any, sid: Any = None) -> Any:
        made = model.infer(
            text,
            lengths,
            noise_scale=scales[0],
            length_scale=scales[1],
            noise_scale_w=scales[2],
            sid=sid,
        )
        return made[0].unsqueeze(1)

    model.forward = infer
    ids = torch.randint(0, _SYMBOLS, (1, 50), dtype=torch.long)
    sid = torch.LongTensor([0]) if speakers > 1 else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            model,
            (ids, torch.LongTensor([50]), torch.FloatTensor([0.667, 1.0, 0.8]), sid),
            str(path),
            opset_version=15,
            input_names=["input", "input_lengths", "scales", "sid"],
            output_names=["output"],
            dynamic_axes={
                "input": {0: "batch_size", 1: "phonemes"},
                "input_lengths": {0: "batch_size"},
                "output": {0: "batch_size", 2: "time"},
            },
            dynamo=False,
        )
    config = trainer_config(speakers)
    Path(f"{path}.json").write_text(json.dumps(config), encoding="utf-8")


def trainer_config(speakers: int) -> dict[str, Any]:
    """The configuration that goes with such a voice."""
    return {
        "audio": {"sample_rate": 22050, "quality": "medium"},
        "espeak": {"voice": "en-us"},
        "language": {"code": "en_US"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
        "num_symbols": _SYMBOLS,
        "num_speakers": speakers,
        "speaker_id_map": {f"spk{number}": number for number in range(speakers)},
    }


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, speakers, decoder in (("single", 1, MEDIUM), ("several", 3, HIGH)):
        path = directory / f"{name}.onnx"
        make_trainer_voice(path, speakers, decoder)
        Path(f"{path}.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
