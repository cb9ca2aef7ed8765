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

"""`k2so-tts bench`: measure how long each step takes and what it costs, with and without ROS."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from k2so_tts.bench.local import choose_device, speak
from k2so_tts.bench.machine import describe, lines
from k2so_tts.bench.ratios import ratios
from k2so_tts.bench.results import Results
from k2so_tts.bench.texts import LONG, PARAGRAPH, SHORT, WARM_UP
from k2so_tts.bench.utterance import MeasuredUtterance, MeasureError
from k2so_tts.cli import arguments
from k2so_tts.cli.arguments import at_least
from k2so_tts.playback import PlayerSettings
from k2so_tts.processes import exit_on_signals
from k2so_tts.resampler import require_soxr
from k2so_tts.synthesis.engine_supervisor import EngineSpec, load
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm

if TYPE_CHECKING:
    from k2so_tts.bench.nodes import BenchClient

_SWITCH_SECONDS = 0.0005
"""As in the nodes (`ros/main.py`): the threads of the client must not wait for each other."""
_CHECK_ROUNDS = 15
_CHECK_TRIES = 2
_LOCAL_GOALS = 10
_MANY_ROBOTS_SECONDS = 20.0

_WIDTH = 160
"""Columns of what is printed into a file, so that tables are not wrapped."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    arguments.add_engine(parser, default="espeak")
    arguments.add_engine_options(parser)
    arguments.add_voice(parser)
    arguments.add_device(parser)
    parser.add_argument(
        "--goals", type=at_least(1), default=30, help="how often each step is measured"
    )
    parser.add_argument(
        "--block-frames",
        type=at_least(0),
        default=PlayerSettings.block_frames,
        help="frames in a block of the device",
    )
    parser.add_argument(
        "--device-latency",
        type=float,
        default=PlayerSettings.device_latency,
        help="seconds of sound that the device holds; 0: as little as it can",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order of the measurements")
    parser.add_argument(
        "--seconds",
        type=at_least(0),
        default=60,
        help="seconds of speech to measure the cost of; 0: do not measure it",
    )
    parser.add_argument(
        "--robots", type=_counts, default=(1, 4, 16), help="numbers of robots at once (1,4,16)"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all that was measured")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw where the time went (PNG)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="measure the ratios only; exit code 1 if one exceeds its bound, twice",
    )


def _counts(text: str) -> tuple[int, ...]:
    return tuple(at_least(1)(part) for part in text.split(",") if part)


def run(options: Namespace) -> int:
    """Measure; 0 when every ratio is within its bound, else 1.

    Raises:
        EngineError: the engine failed, or is unusable.
        SettingError: an option of the engine is invalid.
        DeviceError: there is no such device.
        MeasureError: the nodes did not start, or were not heard.
        ImportError: soxr, or matplotlib, which `--plot` needs, is missing.
        OSError: a file cannot be written.
    """
    require_soxr()
    spec = arguments.engine_spec(options)
    exit_on_signals()
    sys.setswitchinterval(_SWITCH_SECONDS)
    if options.plot:
        import_module("matplotlib")
    with closing(spec.make()) as engine:
        engine.load()  # the node tells only that it could not start
        engine.find_voice(options.voice or engine.default_voice)
    device, device_name = choose_device(options.device)
    settings = PlayerSettings(
        device=device,
        block_frames=options.block_frames,
        device_latency=options.device_latency,
    )
    results = Results(_facts(options, spec, settings, device_name))
    console.print(lines(results.facts), markup=False)
    if options.check:
        tries = (_check_once(results, spec, settings, options) for _ in range(_CHECK_TRIES))
        return int(not any(tries))
    _measure(results, spec, settings, options)
    for table in results.tables():
        console.print()
        console.print(table)
    console.print(f"\nunderruns of all goals that were heard whole: {results.underruns}")
    _write(results, settings, options)
    return int(not all(ratio.holds for ratio in results.ratios))


def _facts(
    options: Namespace, spec: EngineSpec, settings: PlayerSettings, device: str
) -> dict[str, str]:
    """What the figures depend on."""
    return {
        **describe(),
        "device": f"{device}, blocks of {settings.block_frames} frames, "
        f"latency {settings.device_latency or 'as low as it can'}",
        "engine": spec.name,
        "voice": options.voice or "the engine's default",
        "prebuffer": f"{settings.prebuffer_chunks} chunks",
        "seed": str(options.seed),
    }


def _write(results: Results, settings: PlayerSettings, options: Namespace) -> None:
    if options.json:
        options.json.write_text(json.dumps(results.document(), indent=2) + "\n")
    if options.plot:
        from k2so_tts.bench.plot import plot

        plot(results.utterances, settings.prebuffer_chunks, lines(results.facts), options.plot)


def _check_once(
    results: Results, spec: EngineSpec, settings: PlayerSettings, options: Namespace
) -> bool:
    """Whether the ratios are within their bounds; a busy machine alone may make them exceed one."""
    from k2so_tts.bench.nodes import bench_robot

    try:
        with bench_robot(spec, options.voice, settings) as (_, client):
            _measure_in_turns(client, results, settings, options.seed, _CHECK_ROUNDS, cut=True)
    except MeasureError as error:
        console.print(str(error), markup=False)
        return False
    for table in results.tables():
        console.print(table)
    return all(ratio.holds for ratio in results.ratios)


def _measure(
    results: Results, spec: EngineSpec, settings: PlayerSettings, options: Namespace
) -> None:
    from k2so_tts.bench.many_robots import measure_many_robots
    from k2so_tts.bench.nodes import (
        bench_robot,
        measure_costs,
        measure_utterances,
        server_parameters,
    )

    with bench_robot(spec, options.voice, settings) as (robot, client):
        _measure_in_turns(client, results, settings, options.seed, options.goals, cut=False)
        with _progress("whole utterances over ROS", 1):
            results.utterances += measure_utterances(client)
        results.underruns = int(client.status("audio_player")["underruns"])
        if options.seconds:
            with _progress("cost over ROS", 1):
                results.costs = measure_costs(robot, client, options.seconds)
    _measure_locally(results, spec, settings, options)
    server = server_parameters(spec, options.voice)
    for robots in options.robots if options.seconds else ():
        with _progress(f"{robots} robots", 1):
            seconds = min(_MANY_ROBOTS_SECONDS, options.seconds)
            results.many_robots.append(measure_many_robots(robots, server, seconds))


def _measure_in_turns(
    client: BenchClient,
    results: Results,
    settings: PlayerSettings,
    seed: int,
    rounds: int,
    *,
    cut: bool,
) -> None:
    """Goals over ROS, the bare pipe beside them, in an order that `seed` decides."""
    from k2so_tts.bench.nodes import side_by_side

    with _progress("goals over ROS, and a bare pipe", rounds) as on_round:
        found = side_by_side(client, settings, rounds, seed, cut=cut, on_round=on_round)
    results.ratios = ratios(found.first_frames, results.facts["engine"])
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


def _measure_locally(
    results: Results, spec: EngineSpec, settings: PlayerSettings, options: Namespace
) -> None:
    """Measure the engine and the player in this process, without ROS."""
    goals = min(_LOCAL_GOALS, options.goals)
    with closing(spec.make()) as engine, _progress("without ROS", 2 * goals + 1) as advance:
        loaded = load(spec, engine)
        synthesis_options = SynthesisOptions(
            engine.find_voice(options.voice or engine.default_voice)
        )
        for _ in stream_pcm(Synthesis(loaded, WARM_UP, synthesis_options)):
            pass
        for text in (SHORT, LONG):
            spoken = []
            for _ in range(goals):
                spoken.append(speak(loaded, text, synthesis_options, settings, cut=text is LONG)[0])
                advance()
            results.steps[f"{len(text.split())} words, without ROS"] = _steps(spoken)
        whole, _ = speak(loaded, PARAGRAPH, synthesis_options, settings)
        results.utterances.append(replace(whole, name="a paragraph, without ROS"))


def _steps(spoken: list[MeasuredUtterance]) -> dict[str, list[float]]:
    return {
        "first chunk made": [utterance.first_chunk_s for utterance in spoken],
        "first frame at the device": [utterance.first_frame_s for utterance in spoken],
    }


@contextmanager
def _progress(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error; yields what is to be called after each step."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=steps)
        yield lambda: bar.advance(task)
