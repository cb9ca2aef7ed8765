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

"""Cutting graphs: what Piper's trainer exports is cut, and what is built in another way is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from k2so_tts.engines.piper import cut_voice
from k2so_tts.engines.piper.graph import UncuttableGraph, cut_graph
from k2so_tts.engines.piper.prepared import LAYOUT, REASON
from k2so_tts.engines.piper.streaming import Layout, Scales, StreamedVoice, WholeVoice
from k2so_tts.engines.toolkit.chunked_decoder import ReceptiveField

CHANNELS = 4
NO_NOISE = Scales(0.0, 2.0, 0.0)


def small_vits(after_tanh: tuple[str, ...] = ("Unsqueeze",)) -> onnx.ModelProto:
    """The graph of a VITS with one layer of each kind, as torch exports it.

    A convolution of width 5 is its flow; one of width 7, an upsampling by 4 and one of width 3 are
    its decoder.
    """
    random = np.random.default_rng(3)
    constants: dict[str, Any] = {
        "table": random.standard_normal((16, CHANNELS)).astype(np.float32),
        "flow_w": random.standard_normal((CHANNELS, CHANNELS, 5)).astype(np.float32),
        "pre_w": random.standard_normal((CHANNELS, CHANNELS, 7)).astype(np.float32),
        "up_w": random.standard_normal((CHANNELS, CHANNELS, 8)).astype(np.float32),
        "post_w": random.standard_normal((1, CHANNELS, 3)).astype(np.float32),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "axes": np.array([1, 2], np.int64),
        "axis_1": np.array([1], np.int64),
        "axis_2": np.array([2], np.int64),
        "tenth": np.array(0.1, np.float32),
        "few": np.array([[[2.0]]], np.float32),
    }

    def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs.split(), [output], name=output, **attributes)

    nodes = [
        node("Gather", "scales zero", "noise_scale"),
        node("Gather", "scales one", "length_scale"),
        node("Gather", "table input", "embedded"),
        node("Transpose", "embedded", "mean_of_id", perm=[0, 2, 1]),
        node("Mul", "mean_of_id tenth", "scale_of_id"),
        node("ReduceMean", "mean_of_id", "averaged", axes=[1], keepdims=1),
        node("Abs", "averaged", "length"),
        node("Mul", "length few", "longer"),
        node("Mul", "longer length_scale", "scaled"),
        node("Ceil", "scaled", "w_ceil"),
        node("CumSum", "w_ceil axis_2", "ends"),
        node("Sub", "ends w_ceil", "starts"),
        node("ReduceMax", "ends", "frames_f", axes=[0, 1, 2], keepdims=0),
        helper.make_node("Constant", [], ["nought"], value_float=0.0),
        helper.make_node("Constant", [], ["unit"], value_float=1.0),
        node("Range", "nought frames_f unit", "steps"),
        node("Unsqueeze", "steps axes_0_2", "places"),
        node("Less", "places ends", "before_end"),
        node("Less", "places starts", "before_start"),
        node("Cast", "before_end", "below", to=TensorProto.FLOAT),
        node("Cast", "before_start", "above", to=TensorProto.FLOAT),
        node("Sub", "below above", "alignment"),
        node("Transpose", "mean_of_id", "mean_t", perm=[0, 2, 1]),
        node("MatMul", "alignment mean_t", "mean_e"),
        node("Transpose", "mean_e", "mean", perm=[0, 2, 1]),
        node("Transpose", "scale_of_id", "scale_t", perm=[0, 2, 1]),
        node("MatMul", "alignment scale_t", "scale_e"),
        node("Transpose", "scale_e", "log_scale", perm=[0, 2, 1]),
        node("RandomNormalLike", "mean", "noise"),
        node("Exp", "log_scale", "deviation"),
        node("Mul", "noise deviation", "spread"),
        node("Mul", "spread noise_scale", "scaled_noise"),
        node("Add", "mean scaled_noise", "z_p"),
        node("ReduceMax", "below", "mask_t", axes=[2], keepdims=1),
        node("Transpose", "mask_t", "mask", perm=[0, 2, 1]),
        node("Conv", "z_p flow_w", "flowed", kernel_shape=[5], pads=[2, 2]),
        node("Mul", "flowed mask", "z"),
        node("Conv", "z pre_w", "pre", kernel_shape=[7], pads=[3, 3]),
        node("LeakyRelu", "pre", "bent"),
        node("ConvTranspose", "bent up_w", "up", kernel_shape=[8], strides=[4], pads=[2, 2]),
        node("Conv", "up post_w", "post", kernel_shape=[3], pads=[1, 1]),
        node("Tanh", "post", "tanh"),
    ]
    last = "tanh"
    for index, kind in enumerate(after_tanh):
        inputs = f"{last} axis_1" if kind == "Unsqueeze" else last
        last = f"end_{index}"
        nodes.append(node(kind, inputs, last))
    constants["axes_0_2"] = np.array([0, 2], np.int64)
    graph = helper.make_graph(
        nodes,
        "vits",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, None]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def cut_into(model: Path, directory: Path) -> Path:
    directory.mkdir()
    cut_voice.main(model, Path(f"{model}.json"), directory)
    return directory


def spoken(voice: StreamedVoice | WholeVoice, ids: list[int], speaker: int = 0) -> np.ndarray:
    sizes = voice.block_sizes(22050, lambda: 0.0)
    return np.concatenate(list(voice.speak(ids, speaker, NO_NOISE, sizes).blocks))


def test_the_receptive_fields_follow_from_the_layers() -> None:
    parts = cut_graph(small_vits())
    assert parts.flow_field == ReceptiveField(2, 2)
    assert parts.decoder_field == ReceptiveField(4, 4)
    assert parts.frame_samples == 4


def test_the_parts_have_the_mask_no_more() -> None:
    """It follows from all of the durations, which a block does not have."""
    parts = cut_graph(small_vits())
    assert [each.name for each in parts.flow.graph.input] == ["latent"]
    assert [each.name for each in parts.decoder.graph.input] == ["decoder_input"]
    assert [each.name for each in parts.encoder.graph.output] == ["mean", "log_scale", "durations"]


@pytest.mark.parametrize("tail", [(), ("Unsqueeze",), ("Unsqueeze", "Identity")])
def test_whatever_only_reshapes_the_samples_is_cut(tail: tuple[str, ...]) -> None:
    assert cut_graph(small_vits(tail)).decoder_field == ReceptiveField(4, 4)


def test_a_second_output_for_the_alignment_does_no_harm() -> None:
    model = small_vits()
    model.graph.output.append(helper.make_tensor_value_info("w_ceil", TensorProto.FLOAT, None))
    assert cut_graph(model).frame_samples == 4


def test_durations_may_go_through_a_condition() -> None:
    """The exporter writes a squeeze of unknown shape as an If, whose branches take what they need
    from outside.
    """
    model = small_vits()
    branches = {}
    for name in ("then_branch", "else_branch"):
        value = helper.make_tensor_value_info(f"in_{name}", TensorProto.FLOAT, None)
        taking = helper.make_node("Identity", ["w_ceil"], [value.name])
        branches[name] = helper.make_graph([taking], name, [], [value])
    condition = helper.make_node("If", ["yes"], ["squeezed"], **branches)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    at = next(at for at, node in enumerate(model.graph.node) if node.op_type == "CumSum")
    for node in model.graph.node[at:]:
        node.input[:] = ["squeezed" if name == "w_ceil" else name for name in node.input]
    model.graph.node.insert(at, condition)
    assert cut_graph(model).frame_samples == 4


def _without(kind: str) -> onnx.ModelProto:
    """The small graph with an Identity in place of the nodes of a kind."""
    model = small_vits()
    for node in model.graph.node:
        if node.op_type == kind:
            node.op_type = "Identity"
            del node.attribute[:]
            del node.input[1:]
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (small_vits(("Sin",)), "an unknown layer after the cut: Sin"),
        (small_vits(("CumSum",)), "an unknown layer after the cut: CumSum"),
        (_without("Ceil"), "no durations"),
        (_without("RandomNormalLike"), "no latent frames"),
        (_without("MatMul"), "no product with the alignment"),
        (_without("ConvTranspose"), "no decoder"),
    ],
)
def test_a_graph_that_is_built_in_another_way_says_how(
    model: onnx.ModelProto, message: str
) -> None:
    with pytest.raises(UncuttableGraph, match=message):
        cut_graph(model)


@pytest.mark.parametrize(("name", "speakers"), [("single", 1), ("several", 3)])
def test_voices_of_the_trainer_sound_in_parts_as_they_do_as_a_whole(
    exported: Callable[[str], Path], tmp_path: Path, name: str, speakers: int
) -> None:
    model = exported(name)
    directory = cut_into(model, tmp_path / "parts")
    ids = [1, *range(4, 120), 2]
    streamed, whole = StreamedVoice(directory, 1), WholeVoice(model, 1)
    made = [spoken(streamed, ids, speaker) for speaker in range(speakers)]
    for speaker, samples in enumerate(made):
        expected = spoken(whole, ids, speaker)
        assert samples.shape == expected.shape
        assert len(samples) > 20 * streamed.layout.frame_samples
        assert np.abs(samples - expected).max() < 1e-4
    assert len({samples.tobytes() for samples in made}) == speakers


def test_a_voice_with_an_alignment_output_is_cut_too(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    from piper.patch_voice_with_alignment import add_alignment_output

    model = onnx.load(exported("single"))
    add_alignment_output(model)
    path = tmp_path / "voice.onnx"
    onnx.save(model, path)
    Path(f"{path}.json").write_bytes(Path(f"{exported('single')}.json").read_bytes())
    assert (cut_into(path, tmp_path / "parts") / LAYOUT).exists()


def test_parts_that_sound_different_are_not_used(
    exported: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cut is checked by what is heard, not only by what the graph looks like."""
    real = cut_graph

    def too_little_context(model: onnx.ModelProto) -> object:
        parts = real(model)
        narrow = ReceptiveField(0, 0)
        return type(parts)(
            parts.encoder, parts.flow, parts.decoder, narrow, narrow, parts.frame_samples
        )

    monkeypatch.setattr(cut_voice, "cut_graph", too_little_context)
    directory = cut_into(exported("single"), tmp_path / "parts")
    assert [path.name for path in directory.iterdir()] == [REASON]
    assert "differ from the whole" in (directory / REASON).read_text()


def test_the_layout_is_read_as_it_was_written(tmp_path: Path) -> None:
    layout = Layout((1, 2), (3, 4), 256)
    layout.save(tmp_path)
    assert Layout.load(tmp_path) == layout
