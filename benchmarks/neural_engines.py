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

"""The neural engines at real size: first audio, speed, memory, loading and likeness, in one run.

Models have random weights (they cost what trained ones cost) and speak at a natural pace, about 15
letters a second. `whole` is the traditional way: the library makes the whole text, then it is
heard. All else goes through `Synthesis`, as in the nodes: block by block as it is made, or from
disk. Each way is measured in a process of its own (`neural_tasks.py`). `make bench-neural` runs it;
`--read FILE` shows what an earlier run wrote with `--json FILE`, and `--plot FILE` draws it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from neural_report import plot, show, targets
from neural_tasks import CACHED, PIPER_WHOLE, TIMEOUT_SECONDS, WAYS, WHOLE, XTTS_QUANTIZATIONS

TASKS_SCRIPT = Path(__file__).with_name("neural_tasks.py")


def main() -> int:
    """Measure and print; 0 when all targets were achieved, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write every figure into this file")
    parser.add_argument("--read", type=Path, help="show the figures of such a file")
    parser.add_argument("--plot", type=Path, help="draw the figures into this file (PNG)")
    options = parser.parse_args()
    results = json.loads(options.read.read_text()) if options.read else measure()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    show(results)
    if options.plot:
        plot(results, options.plot)
    missed = [target for target, achieved in targets(results["ways"]).items() if not achieved]
    for target in missed:
        print(f"missed: {target}")
    return int(bool(missed))


def measure() -> dict[str, Any]:
    """Measure everything, each way in processes of its own; for JSON."""
    facts = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    results: dict[str, Any] = {"machine": f"{facts}, load {os.getloadavg()[0]:.1f}", "ways": {}}
    with tempfile.TemporaryDirectory() as directory:
        models = Path(directory)
        os.environ["XDG_CACHE_HOME"] = str(models / "cache")
        in_process("make", WHOLE, models)
        for way in WAYS:
            convert_s = in_process("load", way, models)["load_s"] if way != CACHED else 0.0
            drop_page_cache([models, *map(Path, site.getsitepackages()), *map(Path, sys.path)])
            cold_s = in_process("load", way, models)["load_s"]
            task = {CACHED: "cached", WHOLE: "whole", PIPER_WHOLE: "whole"}.get(way, "streamed")
            found = in_process(task, way, models)
            results["ways"][way] = {**found, "cold_s": cold_s, "convert_s": convert_s}
            print(f"{way}: measured", file=sys.stderr)
        in_process("make xtts", WHOLE, models)
        results["xtts"] = {name: in_process("xtts", name, models) for name in XTTS_QUANTIZATIONS}
        for way, distance in in_process("distances", WHOLE, models).items():
            results["ways"][way]["distance_db"] = distance
    return results


def in_process(task: str, way: str, models: Path) -> Any:
    """Run a task of `neural_tasks.py` in a process; its result.

    Raises:
        subprocess.SubprocessError: the task failed, or took too long.
    """
    command = [sys.executable, str(TASKS_SCRIPT), task, way, str(models), str(time.monotonic())]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=3 * TIMEOUT_SECONDS)
    return json.loads(done.stdout.splitlines()[-1])


def drop_page_cache(directories: Iterable[Path]) -> None:
    """Drop the files in some directories from the kernel's page cache (posix_fadvise(2))."""
    os.sync()
    for directory in directories:
        for path in directory.rglob("*") if directory.is_dir() else ():
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
