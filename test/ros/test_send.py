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

"""`k2so-tts send` with options that take the action `speak`, run as a person runs it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.ros import TIMEOUT, Observer

SEND = ("k2so-tts", "send")
LONG = " ".join(f"Number {n} is spoken." for n in range(40))


def send(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SEND, *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


@contextmanager
def streaming(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `send --stream` whose input and output are pipes without buffers."""
    pipe = subprocess.PIPE
    command = [*SEND, "--stream", *arguments]
    with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def written(process: subprocess.Popen[bytes], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text.encode())


def printed(process: subprocess.Popen[bytes], text: str) -> None:
    """Wait until so much was printed."""
    assert process.stdout is not None
    found = b""
    while len(found) < len(text) and (more := os.read(process.stdout.fileno(), 1)):
        found += more
    assert found.decode() == text


@pytest.mark.usefixtures("robot")
def test_standard_input_is_spoken_while_it_is_written() -> None:
    with streaming() as process:
        written(process, "The first clause is heard, and \u00fcber")
        printed(process, "The first clause is heard")
        written(process, "haupt the rest.\n")
        out, error = process.communicate(timeout=TIMEOUT)
        assert out.decode() == ", and \u00fcberhaupt the rest.\n"
        assert (error, process.returncode) == (b"", 0)


def test_ctrl_c_cancels_and_tells_what_was_heard(robot: Observer) -> None:
    with streaming() as process:
        written(process, LONG)
        printed(process, "Number")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 130
        assert error.decode().startswith("\ninterrupted; heard: ")
        assert LONG.startswith(error.decode().partition("heard: ")[2].strip())
    robot.wait(lambda: not robot.speaking[-1][1])
    robot.wait(lambda: robot.status("/speak_server").get("goals_canceled") == "1")


@pytest.mark.usefixtures("robot")
def test_a_text_that_is_replaced_ends_although_more_could_be_written() -> None:
    with streaming() as process:
        written(process, LONG)
        printed(process, "Number")
        assert send("Enough.", "--policy", "replace").returncode == 0
        assert process.wait(TIMEOUT) == 1
        assert process.stderr is not None
        assert b"; heard: Number" in process.stderr.read()


@pytest.mark.usefixtures("robot")
def test_a_voice_and_a_priority_can_be_asked_for() -> None:
    assert send("Guten Tag.", "--voice", "de", "--priority", "9").returncode == 0
    refused = send("Hello.", "--voice", "klingon")
    assert refused.returncode == 1
    assert "refused" in refused.stderr


def test_without_a_server_it_says_so() -> None:
    result = send("--stream", "--namespace", "/nobody", "--wait", "0.2")
    assert result.returncode == 1
    assert "no speak_server offers the action 'speak'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of the arguments text --stream is required"),
        (["Hello.", "--stream"], "not allowed with argument"),
        (["Hello.", "--policy", "shout"], "invalid choice: 'shout'"),
        (["Hello.", "--priority", "256"], "'256' is not a whole number from 0 to 255"),
    ],
)
def test_invalid_arguments_are_told(arguments: list[str], said: str) -> None:
    result = send(*arguments)
    assert result.returncode == 2
    assert said in result.stderr.splitlines()[-1]
