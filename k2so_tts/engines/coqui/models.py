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

"""Loading models of coqui-tts. Importing this imports torch: only loading a model does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from TTS.api import TTS
from TTS.utils.manage import ModelManager
from TTS.utils.synthesizer import Synthesizer

from k2so_tts.engines import EngineUnavailable
from k2so_tts.engines.coqui.model_files import VITS, XTTS
from k2so_tts.engines.coqui.settings import CPU, CUDA, FP16, INT8, NONE
from k2so_tts.engines.coqui.torch_model import TorchModel
from k2so_tts.engines.coqui.torch_vits import Vits
from k2so_tts.engines.coqui.xtts import Xtts


def choose_device(wanted: str, threads: int) -> str:
    """Where to compute, `cpu` or `cuda`, and with how many threads (0: as many as cores).

    Raises `EngineUnavailable` if a GPU is wanted and there is none.
    """
    torch.set_num_threads(threads or os.cpu_count() or 1)
    if wanted == CPU or (wanted != CUDA and not torch.cuda.is_available()):
        return CPU
    if not torch.cuda.is_available():
        raise EngineUnavailable("parameter 'coqui.device' is 'cuda', but torch finds no GPU")
    return CUDA


def load_files(
    model: Path, config: Path, vocoder: Path | None, vocoder_config: Path | None, device: str
) -> Synthesizer:
    """Load a model, and perhaps a vocoder, from files; nothing is downloaded."""
    return Synthesizer(
        tts_checkpoint=model,
        tts_config_path=config,
        vocoder_checkpoint=vocoder,
        vocoder_config=vocoder_config,
        use_cuda=device == CUDA,
    )


def load_named(
    name: str, vocoder: Path | None, vocoder_config: Path | None, device: str
) -> Synthesizer:
    """Load a model of the library's list, which is downloaded the first time.

    Raises `EngineUnavailable` for one that is not on the list, or whose licence was not accepted.
    """
    manager = ModelManager(progress_bar=False)
    if name not in manager.list_tts_models():
        raise EngineUnavailable(f"coqui.model is {name!r}; allowed: see 'tts --list_models'")
    kind, language, dataset, model = name.split("/")
    item = manager.models_dict[kind][language][dataset][model]
    if not manager.tos_agreed(item, manager.output_prefix / name.replace("/", "--")):
        raise EngineUnavailable(
            f"{name} is only to be used under its licence ({item.get('license', 'CPML')}): read "
            "it, and set COQUI_TOS_AGREED=1 in the environment if you agree"
        )
    paths = [str(path) if path else None for path in (vocoder, vocoder_config)]
    tts = TTS(name, vocoder_path=paths[0], vocoder_config_path=paths[1], progress_bar=False)
    return tts.to(device).synthesizer


def wrap(synthesizer: Synthesizer, options: Mapping[str, Any]) -> TorchModel:
    """The model of a synthesizer of the library. `options` are those of the engine.

    Raises `EngineUnavailable` for a quantization that is not for such a model.
    """
    kind = synthesizer.tts_config["model"]
    device = next(synthesizer.tts_model.parameters()).device.type
    allowed = [NONE]
    if kind == XTTS:
        allowed.append(FP16 if device == CUDA else INT8)
    if options["quantization"] not in allowed:
        raise EngineUnavailable(
            f"parameter 'coqui.quantization' is {options['quantization']!r}; allowed for a model "
            f"of the kind {kind!r} with torch on {device}: {' | '.join(allowed)}"
        )
    classes = {VITS: Vits, XTTS: Xtts}
    return classes.get(kind, TorchModel)(synthesizer, options)
