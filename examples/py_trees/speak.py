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

"""A py_trees behaviour that says something through the action `speak`, which knows priorities."""

from __future__ import annotations

from typing import Any

from k2so_tts_msgs.action import Speak as Action
from speech_action import SpeechAction

QUEUE, REPLACE = Action.Goal.QUEUE, Action.Goal.REPLACE
REJECT, INTERRUPT = Action.Goal.REJECT, Action.Goal.INTERRUPT
REASONS = {
    value: name
    for name, value in vars(Action.Result).items()
    if name.isupper() and isinstance(value, int)
}
"""The names of the constants of `reason`: FINISHED, REPLACED, ..."""


class Speak(SpeechAction):
    """Says a text with a priority, 0 to 255, among those of the actions `speak` and `say` (0).

    `policy` says what happens to others of its priority and below: with INTERRUPT what is being
    heard pauses at a word, and goes on when this was heard; with REPLACE the others end. QUEUE
    waits, REJECT is refused if it would have to wait. 0: the server's queue_policy.
    """

    def __init__(
        self,
        name: str,
        text: str,
        *,
        policy: int = Action.Goal.DEFAULT,
        priority: int = 0,
        voice: str = "",
        action: str = "speak",
        server_timeout: float = 10.0,
        timeout: float = 60.0,
    ) -> None:
        goal = Action.Goal(text=text, voice=voice, policy=policy, priority=priority)
        super().__init__(name, Action, action, goal, server_timeout=server_timeout, timeout=timeout)

    def describe_progress(self, feedback: Any) -> str:
        """The word that is being heard."""
        return f"saying {feedback.word!r}"

    def describe_end(self, result: Any, *, succeeded: bool) -> str:
        """The words that were heard, and why it ended."""
        verb = "heard" if succeeded else "cut off after"
        return f"{verb} {result.heard!r} ({REASONS[result.reason]}: {result.message})"
