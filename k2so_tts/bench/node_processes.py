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

"""Both nodes of a robot as child processes, in a namespace of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from k2so_tts.bench.utterance import MeasureError
from k2so_tts.processes import signals_deferred

_STOP_SECONDS = 10.0
_PROGRAMS = ("speak_server", "audio_player")


@dataclass(frozen=True)
class Robot:
    """Both nodes of a namespace: `pids` has their process ids by the names of their programs."""

    namespace: str
    pids: Mapping[str, int]


@contextmanager
def running(
    namespace: str, server: Mapping[str, object], player: Mapping[str, object]
) -> Iterator[Robot]:
    """Start both nodes with these parameters, and end them when the block is left.

    They take ROS's discovery range and domain from the environment.

    Raises:
        MeasureError: the package is not installed where ROS looks for it.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for program, parameters in zip(_PROGRAMS, (server, player), strict=True):
            with signals_deferred():
                processes[program] = _start(program, namespace, parameters)
        yield Robot(namespace, {name: process.pid for name, process in processes.items()})
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGINT)
        for process in processes.values():
            _wait(process)


def _start(
    program: str, namespace: str, parameters: Mapping[str, object]
) -> subprocess.Popen[bytes]:
    try:
        prefix = get_package_prefix("k2so_tts")
    except PackageNotFoundError as error:
        raise MeasureError(
            "k2so_tts is not found; source the setup.bash of its workspace"
        ) from error
    path = f"{prefix}/lib/k2so_tts/{program}"
    command = [path, "--ros-args", "-r", f"__ns:={namespace}", "--log-level", "error"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return subprocess.Popen(command, env=os.environ, stdin=subprocess.DEVNULL)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process; kill it if that takes too long."""
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
