"""What processes cost: processor time and memory, from `/proc`, their children included."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import clock_gettime_ns, monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_PROC = Path("/proc")
_LOOK_SECONDS = 0.5
_JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class Cost:
    """Processor time (s) over a time (s), and the most memory (MiB) that was ever resident."""

    cpu_s: float
    seconds: float
    peak_mib: float

    @property
    def share(self) -> float:
        """Of one core."""
        return self.cpu_s / self.seconds


class Meter:
    """Looks twice a second at some processes and their children, between its enter and exit.

    A child that lives less than half a second may be missed.
    """

    def __init__(self, processes: Mapping[str, Iterable[int]]) -> None:
        self._trees = {name: _Tree(tuple(pids)) for name, pids in processes.items()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self._began = 0.0
        self._seconds = 0.0

    def __enter__(self) -> Self:
        for tree in self._trees.values():
            tree.begin()
        self._began = monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)
        self._look()

    @property
    def costs(self) -> dict[str, Cost]:
        """By the name that was given."""
        return {
            name: Cost(tree.cpu_ns / 1e9, self._seconds, tree.peak_kib / 1024)
            for name, tree in self._trees.items()
        }

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        for tree in self._trees.values():
            tree.look()
        self._seconds = monotonic() - self._began


class _Tree:
    """Processes and their children."""

    def __init__(self, roots: tuple[int, ...]) -> None:
        self._roots = roots
        self._before: dict[int, int] = {}
        self._cpu_ns: dict[int, int] = {}
        self.peak_kib = 0

    def begin(self) -> None:
        self.look()
        self._before = dict(self._cpu_ns)

    @property
    def cpu_ns(self) -> int:
        return sum(self._cpu_ns.values()) - sum(self._before.values())

    def look(self) -> None:
        resident = 0
        for pid in _with_children(self._roots):
            with contextlib.suppress(OSError):
                resident += _peak_kib(pid)
                self._cpu_ns[pid] = clock_gettime_ns(_processor_clock(pid))
        self.peak_kib = max(self.peak_kib, resident)


def _with_children(pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        yield pid
        with contextlib.suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                yield from _with_children(map(int, (task / "children").read_text().split()))


def _processor_clock(pid: int) -> int:
    """The clock of the processor time of all threads of a process, those that have ended too; made
    as the C library's clock_getcpuclockid does.
    """
    return (~pid << 3) | 2


def _peak_kib(pid: int) -> int:
    """The most memory of a process that was ever resident; shared pages count in each."""
    status = (_PROC / str(pid) / "status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
