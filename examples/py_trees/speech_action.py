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

"""What the behaviours that speak have in common: one goal of an action each time they run."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from action_msgs.msg import GoalStatus
from py_trees.behaviour import Behaviour
from py_trees.common import Status
from rclpy.action.client import ActionClient

_SUCCEEDED = GoalStatus.STATUS_SUCCEEDED


class SpeechAction(Behaviour):
    """RUNNING until its text was heard. If it is stopped before, the sound ends within 100 ms.

    A tick never blocks: the first tick that finds a server sends the goal, and later ones check its
    state. Responses arrive through the node given to `setup(node=...)`, which has to be spun, in
    this thread or another.

    SUCCESS when the last sample was heard. FAILURE when

    - there is no server, or it does not answer the goal within `server_timeout` seconds
    - the server refuses or aborts the goal
    - the server disappears
    - the text was not heard to its end `timeout` seconds after the first tick, the time in the
      server's queue included

    A selector starts a branch of higher priority before it stops the running one, so the goal of an
    interruption is sent before the interrupted one is cancelled.
    """

    def __init__(
        self,
        name: str,
        action_type: Any,
        action: str,
        goal: Any,
        *,
        server_timeout: float,
        timeout: float,
    ) -> None:
        super().__init__(name)
        self._goal = goal
        self._action_type = action_type
        self._action = action
        self._server_timeout = server_timeout
        self._timeout = timeout
        self._node: Any = None
        self._client: Any = None
        self._request: _Request | None = None
        self._started_at = 0.0

    @abstractmethod
    def describe_progress(self, feedback: Any) -> str:
        """The feedback message for a feedback of the server."""

    @abstractmethod
    def describe_end(self, result: Any, *, succeeded: bool) -> str:
        """The feedback message for the result of a goal that was accepted."""

    @property
    def busy(self) -> bool:
        """Whether the server may still be speaking for this behaviour."""
        return self._request is not None and self._request.sent and not self._request.ended

    def setup(self, **kwargs: Any) -> None:
        """Create the action client with the rclpy node `node`."""
        self._node = kwargs["node"]
        self._client = ActionClient(self._node, self._action_type, self._action)

    def initialise(self) -> None:
        """Prepare a new goal, which a tick will send."""
        assert self._client is not None, "call setup(node=...) before the first tick"
        self._started_at = time.monotonic()
        self._request = _Request(self._goal, self._on_feedback, self._on_end)
        self.feedback_message = "waiting for the server"

    def update(self) -> Status:
        """Send the goal if a server is there, and return what is known of it; never block."""
        request = self._request
        assert request is not None
        if not request.sent and self._client.server_is_ready():
            request.send(self._node.executor, self._client)
        if request.ended:
            return Status.SUCCESS if request.status == _SUCCEEDED else Status.FAILURE
        problem = self._problem(request)
        if problem is None:
            return Status.RUNNING
        self.feedback_message = problem
        return Status.FAILURE

    def terminate(self, new_status: Status) -> None:
        """Cancel the goal if it has not ended. `INVALID` means that another branch took over."""
        request = self._request
        if request is None or request.ended or request.abandoned:
            return
        if new_status == Status.INVALID:
            self.feedback_message = "cut off"
        request.abandon()

    def shutdown(self) -> None:
        """Destroy the action client."""
        if self._request is not None:
            self._request.abandoned = True
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def _problem(self, request: _Request) -> str | None:
        """Why the behaviour fails, if it does."""
        waited = time.monotonic() - self._started_at
        if not request.accepted and waited > self._server_timeout:
            return "the server does not answer" if request.sent else "there is no server"
        if request.accepted and not self._client.server_is_ready():
            return "the server is gone"
        if waited > self._timeout:
            return f"not heard to its end within {self._timeout:g} s"
        return None

    def _on_feedback(self, request: _Request, feedback: Any) -> None:
        if request is self._request and not request.abandoned:
            self.feedback_message = self.describe_progress(feedback)

    def _on_end(self, request: _Request) -> None:
        """Update the feedback message, also after the behaviour was stopped."""
        if request is not self._request:
            return
        if not request.accepted:
            self.feedback_message = "refused; speak_server's log says why"
        else:
            succeeded = request.status == _SUCCEEDED
            self.feedback_message = self.describe_end(request.result, succeeded=succeeded)


class _Request:
    """One goal and its state. Its callbacks run in the thread that spins the node."""

    def __init__(
        self,
        goal: Any,
        on_feedback: Callable[[_Request, Any], None],
        on_end: Callable[[_Request], None],
    ) -> None:
        self._goal = goal
        self._report = on_feedback
        self._on_end = on_end
        self._handle: Any = None
        self.sent = False
        self.ended = False
        self.abandoned = False
        self.status: int | None = None
        self.result: Any = None

    @property
    def accepted(self) -> bool:
        return self._handle is not None

    def send(self, executor: Any, client: Any) -> None:
        """Send the goal in the thread that spins: otherwise rclpy can lose the response (Jazzy and
        Kilted).
        """
        self.sent = True
        if executor is None:
            self._send(client)
        else:
            executor.create_task(self._send, client)

    def _send(self, client: Any) -> None:
        if self.abandoned:
            self.ended = True
        else:
            sent = client.send_goal_async(self._goal, self._on_feedback)
            sent.add_done_callback(self._on_response)

    def abandon(self) -> None:
        """Cancel the goal, at once or as soon as it is accepted.

        This sets the flag before it reads the handle, `_on_response` the handle before it reads the
        flag: whichever thread comes second sees what the first has set.
        """
        self.abandoned = True
        if self._handle is not None:
            self._handle.cancel_goal_async()

    def _on_response(self, future: Any) -> None:
        handle = future.result()
        if not handle.accepted:
            self._end()
            return
        self._handle = handle
        handle.get_result_async().add_done_callback(self._on_result)
        if self.abandoned:
            handle.cancel_goal_async()

    def _on_feedback(self, message: Any) -> None:
        self._report(self, message.feedback)

    def _on_result(self, future: Any) -> None:
        response = future.result()
        self.status, self.result = response.status, response.result
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._on_end(self)
