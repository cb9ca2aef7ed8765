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

"""What speaking with a natural voice takes: one table from one run, on a virtual sound card.

    PYTHONPATH=$PYTHONPATH:test python benchmarks/natural_voice.py [--goals 20]

Over ROS, both nodes in processes of their own: from a goal sent to the first frame at the device.
Without ROS: from the start of a process to its first sound, how long the engine goes on computing a
text that is cancelled, and the memory that it takes. Nothing else should run meanwhile: the first
line names the load.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from support.sound import SoundServer

from k2so_tts.bench.nodes import BenchClient, bench_robot
from k2so_tts.bench.texts import EIGHT_SENTENCES, ONE_SENTENCE, SHORT, TWO_SENTENCES
from k2so_tts.engines import NORMAL
from k2so_tts.engines.piper.engine import PiperEngine
from k2so_tts.playback import PlayerSettings
from k2so_tts.synthesis.engine_supervisor import EngineSpec

_PHRASE = ("the robot said that it would be here to help you again today " * 5)[:256]
_TEXTS = {
    "4 words": SHORT,
    "1 sentence": ONE_SENTENCE,
    "2 sentences": TWO_SENTENCES,
    "8 sentences": EIGHT_SENTENCES,
    "256 letters without a clause": _PHRASE,
}
_HEARD_SECONDS = 1.5
"""Heard of each goal before it is cancelled."""
_SWITCH_SECONDS = 0.0005
_STARTS = 5
_CANCELS = 20
_FIRST_WORD = f"""
from k2so_tts.synthesis.engine_supervisor import EngineSpec, load
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions
loaded = load(EngineSpec("piper"), EngineSpec("piper").make())
voice = loaded.engine.default_voice
synthesis = Synthesis(loaded, {ONE_SENTENCE!r}, SynthesisOptions(voice))
synthesis.start()
synthesis.wait(60)
print(flush=True)
synthesis.cancel()
loaded.close()
"""
_Row = tuple[str, str, list[float]]


def over_ros(client: BenchClient, goals: int) -> Iterator[_Row]:
    """Seconds from a goal to its acceptance, first chunk and first frame, for each text."""
    order = [name for name in _TEXTS for _ in range(goals)]
    random.Random(0).shuffle(order)
    steps: dict[tuple[str, str], list[float]] = {}
    for name in order:
        goal = client.say(_TEXTS[name], cancel_after=_HEARD_SECONDS)
        for step, seconds in (
            ("accepted", goal.accepted_s),
            ("first chunk on the wire", goal.chunks[0][0]),
            ("first frame at the device", goal.heard[0][0]),
        ):
            steps.setdefault((name, step), []).append(seconds)
    for name in _TEXTS:
        for step in ("accepted", "first chunk on the wire", "first frame at the device"):
            yield name, step, steps[name, step]


def from_process_start() -> float:
    """Seconds from the start of a process until the first chunk of a sentence is there."""
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", _FIRST_WORD], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.monotonic() - began


def from_cancel_to_idle(engine: PiperEngine) -> float:
    """Seconds from closing a text until the engine's process answers again."""
    blocks = engine.synthesise(EIGHT_SENTENCES, engine.default_voice, NORMAL)
    next(iter(blocks))
    blocks.close()  # type: ignore[attr-defined]
    began = time.monotonic()
    list(engine.synthesise("", engine.default_voice, NORMAL))
    return time.monotonic() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure a natural voice over ROS.")
    parser.add_argument("--goals", type=int, default=20, help="goals of each text")
    options = parser.parse_args()
    sys.setswitchinterval(_SWITCH_SECONDS)
    load_before = os.getloadavg()[0]
    rows: list[_Row] = []
    with SoundServer() as sound:
        os.environ.update(sound.env)
        with bench_robot(EngineSpec("piper"), "", PlayerSettings()) as (_, client):
            rows += over_ros(client, options.goals)
            underruns = client.status("audio_player")["underruns"]
    from_process_start()
    rows.append(("a new process", "first chunk", [from_process_start() for _ in range(_STARTS)]))
    engine = EngineSpec("piper").make()
    assert isinstance(engine, PiperEngine)
    with closing(engine):
        engine.load()
        waits = [from_cancel_to_idle(engine) for _ in range(_CANCELS)]
        assert engine.pid is not None
        memory_mib = psutil.Process(engine.pid).memory_info().rss / 2**20
    rows.append(("a cancelled text", "engine idle", waits))
    table = Table("ms until", "step", "n", "median", "p95", "max")
    for name, step, seconds in rows:
        ms = 1000 * np.array(seconds)
        figures = (statistics.median(ms), np.percentile(ms, 95), ms.max())
        table.add_row(name, step, str(len(ms)), *(f"{figure:.1f}" for figure in figures))
    console = Console(width=120)
    console.print(f"{os.cpu_count()} cores, load before {load_before:.1f}")
    console.print(table)
    console.print(f"underruns: {underruns}; memory of the engine's process: {memory_mib:.0f} MiB")


if __name__ == "__main__":
    main()
