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

"""The results of `k2so-tts bench`, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.box import Box
from rich.table import Table

from k2so_tts.bench.cost import Cost
from k2so_tts.bench.ratios import Ratio
from k2so_tts.bench.utterance import MeasuredUtterance
from k2so_tts.metrics import percentiles

_MARKDOWN = Box("    \n| ||\n|-||\n| ||\n|-||\n|-||\n| ||\n    \n", ascii=True)
"""A table in Markdown. rich has it itself since 12.6; Ubuntu 22.04 comes with 11.2."""
QUANTILES = {"median": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
"""Percentiles by their names in tables and JSON."""


@dataclass(frozen=True)
class ManyRobotsResult:
    """The cost of `robots` robots (`processes` nodes) on one machine, speaking and then idle.

    `first_frame_s` has the time (s) to the first frame of each robot, for one goal that was sent to
    all of them at once. `underruns` is the sum over their players.
    """

    robots: int
    processes: int
    speaking: Cost
    idle: Cost
    first_frame_s: tuple[float, ...]
    underruns: int


@dataclass
class Results:
    """All that was measured.

    `facts` is what the figures depend on. `steps` has the times (s) of each goal, by kind of goal
    and step. `costs` has the cost of each node, by activity and node. `underruns` counts those of
    all goals that were heard whole.
    """

    facts: Mapping[str, str]
    steps: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    ratios: list[Ratio] = field(default_factory=list)
    utterances: list[MeasuredUtterance] = field(default_factory=list)
    underruns: int = 0
    costs: dict[str, dict[str, Cost]] = field(default_factory=dict)
    many_robots: list[ManyRobotsResult] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """All results as a JSON document: times in s, and in ms where the key says so."""
        return {
            "facts": dict(self.facts),
            "steps": self.steps,
            "quantiles_ms": {
                name: {step: quantiles_ms(times) for step, times in steps.items()}
                for name, steps in self.steps.items()
            },
            "ratios": {
                ratio.name: {"value": ratio.value, "bound": ratio.bound, "holds": ratio.holds}
                for ratio in self.ratios
            },
            "utterances": [asdict(utterance) for utterance in self.utterances],
            "underruns": self.underruns,
            "costs": {
                what: {name: {**asdict(cost), "share": cost.share} for name, cost in nodes.items()}
                for what, nodes in self.costs.items()
            },
            "many_robots": [asdict(result) for result in self.many_robots],
        }

    def tables(self) -> Iterator[Table]:
        """All results as Markdown tables; those that were not measured are left out."""
        yield steps_table(self.steps)
        if self.ratios:
            yield ratios_table(self.ratios)
        if self.costs:
            yield costs_table(self.costs)
        if self.many_robots:
            yield many_robots_table(self.many_robots)


def quantiles_ms(times: Sequence[float]) -> dict[str, float]:
    """Median, p95, p99 and max in ms of times in s."""
    return {name: 1000 * value for name, value in percentiles(times, QUANTILES).items()}


def steps_table(steps: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    """Times in ms: a row for each kind of goal and step."""
    table = _table("ms until", "step", "goals", *QUANTILES, left=2)
    for name, of_each in steps.items():
        shown = name
        for step, times in of_each.items():
            cells = (f"{value:.1f}" for value in quantiles_ms(times).values())
            table.add_row(shown, step, str(len(times)), *cells)
            shown = ""
    return table


def ratios_table(ratios: Sequence[Ratio]) -> Table:
    """A row for each ratio, with its bound."""
    table = _table("ratio of medians of this run", "value", "bound", "")
    for ratio in ratios:
        verdict = "holds" if ratio.holds else "EXCEEDED"
        name = ratio.name.replace("_", " ")
        table.add_row(name, f"{ratio.value:.2f}", f"{ratio.bound:.2f}", verdict)
    return table


def costs_table(costs: Mapping[str, Mapping[str, Cost]]) -> Table:
    """A row for each activity and node."""
    table = _table("cost", "node", "CPU s per minute", "% of a core", "peak MiB, resident", left=2)
    for what, nodes in costs.items():
        shown = what
        for name, cost in nodes.items():
            cells = (f"{60 * cost.share:.2f}", f"{100 * cost.share:.2f}", f"{cost.peak_mib:.0f}")
            table.add_row(shown, name, *cells)
            shown = ""
    return table


def many_robots_table(results: Sequence[ManyRobotsResult]) -> Table:
    """A row for each number of robots."""
    table = _table(
        "robots",
        "processes",
        "% of a core, speaking",
        "for each robot",
        "% of a core, idle",
        "peak MiB",
        "first frame, median ms",
        "max ms",
        "underruns",
        left=0,
    )
    for result in results:
        first = quantiles_ms(result.first_frame_s)
        table.add_row(
            str(result.robots),
            str(result.processes),
            f"{100 * result.speaking.share:.1f}",
            f"{100 * result.speaking.share / result.robots:.1f}",
            f"{100 * result.idle.share:.1f}",
            f"{result.speaking.peak_mib:.0f}",
            f"{first['median']:.1f}",
            f"{first['max']:.1f}",
            str(result.underruns),
        )
    return table


def _table(*headings: str, left: int = 1) -> Table:
    """A Markdown table whose first `left` columns hold words, the others numbers."""
    table = Table(box=_MARKDOWN, show_edge=True)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right", no_wrap=True)
    return table
