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

"""The files of a model on disk: which there are, and what kind of model they hold."""

from __future__ import annotations

import json
from pathlib import Path

from k2so_tts.engines import EngineUnavailable

XTTS, VITS = "xtts", "vits"
"""Kinds of models, as a `config.json` names them."""
_CHECKPOINTS = ("model.pth", "model_file.pth", "checkpoint.pth", "best_model.pth")


def kind_of(config: Path) -> str:
    """The kind of model that a configuration is for."""
    return str(json.loads(config.read_text(encoding="utf-8")).get("model"))


def checkpoint_of(model: Path, config: Path) -> Path:
    """The file that holds the weights of a model, a file or a directory; an XTTS is its directory.

    Raises `EngineUnavailable` for a directory without one.
    """
    if not model.is_dir() or kind_of(config) == XTTS:
        return model
    for name in _CHECKPOINTS:
        if (model / name).is_file():
            return model / name
    raise EngineUnavailable(f"{model} holds none of {', '.join(_CHECKPOINTS)}")


def config_of(model: Path, given: str, option: str) -> Path:
    """The configuration of a model: the `given` one, the value of an option, or the one beside it.

    Raises `EngineUnavailable` if there is none.
    """
    if given:
        return Path(given).expanduser()
    beside = (model if model.is_dir() else model.parent) / "config.json"
    if not beside.is_file():
        raise EngineUnavailable(f"there is no {beside}: set coqui.{option}")
    return beside
