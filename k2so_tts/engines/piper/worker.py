"""The process that holds Piper: its licence (GPL-3), its crashes and its hangs stay in here.

Started by `piper.py` as `python -m k2so_tts.engines.piper.worker OPTIONS FD`. Piper's own package
turns text into phonemes; onnxruntime runs the voice. The graph of a voice is cut before its
decoder, which then runs on blocks of latent frames (see `blocks.py`); one that can't be cut runs as
a whole.

Requests and records are those of `process.py`: `R` ready, `A` audio (int16).
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from piper import PiperVoice
from piper.config import PiperConfig

from k2so_tts.audio import Pcm
from k2so_tts.engines.toolkit.chunked_decoder import ReceptiveField, decode_in_blocks, to_pcm
from k2so_tts.engines.toolkit.onnx_session import open_session, run
from k2so_tts.engines.toolkit.worker_protocol import read_request, record
from k2so_tts.processes import give_back_memory

_logger = logging.getLogger(__name__)

_POINTWISE = {"Add", "Cast", "Clip", "Div", "Identity", "LeakyRelu", "Mul", "Relu", "Sum", "Tanh"}


@dataclass(frozen=True)
class Cut:
    """Where a graph is cut in two: the name of the latent frames between, what a sample depends on
    of them, and how many samples each stands for.
    """

    latent: str
    reach: ReceptiveField
    frame_samples: int


class Voice:
    """A voice that speaks, loaded from its `.onnx` and `.onnx.json`."""

    def __init__(self, path: Path, threads: int) -> None:
        config = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
        self._piper = PiperVoice(session=None, config=PiperConfig.from_dict(config))
        self._cut, models = cut_graph(onnx.load(path))
        self._encoder, *self._decoder = [
            open_session(model.SerializeToString(), threads) for model in models
        ]
        del models
        give_back_memory()

    def speak(self, request: dict[str, Any]) -> Iterator[Pcm]:
        """The samples of a text, sentence by sentence, block by block."""
        config = self._piper.config
        own = (config.noise_scale, config.length_scale, config.noise_w_scale)
        noise, length, noise_w = (
            value if asked is None else asked
            for value, asked in zip(own, request["scales"], strict=True)
        )
        inputs = {"scales": np.array([noise, length / request["rate"], noise_w], np.float32)}
        if config.num_speakers > 1:
            inputs["sid"] = np.array([request["speaker"]], np.int64)
        for phonemes in self._piper.phonemize(request["text"]):
            ids = self._piper.phonemes_to_ids(phonemes)
            inputs["input"] = np.array([ids], np.int64)
            inputs["input_lengths"] = np.array([len(ids)], np.int64)
            yield from self._samples(inputs)

    def _samples(self, inputs: dict[str, NDArray[Any]]) -> Iterator[Pcm]:
        (made,) = run(self._encoder, inputs)
        cut = self._cut
        if cut is None:
            yield to_pcm(made.reshape(-1))
            return

        def decode(first: int, last: int) -> NDArray[np.float32]:
            return run(self._decoder[0], {**inputs, cut.latent: made[:, :, first:last]})[0].reshape(
                -1
            )

        yield from map(
            to_pcm, decode_in_blocks(made.shape[-1], cut.reach, cut.frame_samples, decode)
        )


def cut_graph(model: onnx.ModelProto) -> tuple[Cut | None, list[onnx.ModelProto]]:
    """Cut the graph of a VITS before the first convolution of its decoder, a HiFi-GAN: the cut, and
    both parts.

    That decoder is told by its transposed convolutions: before the first of them there is a
    convolution, whose input is the latent frames. A graph that is built in another way stays whole.
    """
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    upsamplings = [node for node in graph.node if node.op_type == "ConvTranspose"]
    latent = _latent(upsamplings[0], maker) if upsamplings else None
    if latent is None:
        return None, [model]
    output = graph.output[0].name
    decoder = _needed(graph, maker, output, latent)
    reach = _reach(decoder, output, latent)
    if reach is None:
        return None, [model]
    frame_samples = prod(_ints(node, "strides", (1,))[0] for node in upsamplings)
    return Cut(latent, reach, frame_samples), [
        _part(model, _needed(graph, maker, latent, ""), latent, ()),
        _part(model, decoder, output, (latent,)),
    ]


def _latent(upsampling: onnx.NodeProto, maker: dict[str, onnx.NodeProto]) -> str | None:
    """The input of the convolution before the first upsampling. A condition may be added to it."""
    waiting = [maker.get(upsampling.input[0])]
    while waiting:
        node = waiting.pop(0)
        if node is None:
            continue
        if node.op_type == "Conv" and _ints(node, "kernel_shape", (1,))[0] > 1:
            return str(node.input[0])
        if node.op_type in _POINTWISE:
            waiting += [maker.get(name) for name in node.input]
    return None


def _needed(
    graph: onnx.GraphProto, maker: dict[str, onnx.NodeProto], output: str, given: str
) -> list[onnx.NodeProto]:
    """The nodes that `output` is made by, up to `given`, in order."""
    seen: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name not in seen and name != given and name in maker:
            waiting += maker[name].input
            seen.update(maker[name].output)
    return [node for node in graph.node if seen & set(node.output)]


def _reach(nodes: list[onnx.NodeProto], output: str, latent: str) -> ReceptiveField | None:
    """How many latent frames around its own a sample depends on, by the layers between; None if
    one of them is of a kind for which that is not known.
    """
    moving = {latent}
    for node in nodes:
        if moving & set(node.input):
            moving.update(node.output)
    reaches = {output: ReceptiveField()}
    for node in reversed(nodes):
        if not moving & set(node.output):
            continue
        reach = _reach_before(node, reaches.get(node.output[0], ReceptiveField()))
        if reach is None:
            return None
        for name in moving & set(node.input):
            reaches[name] = reaches.get(name, ReceptiveField()) | reach
    return reaches.get(latent)


def _reach_before(node: onnx.NodeProto, reach: ReceptiveField) -> ReceptiveField | None:
    kernel = _ints(node, "kernel_shape", (1,))[0]
    padding = _ints(node, "pads", (0, 0))[0]
    stride = _ints(node, "strides", (1,))[0]
    if node.op_type == "Conv" and stride == 1:
        return reach.before_convolution(kernel, _ints(node, "dilations", (1,))[0], padding)
    if node.op_type == "ConvTranspose":
        return reach.before_upsampling(kernel, stride, padding)
    return reach if node.op_type in _POINTWISE else None


def _ints(node: onnx.NodeProto, name: str, default: tuple[int, ...]) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), list(default))


def _part(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], output: str, given: tuple[str, ...]
) -> onnx.ModelProto:
    """A model of some of the nodes of another, with what they need."""
    used = {name for node in nodes for name in node.input}
    floating = onnx.TensorProto.FLOAT
    inputs = [each for each in model.graph.input if each.name in used]
    inputs += [
        onnx.helper.make_tensor_value_info(name, floating, [1, None, None]) for name in given
    ]
    graph = onnx.helper.make_graph(
        nodes,
        model.graph.name,
        inputs,
        [onnx.helper.make_tensor_value_info(output, floating, None)],
        [each for each in model.graph.initializer if each.name in used],
    )
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def _answer(voices: dict[str, Voice], options: dict[str, Any], connection: socket.socket) -> None:
    try:
        request = read_request(connection)
        path = request["voice"]
        if path not in voices:
            voices[path] = Voice(Path(path), options["threads"])
        if request["text"]:
            for pcm in voices[path].speak(request):
                connection.sendall(record(b"A", pcm.tobytes()))
        connection.sendall(record(b"."))
    except (ConnectionError, EOFError):
        pass  # nobody listens any more
    except Exception as error:
        _logger.debug("piper failed", exc_info=True)
        words = f"{type(error).__name__}: {error}"
        connection.sendall(record(b"X", words.encode(errors="replace")))


def main(options: dict[str, Any], control: socket.socket) -> None:
    """Answer the connections that come through `control`, one after the other, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    voices: dict[str, Voice] = {}
    control.sendall(record(b"R"))
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        with socket.socket(fileno=descriptors[0]) as connection:
            _answer(voices, options, connection)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
