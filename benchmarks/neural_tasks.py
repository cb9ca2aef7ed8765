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

"""What `neural_engines.py` measures of each neural engine, one task a process.

    python benchmarks/neural_tasks.py TASK WAY MODELS BEGAN

WAY is one of `WAYS` or `XTTS_QUANTIZATIONS`, MODELS the directory of the models, and BEGAN when the
process was started (s, monotonic). The result is printed as JSON, on the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from k2so_tts.engines import NORMAL
from k2so_tts.engines.toolkit.disk_cache import cache_directory
from k2so_tts.processes import peak_resident_mib, resident_mib, with_descendants
from k2so_tts.synthesis.engine_supervisor import EngineSpec, load
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import PhraseCache
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

SENTENCES = (
    "I am the robot of this house, and I am here to help you with whatever you need.",
    "The kitchen is at the end of the corridor, on the left, behind the glass door.",
    "Please follow me, but keep a little distance, because I may have to stop at once.",
    "If you would like to rest, there is a bench in front of the window over there.",
    "Your guests have arrived, and they are waiting for you downstairs in the hall.",
    "I have put the parcels on the table, and the letters into the upper drawer.",
    "It will rain in the afternoon, so you had better take an umbrella with you.",
    "That is all I know for now, and I shall call you when there is more to tell.",
)
COUNTS = {1: 3, 2: 3, 8: 1}
"""The number of sentences of each text, and how often it is spoken: the median counts."""
PREBUFFER = 3
CANCELS = 8
TIMEOUT_SECONDS = 300.0
SEED = 1
PACE = 1.6
"""The length scale that makes random weights speak about 15 letters a second."""
REAL_SIZE: dict[str, Any] = {
    "hidden_channels": 192,
    "hidden_channels_ffn_text_encoder": 768,
    "num_layers_text_encoder": 6,
    "num_layers_posterior_encoder": 16,
    "num_layers_flow": 4,
    "upsample_initial_channel_decoder": 512,
    "length_scale": PACE,
    "inference_noise_scale_dp": 0.0,
}
"""The sizes of VITS as trained models have them."""
COQUI: dict[str, Any] = {"device": "cpu", "seed": SEED}
WHOLE, PIPER_WHOLE, CACHED = "torch fp32, whole", "Piper, whole", "ONNX int8, cached"
TORCH_STREAMED, ONNX_STREAMED = "torch fp32, streamed", "ONNX fp32, streamed"
INT8, PIPER_STREAMED = "ONNX int8, streamed", "Piper, streamed"
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    WHOLE: ("coqui", COQUI),
    TORCH_STREAMED: ("coqui", COQUI),
    ONNX_STREAMED: ("coqui", {**COQUI, "runtime": "onnx"}),
    INT8: ("coqui", {**COQUI, "runtime": "onnx", "quantization": "int8"}),
    CACHED: ("coqui", {**COQUI, "runtime": "onnx", "quantization": "int8"}),
    PIPER_WHOLE: ("piper", {}),
    PIPER_STREAMED: ("piper", {}),
}
"""What is measured: an engine and its options."""
XTTS_SIZE: dict[str, Any] = {
    "gpt_layers": 30,
    "gpt_n_model_channels": 1024,
    "gpt_n_heads": 16,
    "gpt_max_audio_tokens": 150,
    "gpt_num_audio_tokens": 1026,
    "gpt_start_audio_token": 1024,
    "gpt_stop_audio_token": 1025,
    "decoder_input_dim": 1024,
}
"""The sizes of XTTS v2. With random weights it hardly ever stops, so it is cut off after 7 s."""
XTTS_QUANTIZATIONS = ("none", "int8")


@dataclass
class Measured:
    """What one process measured. Memory in MiB; times in s, by the number of sentences in a dict.

    `load_s` is from the start of the process until the first chunk can be made, with the model
    files in the page cache; `cold_s` without them, `convert_s` where the model has to be converted
    as well. `steps_s` are the parts of `load_s`. `first_s` is the time to the first audio and
    `factor` the real-time factor. `gaps` counts the underruns of a player that starts with
    `PREBUFFER` chunks, `prebuffer_s` is the audio it would have to hold to have none. `cancel_s` is
    the longest time until a cancelled engine is idle. `distance_db` is the log-spectral distance to
    torch's whole text.
    """

    load_s: float = 0.0
    cold_s: float = 0.0
    convert_s: float = 0.0
    steps_s: dict[str, float] = field(default_factory=dict)
    first_s: dict[int, float] = field(default_factory=dict)
    factor: dict[int, float] = field(default_factory=dict)
    prebuffer_s: dict[int, float] = field(default_factory=dict)
    gaps: dict[int, int] = field(default_factory=dict)
    cancel_s: float = 0.0
    loaded_mib: float = 0.0
    peak_mib: float = 0.0
    file_mib: float = 0.0
    distance_db: float | None = None


def main() -> None:
    """Run one task and print its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=tuple(TASKS))
    parser.add_argument("way", choices=(*WAYS, *XTTS_QUANTIZATIONS))
    parser.add_argument("models", type=Path)
    parser.add_argument("began", type=float)
    options = parser.parse_args()
    json.dump(TASKS[options.task](options.way, options.models, options.began), sys.stdout)


def make_models(_way: str, models: Path, _began: float) -> None:
    """Make models of real size."""
    from support.neural_models import PIPER_MEDIUM, make_piper, make_vits

    make_vits(models / "coqui", **REAL_SIZE)
    make_piper(models / "piper", **{**REAL_SIZE, **PIPER_MEDIUM})


def make_xtts_model(_way: str, models: Path, _began: float) -> None:
    """Make an XTTS of real size, and the recording of a voice to clone."""
    import numpy as np
    import soundfile
    from support.neural_models import make_xtts

    make_xtts(models / "xtts", **XTTS_SIZE)
    noise = np.random.default_rng(SEED).normal(0, 0.1, 2 * 22050)
    soundfile.write(models / "somebody.wav", noise, 22050)


def load_only(way: str, models: Path, began: float) -> dict[str, Any]:
    """How long it takes until the first chunk can be made."""
    if way in (WHOLE, PIPER_WHOLE):
        open_library(way, models)
        return asdict(Measured(load_s=time.monotonic() - began))
    spec = engine_spec(way, models)
    with closing(spec.make()) as engine:
        load(spec, engine)
        return asdict(Measured(load_s=time.monotonic() - began))


def speak_whole(way: str, models: Path, began: float) -> dict[str, Any]:
    """The traditional way: the library by itself makes a whole text."""
    speak, rate = open_library(way, models)
    measured = Measured(load_s=time.monotonic() - began, loaded_mib=resident_mib())
    measured.file_mib = size_mib(models / WAYS[way][0])
    speak("Warm up.")
    for count, runs in COUNTS.items():
        seconds, frames = [], 0
        for _ in range(runs):
            started = time.perf_counter()
            frames = len(speak(text_of(count)))
            seconds.append(time.perf_counter() - started)
        measured.first_s[count] = median(seconds)
        measured.factor[count] = median(seconds) / (frames / rate)
    measured.peak_mib = peak_mib()
    return asdict(measured)


def speak_streamed(way: str, models: Path, began: float) -> dict[str, Any]:
    """Through `Synthesis`, as the nodes do."""
    spec = engine_spec(way, models)
    measured = Measured(steps_s={"Python and k2so_tts": time.monotonic() - began})
    with closing(spec.make()) as engine:
        loaded = load_in_steps(spec, engine, measured, began)
        measured.loaded_mib = resident_mib()
        for count in COUNTS:
            stream(loaded, count, measured)
        measured.cancel_s = max(cancel(loaded, step / CANCELS) for step in range(CANCELS))
        measured.peak_mib = peak_mib()
    converted = cache_directory() / "vits"
    if spec.options.get("runtime") == "onnx":
        measured.file_mib = size_mib(max(converted.iterdir(), key=os.path.getatime))
    else:
        measured.file_mib = size_mib(models / spec.name)
    return asdict(measured)


def speak_cached(way: str, models: Path, began: float) -> dict[str, Any]:
    """What was said once is said again, from disk."""
    phrases = PhraseCache()
    measured = Measured()
    spec = engine_spec(way, models)
    with closing(spec.make()) as engine:
        loaded = load(spec, engine, phrases)
        measured.load_s = time.monotonic() - began
        measured.loaded_mib = resident_mib()
        for count in COUNTS:
            stream(loaded, count, Measured())
            stream(loaded, count, measured)
        assert phrases.hits >= sum(COUNTS.values())
        measured.peak_mib = peak_mib()
    measured.file_mib = size_mib(phrases.path.parent) - size_mib(phrases.path.parent / "vits")
    return asdict(measured)


def speak_xtts(quantization: str, models: Path, began: float) -> dict[str, Any]:
    """One sentence of an XTTS, as the engine makes it."""
    options = {**COQUI, "quantization": quantization, "model": str(models / "xtts")}
    spec = EngineSpec("coqui", {**options, "speaker_wav": str(models / "somebody.wav")})
    with closing(spec.make()) as engine:
        engine.load()
        measured = Measured(load_s=time.monotonic() - began, loaded_mib=resident_mib())
        started = time.perf_counter()
        first, frames = 0.0, 0
        for block in engine.synthesise(text_of(1), engine.default_voice, NORMAL):
            first = first or time.perf_counter() - started
            frames += len(block.pcm)
        seconds = time.perf_counter() - started
        measured.first_s[1], measured.factor[1] = first, seconds / (frames / engine.sample_rate)
        measured.peak_mib = peak_mib()
    return asdict(measured)


def measure_distances(_way: str, models: Path, _began: float) -> dict[str, float]:
    """Log-spectral distances (dB) to torch's whole text, of those ways that take the same noise."""
    import numpy as np
    import torch
    from support.neural_models import noise_of_torch
    from support.spectra import log_spectral_distance

    from k2so_tts.engines.coqui.vits_onnx import OnnxVits
    from k2so_tts.engines.toolkit.chunked_decoder import to_pcm

    speak, _rate = open_library(WHOLE, models)
    torch.manual_seed(SEED)
    expected = to_pcm(np.asarray(speak(text_of(1)), np.float32))
    found = {}
    with mock.patch.object(OnnxVits, "_noise", noise_of_torch):
        for way in (TORCH_STREAMED, ONNX_STREAMED, INT8):
            with closing(engine_spec(way, models).make()) as engine:
                engine.load()
                torch.manual_seed(SEED)
                blocks = engine.synthesise(text_of(1), engine.default_voice, NORMAL)
                heard = np.concatenate([block.pcm for block in blocks])
            found[way] = log_spectral_distance(expected, heard)
    return found


def engine_spec(way: str, models: Path) -> EngineSpec:
    """The engine of a way, with its model."""
    engine, options = WAYS[way]
    name = "voice" if engine == "piper" else "model"
    return EngineSpec(engine, {name: str(models / engine), **options})


def load_in_steps(spec: EngineSpec, engine: Any, measured: Measured, began: float) -> LoadedEngine:
    """As `load` does, taking the time of each step."""
    marks = [time.monotonic()]
    if spec.name == "coqui":
        if spec.options.get("runtime") == "onnx":
            import k2so_tts.engines.coqui.vits_onnx
        else:
            import k2so_tts.engines.coqui.models  # noqa: F401 - to take the time
    marks.append(time.monotonic())
    load_weights = engine.load

    def load_and_mark() -> None:
        load_weights()
        marks.append(time.monotonic())

    with mock.patch.object(engine, "load", load_and_mark):
        found = load(spec, engine)
    marks.append(time.monotonic())
    names = ("libraries", "weights, first words", "warm-up")
    steps = (after - before for before, after in pairwise(marks))
    measured.steps_s.update(zip(names, steps, strict=True))
    measured.load_s = time.monotonic() - began
    return found


def open_library(way: str, models: Path) -> tuple[Callable[[str], Any], int]:
    """A library by itself: what makes the samples of a text, shape (frames,), and their Hz."""
    engine, _ = WAYS[way]
    if engine == "piper":
        import numpy as np
        from piper import PiperVoice

        voice = PiperVoice.load(models / engine / "voice.onnx")

        def speak(text: str) -> Any:
            return np.concatenate([part.audio_int16_array for part in voice.synthesize(text)])

        return speak, voice.config.sample_rate
    from TTS.utils.synthesizer import Synthesizer

    files = models / engine
    library = Synthesizer(tts_checkpoint=files / "model.pth", tts_config_path=files / "config.json")
    return lambda text: library.tts_model.synthesize(text)["wav"], library.output_sample_rate


def stream(loaded: LoadedEngine, count: int, measured: Measured) -> None:
    """Speak a text of `count` sentences; measure when its chunks came and how they would play."""
    first, factor = [], []
    engine = loaded.engine
    chunks: list[tuple[float, int]] = []
    for _ in range(COUNTS[count]):
        synthesis = Synthesis(
            loaded,
            text_of(count),
            SynthesisOptions(engine.default_voice),
            ahead_seconds=TIMEOUT_SECONDS,
        )
        began = time.perf_counter()
        synthesis.start()
        chunks = []
        while synthesis.wait(TIMEOUT_SECONDS) and (chunk := synthesis.take()) is not None:
            chunks.append((time.perf_counter() - began, len(chunk.pcm)))
        assert synthesis.error is None
        assert synthesis.join(TIMEOUT_SECONDS)
        first.append(chunks[0][0])
        factor.append(chunks[-1][0] / (synthesis.frames / engine.sample_rate))
    measured.first_s[count] = median(first)
    measured.factor[count] = median(factor)
    measured.gaps[count] = gaps(chunks, engine.sample_rate)
    measured.prebuffer_s[count] = prebuffer_s(chunks, engine.sample_rate)


def gaps(chunks: list[tuple[float, int]], rate: int) -> int:
    """The underruns of a player that starts with `PREBUFFER` chunks.

    `chunks` has when each came (s) and its frames.
    """
    ends = chunks[min(PREBUFFER, len(chunks)) - 1][0]
    found = 0
    for at, frames in chunks:
        found += at > ends
        ends = max(at, ends) + frames / rate
    return found


def prebuffer_s(chunks: list[tuple[float, int]], rate: int) -> float:
    """Seconds of audio that a player has to hold before it starts to have no underrun."""
    position, start = 0.0, 0.0
    for at, frames in chunks:
        start = max(start, at - position)
        position += frames / rate
    return sum(frames for at, frames in chunks if at <= start) / rate


def cancel(loaded: LoadedEngine, delay: float) -> float:
    """Cancel a long text after `delay` seconds; the time until the engine is idle (s)."""
    options = SynthesisOptions(loaded.engine.default_voice)
    synthesis = Synthesis(loaded, text_of(8) * 20, options)
    synthesis.start()
    time.sleep(delay)
    began = time.perf_counter()
    synthesis.cancel()
    assert synthesis.join(TIMEOUT_SECONDS)
    return time.perf_counter() - began


def text_of(count: int) -> str:
    """A text of so many sentences."""
    return " ".join(SENTENCES[:count])


def size_mib(directory: Path) -> float:
    """The size of all files in a directory and below (MiB)."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files) / 2**20


def peak_mib() -> float:
    """The most memory that this process and its descendants ever held, each by itself (MiB)."""
    return sum(map(peak_resident_mib, with_descendants([os.getpid()])))


TASKS: dict[str, Callable[[str, Path, float], Any]] = {
    "make": make_models,
    "make xtts": make_xtts_model,
    "load": load_only,
    "whole": speak_whole,
    "streamed": speak_streamed,
    "cached": speak_cached,
    "xtts": speak_xtts,
    "distances": measure_distances,
}

if __name__ == "__main__":
    main()
