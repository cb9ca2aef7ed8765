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

"""Soak test: both nodes under random goals, changes and company, judged by a recording.

    PYTHONPATH=$PYTHONPATH:test python benchmarks/soak.py [--minutes 10] [--seed N] [--busy]

Real nodes in processes of their own, espeak-ng, PortAudio and a private virtual sound card
(PipeWire with a null sink). Goals of both actions, of random length, language, rate, volume and
priority, are sent, cancelled, replaced and interrupted; texts are written while they are spoken;
parameters of both nodes are set; further players, on no device or on WAV files, join and leave or
are killed; others subscribe to `audio` for a while. Every half minute or so all goals end. What the
card was given is compared, frame by frame, with what was sent, and that of `say`, unless it was
interrupted, with what espeak-ng makes of the texts. The actions are drawn from the seed; their
timing depends on the machine as well.

The exit code is 1, with the reasons printed, when a bound of `test/support/soak.py` is exceeded.
`make soak` and `make soak-check` run it.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from callback import busy
from rich.console import Console
from rich.table import Table
from soak_actions import OUTCOMES, PLAYER, SERVER
from soak_run import Soak
from support.ros import Observer, clean_shared_memory, own_domain, running
from support.soak import UNFINISHED, Report, faults
from support.sound import STEADY, STEADY_CYCLE, SoundServer

from k2so_tts.metrics import percentiles
from k2so_tts.processes import exit_on_signals

REST_SECONDS = 2.0
"""The device is closed after so little silence that it is opened again many times."""
WRITING_SECONDS = 60.0
"""A text may be left alone for so long before its next piece: longer than a round lasts."""
LATENCY_RANKS = {"p50": 50.0, "p99": 99.0, "max": 100.0}


def table(report: Report) -> Table:
    """The results in words."""
    found = Table("", "figure", title_justify="left")
    for name, figure in _rows(report):
        found.add_row(name, figure)
    return found


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    hearing, counters = report.hearing, report.counters
    outcomes = ", ".join(
        f"{report.outcomes[name]} {name}" for name in (*OUTCOMES.values(), "rejected", UNFINISHED)
    )
    yield "goals", f"{report.outcomes.total()}: {outcomes}"
    for name, times in report.company.items():
        yield f"further {name} that joined", str(times)
    yield "utterances that were interrupted", str(report.interruptions)
    yield "sent, frames at 22.05 kHz", f"{report.sent_frames:,}"
    yield "recordings that were judged", f"{report.judged} of {report.windows}"
    yield "longest standstill of the machine, ms", f"{1e3 * report.longest_standstill:.0f}"
    yield "due in them, frames at 48 kHz", f"{hearing.due:,}"
    yield "heard", f"{hearing.heard:,}"
    yield "lost, repeated, stray", f"{hearing.lost}, {hearing.repeated}, {hearing.stray}"
    yield "longest gap in an utterance, ms", f"{hearing.longest_gap / 48:.0f}"
    yield "the player's counters", ", ".join(f"{k} {v}" for k, v in counters.items())
    if report.latencies_ms:
        found = percentiles(report.latencies_ms, LATENCY_RANKS)
        figures = ", ".join(f"{value:.0f}" for value in found.values())
        yield f"latency p50, p99, max, ms ({len(report.latencies_ms)})", figures
    for node, ended in report.ended.items():
        settled = report.settled[node]
        yield f"{node}, MiB", f"{settled.mib:.1f} to {ended.mib:.1f}"
        for name in ("threads", "descriptors", "children"):
            yield f"{node}, {name}", f"{getattr(settled, name)} to {getattr(ended, name)}"


@contextmanager
def prepared(seed: int, *, with_busy_core: bool) -> Iterator[Soak]:
    """A soak test in a ROS domain, a cache directory and on a sound card of its own.

    Tracebacks that the nodes have printed are in its report when the block has been left.
    """
    with ExitStack() as stack:
        stack.callback(clean_shared_memory)
        os.environ["ROS_DOMAIN_ID"] = str(stack.enter_context(own_domain()))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["XDG_CACHE_HOME"] = str(home)
        sound = stack.enter_context(SoundServer(quantum=STEADY_CYCLE))
        errors = stack.enter_context((home / "errors").open("w+"))
        steady = {**STEADY, "rest_after": REST_SECONDS}
        env = {**os.environ, **sound.env}
        player = stack.enter_context(running("audio_player", env, errors.fileno(), **steady))
        patient: dict[str, Any] = {"stream_timeout": WRITING_SECONDS}
        server = stack.enter_context(running("speak_server", None, errors.fileno(), **patient))
        observer = stack.enter_context(closing(Observer()))
        observer.wait_for_nodes()
        if with_busy_core:
            stack.enter_context(busy(1))
        nodes = {SERVER: server.pid, PLAYER: player.pid}
        soak = stack.enter_context(closing(Soak(observer, sound, nodes, seed, home)))
        yield soak
        errors.seek(0)
        if tracebacks := errors.read().count("Traceback"):
            soak.report.surprises.append(f"{tracebacks} tracebacks of the nodes")


def main() -> int:
    """Run the soak test; 0 when all of its bounds were kept, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    options = parser.parse_args()
    exit_on_signals()
    console = Console()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    console.print(f"seed {options.seed}, {machine}", highlight=False)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with prepared(options.seed, with_busy_core=options.busy) as soak:
        soak.run(60 * options.minutes, console)
    console.print(table(soak.report))
    reasons = list(faults(soak.report))
    for reason in reasons:
        console.print(reason, highlight=False)
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
