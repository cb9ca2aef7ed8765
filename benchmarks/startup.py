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

"""The time from the start of a process until its first goal is accepted: `speak_server`, and a bare
action server of rclpy, in turns.

Discovery by the middleware may take up to 3 s in either, so the quickest start of each is compared.

    python benchmarks/startup.py [--starts 10]
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing

from rich.console import Console
from rich.table import Table

from k2so_tts.processes import exit_on_signals
from k2so_tts.ros.client import SpeechClient
from k2so_tts.ros.executors import ask
from k2so_tts.ros.messages import TTS

_WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.001
_BARE = """
import rclpy
from rclpy.action import ActionServer
from audio_common_msgs.action import TTS

def execute(handle):
    handle.succeed()
    return TTS.Result()

rclpy.init()
node = rclpy.create_node("bare")
server = ActionServer(node, TTS, "say", execute)
rclpy.spin(node)
"""
_IMPORTS = {
    "numpy": "import numpy",
    "rclpy": "import rclpy, rclpy.action",
    "messages": "import audio_common_msgs.action, audio_common_msgs.msg, diagnostic_msgs.msg",
    "speak_server": "import k2so_tts.ros.speak_server",
}


class _Starter(SpeechClient):
    """A client that starts a server and waits until it accepts a goal."""

    def start(self, command: Sequence[str]) -> float:
        """Start a server; the seconds until its first goal was accepted.

        Raises:
            TimeoutError: it did not start, or did not accept the goal.
        """
        self._wait_for(there=False)
        began = time.monotonic()
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                self._wait_for(there=True)
                accepted = threading.Event()

                def send() -> None:
                    sent = self._client.send_goal_async(TTS.Goal(text="Hello."))
                    sent.add_done_callback(lambda _: accepted.set())

                ask(self._executor, send)
                if not accepted.wait(_WAIT_SECONDS):
                    raise TimeoutError("the goal was not answered")
                return time.monotonic() - began
            finally:
                process.send_signal(signal.SIGINT)

    def _wait_for(self, *, there: bool) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while self._client.server_is_ready() is not there:
            if time.monotonic() > deadline:
                raise TimeoutError("a server did not start, or did not end")
            time.sleep(_LOOK_SECONDS)


def _import_seconds(statement: str, runs: int) -> float:
    """What a statement adds to the start of Python (s, median of all runs)."""
    tell = "print(time.perf_counter() - began)"
    code = f"import time; began = time.perf_counter()\n{statement}\n{tell}"
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(runs)
    ]
    return statistics.median(seconds)


def measure(starts: int) -> dict[str, list[float]]:
    """The seconds of so many starts of each server, after one that does not count."""
    commands = {"bare": [sys.executable, "-c", _BARE], "speak_server": ["speak_server"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with closing(_Starter()) as starter:
        for command in commands.values():
            starter.start(command)
        for _ in range(starts):
            for name, command in commands.items():
                seconds[name].append(starter.start(command))
    return seconds


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=10, help="starts of each server")
    starts = parser.parse_args().starts
    exit_on_signals()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    seconds = measure(starts)
    table = Table("s from process start to the first goal accepted", "least", "median", "most")
    for name, values in seconds.items():
        figures = (min(values), statistics.median(values), max(values))
        table.add_row(name, *(f"{value:.3f}" for value in figures))
    console = Console()
    console.print(table)
    ratio = min(seconds["speak_server"]) / min(seconds["bare"])
    console.print(f"least, speak_server over bare: {ratio:.2f}")
    imports = Table("s to import, in a process of its own", "median")
    for name, statement in _IMPORTS.items():
        imports.add_row(name, f"{_import_seconds(statement, starts):.3f}")
    console.print(imports)


if __name__ == "__main__":
    main()
