"""What the measurements are made of, with and without ROS: see `k2so-tts compare` and `bench`."""

from __future__ import annotations

from dataclasses import dataclass


class MeasureError(Exception):
    """A measurement could not be made; the message says why."""


@dataclass(frozen=True)
class Utterance:
    """One text spoken once. All times in s from the moment it was given (over ROS: sent as a goal).

    `accepted_s`: the server took the goal (None without ROS). `made_s`: the engine had made all
    of it (None where nobody told). `chunks`: when each was on the wire, and its duration.
    `heard`: when a frame left the device, and how many seconds of the utterance lie before it; the
    first pair is the first frame. `underruns` is None where nobody told.
    """

    name: str
    accepted_s: float | None
    made_s: float | None
    chunks: tuple[tuple[float, float], ...]
    heard: tuple[tuple[float, float], ...]
    underruns: int | None

    @property
    def first_chunk_s(self) -> float:
        return self.chunks[0][0]

    @property
    def first_frame_s(self) -> float:
        return self.heard[0][0]

    @property
    def total_s(self) -> float:
        """When the last frame was heard."""
        return self.heard[-1][0]

    def buffered(self) -> tuple[tuple[float, float], ...]:
        """The seconds that are on the wire and not heard yet, at each moment of a change."""
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
        """How many seconds had been heard at a moment, on the line between two playheads."""
        before = (self.first_frame_s, 0.0)
        for moment, position in self.heard:
            if moment > at:
                if moment <= before[0]:
                    return before[1]
                share = max(0.0, (at - before[0]) / (moment - before[0]))
                return before[1] + share * (position - before[1])
            before = (moment, position)
        return before[1]
