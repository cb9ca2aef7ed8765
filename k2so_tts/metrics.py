"""What was measured: one utterance at a time, and over the last hundred."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

WINDOW = 100
PERCENTILES: Mapping[str, float] = MappingProxyType({"p50": 50.0, "p95": 95.0, "max": 100.0})


@dataclass(frozen=True)
class PlaybackStats:
    """What a player measured for one utterance.

    `source` has sent it. `stamp_ns` is the presentation time of its first frame, `arrived_at` (s,
    monotonic) when its first chunk came, `began_at` when its first frame left the device, None if
    nothing did. `lost_frames` never came and were concealed, `dropped_frames`
    came twice or too late, both at the stream's rate. `complete` is False for an utterance that
    was cut.
    """

    source: Hashable
    stamp_ns: int
    arrived_at: float
    began_at: float | None
    duration_s: float
    lost_frames: int
    dropped_frames: int
    underruns: int
    complete: bool

    @property
    def buffering_s(self) -> float | None:
        """From the arrival of the first chunk to its first frame leaving the device."""
        return None if self.began_at is None else self.began_at - self.arrived_at


@dataclass(frozen=True)
class SynthesisStats:
    """What a server measured for one goal, in seconds from the moment it was accepted.

    For a queued goal the clock starts when its turn comes. None where it never got that far.
    `real_time_factor` is the time the engine took over the duration of what it made.
    """

    first_chunk_s: float | None
    perceived_latency_s: float | None
    duration_s: float
    real_time_factor: float | None


class Rolling:
    """Percentiles over the last `WINDOW` values."""

    def __init__(self, window: int = WINDOW) -> None:
        self._values: deque[float] = deque(maxlen=window)

    def add(self, value: float) -> None:
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    def summary(self) -> dict[str, float]:
        """p50, p95 and max, in the unit of the values; empty without values."""
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
