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

"""Running an ONNX graph with onnxruntime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

__all__ = ["open_session", "run"]


def open_session(model: Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session for a graph in a file, or in memory, that computes with so many threads.

    Its idle threads sleep rather than spin: other programs need the cores, too.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    """The outputs of a graph, in its order. Of `inputs` it is given those that it has."""
    wanted = {each.name for each in session.get_inputs()}
    given = {name: value for name, value in inputs.items() if name in wanted}
    made: list[NDArray[Any]] = session.run(None, given)
    return made
