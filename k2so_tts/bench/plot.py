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

"""Plots of where the time of an utterance went; needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from k2so_tts.bench.utterance import MeasuredUtterance

INK, FAINT = "#22313f", "#dfe4e8"
REQUEST, SYNTHESIS, WIRE = "#8e9aa6", "#d9772f", "#6a51a3"
BUFFER, DEVICE, HEARD = "#2f8f76", "#177e99", "#2563a8"
LANES = ("request", "synthesis", "wire", "buffer", "device", "heard")
"""From top to bottom."""
_BAR = 0.56
_MARGIN = 1.25
"""The left plots end at the latest first frame times this."""


def plot(utterances: Sequence[MeasuredUtterance], prebuffer: int, facts: str, path: Path) -> None:
    """Draw a row for each utterance into an image: its beginning (ms) on the left, all of it (s) on
    the right. `prebuffer` is the number of chunks that playback waits for, `facts` the caption.

    Raises:
        OSError: the file cannot be written.
    """
    rows = len(utterances)
    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12)
    figure = Figure(figsize=(15, 3.1 * rows + 1.4), layout=layout)
    grid = figure.subplots(rows, 2, squeeze=False, width_ratios=(3, 2))
    latest_ms = 1000 * max(utterance.first_frame_s for utterance in utterances)
    for (beginning, whole), utterance in zip(grid, utterances, strict=True):
        _draw_beginning(beginning, utterance, prebuffer, _MARGIN * latest_ms)
        _draw_whole(whole, utterance)
    grid[-1][0].set_xlabel("ms after the text was given")
    grid[-1][1].set_xlabel("s after the text was given")
    figure.suptitle(
        "From a text to the loudspeaker", x=0.012, ha="left", size=17, weight="bold", color=INK
    )
    figure.supxlabel(
        facts.replace("\n", "  ·  "), x=0.012, ha="left", size=7.5, color=REQUEST, wrap=True
    )
    figure.savefig(path, dpi=110)


def plot_silence(bars: Sequence[tuple[str, float]], facts: str, path: Path) -> None:
    """Draw the silence (s) before the first word as bars, each with its label, into an image, with
    `facts` as the caption.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(9, 0.4 * len(bars) + 1.4), layout=ConstrainedLayoutEngine())
    axes = figure.subplots()
    labels = [label for label, _ in bars]
    colours = [HEARD if "streamed" in label else REQUEST for label in labels]
    drawn = axes.barh(labels, [seconds for _, seconds in bars], color=colours, height=_BAR)
    axes.bar_label(drawn, fmt="%.2f s", padding=4, color=INK)
    axes.invert_yaxis()
    axes.set_title("Silence before the first word", loc="left", weight="bold", color=INK)
    axes.set_xlabel("s")
    axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        facts.replace("\n", "  ·  "), x=0.012, ha="left", size=6, color=REQUEST, wrap=True
    )
    figure.savefig(path, dpi=110)


def _draw_beginning(
    axes: Any, utterance: MeasuredUtterance, prebuffer: int, until_ms: float
) -> None:
    """Draw a lane for each step, from the request up to `until_ms`."""
    accepted = 1000 * (utterance.accepted_s or 0.0)
    first_chunk, first_frame = 1000 * utterance.first_chunk_s, 1000 * utterance.first_frame_s
    enough = 1000 * utterance.chunks[min(prebuffer, len(utterance.chunks)) - 1][0]
    enough = min(enough, first_frame)
    made = until_ms if utterance.made_s is None else min(1000 * utterance.made_s, until_ms)
    for lane, begin, end, colour in (
        ("request", 0.0, accepted, REQUEST),
        ("synthesis", accepted, made, SYNTHESIS),
        ("buffer", first_chunk, enough, BUFFER),
        ("device", enough, first_frame, DEVICE),
        ("heard", first_frame, until_ms, HEARD),
    ):
        axes.barh(LANES.index(lane), end - begin, _BAR, left=begin, color=colour, zorder=2)
    arrivals = [1000 * at for at, _ in utterance.chunks if 1000 * at <= until_ms]
    axes.scatter(arrivals, [LANES.index("wire")] * len(arrivals), 190, WIRE, marker="|", zorder=3)
    axes.axvline(first_frame, color=HEARD, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    _style(axes, utterance.name)
    axes.set_xlim(0, until_ms)
    axes.set_ylim(len(LANES) - 0.4, -0.6)
    axes.set_yticks(range(len(LANES)), LANES, color=INK)
    _annotate(axes, "request", accepted, f"accepted at {accepted:.1f} ms" if accepted else "")
    _annotate(axes, "synthesis", made, _synthesis_note(utterance))
    count = f"{len(arrivals)} of {len(utterance.chunks)} chunks"
    _annotate(axes, "wire", arrivals[-1], f"the first at {first_chunk:.1f} ms; {count}")
    _annotate(
        axes, "buffer", enough, f"{enough - first_chunk:.1f} ms until {prebuffer} chunks are there"
    )
    _annotate(axes, "device", first_frame, f"{first_frame - enough:.1f} ms to the loudspeaker")
    _annotate_heard(axes, first_frame)


def _annotate_heard(axes: Any, first_frame: float) -> None:
    """Write the time (ms) of the first frame into the bar that begins there."""
    axes.annotate(
        f"heard at {first_frame:.1f} ms",
        (first_frame, LANES.index("heard")),
        (6, 0),
        textcoords="offset points",
        va="center",
        color="white",
        size=9.5,
        weight="bold",
        zorder=4,
    )


def _synthesis_note(utterance: MeasuredUtterance) -> str:
    return "" if utterance.made_s is None else f"all made at {1000 * utterance.made_s:.0f} ms"


def _annotate(axes: Any, lane: str, at: float, words: str) -> None:
    """Write beside the end of a bar, or inside it where there is no room beside it."""
    fits = at < 0.62 * axes.get_xlim()[1]
    axes.annotate(
        words,
        (at, LANES.index(lane)),
        (7 if fits else -7, 0),
        textcoords="offset points",
        ha="left" if fits else "right",
        va="center",
        size=9,
        color=INK if fits else "white",
        bbox={"facecolor": "white", "linewidth": 0, "pad": 1} if fits else None,
        zorder=5,
    )


def _draw_whole(axes: Any, utterance: MeasuredUtterance) -> None:
    """Draw how much audio was buffered over the whole utterance."""
    times, levels = zip(*utterance.buffered(), strict=True)
    axes.fill_between(times, levels, color=BUFFER, alpha=0.35, linewidth=0, zorder=2)
    axes.plot(times, levels, color=BUFFER, linewidth=1.3, zorder=3)
    top = 1.32 * max(levels)
    arrivals = [at for at, _ in utterance.chunks]
    axes.scatter(arrivals, [0.93 * top] * len(arrivals), 60, WIRE, marker="|", zorder=3)
    end = utterance.total_s
    axes.barh(
        -0.07 * top, end - utterance.first_frame_s, 0.08 * top, utterance.first_frame_s, color=HEARD
    )
    underruns = "" if utterance.underruns is None else f", {utterance.underruns} underruns"
    _style(axes, f"buffered, s   ({end:.1f} s in all{underruns})")
    axes.set_xlim(-0.012 * end, 1.012 * end)
    axes.set_ylim(-0.13 * top, top)
    axes.yaxis.set_major_locator(MaxNLocator(4, prune="upper"))


def _style(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", size=11, color=INK, weight="bold")
    axes.grid(axis="x", color=FAINT, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=INK, labelsize=9.5)
    axes.spines[:].set_visible(False)
    axes.spines["bottom"].set(visible=True, color=FAINT)
