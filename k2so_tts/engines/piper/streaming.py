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

"""Running the parts of a voice (see `graph.py`) block by block, and how large a block may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from k2so_tts.engines.piper.block_sizes import BlockSizes, Speed
from k2so_tts.engines.piper.prepared import LAYOUT
from k2so_tts.engines.toolkit.chunked_decoder import ReceptiveField

Floats = NDArray[np.float32]

ENCODER, FLOW, DECODER = "encoder.ort", "flow.ort", "decoder.ort"
_FLOW_COST = 0.2
"""What a frame costs in the flow, next to what it costs in the decoder (medium quality)."""
_BEGIN_IDS = 2
"""A text begins with a mark and padding, which are silent."""


@dataclass(frozen=True)
class Layout:
    """What is known of the parts of a voice: receptive fields as (left, right) in latent frames,
    and samples in a latent frame.
    """

    flow_field: tuple[int, int]
    decoder_field: tuple[int, int]
    frame_samples: int

    def save(self, directory: Path) -> None:
        """Write it beside the parts."""
        (directory / LAYOUT).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Layout:
        """Read what `save` wrote. Raises `OSError`, `ValueError` or `KeyError` if it is damaged."""
        read = json.loads((directory / LAYOUT).read_text(encoding="utf-8"))
        return cls(tuple(read["flow_field"]), tuple(read["decoder_field"]), read["frame_samples"])


def open_session(
    path: Path, threads: int, *, optimised_path: Path | None = None
) -> onnxruntime.InferenceSession:
    """A session for a graph in a file.

    With an arena for each of three graphs, which grows with every new shape, a process that speaks
    texts of all lengths grows without bound; without, malloc reuses what one run leaves to the
    next. Graphs saved to `optimised_path` (.ort) are opened without being optimised or copied
    again: their weights stay in the file, which is mapped into memory.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others work too
    level = onnxruntime.GraphOptimizationLevel
    if optimised_path is not None:
        options.graph_optimization_level = level.ORT_ENABLE_EXTENDED  # runs on any processor
        options.optimized_model_filepath = str(optimised_path)
        options.add_session_config_entry("session.save_model_format", "ORT")
    elif path.suffix == ".ort":
        options.graph_optimization_level = level.ORT_DISABLE_ALL
        options.add_session_config_entry("session.use_memory_mapped_ort_model", "1")
        options.add_session_config_entry("session.use_ort_model_bytes_for_initializers", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Scales:
    """How a text is spoken: variation of sound, length of sounds, variation of rhythm."""

    noise: float
    length: float
    noise_w: float


@dataclass(frozen=True, eq=False)
class Spoken:
    """Phoneme ids as they are spoken: samples in -1.0 to 1.0, block by block, shape (samples,),
    and how many samples there are up to the end of each id, shape (ids,).
    """

    id_ends: NDArray[np.int64]
    blocks: Iterator[Floats]


class WholeVoice:
    """A voice whose graph can't be cut: nothing is heard before all of a text is computed, and when
    an id ends is a guess. Otherwise like `StreamedVoice`.
    """

    def __init__(self, model: Path, threads: int) -> None:
        self.run_options = onnxruntime.RunOptions()
        self._session = open_session(model, threads)

    def block_sizes(self, sample_rate: int, clock: Callable[[], float]) -> BlockSizes:
        """Never asked."""
        return BlockSizes((Speed(0.0), Speed(0.0)), 1.0 / sample_rate, clock)

    def speak(self, ids: list[int], speaker: int, scales: Scales, _: BlockSizes) -> Spoken:
        """See `StreamedVoice.speak`."""
        made = run(self._session, text_inputs(ids, speaker, scales), self.run_options)[0]
        samples = made.reshape(-1)
        ends = np.linspace(0, len(samples), len(ids) + 1)[1:].astype(np.int64)
        return Spoken(ends, iter([samples]))


class StreamedVoice:
    """A voice run in parts. `run_options.terminate` ends a run from another thread."""

    def __init__(self, directory: Path, threads: int) -> None:
        self.run_options = onnxruntime.RunOptions()
        self.layout = Layout.load(directory)
        self._flow_field = ReceptiveField(*self.layout.flow_field)
        self._decoder_field = ReceptiveField(*self.layout.decoder_field)
        self._encoder = open_session(directory / ENCODER, threads)
        self._flow = open_session(directory / FLOW, threads)
        self._decoder = open_session(directory / DECODER, threads)
        self._random = np.random.default_rng()
        context = sum(self.layout.decoder_field) + _FLOW_COST * sum(self.layout.flow_field)
        context /= 1.0 + _FLOW_COST
        self._speeds = Speed(context), Speed(context)

    def block_sizes(self, sample_rate: int, clock: Callable[[], float]) -> BlockSizes:
        """What decides on the sizes of the blocks of one text."""
        return BlockSizes(self._speeds, self.layout.frame_samples / sample_rate, clock)

    def speak(self, ids: list[int], speaker: int, scales: Scales, sizes: BlockSizes) -> Spoken:
        """Run the text encoder over all of a text; the blocks are computed as they are taken."""
        made = run(self._encoder, text_inputs(ids, speaker, scales), self.run_options)
        mean, log_scale = made[0][0], made[1][0]
        durations = made[2].reshape(-1).astype(np.int64)
        id_of_frame = np.repeat(np.arange(len(durations)), durations)

        def expand(first: int, last: int) -> Floats:
            frames = id_of_frame[first:last]
            latent: Floats = mean[:, frames]
            if scales.noise:
                noise = self._random.standard_normal(latent.shape, np.float32) * scales.noise
                latent = latent + noise * np.exp(log_scale[:, frames])
            return latent

        latent = _Lookback(len(id_of_frame), expand)
        ends = np.cumsum(durations) * self.layout.frame_samples
        sizes.begin(int(durations[:_BEGIN_IDS].sum()))
        return Spoken(ends, self._blocks(latent, len(id_of_frame), speaker, sizes))

    def _blocks(
        self, latent: _Lookback, frames: int, speaker: int, sizes: BlockSizes
    ) -> Iterator[Floats]:
        sid = np.array([speaker], np.int64)

        def flow(first: int, last: int) -> Floats:
            given, skipped = latent.around(first, last, self._flow_field)
            (made,) = run(self._flow, {"latent": given[None], "sid": sid}, self.run_options)
            return np.asarray(made[0][:, skipped : skipped + last - first])

        decoder_input = _Lookback(frames, flow)
        frame_samples = self.layout.frame_samples
        start = 0
        while start < frames:
            end = min(frames, start + sizes.next())
            given, skipped = decoder_input.around(start, end, self._decoder_field)
            inputs: dict[str, NDArray[Any]] = {"decoder_input": given[None], "sid": sid}
            (made,) = run(self._decoder, inputs, self.run_options)
            sizes.made(end - start)
            first = skipped * frame_samples
            yield made.reshape(-1)[first : first + (end - start) * frame_samples]
            start = end


def text_inputs(ids: list[int], speaker: int, scales: Scales) -> dict[str, NDArray[Any]]:
    """What the graph of a voice takes, as Piper's trainer names it."""
    return {
        "input": np.array([ids], np.int64),
        "input_lengths": np.array([len(ids)], np.int64),
        "scales": np.array([scales.noise, scales.length, scales.noise_w], np.float32),
        "sid": np.array([speaker], np.int64),
    }


def run(
    session: onnxruntime.InferenceSession,
    inputs: Mapping[str, NDArray[Any]],
    options: onnxruntime.RunOptions | None = None,
) -> list[NDArray[Any]]:
    """What a graph makes of its inputs; it takes those it has of `inputs`."""
    wanted = {each.name for each in session.get_inputs()}
    given = {name: value for name, value in inputs.items() if name in wanted}
    made: list[NDArray[Any]] = session.run(None, given, options)
    return made


class _Lookback:
    """Frames, shape (channels, frames), that `make(first, last)` makes once each and in order.

    Windows of them that move forward are kept as long as the next one may need them.
    """

    def __init__(self, frames: int, make: Callable[[int, int], Floats]) -> None:
        self._frames = frames
        self._make = make
        self._kept: Floats | None = None
        self._start = 0

    def around(self, first: int, last: int, field: ReceptiveField) -> tuple[Floats, int]:
        """Frames `first` to `last` with what `field` needs around them; and how many come before
        `first`.
        """
        begin, end = max(0, first - field.left), min(self._frames, last + field.right)
        made_to = self._start + (0 if self._kept is None else self._kept.shape[1])
        made = [self._make(made_to, end)] if end > made_to else []
        kept = [] if self._kept is None else [self._kept[:, begin - self._start :]]
        self._kept = np.concatenate([*kept, *made], axis=1)
        self._start = begin
        return self._kept, first - begin
