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

"""Run both nodes, have them speak one text, streamed and made whole first, and print how long each
step took.

`make demo` runs it. The environment variable TEXT has the text to speak, ENGINE the engine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from k2so_tts.bench.nodes import BenchClient
from k2so_tts.bench.utterance import MeasureError
from k2so_tts.cli.progress import speaking_progress
from k2so_tts.engines import AUTO
from k2so_tts.playback.devices import DeviceError, output_devices
from k2so_tts.processes import exit_on_signals, signals_deferred
from k2so_tts.ros.client import Measured
from k2so_tts.ros.errors import SpeechError

DEFAULT_TEXT = "I am K-2SO. I speak while I am still thinking about the end of the sentence."
WAV = Path("demo.wav")
ENGINE_SECONDS = 120.0
"""For loading the engine: a voice that is used for the first time is prepared for streaming."""
CUT_SECONDS = 0.05
"""How much is played of the text that is made whole, without a sound, to be compared."""
STOP_SECONDS = 5.0
LEADING_SILENCE_SECONDS = 0.1
"""Silence before the first sound, which the file may leave out."""

console = Console(highlight=False)


def main() -> int:
    """Speak once; 0 when the goal succeeded and, in a file, was recorded completely, else 1."""
    text = os.environ.get("TEXT") or DEFAULT_TEXT
    engine = os.environ.get("ENGINE") or AUTO
    device = choose_device()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    player = ["audio_player", "--ros-args", "-p", f"device:={device}"]
    server = ["speak_server", "--ros-args", "-p", f"engine:={engine}", "-p", "phrase_cache_mib:=0"]
    try:
        with contextlib.closing(BenchClient("")) as client, running(player), running(server):
            client.wait_for_nodes()
            wait_for_engine(client)
            with speaking_progress(text, 1.0) as on_heard:
                streamed = client.say(text, on_heard=on_heard)
            whole = speak_whole(client, text) if streamed.heard else None
    except (MeasureError, SpeechError) as error:
        console.print(str(error), markup=False)
        return 1
    report(streamed, whole)
    if device.startswith("wav:") and not is_complete(streamed):
        console.print(f"{WAV} is incomplete; see the log of audio_player above")
        return 1
    if device.startswith("wav:"):
        console.print(f"What was heard is in {WAV}")
    return 0 if streamed.status == "succeeded" else 1


def wait_for_engine(client: BenchClient) -> None:
    """Wait until the engine itself speaks, not its fallback. Raises `MeasureError` if it can't."""
    with console.status("loading the engine"):
        status = client.wait_for_status(
            "speak_server", lambda values: values["engine_state"] != "loading", ENGINE_SECONDS
        )
    if status["engine_state"] != "ready":
        raise MeasureError(f"engine {status['engine']} can't speak; see the log of speak_server")
    console.print(f"The engine is {status['engine']}")


def speak_whole(client: BenchClient, text: str) -> Measured:
    """Have a text made whole before it is heard, silently, and cancel it once it is."""
    client.set_streaming(False)
    return client.say(text, volume=0.0, cancel_after=CUT_SECONDS)


def is_complete(measured: Measured) -> bool:
    """Whether the file, which the player has closed, holds all that was heard."""
    with wave.open(str(WAV)) as file:
        seconds = file.getnframes() / file.getframerate()
    return not measured.heard or seconds > measured.heard[-1][1] - LEADING_SILENCE_SECONDS


def choose_device() -> str:
    """The default sound device; where there is none, a WAV file that is written in real time."""
    try:
        devices = output_devices()
        reason = "This machine has no sound device"
    except DeviceError as error:
        devices, reason = [], str(error)
    if devices:
        return "auto"
    console.print(f"{reason}: writing {WAV} in real time")
    return f"wav:{WAV}"


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[None]:
    """Run a node until the block is left; it is killed if SIGINT does not end it in time.

    Ctrl-C reaches it as well, because it is in the terminal's process group.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with signals_deferred():
            processes.append(subprocess.Popen(command))
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def report(streamed: Measured, whole: Measured | None) -> None:
    """Print when each step happened, also of the same text made whole first."""
    table = Table("ms after the goal was sent", title=f"Goal {streamed.status}")
    table.add_column("streamed", justify="right")
    table.add_column("made whole first", justify="right")
    for name, step in (
        ("accepted", "accepted_s"),
        ("first chunk on the wire", "first_chunk_s"),
        ("first frame at the device", "first_frame_s"),
    ):
        table.add_row(name, milliseconds(streamed, step), milliseconds(whole, step))
    table.add_row("last frame heard, goal done", milliseconds(streamed, "result_s"))
    console.print(table)
    if whole is not None and whole.first_frame_s and streamed.first_frame_s:
        sooner = 1 - streamed.first_frame_s / whole.first_frame_s
        console.print(f"The first word was heard {100 * sooner:.0f} % sooner than made whole")


def milliseconds(measured: Measured | None, step: str) -> str:
    """For the table: when a step of a goal happened; a dash if it did not."""
    seconds = None if measured is None else getattr(measured, step)
    return "-" if seconds is None else f"{1000 * seconds:.1f}"


if __name__ == "__main__":
    exit_on_signals()
    sys.exit(main())
