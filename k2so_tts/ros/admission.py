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

"""Which goals may wait, and which give way to others."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from k2so_tts.ros.speech_queue import INTERRUPT, REJECT, REPLACE


class GoalRefused(Exception):
    """A goal can't be accepted; the message names the field, its value and what is allowed."""


@dataclass
class _Entry:
    """An utterance that was accepted and has not ended."""

    priority: int
    begun: bool = False


class Admission:
    """The utterances that were accepted and have not ended, in order of acceptance.

    `begin` and `end` may be called from any thread, all else belongs to one.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)

    def check(self, policy: str, priority: int, most: int) -> Hashable | None:
        """Whether one more can be accepted, of at most `most`.

        Returns the key of the one that has to give way for it, None if none has to. Raises
        `GoalRefused`.
        """
        entries = list(self._entries.items())
        staying = [key for key, entry in entries if entry.priority > priority]
        if policy == REJECT and any(entry.priority >= priority for _, entry in entries):
            raise GoalRefused("another goal is being spoken (policy: reject)")
        if len(staying if policy == REPLACE else entries) < most:
            return None
        weaker = priority + (policy == INTERRUPT)
        below = [(key, entry) for key, entry in entries if entry.priority < weaker]
        giving = [(key, entry) for key, entry in below if not entry.begun]
        if policy == INTERRUPT:
            giving = giving or below
        if not giving:
            raise GoalRefused(f"{len(entries)} goals are waiting; allowed: {most} (max_queue)")
        lowest = min(entry.priority for _, entry in giving)
        return [key for key, entry in giving if entry.priority == lowest][-1]

    def accept(self, key: Hashable, priority: int) -> None:
        """An utterance was accepted."""
        self._entries[key] = _Entry(priority)

    def begin(self, key: Hashable) -> None:
        """It is the turn of an utterance."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.begun = True

    def end(self, key: Hashable) -> None:
        """An utterance has ended."""
        self._entries.pop(key, None)
