"""What `k2so-tts bench` has found out, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rich.box import MARKDOWN
from rich.table import Table

from k2so_tts.bench.cost import Cost
from k2so_tts.bench.ratios import Ratio
from k2so_tts.bench.utterance import Utterance

QUANTILES = {"median": 50, "p95": 95, "p99": 99, "max": 100}


@dataclass(frozen=True)
class Crowd:
    """So many robots on one machine, all speaking, and then all idle; times in s.

    `first_frame_s` is of one goal that all of them got at once.
    """

    robots: int
    processes: int
    speaking: Cost
    idle: Cost
    first_frame_s: tuple[float, ...]
    underruns: int


@dataclass
class Results:
    """All that was measured. `steps`: by text and way, by step, the times (s) of each goal.

    `costs`: by what was done, by node. `underruns` is of all goals that were heard whole.
    """

    facts: Mapping[str, str]
    steps: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    ratios: list[Ratio] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)
    underruns: int = 0
    costs: dict[str, dict[str, Cost]] = field(default_factory=dict)
    crowds: list[Crowd] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Everything, for JSON."""
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
            "crowds": [asdict(crowd) for crowd in self.crowds],
        }

    def tables(self) -> Iterator[Table]:
        """Everything, in Markdown."""
        yield steps_table(self.steps)
        if self.ratios:
            yield ratios_table(self.ratios)
        if self.costs:
            yield costs_table(self.costs)
        if self.crowds:
            yield crowds_table(self.crowds)


def quantiles_ms(times: Sequence[float]) -> dict[str, float]:
    """Median, p95, p99 and max in ms (linear interpolation between ranks)."""
    values = np.percentile(times, list(QUANTILES.values()))
    return {name: 1000 * float(value) for name, value in zip(QUANTILES, values, strict=True)}


def steps_table(steps: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    table = _table("ms until", "step", "goals", *QUANTILES, left=2)
    for name, of_each in steps.items():
        shown = name
        for step, times in of_each.items():
            cells = (f"{value:.1f}" for value in quantiles_ms(times).values())
            table.add_row(shown, step, str(len(times)), *cells)
            shown = ""
    return table


def ratios_table(ratios: Sequence[Ratio]) -> Table:
    table = _table("ratio of medians of this run", "value", "bound", "")
    for ratio in ratios:
        verdict = "holds" if ratio.holds else "EXCEEDED"
        name = ratio.name.replace("_", " ")
        table.add_row(name, f"{ratio.value:.2f}", f"{ratio.bound:.2f}", verdict)
    return table


def costs_table(costs: Mapping[str, Mapping[str, Cost]]) -> Table:
    table = _table("cost", "node", "CPU s per minute", "% of a core", "peak MiB, resident", left=2)
    for what, nodes in costs.items():
        shown = what
        for name, cost in nodes.items():
            cells = (f"{60 * cost.share:.2f}", f"{100 * cost.share:.2f}", f"{cost.peak_mib:.0f}")
            table.add_row(shown, name, *cells)
            shown = ""
    return table


def crowds_table(crowds: Sequence[Crowd]) -> Table:
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
    for crowd in crowds:
        first = quantiles_ms(crowd.first_frame_s)
        table.add_row(
            str(crowd.robots),
            str(crowd.processes),
            f"{100 * crowd.speaking.share:.1f}",
            f"{100 * crowd.speaking.share / crowd.robots:.1f}",
            f"{100 * crowd.idle.share:.1f}",
            f"{crowd.speaking.peak_mib:.0f}",
            f"{first['median']:.1f}",
            f"{first['max']:.1f}",
            str(crowd.underruns),
        )
    return table


def _table(*headings: str, left: int = 1) -> Table:
    """A Markdown table whose first columns are words, and the others numbers."""
    table = Table(box=MARKDOWN, show_edge=True)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right", no_wrap=True)
    return table
