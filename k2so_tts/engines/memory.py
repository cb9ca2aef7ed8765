"""How much memory this process and its children take."""

from __future__ import annotations

import contextlib
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
