"""Ratios of times measured side by side in one run: what a slower machine does not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """The median of some times over that of others (s), and the bound it must not exceed."""

    name: str
    over: Sequence[float]
    under: Sequence[float]
    bound: float

    @property
    def value(self) -> float:
        return median(self.over) / median(self.under)

    @property
    def holds(self) -> bool:
        return self.value <= self.bound


BOUNDS = {
    "streamed_over_traditional": 0.3,
    "long_over_short": 1.75,
    "nodes_over_bare_pipe": 1.75,
}
"""From many runs on two cores, idle and busy (see docs/latency.md), with room for noise. What they
are to notice is far beyond: a text that is waited for whole, an engine that is started anew.
"""


def ratios(times: Mapping[str, Sequence[float]]) -> list[Ratio]:
    """The ratios of the times to the first frame (s) of what was measured side by side.

    `short` and `long` were streamed, `traditional` is the long text made whole, `pipe` the
    short one through a bare pipe.
    """
    pairs = {
        "streamed_over_traditional": ("long", "traditional"),
        "long_over_short": ("long", "short"),
        "nodes_over_bare_pipe": ("short", "pipe"),
    }
    return [
        Ratio(name, times[over], times[under], BOUNDS[name])
        for name, (over, under) in pairs.items()
    ]
