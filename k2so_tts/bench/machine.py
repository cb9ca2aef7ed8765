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

"""The machine and the software that a measurement was made with, so that it can be repeated."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

_ASK_SECONDS = 5.0
_PACKAGES = ("sounddevice", "soxr")


def describe() -> dict[str, str]:
    """Facts by name: the machine, its load, and the versions of the software that matters."""
    found = {
        "machine": f"{platform.machine()}, {_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gib():.1f} GiB",
        "system": platform.platform(),
        "load": f"{os.getloadavg()[0]:.2f} runnable processes over the last minute",
        "python": platform.python_version(),
        "ros": os.environ.get("ROS_DISTRO", "not sourced"),
        "espeak-ng": _espeak_version(),
        "numpy": np.__version__,
    }
    return {**found, **{package: _version(package) for package in _PACKAGES}}


def lines(facts: Mapping[str, str]) -> str:
    """The facts as text, one a line."""
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown processor"


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _espeak_version() -> str:
    program = shutil.which("espeak-ng")
    if program is None:
        return "not installed"
    result = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False
    )
    return result.stdout.partition("Data at")[0].strip() or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
