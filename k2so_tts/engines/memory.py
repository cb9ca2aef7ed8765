"""Memory: how much is taken, and giving back what loading took and nothing uses any more."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from pathlib import Path

_PROC = Path("/proc")
_MIB = 2**20


def resident_mib() -> float:
    """Resident memory of this process and all below it, in MiB; 0.0 where there is no /proc."""
    pages, family = 0, [os.getpid()]
    for pid in family:
        with contextlib.suppress(OSError):  # one of them has just ended
            pages += int((_PROC / str(pid) / "statm").read_text().split()[1])
            for task in (_PROC / str(pid) / "task").iterdir():
                family += map(int, (task / "children").read_text().split())
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def give_back_memory() -> None:
    """Hand what was freed back to the system, where the C library can."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
