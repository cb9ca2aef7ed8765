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

"""Which goals may wait, and which give way to others."""

from __future__ import annotations

import pytest

from k2so_tts.ros.admission import Admission, GoalRefused
from k2so_tts.ros.speech_queue import INTERRUPT, QUEUE, REJECT, REPLACE


def line(*priorities: int, begun: int = 1) -> Admission:
    """Goals 0, 1, ... with these priorities, the first `begun` of them being spoken."""
    admission = Admission()
    for key, priority in enumerate(priorities):
        admission.accept(key, priority)
        if key < begun:
            admission.begin(key)
    return admission


@pytest.mark.parametrize("policy", [QUEUE, REPLACE, REJECT, INTERRUPT])
def test_the_first_goal_is_accepted(policy: str) -> None:
    assert line().check(policy, 0, most=1) is None


@pytest.mark.parametrize(("priority", "refused"), [(0, True), (1, True), (2, False)])
def test_reject_heeds_no_lower_priorities(priority: int, refused: bool) -> None:
    admission = line(1, 0)
    if refused:
        with pytest.raises(GoalRefused, match="another goal is being spoken"):
            admission.check(REJECT, priority, most=10)
    else:
        assert admission.check(REJECT, priority, most=10) is None


@pytest.mark.parametrize(
    ("priorities", "policy", "priority", "dropped"),
    [
        ((0, 0, 0), QUEUE, 1, 2),
        ((0, 2, 1), QUEUE, 2, 2),
        ((0, 1, 2), QUEUE, 3, 1),
        ((0, 0, 0), INTERRUPT, 0, 2),
        ((5, 4, 3), INTERRUPT, 3, 2),
        ((0,), INTERRUPT, 0, 0),
        ((0, 0, 0), REPLACE, 0, None),
        ((5, 0, 0), REPLACE, 0, None),
    ],
)
def test_a_full_queue_drops_the_lowest(
    priorities: tuple[int, ...], policy: str, priority: int, dropped: int | None
) -> None:
    assert line(*priorities).check(policy, priority, most=len(priorities)) == dropped


@pytest.mark.parametrize(
    ("priorities", "policy", "priority"),
    [((0, 0, 0), QUEUE, 0), ((0, 3, 3), QUEUE, 2), ((1, 1, 1), REPLACE, 0), ((0,), QUEUE, 5)],
)
def test_a_full_queue_refuses_what_is_not_above_all(
    priorities: tuple[int, ...], policy: str, priority: int
) -> None:
    most = len(priorities)
    with pytest.raises(GoalRefused, match=rf"{most} goals are waiting; allowed: {most} "):
        line(*priorities).check(policy, priority, most=most)


def test_what_has_ended_takes_no_room() -> None:
    admission = line(0, 0)
    admission.end(1)
    admission.end("nobody")
    admission.begin("nobody")
    assert len(admission) == 1
    assert admission.check(QUEUE, 0, most=2) is None
