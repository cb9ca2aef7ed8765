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

"""Processes as the operating system sees them: memory, CPU time, descendants, heaps and signals.

Sources: proc(5) for the files in `/proc`, mallopt(3) and malloc_trim(3) for the heaps,
clock_getcpuclockid(3) for the CPU clocks. Where Linux or glibc is missing nothing fails: memory is
0 and the heaps are left alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import clock_gettime_ns
from types import FrameType

_PROC = Path("/proc")
_MIB = 2**20
_KIB_PER_MIB = 1024
_NANOSECONDS = 1e9
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""The numbers of mallopt's parameters in malloc.h (mallopt(3))."""
_LARGEST_MMAP_THRESHOLD = 32 * _MIB
_CPUCLOCK_SCHED = 2
"""The kind of clock that counts the time a process was scheduled (Linux, posix-timers.h)."""
_HANDLED = (signal.SIGINT, signal.SIGTERM)
_SIGNAL_CODE = 128
"""What a shell adds to a signal's number to make an exit code of it."""


def with_descendants(pids: Iterable[int]) -> Iterator[int]:
    """Yield each process id, and those of all its living children, theirs included.

    They are read from `/proc/PID/task/TID/children` (proc(5)) one after the other: a process that
    starts or ends meanwhile may be missed.
    """
    for pid in pids:
        yield pid
        with contextlib.suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                yield from with_descendants(map(int, (task / "children").read_text().split()))


def resident_mib() -> float:
    """The resident memory of this process and all its descendants, in MiB.

    It is the sum of the second field of `/proc/PID/statm` (proc(5)): shared pages count once for
    each process. A process that has just ended counts as 0.
    """
    pages = 0
    for pid in with_descendants([os.getpid()]):
        with contextlib.suppress(OSError):
            pages += int((_PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def peak_resident_mib(pid: int) -> float:
    """The most memory of one process that was ever resident (VmHWM, proc(5)), in MiB.

    Raises:
        OSError: there is no such process.
    """
    status = (_PROC / str(pid) / "status").read_text()
    _, found, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) / _KIB_PER_MIB if found else 0.0


def cpu_seconds(pid: int) -> float:
    """The CPU time that all threads of a process have used, those that have ended included.

    The clock's number is made as the C library's clock_getcpuclockid(3) makes it.

    Raises:
        OSError: there is no such process.
    """
    return clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED) / _NANOSECONDS


def thread_cpu_seconds(thread: int) -> float:
    """The CPU time that a thread of this process has used, by its native id.

    It is the first field of `/proc/self/task/TID/schedstat` (Linux, sched-stats.rst).

    Raises:
        OSError: there is no such thread.
    """
    schedstat = (_PROC / "self/task" / str(thread) / "schedstat").read_text()
    return int(schedstat.split()[0]) / _NANOSECONDS


def share_one_heap() -> None:
    """Have all threads use one heap from now on (M_ARENA_MAX, mallopt(3)).

    glibc gives threads up to 8 heaps per core, and each stays as large as it ever was: a process
    whose threads come and go would grow for hours.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def keep_freed_memory(size: int) -> None:
    """Keep `size` bytes of freed memory at most (M_TRIM_THRESHOLD, mallopt(3)), and blocks of up to
    32 MiB in the heap (M_MMAP_THRESHOLD).

    glibc gives freed blocks of megabytes back to the system at once. A process that computes with
    such arrays would be handed each of their pages anew, zeroed, for each operation.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, min(size, _LARGEST_MMAP_THRESHOLD))
        libc.mallopt(_M_TRIM_THRESHOLD, size)


def give_back_memory() -> None:
    """Collect garbage and return freed memory to the system (malloc_trim(3))."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def exit_on_signals() -> None:
    """Have the first SIGINT or SIGTERM raise SystemExit in the main thread, and ignore later ones.

    `finally` blocks then end child processes undisturbed. The exit code is 128 plus the signal's
    number, as in a shell. The handler takes no lock, so that it cannot deadlock with itself.
    """

    def ignore(_number: int, _frame: FrameType | None) -> None:
        """Not SIG_IGN, which child processes would inherit."""

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in _HANDLED:
            signal.signal(each, ignore)
        raise SystemExit(_SIGNAL_CODE + number)

    for each in _HANDLED:
        signal.signal(each, leave)


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Deliver SIGINT and SIGTERM only when the block is left; for the main thread.

    An exception that a handler raises inside of `subprocess.Popen` would lose a process that has
    just started, so that nothing could end it.
    """
    received: list[int] = []
    previous = {each: signal.getsignal(each) for each in _HANDLED}
    for each in _HANDLED:
        signal.signal(each, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
        for number in received:
            signal.raise_signal(number)
