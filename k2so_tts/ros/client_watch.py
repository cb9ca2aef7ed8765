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

"""Notices clients that have left the graph while their goals are spoken."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from rclpy.node import Node

from k2so_tts.ros.graph import participants_of

_CHECK_SECONDS = 0.5
_DISCOVERY_SECONDS = 5.0
"""A client of which nothing is found for so long has left before it was discovered."""


class WatchedGoal(NamedTuple):
    """A goal that has not ended, and the name of its action."""

    key: Hashable
    action: str


class ClientWatch:
    """Reports goals whose clients are gone.

    rclpy does not say which client has sent a goal. It is one of those that subscribe to the
    feedback of the action when the goal is seen first: once all of these have left, so has it.

    Args:
        node: the node that offers the actions.
        goals: gives the goals that are to be watched; none: nothing is looked up.
        on_lost: called with the key of a goal, once or more often, until it has ended.
    """

    def __init__(
        self,
        node: Node,
        goals: Callable[[], Iterable[WatchedGoal]],
        on_lost: Callable[[Hashable], None],
    ) -> None:
        self._node = node
        self._goals = goals
        self._on_lost = on_lost
        self._candidates: dict[Hashable, frozenset[bytes]] = {}
        self._first_seen: dict[Hashable, float] = {}
        self._timer = node.create_timer(_CHECK_SECONDS, self.check)
        self._timer.cancel()

    def check(self) -> None:
        """Look at the graph: when a goal was accepted, and from then on until all have ended."""
        goals = list(self._goals())
        if not goals:
            self._timer.cancel()
        elif self._timer.is_canceled():
            self._timer.reset()
        present = {action: self._clients_of(action) for action in {goal.action for goal in goals}}
        self._candidates = {
            goal.key: self._candidates.get(goal.key) or present[goal.action] for goal in goals
        }
        now = time.monotonic()
        self._first_seen = {goal.key: self._first_seen.get(goal.key, now) for goal in goals}
        for goal in goals:
            candidates = self._candidates[goal.key]
            is_overdue = now - self._first_seen[goal.key] > _DISCOVERY_SECONDS
            if not candidates & present[goal.action] and (candidates or is_overdue):
                self._on_lost(goal.key)

    def _clients_of(self, action: str) -> frozenset[bytes]:
        feedback = f"{action}/_action/feedback"
        return participants_of(self._node.get_subscriptions_info_by_topic(feedback))
