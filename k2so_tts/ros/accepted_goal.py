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

"""A goal that an action server has accepted, followed to its end."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from typing import Any, NamedTuple

from action_msgs.msg import GoalStatus
from rclpy.action.client import ActionClient
from rclpy.callback_groups import CallbackGroup
from rclpy.client import Client
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined] # where Humble has it
from rclpy.node import Node

from k2so_tts.ros.errors import ResultLost, ServerUnavailable
from k2so_tts.ros.messages import request_qos

REPEAT_SECONDS = 5.0
_LATE_SECONDS = 1.0
"""A repetition that comes so much too late: this process stood still."""
_RENEW_EVERY = 6
"""Repetitions after which an answer may have been lost by a standstill elsewhere."""
_MOST_ABSENCES = 3
"""For how many repetitions in a row there may be no server: one that is only out of sight, as after
a standstill, is discovered again meanwhile."""


class ActionName(NamedTuple):
    """Which action: its type, and its name."""

    type: Any
    name: str


class AcceptedGoal:
    """Asks for the result of a goal, again every few seconds until there is one.

    To ask once is not enough: where this process, the server's, or the network between them stood
    still for longer than the lease of a DDS participant (20 s in Fast DDS), each has forgotten the
    other, and the answer is dropped. The same holds for a request to cancel, which is repeated as
    well. What comes of it twice is ignored. A client that was forgotten may stay without answers
    (Fast DDS 3.2): after a standstill another one asks.

    To be made, and its methods to be called, in the thread that spins the node.

    Args:
        node: the node of the client.
        action: the type and the name of the action.
        client: the action client that sent the goal.
        handle: the client's handle of the goal.
        group: the callback group of the timer; None for the node's default.

    Attributes:
        response: the response to the request for the result (`status`, `result`); may be waited for
            in any thread. Raises `ResultLost` where the server no longer knows the goal, and
            `ServerUnavailable` where it has gone.
    """

    def __init__(
        self,
        node: Node,
        action: ActionName,
        client: ActionClient[Any, Any, Any],
        handle: Any,
        group: CallbackGroup | None = None,
    ) -> None:
        self.response: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._node = node
        self._action = action
        self._group = group
        self._client = client
        self._handle = handle
        self._cancelled = False
        self._absences = 0
        self._repetitions = 0
        self._repeated_at = time.monotonic()
        self._renewed: Client[Any, Any] | None = None
        self._timer = node.create_timer(
            REPEAT_SECONDS, self._repeat, group, Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._ask()

    def cancel(self) -> None:
        """Ask the server to cancel the goal; the response tells when it has."""
        self._cancelled = True
        self._handle.cancel_goal_async()

    def fail(self, error: Exception) -> None:
        """Follow the goal no more: `response` raises `error`, unless it has come already."""
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.response.set_exception(error)

    def _ask(self) -> None:
        if self._renewed is None:
            asked = self._handle.get_result_async()
        else:
            service = self._action.type.Impl.GetResultService
            asked = self._renewed.call_async(service.Request(goal_id=self._handle.goal_id))
        asked.add_done_callback(self._on_response)

    def _repeat(self) -> None:
        now = time.monotonic()
        late = now - self._repeated_at - REPEAT_SECONDS
        self._repeated_at = now
        self._repetitions += 1
        if self.response.done():
            self._node.destroy_timer(self._timer)
            self._end_renewed()
            return
        if late > _LATE_SECONDS or self._absences or self._repetitions % _RENEW_EVERY == 0:
            self._renew()
        if self._client.server_is_ready():
            self._absences = 0
            if self._cancelled:
                self._handle.cancel_goal_async()
            self._ask()
        else:
            self._absences += 1
            if self._absences >= _MOST_ABSENCES:
                self.fail(ServerUnavailable("speak_server has gone before the text was spoken"))

    def _renew(self) -> None:
        """Have another service client ask from now on."""
        self._end_renewed()
        self._renewed = self._node.create_client(
            self._action.type.Impl.GetResultService,
            f"{self._action.name}/_action/get_result",
            qos_profile=request_qos(),
            callback_group=self._group,
        )

    def _end_renewed(self) -> None:
        if self._renewed is not None:
            self._node.destroy_client(self._renewed)
            self._renewed = None

    def _on_response(self, future: Any) -> None:
        response = future.result()
        if response.status == GoalStatus.STATUS_UNKNOWN:
            self.fail(
                ResultLost(
                    "speak_server no longer knows how the text ended: it was started again, or has "
                    "kept the result for as long as it keeps one"
                )
            )
        else:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                self.response.set_result(response)
