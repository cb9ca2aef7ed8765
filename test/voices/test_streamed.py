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

"""The real voice through `Synthesis`, as the nodes speak it: nothing is lost, repeated or added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from k2so_tts.audio import Block, Pcm, apply_gain
from k2so_tts.engines import NORMAL, Prosody, Voice
from k2so_tts.engines.piper.engine import PiperEngine
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.synthesis.trim import trimmed

TEXT = (
    "The robot waits at the door, until somebody comes to open it. Did you see Dr. Green? "
    "It costs $12.50! I have looked in every room."
)
VOLUME = 0.5
"""With the gain of the voice it is below 1, so that nothing is limited."""


class Asked:
    """An engine, and the texts that it was asked to speak."""

    streams = False

    def __init__(self, engine: PiperEngine) -> None:
        self.engine = engine
        self.sample_rate = engine.sample_rate
        self.default_voice = engine.default_voice
        self.texts: list[str] = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def voices(self) -> Sequence[Voice]:
        return self.engine.voices()

    def find_voice(self, name: str) -> str:
        return self.engine.find_voice(name)

    def loudness(self, voice: str) -> float | None:
        return self.engine.loudness(voice)

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        self.texts.append(text)
        return self.engine.synthesise(text, voice, prosody)


@pytest.mark.parametrize("segmentation", ["word", "clause", "sentence"])
def test_what_is_streamed_is_its_segments_and_silence_between(
    joe: PiperEngine, segmentation: str
) -> None:
    engine = Asked(joe)
    loaded = LoadedEngine(engine)
    options = SynthesisOptions(joe.default_voice, volume=VOLUME, segmentation=segmentation)
    heard = np.concatenate(list(stream_pcm(Synthesis(loaded, TEXT, options))))
    assert " ".join(" ".join(engine.texts).split()) == TEXT
    gain = VOLUME * loaded.gain_of(joe.default_voice)
    assert gain < 1.0
    cursor = 0
    for number, text in enumerate(engine.texts):
        segment = apply_gain(spoken(joe, text), gain)
        start = place(heard, segment, cursor)
        assert number > 0 or start == 0
        cursor = start + len(segment)
    assert cursor == len(heard)


def spoken(engine: PiperEngine, text: str) -> Pcm:
    """A segment as the engine says it, without the silence around it."""
    blocks = engine.synthesise(text, engine.default_voice, NORMAL)
    return np.concatenate([block.pcm for block in trimmed(blocks, engine.sample_rate)])


def place(heard: Pcm, segment: Pcm, cursor: int) -> int:
    """Where a segment begins, after nothing but silence; to a step of 16 bits, as threads add up
    in any order.
    """
    for start in range(cursor, len(heard) - len(segment) + 1):
        differing = np.abs(heard[start : start + len(segment)].astype(int) - segment)
        if differing.max() <= 1:
            assert np.abs(heard[cursor:start]).max(initial=0) < 30
            return start
        if abs(heard[start]) >= 30:
            break
    raise AssertionError(f"a segment is not where it is due: after frame {cursor}")
