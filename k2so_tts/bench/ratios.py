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

"""Ratios of times that were measured side by side: they are the same on a slower machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """The median of the times `over` divided by that of `under` (both s), and its upper bound."""

    name: str
    over: Sequence[float]
    under: Sequence[float]
    bound: float

    @property
    def value(self) -> float:
        """The ratio of the two medians."""
        return median(self.over) / median(self.under)

    @property
    def holds(self) -> bool:
        """Whether the ratio is within its bound."""
        return self.value <= self.bound


PIPED = "espeak"
"""The engine that speaks through the bare pipe."""
BOUNDS = {
    "streamed_over_traditional": 0.3,
    "long_over_short": 1.75,
    "nodes_over_bare_pipe": 1.75,
}
"""Taken from many runs on two cores, idle and busy (docs/measurements/latency.md), with a margin
for noise. The regressions they are to catch are far beyond them: waiting for the whole text, or
starting the engine for each goal.
"""


def ratios(times: Mapping[str, Sequence[float]], engine: str = PIPED) -> list[Ratio]:
    """The ratios of times to the first frame (s) that were measured side by side.

    `times` has them by kind of goal: `short` and `long` are streamed, `traditional` is the long
    text made whole first, and `pipe` is the short text through a bare pipe: a lower bound of what
    `engine` can take only if that is the one in the pipe.
    """
    pairs = {
        "streamed_over_traditional": ("long", "traditional"),
        "long_over_short": ("long", "short"),
        "nodes_over_bare_pipe": ("short", "pipe"),
    }
    return [
        Ratio(name, times[over], times[under], BOUNDS[name])
        for name, (over, under) in pairs.items()
        if engine == PIPED or under != "pipe"
    ]
