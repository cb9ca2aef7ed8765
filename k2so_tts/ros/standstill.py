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

"""Standing still: a process that was stopped, or a machine that was suspended."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_SECONDS = 5.0
"""How often it is to be looked for."""
_LONGEST_SECONDS = 15.0
"""After a longer one others may have taken a participant for gone: Fast DDS does after 20 s in
which it hears nothing, and participants let hear of themselves every 3 s."""


def time_since_boot() -> float:
    """Seconds that go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Standstill:
    """Tells that this process stood still for so long that others may have taken it for gone."""

    def __init__(self, clock: Callable[[], float] = time_since_boot) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._noticed = False

    def look(self) -> bool:
        """Whether it ever did. To be called every `LOOK_SECONDS`, from any thread."""
        now = self._clock()
        if now - self._looked_at > _LONGEST_SECONDS:
            self._noticed = True
        self._looked_at = now
        return self._noticed
