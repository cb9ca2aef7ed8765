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

"""The actions that are served, `say` and `speak`: what their goals ask for, and their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from k2so_tts.audio import NANOSECONDS
from k2so_tts.ros.admission import GoalRefused
from k2so_tts.ros.endings import Ending
from k2so_tts.ros.messages import TTS, AudioStamped, Speak, to_duration
from k2so_tts.ros.spoken import Policy
from k2so_tts.synthesis.word_timeline import TimedWord

_UNKNOWN_LATENCY = -1.0
_LONGEST_NAME = 256
"""Characters of the name of a stream."""


@dataclass(frozen=True)
class SpeechRequest:
    """What a goal asks for; see k2so_tts_msgs/Speak. `policy` is empty for that of the node."""

    text: str
    language: str = ""
    rate: float = 1.0
    volume: float = 1.0
    stream: str = ""
    voice: str = ""
    pitch: float = 1.0
    policy: str = ""
    priority: int = 0


@dataclass(frozen=True)
class SpeechAction:
    """An action: its name and type, and how its messages are read and made.

    `request` raises `GoalRefused`. An action gives feedback either for chunks or for words.
    """

    name: str
    type: Any
    request: Callable[[Any], SpeechRequest]
    result: Callable[[Ending], Any]
    chunk_feedback: Callable[[AudioStamped], Any] | None = None
    word_feedback: Callable[[TimedWord, float], Any] | None = None


def _say_request(goal: Any) -> SpeechRequest:
    return SpeechRequest(goal.text, goal.language, goal.rate, goal.volume)


def _speak_request(goal: Any) -> SpeechRequest:
    if goal.policy > max(Policy):
        raise GoalRefused(f"policy is {goal.policy}; allowed: 0 to {max(Policy)}")
    policy = Policy(goal.policy)
    if len(goal.stream) > _LONGEST_NAME:
        raise GoalRefused(f"stream has {len(goal.stream)} characters; allowed: {_LONGEST_NAME}")
    return SpeechRequest(
        goal.text,
        goal.language,
        goal.rate,
        goal.volume,
        goal.stream,
        goal.voice,
        goal.pitch,
        "" if policy is Policy.DEFAULT else policy.name.lower(),
        goal.priority,
    )


def _speak_result(ending: Ending) -> Any:
    latency_s = ending.perceived_latency_s
    return Speak.Result(
        heard=ending.heard,
        reason=int(ending.reason),
        message=ending.message,
        perceived_latency_ms=_UNKNOWN_LATENCY if latency_s is None else 1000 * latency_s,
        engine=ending.engine,
    )


def _word_feedback(word: TimedWord, elapsed_s: float) -> Any:
    return Speak.Feedback(
        word=word.text,
        text_start=word.start,
        text_end=word.end,
        elapsed=to_duration(round(elapsed_s * NANOSECONDS)),
    )


SAY = SpeechAction(
    "say",
    TTS,
    _say_request,
    lambda ending: TTS.Result(text=ending.heard.strip()),
    chunk_feedback=lambda audio: TTS.Feedback(audio=audio),
)
SPEAK = SpeechAction("speak", Speak, _speak_request, _speak_result, word_feedback=_word_feedback)
ACTIONS = (SAY,) if Speak is None else (SAY, SPEAK)
"""Those whose messages are installed."""
