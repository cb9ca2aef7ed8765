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

"""What a client of `speak` says and is told, without ROS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypedDict

from k2so_tts.ros.endings import Reason

HIGHEST_PRIORITY = 255


class Policy(IntEnum):
    """How an utterance gets its turn among others."""

    DEFAULT = 0
    """As the parameter `queue_policy` of speak_server says."""
    QUEUE = 1
    """It waits for its turn: after those of its priority that came before it."""
    REPLACE = 2
    """It ends all others of its priority and below."""
    REJECT = 3
    """It is refused while another one of its priority or above is spoken or waits."""
    INTERRUPT = 4
    """It is heard at once; what is spoken, of its priority or below, pauses at a word and goes on
    after it."""


class SpeechOptions(TypedDict, total=False):
    """How a text is to be spoken; what is left out is as speak_server was configured.

    Attributes:
        voice: a voice, or an alias of one.
        language: a language tag, as "de" or "en-GB".
        rate: speed, 0.25 to 4.0; 1.0 is the normal one.
        pitch: relative to the voice's own, 0.0 to 2.0.
        volume: linear gain, 0.0 to 1.0.
        policy: how it gets its turn among others.
        priority: 0 to 255; higher ones are heard first.
    """

    voice: str
    language: str
    rate: float
    pitch: float
    volume: float
    policy: Policy
    priority: int


@dataclass(frozen=True)
class Word:
    """A word that has become audible.

    Attributes:
        text: the word.
        start: where it begins in the text as it was written (characters).
        end: where it ends there.
        elapsed_s: when it became audible: seconds since the utterance was first heard, pauses
            included.
    """

    text: str
    start: int
    end: int
    elapsed_s: float


@dataclass(frozen=True)
class Spoken:
    """How an utterance ended.

    Attributes:
        heard: the words that were heard in full, as they were written.
        reason: why it ended.
        message: the reason in one sentence.
        perceived_latency_s: seconds from its turn, or from its first clause if that came later, to
            its first frame heard; None: not known.
        engine: what spoke it; empty: nothing did.
    """

    heard: str
    reason: Reason
    message: str
    perceived_latency_s: float | None
    engine: str

    @property
    def complete(self) -> bool:
        """All of the text was spoken."""
        return self.reason in (Reason.FINISHED, Reason.UNHEARD)
