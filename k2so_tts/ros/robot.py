"""Robots for measurements: both nodes in processes of their own, in a namespace of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

_STOP_SECONDS = 10.0
PROGRAMS = ("speak_server", "audio_player")


@dataclass(frozen=True)
class Robot:
    """Both nodes of a namespace, by their process ids."""

    namespace: str
    pids: Mapping[str, int]


@contextmanager
def running(
    namespace: str, server: Mapping[str, object], player: Mapping[str, object]
) -> Iterator[Robot]:
    """Start both nodes with some parameters, and end them with the block.

    They listen to this machine alone, unless the environment says otherwise.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for program, parameters in zip(PROGRAMS, (server, player), strict=True):
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
    code = f"from k2so_tts.ros.main import {program}; {program}()"
    command = [sys.executable, "-c", code, "--ros-args", "-r", f"__ns:={namespace}"]
    command += ["--log-level", "error"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return subprocess.Popen(command, env=os.environ, stdin=subprocess.DEVNULL)


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
