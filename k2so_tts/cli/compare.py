"""`k2so-tts compare`: one text made whole first and streamed, by each engine that is usable."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from k2so_tts.bench.local import Comparison, choose_device, compare
from k2so_tts.bench.machine import describe, lines
from k2so_tts.bench.texts import PARAGRAPH, WARM_UP
from k2so_tts.cli import arguments
from k2so_tts.engines import EngineError, EngineUnavailable, create_engine, engine_names
from k2so_tts.playback import PlayerSettings
from k2so_tts.resampler import require_soxr
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.text.stream import clean


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    arguments.add_engine(parser)
    parser.add_argument("--text", default=PARAGRAPH, help="what to say, several sentences at best")
    arguments.add_voice(parser)
    arguments.add_device(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: Namespace) -> int:
    """Compare; 0 when all usable engines made the same samples both ways, else 1.

    Raises:
        EngineError: no engine is usable, or one failed.
        DeviceError: there is no such device.
        MeasureError: the text makes no sound.
        ResamplerMissing: soxr is missing.
    """
    require_soxr()
    device, device_name = choose_device(options.device)
    facts = {**describe(), "device": device_name}
    settings = PlayerSettings(device=device)
    names = [options.engine] if options.engine else engine_names()
    found = {name: _compare(name, clean(options.text), options.voice, settings) for name in names}
    compared = [result for result in found.values() if isinstance(result, Comparison)]
    unusable = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    if not compared:
        raise EngineError("; ".join(f"{name}: {reason}" for name, reason in unusable.items()))
    console = Console(highlight=False)
    if options.json:
        console.print_json(json.dumps(_document(facts, options.text, compared, unusable)))
    else:
        console.print(lines(facts), markup=False)
        console.print(_table(options.text, compared))
        for name, reason in unusable.items():
            console.print(f"{name} was left out: {reason}", markup=False)
    return int(any(comparison.differing for comparison in compared))


def _compare(name: str, text: str, voice: str, settings: PlayerSettings) -> Comparison | str:
    """What was measured of an engine, or why it is unusable."""
    engine = create_engine(name)
    with closing(engine):
        try:
            engine.load()
        except EngineUnavailable as error:
            return str(error)
        manner = SynthesisOptions(engine.find_voice(voice or engine.default_voice))
        for _ in stream_pcm(Synthesis(LoadedEngine(engine), WARM_UP, manner)):
            pass
        return compare(name, engine, text, manner, settings)


def _table(text: str, compared: Sequence[Comparison]) -> Table:
    seconds = compared[0].streamed.total_s - compared[0].streamed.first_frame_s
    title = f"{len(text.split())} words, {seconds:.1f} s of speech"
    table = Table("engine", "way", title=title)
    for heading in ("first audio", "all heard", "gaps", "sooner", "samples"):
        table.add_column(heading, justify="right")
    for comparison in compared:
        same = "identical" if not comparison.differing else f"{comparison.differing} differ"
        for utterance in (comparison.traditional, comparison.streamed):
            streamed = utterance is comparison.streamed
            table.add_row(
                comparison.engine,
                utterance.name,
                f"{1000 * utterance.first_frame_s:.1f} ms",
                f"{utterance.total_s:.3f} s",
                str(utterance.underruns),
                f"{100 * comparison.improvement:.1f} %" if streamed else "",
                same if streamed else "",
            )
    return table


def _document(
    facts: Mapping[str, str],
    text: str,
    compared: Sequence[Comparison],
    unusable: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "machine": facts,
        "text": text,
        "engines": [
            {**asdict(comparison), "improvement": comparison.improvement} for comparison in compared
        ],
        "absent": unusable,
    }
