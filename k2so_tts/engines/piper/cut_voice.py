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

"""The process that cuts the graph of a voice: `python -m ... MODEL CONFIG DIRECTORY`.

It needs several times the memory of the voice, and `onnx`; a process of its own gives both back.
The parts are run against the whole before they are accepted, so that a graph that only looks as
expected is never spoken with.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from k2so_tts.engines.piper.graph import Parts, UncuttableGraph, cut_graph
from k2so_tts.engines.piper.prepared import REASON
from k2so_tts.engines.piper.streaming import (
    DECODER,
    ENCODER,
    FLOW,
    Floats,
    Layout,
    Scales,
    StreamedVoice,
    open_session,
    run,
    text_inputs,
)

_TOLERANCE = 1e-3
"""The most by which a sample, in -1.0 to 1.0, may differ: float32 sums in another order."""
_CHECKED_IDS = 40


def main(model: Path, config: Path, directory: Path) -> None:
    """Put the parts of a voice into a directory, or a file `REASON`.

    Raises whatever onnx and onnxruntime raise when a file is damaged.
    """
    loaded = onnx.load(model)
    try:
        parts = cut_graph(loaded)
        _save(parts, directory)
        del loaded, parts
        _check(model, json.loads(config.read_text(encoding="utf-8")), directory)
    except UncuttableGraph as reason:
        for path in directory.iterdir():
            path.unlink()
        (directory / REASON).write_text(str(reason), encoding="utf-8")


def _save(parts: Parts, directory: Path) -> None:
    """The parts, optimised, in onnxruntime's own format."""
    for name, part in ((ENCODER, parts.encoder), (FLOW, parts.flow), (DECODER, parts.decoder)):
        path = directory / f"{name}.onnx"
        onnx.save(part, path)
        open_session(path, 1, optimised_path=directory / name)
        path.unlink()
    Layout(
        (parts.flow_field.left, parts.flow_field.right),
        (parts.decoder_field.left, parts.decoder_field.right),
        parts.frame_samples,
    ).save(directory)


def _check(model: Path, config: Mapping[str, Any], directory: Path) -> None:
    """Raises `UncuttableGraph` unless whole and parts give the same samples, without noise."""
    rate, symbols = int(config["audio"]["sample_rate"]), int(config["num_symbols"])
    ids = [1, *(number * 7 % symbols for number in range(_CHECKED_IDS)), 2 % symbols]
    scales = Scales(0.0, 1.0, 0.0)
    session = open_session(model, 1)
    whole = run(session, text_inputs(ids, 0, scales))[0].reshape(-1)
    voice = StreamedVoice(directory, 1)
    blocks = list(voice.speak(ids, 0, scales, voice.block_sizes(rate, time.monotonic)).blocks)
    streamed: Floats = np.concatenate(blocks) if blocks else np.empty(0, np.float32)
    if streamed.shape != whole.shape:
        raise UncuttableGraph(f"its parts give {len(streamed)} samples, the whole {len(whole)}")
    difference = float(np.abs(streamed - whole).max())
    if not difference <= _TOLERANCE:
        raise UncuttableGraph(f"samples of its parts differ from the whole by {difference:.2g}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
