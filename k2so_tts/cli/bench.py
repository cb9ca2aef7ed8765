"""`k2so-tts bench`: how long each step takes and what it costs, over ROS and without it."""

from __future__ import annotations

import importlib
import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from k2so_tts.bench.local import choose_device, speak
from k2so_tts.bench.machine import describe, lines
from k2so_tts.bench.ratios import ratios
from k2so_tts.bench.results import Results
from k2so_tts.bench.texts import LONG, PARAGRAPH, SHORT, WARM_UP
from k2so_tts.bench.utterance import MeasureError, Utterance
from k2so_tts.engines import create_engine, engine_names
from k2so_tts.playback import PlayerSettings
from k2so_tts.playback.devices import SPECIFICATIONS
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm

if TYPE_CHECKING:
    from k2so_tts.bench.nodes import BenchClient

_SWITCH_SECONDS = 0.0005
"""As in the nodes: the client's threads must not wait for each other."""
_CHECK_ROUNDS = 15
_CHECK_TRIES = 2
_LOCAL_GOALS = 10
_CROWD_SECONDS = 20.0

_WIDTH = 160
"""Of what is printed into a file: tables are not wrapped."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--engine", default="espeak", choices=engine_names())
    parser.add_argument("--device", default="auto", help=SPECIFICATIONS)
    parser.add_argument(
        "--goals", type=_positive, default=30, help="how often each thing is measured"
    )
    parser.add_argument(
        "--block-frames", type=_count, default=PlayerSettings.block_frames, help="of the device"
    )
    parser.add_argument(
        "--device-latency",
        type=float,
        default=PlayerSettings.device_latency,
        help="seconds of sound it holds; 0: as little as it can",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order in which they are")
    parser.add_argument(
        "--seconds", type=_count, default=60, help="of speech to measure the cost of, 0 for none"
    )
    parser.add_argument(
        "--robots", type=_counts, default=(1, 4, 16), help="at once on this machine (1,4,16)"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all that was measured")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw where the time went (PNG)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only the ratios; exit code 1 if one exceeds its bound, twice",
    )
    parser.set_defaults(command=run)


def _count(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")


def _positive(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    raise ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(",") if part)


def run(options: Namespace) -> int:
    """The exit code is 0 when every ratio holds."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    if options.plot:
        _plotting()
    device, device_name = choose_device(options.device)
    settings = PlayerSettings(
        device=device,
        block_frames=options.block_frames,
        device_latency=options.device_latency,
    )
    facts = {
        **describe(),
        "device": f"{device_name}, blocks of {settings.block_frames} frames, "
        f"latency {settings.device_latency or 'as low as it can'}",
        "engine": options.engine,
        "prebuffer": f"{settings.prebuffer_chunks} chunks",
        "seed": str(options.seed),
    }
    console.print(lines(facts), markup=False)
    results = Results(facts)
    if options.check:
        return _check(results, settings, options)
    _measure(results, settings, options)
    for table in results.tables():
        console.print()
        console.print(table)
    console.print(f"\nunderruns of all goals that were heard whole: {results.underruns}")
    if options.json:
        options.json.write_text(json.dumps(results.document(), indent=2) + "\n")
    if options.plot:
        _plotting()(results.utterances, settings.prebuffer_chunks, lines(facts), options.plot)
    return int(not all(ratio.holds for ratio in results.ratios))


def _check(results: Results, settings: PlayerSettings, options: Namespace) -> int:
    """Measure the ratios alone, again if one exceeds its bound: a busy machine may be the cause."""
    return int(not any(_check_once(results, settings, options) for _ in range(_CHECK_TRIES)))


def _check_once(results: Results, settings: PlayerSettings, options: Namespace) -> bool:
    from k2so_tts.bench.nodes import bench_robot

    try:
        with bench_robot(options.engine, settings) as (_, client):
            _measure_in_turns(client, results, settings, options.seed, _CHECK_ROUNDS, cut=True)
    except MeasureError as error:
        console.print(str(error), markup=False)
        return False
    for table in results.tables():
        console.print(table)
    return all(ratio.holds for ratio in results.ratios)


def _measure(results: Results, settings: PlayerSettings, options: Namespace) -> None:
    from k2so_tts.bench.many_robots import crowd
    from k2so_tts.bench.nodes import bench_robot, costs, timelines

    with bench_robot(options.engine, settings) as (robot, client):
        _measure_in_turns(client, results, settings, options.seed, options.goals, cut=False)
        with _progress("whole utterances over ROS", 1):
            results.utterances += timelines(client)
        results.underruns = int(client.status("audio_player")["underruns"])
        if options.seconds:
            with _progress("cost over ROS", 1):
                results.costs = costs(robot, client, options.seconds)
    _measure_locally(results, settings, options)
    for robots in options.robots if options.seconds else ():
        with _progress(f"{robots} robots", 1):
            seconds = min(_CROWD_SECONDS, options.seconds)
            results.crowds.append(crowd(robots, options.engine, seconds))


def _measure_in_turns(
    client: BenchClient,
    results: Results,
    settings: PlayerSettings,
    seed: int,
    rounds: int,
    *,
    cut: bool,
) -> None:
    """Over ROS, and the bare pipe beside it."""
    from k2so_tts.bench.nodes import side_by_side

    with _progress("goals over ROS, and a bare pipe", rounds) as on_round:
        found = side_by_side(client, settings, rounds, seed, cut=cut, on_round=on_round)
    results.ratios = ratios(found.first_frames)
    short, long = (f"{len(text.split())} words" for text in (SHORT, LONG))
    for name, goals in (
        (f"{short}, over ROS", found.short),
        (f"{long}, over ROS", found.long),
        (f"{long} made whole first, over ROS", found.traditional),
    ):
        results.steps[name] = {
            "accepted": [goal.accepted_s for goal in goals],
            "first chunk on the wire": [goal.chunks[0][0] for goal in goals],
            "first frame at the device": [goal.heard[0][0] for goal in goals],
        }
    results.steps[f"{short}, espeak-ng into a bare pipe"] = {
        "first frame at the device": found.pipe
    }


def _measure_locally(results: Results, settings: PlayerSettings, options: Namespace) -> None:
    """Without ROS: the engine and the player in this process."""
    engine = create_engine(options.engine)
    goals = min(_LOCAL_GOALS, options.goals)
    with closing(engine), _progress("without ROS", 2 * goals + 1) as advance:
        engine.load()
        manner = SynthesisOptions(engine.find_voice(engine.default_voice))
        for _ in stream_pcm(Synthesis(LoadedEngine(engine), WARM_UP, manner)):
            pass
        for text in (SHORT, LONG):
            spoken = []
            for _ in range(goals):
                spoken.append(speak(engine, text, manner, settings, cut=text is LONG)[0])
                advance()
            results.steps[f"{len(text.split())} words, without ROS"] = _steps(spoken)
        whole, _ = speak(engine, PARAGRAPH, manner, settings)
        results.utterances.append(replace(whole, name="a paragraph, without ROS"))


def _steps(spoken: list[Utterance]) -> dict[str, list[float]]:
    return {
        "first chunk made": [utterance.first_chunk_s for utterance in spoken],
        "first frame at the device": [utterance.first_frame_s for utterance in spoken],
    }


@contextmanager
def _progress(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """A bar on the terminal's error stream, so that what is printed can be piped."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=steps)
        yield lambda: bar.advance(task)


def _plotting() -> Callable[[Sequence[Utterance], int, str, Path], None]:
    """What draws. Raises `MeasureError` where that can't be."""
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        raise MeasureError(
            "--plot needs matplotlib: 'pip install matplotlib', or apt's python3-matplotlib"
        ) from error
    from k2so_tts.bench.plot import plot

    return plot
