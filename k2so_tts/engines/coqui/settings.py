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

"""The options of the coqui engine, and which of them go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from k2so_tts.settings import Setting, SettingError

AUTO, CPU, CUDA = "auto", "cpu", "cuda"
TORCH, ONNX = "torch", "onnx"
NONE, INT8, FP16 = "none", "int8", "fp16"
MODELS_OWN = -1.0
"""Of a scale of noise: as the model has it."""
LIBRARY_PREFIX = "tts_models/"
"""How the names begin of models that coqui-tts knows and downloads."""

OPTIONS: tuple[Setting, ...] = (
    Setting(
        "model",
        "",
        "A model's .pth file or directory, or a name that coqui-tts knows.",
        paths=True,
        name_prefix=LIBRARY_PREFIX,
    ),
    Setting("config_path", "", "The model's config.json; empty: beside the model.", paths=True),
    Setting("vocoder_path", "", "A vocoder's .pth file, for spectrograms.", paths=True),
    Setting("vocoder_config_path", "", "Its config.json; empty: beside it.", paths=True),
    Setting("speaker_wav", "", "Recordings (a.wav:b.wav) of a voice to clone.", paths=True),
    Setting("language", "", "The model's language for voices that name none; empty: its own."),
    Setting("device", AUTO, "Where to compute; auto: on a GPU if any.", choices=(AUTO, CPU, CUDA)),
    Setting("threads", 0, "Threads that compute on the CPU; 0: all cores.", 0, 256),
    Setting("runtime", TORCH, "What computes; onnx: a VITS on the CPU.", choices=(TORCH, ONNX)),
    Setting(
        "quantization",
        NONE,
        "Numbers to compute with: int8 (VITS with runtime onnx, XTTS), fp16 (XTTS on a GPU).",
        choices=(NONE, INT8, FP16),
    ),
    Setting("seed", -1, "Makes a text sound the same each time; -1: none.", -1, 2**31 - 1),
    Setting(
        "noise_scale",
        MODELS_OWN,
        "Variation of sound (VITS); -1: the model's own.",
        MODELS_OWN,
        2.0,
    ),
    Setting(
        "noise_w", MODELS_OWN, "Variation of rhythm (VITS); -1: the model's own.", MODELS_OWN, 2.0
    ),
)


def check_runtime(options: Mapping[str, Any]) -> None:
    """Raises `SettingError` for options that do not go together."""
    if options["runtime"] == TORCH:
        return
    for name, refused, allowed in (
        ("quantization", FP16, (NONE, INT8)),
        ("device", CUDA, (AUTO, CPU)),
    ):
        if options[name] == refused:
            raise SettingError(
                f"parameter 'coqui.{name}' is {refused!r}; allowed with coqui.runtime "
                f"{ONNX!r}: {' | '.join(allowed)}"
            )
