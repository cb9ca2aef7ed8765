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

"""Whether an engine that is expected to make audio has stalled."""

from __future__ import annotations

import math

from k2so_tts.synthesis.synthesis import Synthesis


class EngineWatchdog:
    """Watches the engine of one utterance at a time. Times are seconds of the caller's clock."""

    def __init__(self) -> None:
        self._waiting_since: float | None = None
        self._frames = 0

    def reset(self) -> None:
        """Nothing is expected of the engine for now."""
        self._waiting_since = None

    def deadline(self, synthesis: Synthesis, now: float, timeout: float) -> float:
        """When the engine has stalled unless it makes more; inf if it need not make any.

        It has made no audio for `timeout` seconds then, while there was text to speak.
        """
        if synthesis.done or synthesis.starved:
            self.reset()
            return math.inf
        if self._waiting_since is None or synthesis.frames > self._frames:
            self._waiting_since = now
        self._frames = synthesis.frames
        return self._waiting_since + timeout
