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

"""What an output device is, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from k2so_tts.audio import Samples

Render = Callable[[Samples, float], None]
"""Called by a device as `render(out, heard_at)`, from a thread of its own.

It fills `out`, shape (frames, channels), whose first frame is heard at `heard_at` (s,
`time.monotonic`), and raises nothing.
"""

PREFERRED_RATE = 48_000
"""Sample rate of devices that can have any (Hz)."""
JOIN_SECONDS = 2.0
"""How long `Device.close` waits for a driver or a thread (s)."""
STALLED_SECONDS = 1.0
"""A device that has not asked for sound for so long does not keep real time (s)."""


class DeviceError(Exception):
    """A device can't be used; the message names it and says why."""


class Device(Protocol):
    """An output that asks for sound in real time."""

    name: str
    rate: int
    """Sample rate (Hz)."""
    channels: int
    xruns: int
    """How often it was not given sound in time."""
    realtime: bool
    """Whether its thread has real-time priority."""
    unresponsive: bool
    """It could not be closed: its driver hangs, in this process for good."""
    failure: str | None
    """Why it stopped asking for sound, if it knows."""
    discards: bool
    """Whether it keeps time only, and what it is given goes nowhere."""

    @property
    def has_streamed(self) -> bool:
        """Whether it has ever asked for sound steadily."""

    def start(self, render: Render) -> None:
        """Begin to call `render`.

        Raises:
            DeviceError: the device can't be started.
        """

    def alive(self) -> bool:
        """Return whether the device still asks for sound."""

    def close(self) -> None:
        """Stop at once. `render` is not called any more when this returns."""
