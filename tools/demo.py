"""Run both nodes, send one goal through the action `say`, and print how long each step took.

`make demo` runs it. The environment variable TEXT has the text to speak.
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

from k2so_tts.cli.progress import speaking_progress
from k2so_tts.playback.devices import DeviceError, output_devices
from k2so_tts.processes import exit_on_signals, signals_deferred
from k2so_tts.ros.client import Measured, SpeechClient, SpeechRefused

DEFAULT_TEXT = "I am K-2SO. I speak while I am still thinking about the end of the sentence."
WAV = Path("demo.wav")
START_SECONDS = 15.0
STOP_SECONDS = 5.0
LEADING_SILENCE_SECONDS = 0.1
"""Silence before the first sound, which the file may leave out."""

console = Console(highlight=False)


def main() -> int:
    """Speak once; 0 when the goal succeeded and, in a file, was recorded completely, else 1."""
    text = os.environ.get("TEXT") or DEFAULT_TEXT
    device = choose_device()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    player = ["audio_player", "--ros-args", "-p", f"device:={device}"]
    try:
        with (
            contextlib.closing(SpeechClient()) as client,
            running(player),
            running(["speak_server"]),
        ):
            if not (
                client.wait_for_server(START_SECONDS) and client.wait_for_player(START_SECONDS)
            ):
                raise SpeechRefused("the nodes did not start")
            with speaking_progress(text, 1.0) as on_heard:
                measured = client.say(text, on_heard=on_heard)
    except SpeechRefused as error:
        console.print(str(error))
        return 1
    report(measured)
    if device.startswith("wav:") and not is_complete(measured):
        console.print(f"{WAV} is incomplete; see the log of audio_player above")
        return 1
    if device.startswith("wav:"):
        console.print(f"What was heard is in {WAV}")
    return 0 if measured.status == "succeeded" else 1


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


def report(measured: Measured) -> None:
    """Print when each step happened."""
    table = Table("after the goal was sent", "ms", title=f"Goal {measured.status}")
    table.columns[1].justify = "right"
    for name, seconds in (
        ("accepted", measured.accepted_s),
        ("first chunk on the wire", measured.first_chunk_s),
        ("first frame at the device", measured.first_frame_s),
        ("last frame heard, goal done", measured.result_s),
    ):
        table.add_row(name, "-" if seconds is None else f"{1000 * seconds:.1f}")
    console.print(table)


if __name__ == "__main__":
    exit_on_signals()
    sys.exit(main())
