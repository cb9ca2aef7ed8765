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

"""When a device is opened, closed, replaced by the clock, and tried again: a pure state machine.

No thread, no clock and no device in here: events go in with their time (s, monotonic), and actions
come out, to be done in order. docs/explanation/device_supervision.md draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from k2so_tts.playback.devices import suggested_latency

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 8.0
MAX_XRUNS = 5
XRUN_SECONDS = 60.0
"""After more than `MAX_XRUNS` xruns within this time the device is given a longer buffer."""
CHANGING = "the device is being changed"
"""The error while a running device is closed and another one opened."""


class State(Enum):
    """What the output is doing."""

    OPENING = "opening"
    """The device is being opened."""
    PLAYING = "playing"
    """The device is open and asks for sound."""
    IDLE_CLOSED = "idle closed"
    """The device is closed because there is nothing to play."""
    LOST = "lost"
    """The clock runs in place of the device, which is tried again and again."""
    GIVEN_UP = "given up"
    """The clock runs in place of a file, which is not tried again: it would hold the end only."""
    UNRESPONSIVE = "unresponsive"
    """The device could not be closed: only a new process can play again."""


class Action(Enum):
    """What the supervisor is to do."""

    CLOSE = "close"
    """Close the device."""
    RUN_CLOCK = "run clock"
    """Close what is open and let the clock ask for sound, unless it does already."""
    OPEN = "open"
    """Open the wanted device, and report `opened` or `open_failed`."""
    RESCAN_AND_OPEN = "rescan and open"
    """The same, after a look for sound devices that were plugged in meanwhile."""


@dataclass(frozen=True)
class Observation:
    """What is seen of the output at a moment."""

    failure: str | None = None
    """Why what is open, device or clock, does not ask for sound any more; None while it does."""
    has_streamed: bool = True
    """The device has asked for sound steadily."""
    xruns: int = 0
    """Of all devices so far."""
    idle: bool = True
    """Nothing is buffered or being played."""
    used_at: float = 0.0
    """When there was last something to play (s, monotonic)."""


class DeviceStates:
    """The state machine of one output.

    A device that can't be opened, or stops asking for sound, is replaced by the clock, so that the
    timeline runs on, and tried again after 1, 2, 4 and then every 8 seconds. It is given a longer
    buffer if it never streamed steadily, and, in the next silence, after too many xruns. After
    `idle_close` seconds without sound (0: never) it is closed until there is something to play.
    """

    def __init__(self, specification: str, latency: float, idle_close: float, now: float) -> None:
        self.specification = specification
        """Names the wanted device."""
        self.state = State.OPENING
        self.error: str | None = None
        """Why the wanted device is not in use; None while it is, or could be."""
        self.latency_step = 0
        """How often the device was given a longer buffer."""
        self.losses = 0
        """How often a device stopped asking for sound."""
        self._latency = latency
        self._idle_close = idle_close
        self._used_at = now
        self._retry_at = now
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._xruns_before = 0
        self._xruns_since = now

    @property
    def is_file(self) -> bool:
        """Whether the wanted device is a WAV file."""
        return self.specification.startswith("wav:")

    @property
    def is_sound_device(self) -> bool:
        """Whether the wanted device is one of PortAudio."""
        return not self.is_file and self.specification != "null"

    def tick(self, now: float, seen: Observation) -> list[Action]:
        """Look at the output, as is done a few times a second."""
        self._used_at = max(self._used_at, seen.used_at) if seen.idle else now
        if self.state is State.PLAYING:
            return self._tick_playing(now, seen)
        if self.state is State.IDLE_CLOSED:
            return [] if seen.idle else self._open()
        if self.state is State.LOST and now >= self._retry_at:
            self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)
            return self._open()
        return [Action.RUN_CLOCK] if seen.failure is not None else []

    def wake(self) -> list[Action]:
        """There is something to play."""
        return self._open() if self.state is State.IDLE_CLOSED else []

    def change(self, specification: str) -> list[Action]:
        """Another device is wanted."""
        self.specification = specification
        if self.state is State.UNRESPONSIVE:
            return []
        self._retry_seconds = FIRST_RETRY_SECONDS
        return self._reopen() if self.state is State.PLAYING else self._open()

    def opened(self, now: float, xruns: int) -> None:
        """The wanted device was opened; devices before it had `xruns` xruns."""
        self.state = State.PLAYING
        self.error = None
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._used_at = self._xruns_since = now
        self._xruns_before = xruns

    def open_failed(self, now: float, reason: str) -> list[Action]:
        """The wanted device could not be opened."""
        if self.state is State.UNRESPONSIVE:
            return []
        return self._lose(now, reason)

    def became_unresponsive(self) -> None:
        """The device could not be closed."""
        self.state = State.UNRESPONSIVE
        self.error = self.error or "the sound library does not respond"

    def closed(self, *, idle: bool) -> list[Action]:
        """The action `CLOSE` was done."""
        if self.state is State.UNRESPONSIVE:
            return [Action.RUN_CLOCK]
        return [] if idle else self.wake()  # a chunk may have come while the device was closing

    def _tick_playing(self, now: float, seen: Observation) -> list[Action]:
        if seen.failure is not None:
            self.losses += 1
            self.latency_step += not seen.has_streamed
            return self._lose(now, seen.failure)
        needs_longer_buffer = self._needs_longer_buffer(now, seen)
        self.latency_step += needs_longer_buffer  # from when it is opened again
        is_unused = not self.is_file and 0 < self._idle_close < now - self._used_at
        if not (is_unused or needs_longer_buffer):
            return []
        self.state = State.IDLE_CLOSED
        return [Action.CLOSE]

    def _lose(self, now: float, reason: str) -> list[Action]:
        self.state = State.GIVEN_UP if self.is_file else State.LOST
        self.error = reason
        self._retry_at = now + self._retry_seconds
        return [Action.RUN_CLOCK]

    def _open(self) -> list[Action]:
        rescan = self.state is State.LOST and self.is_sound_device
        self.state = State.OPENING
        return [Action.RESCAN_AND_OPEN if rescan else Action.OPEN]

    def _reopen(self) -> list[Action]:
        """Close the device before another one is opened: it may be the same one."""
        self.state = State.OPENING
        self.error = CHANGING
        return [Action.RUN_CLOCK, Action.OPEN]

    def _needs_longer_buffer(self, now: float, seen: Observation) -> bool:
        """Whether there were too many xruns, and a longer buffer can be had unnoticed."""
        too_many = seen.xruns - self._xruns_before > MAX_XRUNS
        if too_many and not (seen.idle and self._can_hold_more()):
            return False
        if too_many or now - self._xruns_since > XRUN_SECONDS:
            self._xruns_before, self._xruns_since = seen.xruns, now
        return too_many

    def _can_hold_more(self) -> bool:
        now, then = (suggested_latency(self._latency, self.latency_step + more) for more in (0, 1))
        return self.is_sound_device and then > now
