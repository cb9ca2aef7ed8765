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

"""What processes cost: CPU time and memory, their descendants included."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from k2so_tts.processes import cpu_seconds, peak_resident_mib, with_descendants

if TYPE_CHECKING:
    from typing_extensions import Self

_LOOK_SECONDS = 0.5
_JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class Cost:
    """CPU time `cpu_s` over `seconds` of real time, and the most memory (MiB) ever resident.

    Pages that processes share count once for each of them.
    """

    cpu_s: float
    seconds: float
    peak_mib: float

    @property
    def share(self) -> float:
        """CPU time as a fraction of one core."""
        return self.cpu_s / self.seconds


class Meter:
    """A context manager that samples groups of processes and their descendants twice a second.

    `processes` has the process ids of each group by its name. A child that lives for less than half
    a second may be missed.
    """

    def __init__(self, processes: Mapping[str, Iterable[int]]) -> None:
        self._groups = {name: _Group(tuple(pids)) for name, pids in processes.items()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self._began = 0.0
        self._seconds = 0.0

    def __enter__(self) -> Self:
        for group in self._groups.values():
            group.begin()
        self._began = monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)
        self._sample()

    @property
    def costs(self) -> dict[str, Cost]:
        """The cost of each group since the block was entered, by the group's name."""
        return {
            name: Cost(group.cpu_s, self._seconds, group.peak_mib)
            for name, group in self._groups.items()
        }

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self._sample()

    def _sample(self) -> None:
        for group in self._groups.values():
            group.sample()
        self._seconds = monotonic() - self._began


class _Group:
    """Processes and their descendants; those that have ended keep what they have cost."""

    def __init__(self, roots: tuple[int, ...]) -> None:
        self._roots = roots
        self._cpu_before = 0.0
        self._cpu_s: dict[int, float] = {}
        self.peak_mib = 0.0

    def begin(self) -> None:
        self.sample()
        self._cpu_before = sum(self._cpu_s.values())

    @property
    def cpu_s(self) -> float:
        return sum(self._cpu_s.values()) - self._cpu_before

    def sample(self) -> None:
        resident = 0.0
        for pid in with_descendants(self._roots):
            with contextlib.suppress(OSError):
                resident += peak_resident_mib(pid)
                self._cpu_s[pid] = cpu_seconds(pid)
        self.peak_mib = max(self.peak_mib, resident)
