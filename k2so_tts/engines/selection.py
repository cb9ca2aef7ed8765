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

"""Which engine `auto` stands for: the best one at hand that has the voice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from k2so_tts.engines.base import EngineUnavailable, engine_class

AUTO = "auto"
"""The name that stands for an engine to be selected."""
NATURAL, BASIC = "piper", "espeak"
"""What `auto` selects: natural voices if there are any, else the engine that needs no files."""


def candidates(name: str) -> tuple[str, ...]:
    """The engines that `select_engine` may return for `name`."""
    return (NATURAL, BASIC) if name == AUTO else (name,)


def select_engine(name: str, voice: str, natural_options: Mapping[str, Any]) -> str:
    """The name of the engine to use: `name` itself, unless that is `auto`.

    Args:
        name: an engine, or `auto`.
        voice: the voice, language or path that it has to speak with; empty: any.
        natural_options: the options of the engine `NATURAL`.
    """
    if name != AUTO:
        return name
    try:
        is_at_hand = engine_class(NATURAL).is_at_hand(with_path(natural_options, voice), voice)
    except EngineUnavailable:
        return BASIC
    return NATURAL if is_at_hand else BASIC


def with_path(natural_options: Mapping[str, Any], voice: str) -> Mapping[str, Any]:
    """The options of `NATURAL`, with `voice` among its files if that is the path of a file."""
    if not (voice.endswith(".onnx") and Path(voice).expanduser().is_file()):
        return natural_options
    files = ":".join(filter(None, (voice, str(natural_options.get("voice", "")))))
    return {**natural_options, "voice": files}
