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

"""Engines of known output, and what comes of a synthesis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from k2so_tts.audio import Block, Chunk, Pcm
from k2so_tts.engines import NORMAL, EngineError, Prosody, UnknownVoice, Voice
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

OPTIONS = SynthesisOptions("en-us")
TEXT = "The quick brown fox jumps over the lazy dog, again and again. " * 8
PATIENCE = 10.0
SOON = 5.0


@dataclass
class ScriptedEngine:
    """An engine of known blocks, the same ones for every text; it stops at a gate if it has one."""

    blocks: Sequence[Block] = (Block(np.ones(1000, np.int16)),)
    endless: bool = False
    error: Exception | None = None
    gate: threading.Event | None = None
    streams: bool = True
    sample_rate: int = 1000
    default_voice: str = "any"
    asked: list[tuple[str, str, Prosody]] = field(default_factory=list)
    given: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    def load(self) -> None:
        raise NotImplementedError

    def voices(self) -> Sequence[Voice]:
        return (Voice("any", "en"),)

    def find_voice(self, name: str) -> str:
        raise UnknownVoice(name)

    def close(self) -> None:
        self.endless = False

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        self.asked.append((text, voice, prosody))
        try:
            while True:
                for block in self.blocks:
                    self.given += len(block.pcm)
                    yield block
                    if self.gate is not None:
                        self.gate.wait(SOON)
                if self.error is not None:
                    raise self.error
                if not self.endless:
                    return
        finally:
            self.closed.set()


def chunks_of(synthesis: Synthesis) -> list[Chunk]:
    """Everything that comes, up to the end."""
    chunks: list[Chunk] = []
    while not synthesis.exhausted:
        assert synthesis.wait(SOON)
        while (chunk := synthesis.take()) is not None:
            chunks.append(chunk)
    return chunks


def next_chunk(synthesis: Synthesis) -> Chunk:
    assert synthesis.wait(SOON)
    chunk = synthesis.take()
    assert chunk is not None
    return chunk


def spoken(synthesis: Synthesis) -> list[Chunk]:
    synthesis.start()
    chunks = chunks_of(synthesis)
    assert synthesis.join(SOON)
    return chunks


def pcm_of(chunks: Sequence[Chunk]) -> Pcm:
    return np.concatenate([chunk.pcm for chunk in chunks])


def whole(engine: EspeakEngine, text: str) -> Pcm:
    return np.concatenate([block.pcm for block in engine.synthesise(text, "en-us", NORMAL)])


@dataclass
class Reader:
    """An engine that needs segments: a word is as many loud frames as it has letters, times 20,
    and there is silence around each text. It fails before the `fails_at`-th word that it meets,
    `hangs` instead until it is let go.
    """

    fails_at: int | None = None
    hangs: threading.Event | None = None
    streams: bool = False
    sample_rate: int = 1000
    default_voice: str = "any"
    blocks_of: int = 33
    silence: int = 100
    asked: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    on_text: Callable[[str], None] = lambda _: None
    is_hanging: threading.Event = field(default_factory=threading.Event)

    def load(self) -> None:
        raise NotImplementedError

    def voices(self) -> Sequence[Voice]:
        return [Voice("any", "en")]

    def find_voice(self, name: str) -> str:
        raise UnknownVoice(name)

    def close(self) -> None:
        raise NotImplementedError

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        assert voice
        self.asked.append(text)
        self.on_text(text)
        yield Block(np.zeros(self.silence, np.int16))
        for word in text.split():
            if self.fails_at == len(self.words):
                if self.hangs is not None:
                    self.is_hanging.set()
                    self.hangs.wait(SOON)
                raise EngineError("it broke")
            self.words.append(word)
            frames = round(20 * len(word) * self.sample_rate / 1000 / prosody.rate)
            for start in range(0, frames, self.blocks_of):
                yield Block(np.full(min(self.blocks_of, frames - start), 1000, np.int16))
        yield Block(np.zeros(self.silence, np.int16))
