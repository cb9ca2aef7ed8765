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

"""Segments, blocks, chunks and what is collected, together: a model of a voice in simulated time.

The texts, the sizes of blocks and all that handles them are the real ones; only how long the
network takes is computed, as it was measured with a voice of medium quality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from support.simulated_time import Clock, Heard

from k2so_tts.audio import Block
from k2so_tts.engines import NORMAL, Prosody, Voice
from k2so_tts.engines.piper.block_sizes import BlockSizes, Speed
from k2so_tts.synthesis.engine_slot import warm_up
from k2so_tts.synthesis.loaded_engine import LoadedEngine

RATE = 22_050
FRAME = 256
FRAME_SECONDS = FRAME / RATE
FRAMES_PER_LETTER = 4.8
SILENT = 5
CONTEXT = 29
ENCODER_FRAMES = 0.7
"""What the text encoder takes for a letter, in frames of the decoder."""
ONE = "The robot said that it would be here to help you again this day."
"""64 letters."""
THREE = f"{ONE} Yes. {ONE} It is open, and nobody has been there since this morning. {ONE}"


class ModelVoice:
    """A voice that takes `computing` seconds for a second of sound, without what is computed twice,
    and whose blocks are then delayed by `delay` seconds for each second of sound.
    """

    options = ()
    streams = False
    sample_rate = RATE
    default_voice = "model"

    def __init__(self, clock: Clock, computing: float, delay: float) -> None:
        self._clock = clock
        self._computing = computing * FRAME_SECONDS / (1 + ENCODER_FRAMES / FRAMES_PER_LETTER)
        self._delay = delay
        self._speeds = Speed(CONTEXT), Speed(CONTEXT)
        self._computed_to = 0.0

    def load(self) -> None: ...

    def close(self) -> None: ...

    def voices(self) -> Sequence[Voice]:
        return [Voice("model", "en")]

    def find_voice(self, name: str) -> str:
        return name

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        assert (voice, prosody) == ("model", NORMAL)
        computed = Clock(self._clock.now + self._computing * ENCODER_FRAMES * len(text))
        delayed = self._clock.now
        sizes = BlockSizes(self._speeds, FRAME_SECONDS, computed)
        sizes.begin(SILENT)
        silent, frames = SILENT, 20 + round(FRAMES_PER_LETTER * len(text))
        while frames > 0:
            size = min(frames, sizes.next())
            computed.now += self._computing * (size + CONTEXT)
            sizes.made(size)
            delayed += self._delay * size * FRAME_SECONDS
            self._clock.now = max(self._clock.now, computed.now, delayed)
            pcm = np.full(size * FRAME, 9000, np.int16)
            pcm[: silent * FRAME] = 0
            frames, silent = frames - size, 0
            yield Block(pcm)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def warmed_up(clock: Clock, computing: float, delay: float = 0.0) -> LoadedEngine:
    """An engine that has spoken what a newly loaded one does, and so knows its pace."""
    loaded = LoadedEngine(ModelVoice(clock, computing, delay))
    warm_up(loaded, clock)
    return loaded


@pytest.mark.parametrize("text", [ONE, THREE], ids=["one", "several"])
@pytest.mark.parametrize("delay", [0.1, 0.5, 0.75])
def test_delayed_blocks_make_no_gap(clock: Clock, delay: float, text: str) -> None:
    heard = Heard(warmed_up(clock, 0.08, delay), text, clock)
    assert heard.gaps == []
    assert heard.first_seconds < 0.5


@pytest.mark.parametrize("text", [ONE, THREE], ids=["one", "several"])
@pytest.mark.parametrize(
    ("computing", "first_seconds"),
    [
        *((0.05, 0.05), (0.1, 0.1), (0.15, 0.15), (0.2, 0.2), (0.25, 0.3), (0.3, 0.3)),
        *((0.35, 0.3), (0.4, 0.4), (0.5, 0.7), (0.6, 1.6), (0.75, 2.0)),
    ],
)
def test_a_slow_machine_makes_no_gap(
    clock: Clock, computing: float, first_seconds: float, text: str
) -> None:
    """With what is computed twice, 0.75 is a real-time factor of 1."""
    heard = Heard(warmed_up(clock, computing), text, clock)
    assert heard.gaps == []
    assert heard.first_seconds < first_seconds


@pytest.mark.parametrize("computing", [0.9, 1.33, 2.0])
def test_a_machine_that_can_not_follow_makes_no_gap_in_a_sentence(
    clock: Clock, computing: float
) -> None:
    heard = Heard(warmed_up(clock, computing), ONE, clock)
    assert heard.gaps == []
