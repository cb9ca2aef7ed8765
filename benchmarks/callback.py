"""What the player's audio thread costs, and whether it keeps real time.

    PYTHONPATH=$PYTHONPATH:test python benchmarks/callback.py [--seconds 60]

The real `Player` speaks on a private virtual sound card (PipeWire with a null sink), with blocks of
64 and 128 frames, on an idle machine and with every core loaded by a busy process. Printed is a
Markdown table: the audio thread's share of a core while it speaks and while it is idle, PortAudio's
own work included, the median and the longest time that a call of `Player._render` took, how much
Python's memory grew between the first and the last second of speech, and how often the device or
the buffer ran dry.
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
from pathlib import Path
from statistics import median

import numpy as np
from support.sound import SoundServer

from k2so_tts.audio import CHUNK_FRAMES, AudioFormat, Samples, frames_to_ns
from k2so_tts.metrics import PlaybackStats
from k2so_tts.playback.player import Player, PlayerSettings

RATE = 22_050
LEAD_SECONDS = 2.0
BLOCKS = (64, 128)
SWITCH_SECONDS = 0.0005  # as in the nodes
MEMORY_SECONDS = 4.0
END_MARKER = np.empty((0, 1), np.float32)


class Tap:
    """Stands between a device and `Player._render`, and takes the time."""

    def __init__(self, player: Player) -> None:
        self.calls_ns: list[int] = []
        self.thread = 0
        self.keeps = True
        self._render = player.output._render
        player.output._render = self.render

    def render(self, out: Samples, heard_at: float) -> None:
        self.thread = threading.get_native_id()
        begin = time.perf_counter_ns()
        self._render(out, heard_at)
        if self.keeps:
            self.calls_ns.append(time.perf_counter_ns() - begin)

    def cpu_seconds(self) -> float:
        """Processor time of the audio thread so far."""
        schedstat = Path(f"/proc/self/task/{self.thread}/schedstat").read_text()
        return int(schedstat.split()[0]) / 1e9


class Silent:
    """Hears of the end of utterances."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def on_playhead(self, stamp_ns: int, heard_at: float, lost_frames: int) -> None:
        pass

    def on_speaking(self, speaking: bool) -> None:
        pass

    def on_utterance(self, heard: PlaybackStats) -> None:
        if not heard.complete or heard.lost_frames:
            print(f"not heard whole: {heard}", file=sys.stderr)
        self.over.set()


@dataclass(frozen=True)
class Result:
    speaking: float
    idle: float
    calls_ns: list[int]
    growth_kib: float
    xruns: int
    underruns: int
    realtime: bool

    def cells(self) -> Iterator[str]:
        yield "yes" if self.realtime else "no"
        yield f"{100 * self.speaking:.2f} %"
        yield f"{100 * self.idle:.2f} %"
        yield f"{len(self.calls_ns)}"
        yield f"{median(self.calls_ns) / 1000:.0f} us"
        yield f"{max(self.calls_ns) / 1000:.0f} us"
        yield f"{self.growth_kib:.1f} KiB"
        yield str(self.xruns)
        yield str(self.underruns)


def speak(player: Player, listener: Silent, seconds: float) -> None:
    """One utterance, sent two seconds ahead; returns when it was heard."""
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


def memory_growth(player: Player, listener: Silent) -> float:
    """KiB that Python holds more after one utterance than after the same one before it."""
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
    listener = Silent()
    player = Player(PlayerSettings(block_frames=block, idle_close=0), listener)
    tap = Tap(player)
    player.start()
    try:
        speak(player, listener, 1.0)
        xruns = player.output.xruns
        idle, _ = share(tap, lambda: time.sleep(seconds / 6))
        speaking, calls_ns = share(tap, lambda: speak(player, listener, seconds))
        xruns = player.output.xruns - xruns
        tap.keeps = False
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


def share(tap: Tap, work: Callable[[], None]) -> tuple[float, list[int]]:
    """The audio thread's share of a core while something is done, and its calls meanwhile."""
    tap.calls_ns.clear()
    cpu, begin = tap.cpu_seconds(), time.monotonic()
    work()
    used = (tap.cpu_seconds() - cpu) / (time.monotonic() - begin)
    return used, list(tap.calls_ns)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """That many processes that do nothing as fast as they can."""
    with ExitStack() as stack:
        for _ in range(processes):
            process = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", "while True: pass"])
            )
            stack.callback(process.kill)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description="What the audio thread costs.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of speech in each case")
    options = parser.parse_args()
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
                told = f"{load} busy processes" if load else "none"
                print(f"| {block} | {told} | " + " | ".join(result.cells()) + " |", flush=True)


if __name__ == "__main__":
    main()
