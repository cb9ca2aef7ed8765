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

"""The measurements of one utterance, taken with or without ROS."""

from __future__ import annotations

from dataclasses import dataclass


class MeasureError(Exception):
    """A measurement failed; the message says why."""


@dataclass(frozen=True)
class MeasuredUtterance:
    """One text spoken once. All times are in s after it was given (over ROS: sent as a goal).

    `accepted_s`: when the server accepted the goal, None without ROS. `made_s`: when the engine
    had made all of it, None if that is unknown. `chunks`: when each was on the wire, and its
    duration (s). `heard`: when a frame left the device, and the position of that frame in the
    utterance (s); the first pair is the first frame. `underruns` is None if that is unknown.
    """

    name: str
    accepted_s: float | None
    made_s: float | None
    chunks: tuple[tuple[float, float], ...]
    heard: tuple[tuple[float, float], ...]
    underruns: int | None

    @property
    def first_chunk_s(self) -> float:
        """When the first chunk was on the wire."""
        return self.chunks[0][0]

    @property
    def first_frame_s(self) -> float:
        """When the first frame left the device."""
        return self.heard[0][0]

    @property
    def total_s(self) -> float:
        """When the last frame left the device."""
        return self.heard[-1][0]

    def buffered(self) -> tuple[tuple[float, float], ...]:
        """Pairs of a time and the buffered audio (s) then: on the wire, but not heard yet."""
        levels, arrived, chunks = [], 0.0, list(self.chunks)
        for at, position in self.heard:
            while chunks and chunks[0][0] <= at:
                when, seconds = chunks.pop(0)
                levels.append((when, arrived - self._position(when)))
                arrived += seconds
                levels.append((when, arrived - self._position(when)))
            levels.append((at, max(0.0, arrived - position)))
        return tuple(levels)

    def _position(self, at: float) -> float:
        """The position (s) heard at a time, interpolated linearly between two playheads."""
        before = (self.first_frame_s, 0.0)
        for moment, position in self.heard:
            if moment > at:
                if moment <= before[0]:
                    return before[1]
                share = max(0.0, (at - before[0]) / (moment - before[0]))
                return before[1] + share * (position - before[1])
            before = (moment, position)
        return before[1]
