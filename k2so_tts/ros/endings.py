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

"""How utterances end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Outcome(Enum):
    """The terminal states of a goal."""

    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    CANCELED = "canceled"


class Reason(IntEnum):
    """Why an utterance has ended; the values are those of `reason` in k2so_tts_msgs/Speak."""

    FINISHED = 0
    """A player told that every frame left its device."""
    UNHEARD = 1
    """It was spoken to its end by the clock: no player reported it, had a device, or was not muted.
    """
    CANCELED = 2
    REPLACED = 3
    STOPPED = 4
    INTERRUPTED = 5
    """By another utterance, and was not to go on."""
    DROPPED = 6
    """It gave its place in a full queue to a more urgent one."""
    PLAYER_LOST = 7
    FRAMES_LOST = 8
    """A part of it never reached the player, or was skipped there."""
    ENGINE_FAILED = 9
    CLIENT_LOST = 10
    SHUTDOWN = 11
    INTERNAL_ERROR = 12


@dataclass(frozen=True)
class Ending:
    """The end of an utterance: `heard` are the words that were heard in full, as they were sent.

    `message` says why it ended in one sentence. `unheard_aborts`: that nobody heard it is a
    failure.
    """

    reason: Reason
    heard: str = ""
    message: str = ""
    unheard_aborts: bool = False
    perceived_latency_s: float | None = None
    """From its turn, or its first clause if that came later, to its first frame heard."""
    engine: str = ""
    """What spoke it; empty: nothing did."""

    @property
    def outcome(self) -> Outcome:
        """The terminal state of its goal."""
        if self.reason is Reason.CANCELED:
            return Outcome.CANCELED
        is_success = self.reason is Reason.FINISHED or (
            self.reason is Reason.UNHEARD and not self.unheard_aborts
        )
        return Outcome.SUCCEEDED if is_success else Outcome.ABORTED
