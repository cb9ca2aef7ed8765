"""Memory: how much is taken, keeping it together, and giving back what nothing uses any more."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from pathlib import Path

_PROC = Path("/proc")
_MIB = 2**20
_M_ARENA_MAX = -8
"""The number of mallopt's parameter in malloc.h (mallopt(3))."""


def resident_mib() -> float:
    """Resident memory of this process and all below it, in MiB; 0.0 where there is no /proc."""
    pages, family = 0, [os.getpid()]
    for pid in family:
        with contextlib.suppress(OSError):  # one of them has just ended
            pages += int((_PROC / str(pid) / "statm").read_text().split()[1])
            for task in (_PROC / str(pid) / "task").iterdir():
                family += map(int, (task / "children").read_text().split())
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def share_one_heap() -> None:
    """Have all threads use one heap from now on, where the C library can. glibc gives threads up to
    8 heaps per core, each of which stays as large as it ever was: with threads that come and go the
    process grows for hours.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Hand what was freed back to the system, where the C library can."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
