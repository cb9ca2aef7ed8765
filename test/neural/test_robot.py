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

"""The real nodes with neural engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.neural_models import make_piper, make_vits
from support.ros import CANCELED, SUCCEEDED, Observer, running

LONG = "the quick brown fox jumps over the lazy dog, again and again, " * 20
PATIENCE = 60.0


@pytest.fixture(params=["coqui", "piper"])
def neural_robot(
    request: pytest.FixtureRequest, make: Callable[..., Path], observer: Observer
) -> Iterator[Observer]:
    """Both nodes, playing to nobody in real time; the server speaks with a neural engine."""
    if request.param == "coqui":
        options: dict[str, Any] = {"coqui.model": make(make_vits)}
    else:
        options = {"piper.voice": make(make_piper)}
    with (
        running("audio_player", device="null"),
        running("speak_server", engine=request.param, **options),
    ):
        observer.wait_for_nodes()
        observer.wait(
            lambda: observer.status("/speak_server").get("engine_state") == "ready", PATIENCE
        )
        yield observer


@pytest.mark.timeout(180)
def test_a_goal_is_spoken_and_another_cancelled(neural_robot: Observer) -> None:
    goal = neural_robot.say("hello my friend.", timeout=PATIENCE, language="en")
    assert (goal.status, goal.text) == (SUCCEEDED, "hello my friend.")
    assert {message.audio.info.rate for _, message in neural_robot.audio} == {22050}
    assert goal.feedback
    goal = neural_robot.send(LONG)
    neural_robot.wait(lambda: goal.feedback, PATIENCE)
    neural_robot.cancel(goal)
    neural_robot.wait_for_end(goal, timeout=PATIENCE)
    assert goal.status == CANCELED
    assert LONG.startswith(goal.text)
    assert neural_robot.say("again.", timeout=PATIENCE).status == SUCCEEDED
