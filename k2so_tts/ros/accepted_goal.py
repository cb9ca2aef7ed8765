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
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from action_msgs.msg import GoalStatus
from rclpy.action.client import ActionClient, ClientGoalHandle
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined] # where Humble has it
from rclpy.node import Node

from k2so_tts.ros.client_node import ClientNode
from k2so_tts.ros.errors import ResultLost, ServerUnavailable, SpeechError
from k2so_tts.ros.executors import ask
from k2so_tts.ros.messages import request_qos
from k2so_tts.ros.standstill import LOOK_SECONDS, Standstill

REPEAT_SECONDS = LOOK_SECONDS
_JOIN_SECONDS = 10.0
_MOST_ABSENCES = 3
"""For how many repetitions in a row there may be no server: one that is only out of sight, as after
a standstill, is discovered again meanwhile."""


class _Client(ActionClient):  # type: ignore[type-arg] # no generic class before Kilted
    """An action client that may be made on a node while that is spun in another thread.

    rclpy adds it to the node before it has its lock (github.com/ros2/rclpy/issues/1589).
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._lock = threading.Lock()
        super().__init__(*arguments, **options)


class NamedAction(NamedTuple):
    """An action."""

    type: Any
    name: str
    """Fully qualified."""

    def client_on(
        self, node: Node, group: CallbackGroup | None = None
    ) -> ActionClient[Any, Any, Any]:
        """A client of it on a node, with callbacks in this group (None: the node's default)."""
        return _Client(
            node,
            self.type,
            self.name,
            callback_group=group,
            goal_service_qos_profile=request_qos(),
            result_service_qos_profile=request_qos(),
            cancel_service_qos_profile=request_qos(),
            feedback_sub_qos_profile=request_qos(),
        )


class AcceptedGoal:
    """Asks for the result of a goal, again every few seconds until there is one.

    To ask once is not enough: where this process, the server's, or the network between them stood
    still for longer than the lease of a DDS participant (20 s in Fast DDS), each has forgotten the
    other, and the answer is dropped. The same holds for a request to cancel, which is repeated as
    well. Where it was this process, even that may not do: Fast DDS does not always make up with a
    participant that comes back, and then neither of them notices. So another participant, which
    nobody knows yet, asks as well. What comes of it twice is ignored.

    To be made, and its methods to be called, in the thread that spins the node. Where there was a
    standstill it has to be closed.

    Args:
        node: the node of the client.
        action: the action.
        client: the client that sent the goal.
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
        action: NamedAction,
        client: ActionClient[Any, Any, Any],
        handle: Any,
        group: CallbackGroup | None = None,
    ) -> None:
        self.response: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._node = node
        self._action = action
        self._client = client
        self._handle = handle
        self._cancelled = False
        self._cancel_other: Callable[[], object] = lambda: None
        self._absences = 0
        self._standstill = Standstill()
        self._other_thread: threading.Thread | None = None
        self._timer = node.create_timer(
            REPEAT_SECONDS, self._repeat, group, Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._ask()

    @property
    def asks_twice(self) -> bool:
        """Another participant asks as well, or did."""
        return self._other_thread is not None

    def cancel(self) -> None:
        """Ask the server to cancel the goal; the response tells when it has."""
        self._cancelled = True
        self._handle.cancel_goal_async()
        self._cancel_other()

    def close(self) -> None:
        """Follow the goal no more, and wait until the other participant has left. In any thread."""
        self.fail(SpeechError("the goal is not followed any more"))
        if self._other_thread is not None:
            self._other_thread.join(_JOIN_SECONDS)

    def fail(self, error: Exception) -> None:
        """Follow the goal no more: `response` raises `error`, unless it has come already."""
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.response.set_exception(error)

    def _ask(self) -> None:
        self._handle.get_result_async().add_done_callback(self._on_response)

    def _repeat(self) -> None:
        if self.response.done():
            self._node.destroy_timer(self._timer)
            return
        if self._standstill.look() and self._other_thread is None:
            self._other_thread = threading.Thread(
                target=self._ask_as_another, name="result client", daemon=True
            )
            self._other_thread.start()
        if self._client.server_is_ready():
            self._absences = 0
            if self._cancelled:
                self._handle.cancel_goal_async()
            self._ask()
        else:
            self._absences += 1
            if self._absences >= _MOST_ABSENCES:
                self.fail(ServerUnavailable("speak_server has gone before the text was spoken"))

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

    def _ask_as_another(self) -> None:
        """Follow the goal from another participant, in a thread of its own, until it has ended."""
        with contextlib.suppress(SpeechError, TimeoutError):  # as ROS is shut down
            own = ClientNode("result_client", "/", self._node.context.get_domain_id())
            client = self._action.client_on(own.node)
            own.start()
            try:
                client.wait_for_server(REPEAT_SECONDS)
                other = ask(own.executor, lambda: self._on_node(own.node, client))
                other.response.add_done_callback(self._copy)
                self._cancel_other = partial(own.executor.create_task, other.cancel)
                if self._cancelled:
                    self._cancel_other()
                concurrent.futures.wait([self.response])
                other.close()
            finally:
                own.stop()
                client.destroy()
                own.close()

    def _on_node(self, node: Node, client: ActionClient[Any, Any, Any]) -> AcceptedGoal:
        """The same goal, followed by another client."""
        response: Any = None  # to the request that sent it: nobody looks at it
        handle = ClientGoalHandle(client, self._handle.goal_id, response)
        return AcceptedGoal(node, self._action, client, handle)

    def _copy(self, response: concurrent.futures.Future[Any]) -> None:
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            if error := response.exception():
                self.response.set_exception(error)
            else:
                self.response.set_result(response.result())
