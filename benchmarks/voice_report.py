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

"""The figures of `voice_quality.py` as tables, and the bounds that they are to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]
"""Figures of one part by their names; some are grouped once more."""


@dataclass(frozen=True)
class Bound:
    """A figure of a part that is to be at most, or at least, so much."""

    part: str
    figure: str
    limit: float
    at_least: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value keeps it."""
        return value >= self.limit if self.at_least else value <= self.limit


BOUNDS = (
    Bound("first_audio", "times sooner than by sentence", 2.5, at_least=True),
    Bound("first_audio", "times sooner than the program", 7.0, at_least=True),
    Bound("first_audio", "times sooner than RealtimeTTS", 7.0, at_least=True),
    Bound("first_audio", "8 sentences, part of whole", 0.05),
    Bound("intelligibility", "more than whole", 0.5),
    Bound("opinion", "DNSMOS of sentences, below whole", 0.05),
    Bound("opinion", "DNSMOS of paragraphs, below whole", 0.05),
    Bound("opinion", "PLCMOS of sentences, below whole", 0.1),
    Bound("opinion", "PLCMOS of paragraphs, below whole", 0.1),
    Bound("loudness", "apart", 1.0),
    Bound("melody", "this machine, median", 0.5),
    Bound("melody", "factor 0.5, median", 2.5),
    Bound("melody", "factor 0.75, median", 2.5),
    Bound("marks", "bias, from that with espeak", 0.06),
    Bound("marks", "median error", 0.06),
    Bound("memory", "most", 260.0),
    Bound("memory", "growth", 20.0),
)


def show(results: Mapping[str, Any]) -> bool:
    """Print all figures, then each bound; True if all hold of which there is a figure."""
    print(results["machine"])
    for part, figures in results.items():
        if part != "machine":
            print(f"\n{part}")
            for name, value in figures.items():
                print(f"  {name:36} {_shown(value)}")
    print("\nbounds")
    kept = [_show_bound(bound, results[bound.part]) for bound in BOUNDS if bound.part in results]
    return all(kept)


def _show_bound(bound: Bound, figures: Mapping[str, float]) -> bool:
    value = figures[bound.figure]
    is_kept = bound.holds(value)
    sign = "at least" if bound.at_least else "at most"
    verdict = "kept" if is_kept else "MISSED"
    print(f"  {verdict:6} {bound.part}: {bound.figure} {value:.3g}, {sign} {bound.limit:g}")
    return is_kept


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
