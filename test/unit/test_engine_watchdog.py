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

"""When an engine counts as stalled."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

from k2so_tts.ros.engine_watchdog import EngineWatchdog
from k2so_tts.synthesis.synthesis import Synthesis


def working(frames: int) -> Synthesis:
    return cast(Synthesis, SimpleNamespace(done=False, starved=False, frames=frames))


def test_an_engine_is_given_time_from_when_it_last_made_audio() -> None:
    watchdog = EngineWatchdog()
    assert watchdog.deadline(working(0), 10.0, 2.0) == 12.0
    assert watchdog.deadline(working(0), 11.0, 2.0) == 12.0
    assert watchdog.deadline(working(1), 11.5, 2.0) == 13.5
    assert watchdog.deadline(working(1), 12.0, 2.0) == 13.5


def test_an_engine_that_need_not_make_any_is_not_watched() -> None:
    watchdog = EngineWatchdog()
    for resting in ({"done": True, "starved": False}, {"done": False, "starved": True}):
        assert watchdog.deadline(working(5), 10.0, 2.0) < math.inf
        synthesis = cast(Synthesis, SimpleNamespace(frames=5, **resting))
        assert watchdog.deadline(synthesis, 11.0, 2.0) == math.inf
        assert watchdog.deadline(working(5), 20.0, 2.0) == 22.0
        watchdog.reset()


def test_a_watchdog_that_was_reset_begins_anew() -> None:
    watchdog = EngineWatchdog()
    watchdog.deadline(working(5), 10.0, 2.0)
    watchdog.reset()
    assert watchdog.deadline(working(5), 15.0, 2.0) == 17.0
