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

"""The results of `neural_engines.py` as tables, as a plot, and against their targets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neural_tasks import CACHED, COUNTS, INT8, PIPER_STREAMED, PIPER_WHOLE, TORCH_STREAMED, WHOLE
from rich.console import Console
from rich.table import Table

K2SO_FIRST_S = {"whole": 5.2, "by sentence": 1.01, "streamed": 0.16}
"""K-2SO's own voice, for comparison: seconds to the first word of 7.6 s of speech."""
K2SO_LOAD_S, K2SO_MIB = 22.0, 1800.0
"""Its loading time and memory."""


def show(results: Mapping[str, Any]) -> None:
    """Print all tables."""
    console = Console(width=140)
    console.print(results["machine"], "\n")
    ways = results["ways"]
    for table in (
        speech_table(ways),
        memory_table(ways),
        start_table(ways),
        xtts_table(results["xtts"]),
    ):
        console.print(table)


def speech_table(ways: Mapping[str, Any]) -> Table:
    """How soon, how fast and how well each way speaks."""
    table = Table("first audio, ms", *(f"{count} sentences" for count in COUNTS), "factor, 8")
    for heading in ("of torch's time", "dB from torch", "gaps, 8", "cancel s"):
        table.add_column(heading)
    for way, found in ways.items():
        factor = found["factor"]["8"]
        distance = found["distance_db"]
        table.add_row(
            way,
            *(f"{1000 * seconds:.1f}" for seconds in found["first_s"].values()),
            f"{factor:.3f}",
            f"{100 * factor / ways[WHOLE]['factor']['8']:.0f} %",
            "" if distance is None else f"{distance:.2f}",
            _gaps(found),
            f"{found['cancel_s']:.2f}" if found["cancel_s"] else "",
        )
    return table


def memory_table(ways: Mapping[str, Any]) -> Table:
    """What each way takes of memory and disk, and how long it loads."""
    table = Table("memory and loading", "MiB loaded", "of torch's", "MiB at most", "of torch's")
    for heading in ("files MiB", "load s, warm", "cold", "first time"):
        table.add_column(heading)
    for way, found in ways.items():
        table.add_row(
            way,
            *_share(found, ways[WHOLE], "loaded_mib"),
            *_share(found, ways[WHOLE], "peak_mib"),
            f"{found['file_mib']:.0f}",
            *(f"{found[name]:.1f}" for name in ("load_s", "cold_s", "convert_s")),
        )
    return table


def start_table(ways: Mapping[str, Any]) -> Table:
    """The steps of a warm start, for those ways that know them."""
    names = list(ways[INT8]["steps_s"])
    table = Table("steps of a warm start, s", *names)
    for way, found in ways.items():
        if found["steps_s"]:
            table.add_row(way, *(f"{found['steps_s'][name]:.2f}" for name in names))
    return table


def xtts_table(quantizations: Mapping[str, Any]) -> Table:
    """XTTS, by quantization."""
    table = Table("XTTS, a sentence", "first audio, s", "factor", "load s", "MiB", "at most")
    for name, found in quantizations.items():
        figures = [found["first_s"]["1"], found["factor"]["1"], found["load_s"]]
        memory = [found["loaded_mib"], found["peak_mib"]]
        table.add_row(
            name, *(f"{figure:.2f}" for figure in figures), *(f"{mib:.0f}" for mib in memory)
        )
    return table


def targets(ways: Mapping[str, Any]) -> dict[str, bool]:
    """What the ways have to achieve, and whether they do."""
    torch, int8 = ways[WHOLE], ways[INT8]
    streamed, piper = ways[TORCH_STREAMED], ways[PIPER_STREAMED]
    return {
        "int8 takes at most 25 % of torch's memory": int8["loaded_mib"]
        <= 0.25 * torch["loaded_mib"]
        and int8["peak_mib"] <= 0.25 * torch["peak_mib"],
        "int8 is at least 30 % faster": int8["factor"]["8"] <= 0.7 * torch["factor"]["8"],
        "int8 loads within 2 s": int8["load_s"] <= 2.0,
        "int8 sounds as torch does, to 3 dB": int8["distance_db"] <= 3.0,
        "from disk within 5 ms": max(ways[CACHED]["first_s"].values()) <= 0.005,
        "8 sentences begin 97 % earlier": all(
            later["first_s"]["8"] <= 0.03 * whole["first_s"]["8"]
            for later, whole in ((streamed, torch), (int8, torch), (piper, ways[PIPER_WHOLE]))
        ),
        "a cancel takes at most a second": max(w["cancel_s"] for w in ways.values()) <= 1.0,
    }


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Draw first audio, memory and loading time beside those of K-2SO's own voice.

    Raises:
        ImportError: matplotlib is missing.
        OSError: the file cannot be written.
    """
    from matplotlib import pyplot as plt

    ways = results["ways"]
    panels: list[tuple[str, dict[str, float]]] = [
        (
            "first audio of 8 sentences, s",
            {
                **{f"K-2SO, {name}": seconds for name, seconds in K2SO_FIRST_S.items()},
                **{way: found["first_s"]["8"] for way, found in ways.items()},
            },
        ),
        (
            "resident at most, MiB",
            {"K-2SO": K2SO_MIB, **{way: found["peak_mib"] for way, found in ways.items()}},
        ),
        (
            "load, warm, s",
            {"K-2SO": K2SO_LOAD_S, **{way: found["load_s"] for way, found in ways.items()}},
        ),
    ]
    figure, axes = plt.subplots(1, len(panels), figsize=(16, 4.5), layout="constrained")
    for each, (title, values) in zip(axes, panels, strict=True):
        colours = ["tab:gray" if name.startswith("K-2SO") else "tab:blue" for name in values]
        drawn = each.barh(list(values), list(values.values()), color=colours)
        each.bar_label(drawn, fmt=lambda value: f" {value:.4g}")
        each.set(title=title, xscale="log")
        each.margins(x=0.25)
        each.invert_yaxis()
    figure.savefig(path, dpi=110)


def _gaps(found: Mapping[str, Any]) -> str:
    if not found["gaps"]:
        return ""
    gaps = found["gaps"]["8"]
    return f"{gaps}, none with {found['prebuffer_s']['8']:.1f} s" if gaps else "0"


def _share(found: Mapping[str, Any], torch: Mapping[str, Any], name: str) -> tuple[str, str]:
    """A figure in MiB, and as a percentage of torch's."""
    return f"{found[name]:.0f}", f"{100 * found[name] / torch[name]:.1f} %"
