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

"""What is measured: one utterance at a time, and percentiles over the most recent ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

WINDOW = 100
"""The number of values that percentiles are taken of."""
PERCENTILES: Mapping[str, float] = MappingProxyType({"p50": 50.0, "p95": 95.0, "max": 100.0})
"""What is reported of a series of values, and which percentile it is."""


@dataclass(frozen=True)
class PlaybackStats:
    """What a player measured of one utterance."""

    source: Hashable
    """The publisher that sent it."""
    stamp_ns: int
    """Presentation time of its first frame, as it was stamped (ns); 0: not stamped."""
    arrived_at: float
    """When its first chunk arrived (s, monotonic)."""
    began_at: float | None
    """When its first frame left the device (s, monotonic); None if none did."""
    duration_s: float
    """How much of it left the device (s)."""
    lost_frames: int
    """Frames that never arrived and were concealed, at the stream's rate."""
    dropped_frames: int
    """Frames that arrived twice or too late, at the stream's rate."""
    underruns: int
    """How often it ran dry before its end."""
    complete: bool
    """All of it was received, and nothing was cut."""

    @property
    def buffering_s(self) -> float | None:
        """Seconds from the arrival of its first chunk until its first frame left the device."""
        return None if self.began_at is None else self.began_at - self.arrived_at


@dataclass(frozen=True)
class SynthesisStats:
    """What a server measured of one goal.

    Times start when the goal was accepted, or, for a queued goal, when its turn came; of a text
    that was still being written then, when its first clause was complete. They are None where it
    never got that far.
    """

    first_chunk_s: float | None
    """Until its first chunk was sent (s)."""
    perceived_latency_s: float | None
    """Until its first frame was heard (s)."""
    duration_s: float
    """How much audio was made of it (s)."""
    text_wait_s: float
    """How long its first clause was still being written when its turn had come (s)."""
    real_time_factor: float | None
    """Time that the engine took, over the duration of the audio that it made."""


class Rolling:
    """Percentiles over the last `window` values."""

    def __init__(self, window: int = WINDOW) -> None:
        self._values: deque[float] = deque(maxlen=window)

    def add(self, value: float) -> None:
        """Add a value, and forget the oldest one of more than `window`."""
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    def summary(self) -> dict[str, float]:
        """Return p50, p95 and max in the unit of the values; empty without values."""
        return percentiles(self._values)


def percentiles(
    values: Iterable[float], ranks: Mapping[str, float] = PERCENTILES
) -> dict[str, float]:
    """Percentiles of values in their unit (linear interpolation between ranks), by name.

    `ranks` has the percentile (0 to 100) for each name. Empty without values.
    """
    data = np.fromiter(values, dtype=float)
    if not len(data):
        return {}
    found = np.percentile(data, list(ranks.values()))
    return {name: float(value) for name, value in zip(ranks, found, strict=True)}
