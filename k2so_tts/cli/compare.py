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

"""`k2so-tts compare`: texts made whole first and streamed, and the silence before the first word.

The three figures of K-2SO's own voice, with which this project began, are beside them.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from k2so_tts.bench.local import Comparison, choose_device, compare
from k2so_tts.bench.machine import describe, lines
from k2so_tts.bench.texts import EIGHT_SENTENCES, ONE_SENTENCE, TWO_SENTENCES
from k2so_tts.cli import arguments
from k2so_tts.engines import AUTO
from k2so_tts.playback import PlayerSettings
from k2so_tts.resampler import require_soxr
from k2so_tts.synthesis.engine_supervisor import load
from k2so_tts.synthesis.synthesis import SynthesisOptions
from k2so_tts.text.stream import clean

_TEXTS = {
    "1 sentence": ONE_SENTENCE,
    "2 sentences": TWO_SENTENCES,
    "8 sentences": EIGHT_SENTENCES,
}
_K2SO_FIRST_S = {"made whole": 5.2, "by sentence": 1.01, "streamed": 0.16}
"""Silence (s) before the first word of K-2SO's own voice: docs/measurements/neural.md."""
_BAR_CELLS = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    arguments.add_engine(parser, default=AUTO)
    arguments.add_engine_options(parser)
    parser.add_argument("--text", help="what to say, in place of 1, 2 and 8 sentences")
    arguments.add_voice(parser)
    arguments.add_cut_at(parser)
    arguments.add_device(parser)
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw the bars (PNG)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: Namespace) -> int:
    """Compare; 0 unless an engine that streams made other samples when it streamed, then 1.

    Raises:
        EngineError: the engine is unusable, or has failed.
        SettingError: an option of the engine is invalid.
        DeviceError: there is no such device.
        MeasureError: the text makes no sound.
        ImportError: soxr, or matplotlib, which `--plot` needs, is missing.
        OSError: the plot cannot be written.
    """
    require_soxr()
    if options.plot:
        import_module("matplotlib")
    device, device_name = choose_device(options.device)
    texts = _TEXTS if options.text is None else {"the text": clean(options.text)}
    spec = arguments.engine_spec(options)
    with closing(spec.make()) as engine:
        loaded = load(spec, engine)
        voice = engine.find_voice(options.voice or engine.default_voice)
        facts = {**describe(), "device": device_name, "engine": spec.name, "voice": voice}
        synthesis_options = SynthesisOptions(voice, segmentation=options.cut_at)
        settings = PlayerSettings(device=device)
        compared = {
            name: compare(loaded, text, synthesis_options, settings)
            for name, text in _tracked(texts, is_shown=not options.json)
        }
    _show(facts, compared, options)
    return int(any(comparison.differing for comparison in compared.values()))


def _show(facts: Mapping[str, str], compared: Mapping[str, Comparison], options: Namespace) -> None:
    """Print what was measured, and draw it if that was asked for."""
    console = Console(highlight=False)
    if options.json:
        console.print_json(json.dumps(_document(facts, list(compared.values()))))
    else:
        console.print(lines(facts), markup=False)
        console.print(_table(compared))
    if options.plot:
        from k2so_tts.bench.plot import plot_silence

        plot_silence(_bars(compared), lines(facts), options.plot)


def _tracked(texts: Mapping[str, str], *, is_shown: bool) -> Iterator[tuple[str, str]]:
    """The texts, with a progress bar on standard error that disappears at the end."""
    yield from track(
        texts.items(),
        "speaking",
        console=Console(stderr=True),
        transient=True,
        disable=not is_shown,
    )


def _table(compared: Mapping[str, Comparison]) -> Table:
    table = Table(box=box.SIMPLE, title="Silence before the first word")
    for heading in ("text", "", "", "", "sooner", "gaps"):
        table.add_column(heading, justify="left" if heading in ("text", "") else "right")
    is_repeatable = any(each.differing is not None for each in compared.values())
    if is_repeatable:
        table.add_column("samples")
    longest = max(
        *_K2SO_FIRST_S.values(), *(each.traditional.first_frame_s for each in compared.values())
    )
    for name, comparison in compared.items():
        for way in (comparison.traditional, comparison.streamed):
            is_streamed = way is comparison.streamed
            sooner = f"{100 * comparison.improvement:.1f} %" if is_streamed else ""
            samples = _samples(comparison.differing) if is_streamed else ""
            table.add_row(
                "" if is_streamed else name,
                "streamed" if is_streamed else "made whole",
                *_silence(way.first_frame_s, longest),
                sooner,
                str(way.underruns),
                *([samples] if is_repeatable else []),
                end_section=is_streamed,
            )
    for number, (name, seconds) in enumerate(_K2SO_FIRST_S.items()):
        table.add_row("" if number else "K-2SO's own", name, *_silence(seconds, longest))
    return table


def _bars(compared: Mapping[str, Comparison]) -> list[tuple[str, float]]:
    """The silences (s) by what was spoken, and how."""
    bars = []
    for name, comparison in compared.items():
        bars.append((f"{name}, made whole", comparison.traditional.first_frame_s))
        bars.append((f"{name}, streamed", comparison.streamed.first_frame_s))
    return bars + [(f"K-2SO's own, {way}", seconds) for way, seconds in _K2SO_FIRST_S.items()]


def _silence(seconds: float, longest: float) -> tuple[str, str]:
    """A bar, and the figure."""
    return "█" * max(1, round(_BAR_CELLS * seconds / longest)), f"{seconds:.3f} s"


def _samples(differing: int | None) -> str:
    if differing is None:
        return ""
    return f"{differing} differ" if differing else "identical"


def _document(facts: Mapping[str, str], compared: Sequence[Comparison]) -> dict[str, Any]:
    return {
        "machine": facts,
        "k2so_first_s": _K2SO_FIRST_S,
        "texts": [
            {**asdict(comparison), "improvement": comparison.improvement} for comparison in compared
        ],
    }
