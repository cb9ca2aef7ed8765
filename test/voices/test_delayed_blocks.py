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

"""The real voice, its blocks delayed in simulated time as by a slow machine, has no gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from support.simulated_time import Clock, Heard

from k2so_tts.audio import Block
from k2so_tts.engines import Prosody, Voice
from k2so_tts.engines.piper.engine import PiperEngine
from k2so_tts.synthesis.engine_slot import warm_up
from k2so_tts.synthesis.loaded_engine import LoadedEngine

ONE = "The robot said that it would be here to help you again this day."
"""64 letters."""
SEVERAL = (
    "Yes. The door at the end of the hall is open, and nobody has been there "
    "since this morning. I can carry the box. My battery will last for another four hours."
)
FIRST_SOUND_SECONDS = 0.1
"""From a text to its first block, however short that is: the text encoder."""
LONGEST_WAIT_SECONDS = 0.9
"""Behind that, also where others keep this machine busy: 0.3 where they do not."""
TRIES = 12
"""At most. The sizes of blocks follow from how fast this machine is, which others may keep busy for
some time."""


class DelayedVoice:
    """A voice whose blocks take `factor` seconds for each second of sound."""

    options = ()
    streams = False

    def __init__(self, engine: PiperEngine, clock: Clock, factor: float) -> None:
        self.sample_rate = engine.sample_rate
        self.default_voice = engine.default_voice
        self._engine = engine
        self._clock = clock
        self._factor = factor

    def load(self) -> None: ...

    def close(self) -> None: ...

    def voices(self) -> Sequence[Voice]:
        return self._engine.voices()

    def find_voice(self, name: str) -> str:
        return name

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        self._clock.now += FIRST_SOUND_SECONDS
        for block in self._engine.synthesise(text, voice, prosody):
            self._clock.now += self._factor * len(block.pcm) / self.sample_rate
            yield block


@pytest.mark.parametrize("text", [ONE, SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("factor", [0.1, 0.5, 0.75])
def test_a_voice_that_can_follow_is_heard_early_and_without_a_gap(
    joe: PiperEngine, factor: float, text: str
) -> None:
    clock = Clock()
    loaded = LoadedEngine(DelayedVoice(joe, clock, factor))
    warm_up(loaded, clock)
    tries = (Heard(loaded, text, clock) for _ in range(TRIES))
    assert any(
        not heard.gaps and heard.first_seconds < FIRST_SOUND_SECONDS + LONGEST_WAIT_SECONDS
        for heard in tries
    )


@pytest.mark.parametrize("factor", [1 / 0.75, 1 / 0.5])
def test_a_voice_that_can_not_follow_has_no_gap_in_a_sentence(
    joe: PiperEngine, factor: float
) -> None:
    clock = Clock()
    loaded = LoadedEngine(DelayedVoice(joe, clock, factor))
    warm_up(loaded, clock)
    assert any(not Heard(loaded, ONE, clock).gaps for _ in range(TRIES))
