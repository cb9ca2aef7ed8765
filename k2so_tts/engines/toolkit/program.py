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

"""Running a program that prepares something for an engine, such as the conversion of a model."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence

from k2so_tts.engines import EngineUnavailable
from k2so_tts.engines.toolkit.worker_client import python_environment

__all__ = ["ProgramRunner"]


class ProgramRunner:
    """Runs one program at a time, each until it ends. `close`, from any thread, kills it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._program: subprocess.Popen[str] | None = None
        self._is_closed = False

    def run(self, command: Sequence[str]) -> None:
        """Run a program, which finds the modules that this one finds.

        Raises `EngineUnavailable`, with the last line of its errors, when it fails or is killed.
        """
        with self._lock:
            if self._is_closed:
                raise EngineUnavailable("it was closed while it was loading")
            self._program = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=python_environment(),
            )
        _, errors = self._program.communicate()
        if self._program.returncode != 0:
            lines = errors.strip().splitlines()
            raise EngineUnavailable(lines[-1] if lines else f"exit {self._program.returncode}")

    def close(self) -> None:
        """Kill the program that runs, and start none any more."""
        with self._lock:
            self._is_closed = True
            if self._program is not None:
                self._program.kill()
