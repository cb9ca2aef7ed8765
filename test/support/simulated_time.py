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

"""An utterance synthesised in time that passes only where something takes time, and played."""

from __future__ import annotations

from dataclasses import dataclass

from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

PLAYER_CHUNKS = 3
JOIN_SECONDS = 60.0


@dataclass
class Clock:
    """Time that passes only where something takes time."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Heard:
    """An utterance played by a player that collects three chunks: when it began, in seconds after
    the text, and how long each of its `gaps` was.
    """

    def __init__(self, loaded: LoadedEngine, text: str, clock: Clock) -> None:
        began = clock.now
        self._clock = clock
        self._chunks: list[tuple[float, float]] = []
        self._synthesis = Synthesis(
            loaded,
            text,
            SynthesisOptions(loaded.engine.default_voice),
            on_change=self._take,
            clock=clock,
        )
        self._synthesis.start()
        assert self._synthesis.join(JOIN_SECONDS)
        self._take()
        starts = self._chunks[:PLAYER_CHUNKS]
        self.first_seconds = starts[-1][0] - began
        ends = starts[-1][0] + sum(seconds for _, seconds in starts)
        self.gaps: list[float] = []
        for at, seconds in self._chunks[PLAYER_CHUNKS:]:
            if at > ends:
                self.gaps.append(at - ends)
            ends = max(at, ends) + seconds

    def _take(self) -> None:
        while (chunk := self._synthesis.take()) is not None:
            self._chunks.append((self._clock.now, len(chunk.pcm) / self._synthesis.rate))
