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

"""Cutting the graph of a Piper voice, a VITS, so that it can be run block by block.

The trainer's `infer` (piper.train.vits.models) is a chain of four:

    encoder    phoneme ids -> mean and log scale of the latent, and durations in frames, per id
    expansion  each id repeated for as many frames as it lasts, plus noise (done in numpy)
    flow       latent frames -> decoder input, convolutions only
    decoder    HiFi-GAN: decoder input -> samples, convolutions only

Each part is found by the structure of the graph, not by the names of nodes, as those differ
between exporters. `onnx` is imported here, and nothing else of this package imports it: a voice is
cut once and its parts are kept on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from k2so_tts.engines.toolkit.chunked_decoder import ReceptiveField

MEAN, LOG_SCALE, DURATIONS = "mean", "log_scale", "durations"
"""Outputs of the encoder: shapes (1, channels, ids), the same, and (1, 1, ids)."""
LATENT, DECODER_INPUT, SAMPLES = "latent", "decoder_input", "samples"
"""What the flow takes and gives, and the decoder takes and gives; the time is the last axis."""

_POINTWISE = {
    *("Add", "Cast", "Clip", "Div", "Exp", "Identity", "LeakyRelu", "Mul", "Neg", "Relu"),
    *("Sigmoid", "Sub", "Sum", "Tanh"),
}
_RESHAPING = {"Squeeze", "Unsqueeze"}
_CHANNEL_AXES = (1, -2)
_MASK = "mask_of_ones"
_TO_THE_END = 2**31 - 1


class UncuttableGraph(Exception):
    """A graph that is not built as expected; the message says what is missing or unknown."""


@dataclass(frozen=True)
class Parts:
    """The parts of a graph, what an output of the flow and of the decoder depends on, in latent
    frames, and how many samples a frame stands for.
    """

    encoder: onnx.ModelProto
    flow: onnx.ModelProto
    decoder: onnx.ModelProto
    flow_field: ReceptiveField
    decoder_field: ReceptiveField
    frame_samples: int


def cut_graph(model: onnx.ModelProto) -> Parts:
    """Cut the graph of a voice. Raises `UncuttableGraph`."""
    graph = _Graph(model)
    output = str(model.graph.output[0].name)
    sampled = _sampled_latent(graph)
    decoder_input = _decoder_input(graph)
    graph.remove_masks(sampled.latent, sampled.durations)
    flow = graph.needed([decoder_input], {sampled.latent})
    decoder = graph.needed([output], {decoder_input})
    upsampling = [node for node in decoder if node.op_type == "ConvTranspose"]
    return Parts(
        graph.part(
            graph.needed([sampled.mean, sampled.log_scale, sampled.durations], set()),
            {},
            {sampled.mean: MEAN, sampled.log_scale: LOG_SCALE, sampled.durations: DURATIONS},
        ),
        graph.part(flow, {sampled.latent: LATENT}, {decoder_input: DECODER_INPUT}),
        graph.part(decoder, {decoder_input: DECODER_INPUT}, {output: SAMPLES}),
        _receptive_field(graph, flow, decoder_input, sampled.latent),
        _receptive_field(graph, decoder, output, decoder_input),
        prod(_ints(node, "strides", (1,))[0] for node in upsampling),
    )


class _Graph:
    """A graph with its nodes by what they make."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self.maker = {name: node for node in self.nodes for name in node.output if name}
        self._constants = {each.name: each for each in model.graph.initializer}

    def needed(self, outputs: Sequence[str], given: set[str]) -> list[onnx.NodeProto]:
        """The nodes that `outputs` are made by, up to the tensors `given`, in order."""
        seen: set[str] = set()
        waiting = list(outputs)
        while waiting:
            name = waiting.pop()
            if name not in seen and name not in given and name in self.maker:
                waiting += _inputs(self.maker[name])
                seen.update(self.maker[name].output)
        return [node for node in self.nodes if seen & set(node.output)]

    def depending_on(self, name: str, nodes: Iterable[onnx.NodeProto] = ()) -> set[str]:
        """The tensors whose values, not only whose shapes, depend on the tensor `name`."""
        moving = {name}
        for node in nodes or self.nodes:
            if node.op_type != "Shape" and not moving.isdisjoint(_inputs(node)):
                moving.update(node.output)
        return moving

    def constant(self, name: str) -> list[int] | None:
        """The whole numbers of a constant tensor; None if it is none."""
        tensor = self._constants.get(name)
        node = self.maker.get(name)
        if tensor is None and node is not None and node.op_type == "Constant":
            tensor = next((a.t for a in node.attribute if a.name == "value"), None)
        return None if tensor is None else [int(n) for n in numpy_helper.to_array(tensor).flat]

    def remove_masks(self, latent: str, durations: str) -> None:
        """Put 1.0 in place of the masks behind `latent`, which follow from `durations`: with one
        text at a time each frame is one of speech. Raises `UncuttableGraph`.
        """
        behind = self.depending_on(latent)
        masks = self.depending_on(durations) - behind
        for node in self.nodes:
            if latent in node.output or not behind & set(node.output):
                continue
            for index, name in enumerate(node.input):
                if name not in masks:
                    continue
                if node.op_type != "Mul":
                    raise UncuttableGraph(f"a mask goes into {node.op_type} {node.name!r}")
                node.input[index] = _MASK
        self._constants[_MASK] = numpy_helper.from_array(np.ones((1, 1, 1), np.float32), _MASK)

    def part(
        self, nodes: list[onnx.NodeProto], inputs: dict[str, str], outputs: dict[str, str]
    ) -> onnx.ModelProto:
        """A model of some of the nodes, with its inputs and outputs renamed."""
        renaming = [onnx.helper.make_node("Identity", [new], [old]) for old, new in inputs.items()]
        naming = [onnx.helper.make_node("Identity", [old], [new]) for old, new in outputs.items()]
        used = {name for node in nodes for name in _inputs(node)}
        graph = onnx.helper.make_graph(
            [*renaming, *nodes, *naming],
            "part",
            [each for each in self.model.graph.input if each.name in used]
            + [_float_tensor(name) for name in inputs.values()],
            [_float_tensor(name) for name in outputs.values()],
            [tensor for name, tensor in self._constants.items() if name in used],
        )
        return onnx.helper.make_model(
            graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version
        )


@dataclass(frozen=True)
class _SampledLatent:
    """The tensors around the expansion: what it takes, and the latent frames it gives."""

    mean: str
    log_scale: str
    durations: str
    latent: str


def _sampled_latent(graph: _Graph) -> _SampledLatent:
    """Find `latent = mean + noise * exp(log_scale) * noise_scale`, where both are repeated by a
    product with the matrix of the alignment, which follows from the durations.
    """
    ceilings = [node.output[0] for node in graph.nodes if node.op_type == "Ceil"]
    durations = ceilings[-1] if ceilings else None
    if durations is None:
        raise UncuttableGraph("no durations: there is no Ceil")
    expanded = graph.depending_on(durations)
    for add in graph.nodes:
        if add.op_type != "Add" or not expanded & set(add.output):
            continue
        for mean, noise in (add.input, reversed(add.input)):
            factors = _factors(graph, noise)
            kinds = {graph.maker[name].op_type: name for name in factors if name in graph.maker}
            if "RandomNormalLike" not in kinds or "Exp" not in kinds:
                continue
            log_scale = graph.maker[kinds["Exp"]].input[0]
            return _SampledLatent(
                _before_expansion(graph, mean),
                _before_expansion(graph, log_scale),
                durations,
                add.output[0],
            )
    raise UncuttableGraph("no latent frames: nothing adds noise to what the durations expand")


def _factors(graph: _Graph, product: str) -> list[str]:
    """The tensors of which `product` is the product."""
    node = graph.maker.get(product)
    if node is None or node.op_type != "Mul":
        return [product]
    return [factor for name in node.input for factor in _factors(graph, name)]


def _before_expansion(graph: _Graph, name: str) -> str:
    """`transposed(alignment @ transposed(x))` is `name`: the name of x."""
    found = name
    for operation, index in (("Transpose", 0), ("MatMul", 1), ("Transpose", 0)):
        node = graph.maker.get(found)
        if node is None or node.op_type != operation:
            raise UncuttableGraph(f"{name!r} is no product with the alignment")
        found = node.input[index]
    return found


def _decoder_input(graph: _Graph) -> str:
    """The input of the convolution before the first upsampling. A condition may be added to it."""
    upsampling = next((node for node in graph.nodes if node.op_type == "ConvTranspose"), None)
    waiting = [graph.maker.get(upsampling.input[0])] if upsampling else []
    while waiting:
        node = waiting.pop(0)
        if node is None:
            continue
        if node.op_type == "Conv" and _ints(node, "kernel_shape", (1,))[0] > 1:
            return str(node.input[0])
        if node.op_type in _POINTWISE:
            waiting += [graph.maker.get(name) for name in node.input]
    raise UncuttableGraph("no decoder: there is no ConvTranspose with a Conv before it")


def _receptive_field(
    graph: _Graph, nodes: list[onnx.NodeProto], output: str, given: str
) -> ReceptiveField:
    """What one step of `output` depends on of `given`, by the layers between. Raises
    `UncuttableGraph` if one of them is of a kind for which that is not known.
    """
    moving = graph.depending_on(given, nodes)
    fields = {output: ReceptiveField()}
    for node in reversed(nodes):
        if not moving & set(node.output):
            continue
        after = ReceptiveField()
        for name in node.output:
            after |= fields.get(name, ReceptiveField())
        before = _field_before(graph, node, after)
        for name in moving & set(node.input):
            fields[name] = fields.get(name, ReceptiveField()) | before
    return fields[given]


def _field_before(graph: _Graph, node: onnx.NodeProto, field: ReceptiveField) -> ReceptiveField:
    kernel = _ints(node, "kernel_shape", (1,))[0]
    padding = _ints(node, "pads", (0, 0))[0]
    stride = _ints(node, "strides", (1,))[0]
    if node.op_type == "Conv" and stride == 1:
        return field.before_convolution(kernel, _ints(node, "dilations", (1,))[0], padding)
    if node.op_type == "ConvTranspose":
        return field.before_upsampling(kernel, stride, padding)
    if not _keeps_places(graph, node, field):
        raise UncuttableGraph(f"an unknown layer after the cut: {node.op_type} {node.name!r}")
    return field


def _keeps_places(graph: _Graph, node: onnx.NodeProto, field: ReceptiveField) -> bool:
    """Whether a step of what a node makes depends on the same step of its input, and no other.
    Behind it, a step depends on `field`: axes may be added where that is nothing more.
    """
    if node.op_type == "Slice":
        return _is_harmless_slice(graph, node)
    if node.op_type in ("Split", "Concat"):
        return _is_among_channels([_int(node, "axis")])
    if node.op_type in _RESHAPING:
        return field == ReceptiveField()
    return node.op_type in _POINTWISE


def _is_harmless_slice(graph: _Graph, node: onnx.NodeProto) -> bool:
    """Whether a Slice takes some of the channels, or all there is (`[:, :, :None]`)."""
    starts, ends, axes, steps = (graph.constant(name) for name in (*node.input[1:], "")[:4])
    takes_all = starts == [0] and ends is not None and ends[0] >= _TO_THE_END
    return _is_among_channels(axes) or (takes_all and steps in ([1], None))


def _is_among_channels(axes: list[int] | None) -> bool:
    return axes is not None and all(axis in _CHANNEL_AXES for axis in axes)


def _inputs(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node takes, or that the branches of an If take from outside of it."""
    taken = list(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            taken += _inputs(inner)
    return taken


def _int(node: onnx.NodeProto, name: str) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), 0)


def _ints(node: onnx.NodeProto, name: str, default: tuple[int, ...]) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), list(default))


def _float_tensor(name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
