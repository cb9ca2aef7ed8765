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

"""The cost of the player's audio thread, and whether it keeps real time.

    PYTHONPATH=$PYTHONPATH:test python benchmarks/callback.py [--seconds 60]

The real `Player` speaks on a private virtual sound card (PipeWire with a null sink), with blocks of
64 and 128 frames, on an idle machine and with every core loaded by a busy process. Printed is a
Markdown table: the audio thread's share of a core while it speaks and while it is idle, PortAudio's
own work included, the median and the longest time that a call of `Player._render` took, how much
Python's memory grew between two utterances, and the xruns of the device and underruns of the
buffer.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np
from support.sound import SoundServer

from k2so_tts.audio import CHUNK_FRAMES, AudioFormat, Samples, frames_to_ns
from k2so_tts.metrics import PlaybackStats
from k2so_tts.playback.player import Player, PlayerSettings
from k2so_tts.processes import exit_on_signals, thread_cpu_seconds

RATE = 22_050
LEAD_SECONDS = 2.0
BLOCKS = (64, 128)
SWITCH_SECONDS = 0.0005
"""As in the nodes (`ros/main.py`)."""
MEMORY_SECONDS = 4.0
END_MARKER = np.empty((0, 1), np.float32)


class RenderTimer:
    """Wraps `Player._render` of a player that has not started, and times its calls.

    `calls_ns` has their durations, while `records` is set.
    """

    def __init__(self, player: Player) -> None:
        self.calls_ns: list[int] = []
        self.thread = 0
        self.records = True
        self._render = player.output._render
        player.output._render = self.render

    def render(self, out: Samples, heard_at: float) -> None:
        """Render as the player does, in the audio thread."""
        self.thread = threading.get_native_id()
        begin = time.perf_counter_ns()
        self._render(out, heard_at)
        if self.records:
            self.calls_ns.append(time.perf_counter_ns() - begin)

    def cpu_seconds(self) -> float:
        """The CPU time of the audio thread so far."""
        return thread_cpu_seconds(self.thread)


class EndListener:
    """A listener of the player that sets `over` at the end of each utterance."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def on_playhead(self, stamp_ns: int, heard_at: float, start_ns: int, lost_frames: int) -> None:
        """Ignore it."""

    def on_speaking(self, speaking: bool) -> None:
        """Ignore it."""

    def on_utterance(self, heard: PlaybackStats) -> None:
        """Warn if a part of the utterance was not played."""
        if not heard.complete or heard.lost_frames:
            print(f"an utterance was not played completely: {heard}", file=sys.stderr)
        self.over.set()

    def on_level(self, level: float) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class Result:
    """One row: shares of a core, durations of the calls, and what went wrong."""

    speaking: float
    idle: float
    calls_ns: list[int]
    growth_kib: float
    xruns: int
    underruns: int
    realtime: bool

    def cells(self) -> Iterator[str]:
        """The cells of its row in the Markdown table."""
        yield "yes" if self.realtime else "no"
        yield f"{100 * self.speaking:.2f} %"
        yield f"{100 * self.idle:.2f} %"
        yield f"{len(self.calls_ns)}"
        yield f"{median(self.calls_ns) / 1000:.0f} us"
        yield f"{max(self.calls_ns) / 1000:.0f} us"
        yield f"{self.growth_kib:.1f} KiB"
        yield str(self.xruns)
        yield str(self.underruns)


def speak(player: Player, listener: EndListener, seconds: float) -> None:
    """Send one utterance two seconds ahead of its playback, and wait until it was played."""
    chunk = np.random.default_rng(0).uniform(-0.3, 0.3, (CHUNK_FRAMES, 1)).astype(np.float32)
    start_ns = time.monotonic_ns()
    listener.over.clear()
    frames = 0
    while frames < seconds * RATE:
        stamp_ns = start_ns + frames_to_ns(frames, RATE)
        player.receive("benchmark", stamp_ns, AudioFormat(RATE), chunk)
        frames += CHUNK_FRAMES
        ahead = stamp_ns / 1e9 - time.monotonic()
        time.sleep(max(0.0, ahead - LEAD_SECONDS))
    end_ns = start_ns + frames_to_ns(frames, RATE)
    player.receive("benchmark", end_ns, AudioFormat(RATE), END_MARKER)
    if not listener.over.wait(seconds + LEAD_SECONDS):
        raise RuntimeError("the utterance did not end")


def memory_growth(player: Player, listener: EndListener) -> float:
    """By how many KiB the second of two equal utterances makes Python's memory grow."""
    tracemalloc.start()
    try:
        speak(player, listener, MEMORY_SECONDS)
        before, _ = tracemalloc.get_traced_memory()
        speak(player, listener, MEMORY_SECONDS)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / 1024


def measure(block: int, seconds: float) -> Result:
    """Measure a player with blocks of so many frames, over so many seconds of speech."""
    listener = EndListener()
    player = Player(PlayerSettings(block_frames=block, idle_close=0), listener)
    timer = RenderTimer(player)
    player.start()
    try:
        speak(player, listener, 1.0)
        xruns = player.output.xruns
        idle, _ = share(timer, lambda: time.sleep(seconds / 6))
        speaking, calls_ns = share(timer, lambda: speak(player, listener, seconds))
        xruns = player.output.xruns - xruns
        timer.records = False
        return Result(
            speaking,
            idle,
            calls_ns,
            memory_growth(player, listener),
            xruns,
            player.counters.underruns,
            player.output.device.realtime,
        )
    finally:
        player.close()


def share(timer: RenderTimer, work: Callable[[], None]) -> tuple[float, list[int]]:
    """The audio thread's share of a core while `work` runs, and the durations (ns) of its calls."""
    timer.calls_ns.clear()
    cpu, begin = timer.cpu_seconds(), time.monotonic()
    work()
    used = (timer.cpu_seconds() - cpu) / (time.monotonic() - begin)
    return used, list(timer.calls_ns)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Run so many busy loops, each in a process, until the block is left."""
    with ExitStack() as stack:
        for _ in range(processes):
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", "while True: pass"])
            )
            stack.callback(process.kill)
        yield


def main() -> None:
    """Measure each block size, with and without other load, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the cost of the audio thread.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of speech in each row")
    options = parser.parse_args()
    exit_on_signals()
    sys.setswitchinterval(SWITCH_SECONDS)
    cores = os.cpu_count() or 1
    print(f"{platform.platform()}, {cores} cores, Python {platform.python_version()}\n")
    print(
        "| block | other load | real-time priority | speaking | idle | calls | median call "
        "| longest call | memory growth | device xruns | underruns |"
    )
    print("| ---: " * 11 + "|")
    with SoundServer() as sound:
        os.environ.update(sound.env)
        for block in BLOCKS:
            for load in (0, cores):
                with busy(load):
                    result = measure(block, options.seconds)
                shown = f"{load} busy processes" if load else "none"
                print(f"| {block} | {shown} | " + " | ".join(result.cells()) + " |", flush=True)


if __name__ == "__main__":
    main()
