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

"""What is read of processes, and how they end on signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from k2so_tts.processes import (
    cpu_seconds,
    peak_resident_mib,
    resident_mib,
    thread_cpu_seconds,
    with_descendants,
)

TIMEOUT = 30.0
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin)
print(child.pid, flush=True)
child.wait()
"""
CLEANS_UP = """
import sys
from k2so_tts.processes import exit_on_signals

exit_on_signals()
try:
    print("ready", flush=True)
    while True:
        pass
finally:
    print("cleaning", flush=True)
    sys.stdin.readline()
    print("clean", flush=True)
"""


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is killed when the block is left, if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def write_line(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_descendants_hold_children_of_children() -> None:
    with python(PARENT) as parent:
        grandchild = int(read_line(parent))
        family = list(with_descendants([os.getpid()]))
        assert family[0] == os.getpid()
        assert family.index(parent.pid) < family.index(grandchild)
        write_line(parent)


def test_a_process_that_has_ended_has_no_descendants_and_no_clock() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert list(with_descendants([process.pid])) == [process.pid]
    with pytest.raises(OSError, match=r"Invalid argument|No such process"):
        cpu_seconds(process.pid)
    with pytest.raises(FileNotFoundError):
        peak_resident_mib(process.pid)


def test_a_zombie_has_no_memory() -> None:
    with python("pass") as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert peak_resident_mib(process.pid) == 0.0


def test_resident_memory_grows_by_what_a_child_holds() -> None:
    code = "held = b'x' * (64 << 20); print('ready', flush=True); input()"
    before = resident_mib()
    with python(code) as child:
        assert read_line(child) == "ready"
        assert resident_mib() > before + 64
        assert peak_resident_mib(child.pid) > 64
        write_line(child)


@pytest.mark.parametrize(("keep", "is_kept"), [("keep_freed_memory(64 << 20)", True), ("", False)])
def test_freed_memory_is_kept_for_the_next_blocks(keep: str, is_kept: bool) -> None:
    code = f"""
import resource
import numpy as np
from k2so_tts.processes import keep_freed_memory
{keep}
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    before = faults()
    blocks = [np.ones(3 << 20, np.uint8) for _ in range(8)]
    del blocks
print(faults() - before)
"""
    with python(code) as child:
        faults = int(read_line(child))
    assert faults < 100 if is_kept else faults > 1000


def test_cpu_time_holds_threads_that_have_ended() -> None:
    before = cpu_seconds(os.getpid())
    spent: list[float] = []

    def work() -> None:
        spin(0.1)
        spent.append(thread_cpu_seconds(threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert cpu_seconds(os.getpid()) - before >= 0.1
    assert spent[0] >= 0.09


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_further_signals_do_not_disturb_the_cleanup(number: signal.Signals) -> None:
    with python(CLEANS_UP) as process:
        assert read_line(process) == "ready"
        process.send_signal(number)
        assert read_line(process) == "cleaning"
        for further in (signal.SIGINT, signal.SIGTERM, number):
            process.send_signal(further)
        write_line(process)
        assert read_line(process) == "clean"
        assert process.wait(TIMEOUT) == 128 + number


def test_signals_at_once_end_a_process_in_order() -> None:
    """Handlers interrupt each other; one that took a lock could then wait for itself."""
    for _ in range(10):
        with python(CLEANS_UP) as process:
            assert read_line(process) == "ready"
            for number in (signal.SIGTERM, signal.SIGINT) * 20:
                process.send_signal(number)
            write_line(process)
            assert [read_line(process), read_line(process)] == ["cleaning", "clean"]
            assert process.wait(TIMEOUT) in {128 + signal.SIGINT, 128 + signal.SIGTERM}


DEFERS = """
import sys, time
from k2so_tts.processes import exit_on_signals, signals_deferred

exit_on_signals()
try:
    with signals_deferred():
        print("starting", flush=True)
        sys.stdin.readline()
        print("started", flush=True)
    time.sleep(60)
finally:
    print("ended", flush=True)
"""


def test_deferred_signals_are_delivered_when_the_block_is_left() -> None:
    with python(DEFERS) as process:
        assert read_line(process) == "starting"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        write_line(process)
        assert [read_line(process), read_line(process)] == ["started", "ended"]
        assert process.wait(TIMEOUT) in {128 + signal.SIGINT, 128 + signal.SIGTERM}
