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

"""Whether the machine itself stands still, as a virtual one may."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

_LOOK_SECONDS = 0.01
_JOIN_SECONDS = 5.0


class Standstills:
    """Notices, in a thread of the highest priority there is, that the machine stands still."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standstills", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join(_JOIN_SECONDS)

    def take(self) -> float:
        """The longest (s) since the last time."""
        longest, self._longest = self._longest, 0.0
        return longest

    def _run(self) -> None:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(90))
        looked = time.monotonic()
        while not self._over.wait(_LOOK_SECONDS):
            now = time.monotonic()
            self._longest = max(self._longest, now - looked - _LOOK_SECONDS)
            looked = now
