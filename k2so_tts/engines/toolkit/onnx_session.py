"""Running an ONNX graph with onnxruntime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray


def open_session(model: Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session for a graph in a file, or in memory."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others work too
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    """What a graph makes of its inputs; it takes those it has of `inputs`."""
    wanted = {each.name for each in session.get_inputs()}
    given = {name: value for name, value in inputs.items() if name in wanted}
    made: list[NDArray[Any]] = session.run(None, given)
    return made
