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

"""What a `SpeechQueue` needs from the world."""

from __future__ import annotations

from typing import Protocol

from k2so_tts.audio import Chunk
from k2so_tts.ros.endings import Ending
from k2so_tts.ros.player_liveness import PlayerGraph
from k2so_tts.ros.utterance import Utterance
from k2so_tts.ros.utterance_sender import AudioOutput
from k2so_tts.ros.word_teller import WordListener
from k2so_tts.synthesis.synthesis import Synthesis


class SpeechQueueDelegate(AudioOutput, PlayerGraph, WordListener, Protocol):
    """What a `SpeechQueue` needs from the world; all of it is called in the queue's thread."""

    def synthesise(self, utterance: Utterance) -> Synthesis:
        """Start the engine on an utterance."""
        ...

    def begin(self, utterance: Utterance) -> None:
        """It is the turn of an utterance."""

    def audible(self, utterance: Utterance, chunk: Chunk) -> None:
        """A chunk begins to be heard."""

    def finish(self, utterance: Utterance, ending: Ending) -> None:
        """An utterance ends, once."""

    def fault(self, name: str, message: str | None) -> None:
        """Report a fault of the engine or the player, or (None) that it is gone."""

    def abandon_engine(self, utterance: Utterance, reason: str) -> bool:
        """The engine has stalled and must not be used any more. Returns whether another one goes
        on with the utterance.
        """
        ...
