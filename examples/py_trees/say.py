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

"""A py_trees behaviour that says something through the action `say`."""

from __future__ import annotations

from typing import Any

from audio_common_msgs.action import TTS
from speech_action import SpeechAction


class Say(SpeechAction):
    """Says a text in its turn, which the server's queue_policy decides.

    As an interruption it works with `queue`, the default, and `replace`. With `reject` it is
    refused, as it is sent before the interrupted goal is cancelled.
    """

    def __init__(
        self,
        name: str,
        text: str,
        *,
        language: str = "",
        volume: float = 1.0,
        rate: float = 1.0,
        action: str = "say",
        server_timeout: float = 10.0,
        timeout: float = 60.0,
    ) -> None:
        goal = TTS.Goal(text=text, language=language, volume=volume, rate=rate)
        super().__init__(name, TTS, action, goal, server_timeout=server_timeout, timeout=timeout)
        self.text = text
        self._seconds = 0.0

    def initialise(self) -> None:
        """Prepare a new goal, which a tick will send."""
        self._seconds = 0.0
        super().initialise()

    def describe_progress(self, feedback: Any) -> str:
        """How many seconds have been heard, the chunk that is playing included."""
        info = feedback.audio.audio.info
        self._seconds += info.chunk / info.rate
        return f"{self._seconds:.1f} s heard of {self.text!r}"

    def describe_end(self, result: Any, *, succeeded: bool) -> str:
        """The words that were heard."""
        return f"heard {result.text!r}" if succeeded else f"cut off after {result.text!r}"
