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

"""Goals of the actions, from their acceptance to their one terminal state."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from rclpy.action.server import ActionServer, CancelResponse, GoalResponse
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.task import Future

from k2so_tts.ros.actions import SpeechAction, SpeechRequest
from k2so_tts.ros.admission import GoalRefused
from k2so_tts.ros.client_watch import WatchedGoal
from k2so_tts.ros.endings import Ending, Outcome, Reason
from k2so_tts.ros.executors import ExecutorQueue
from k2so_tts.ros.messages import AudioStamped, request_qos, words_qos
from k2so_tts.synthesis.word_timeline import TimedWord

_RESULT_SECONDS = 600
"""How long a result is kept for a client that asks for it late: one that stood still meanwhile."""
_DESTROY_SECONDS = 1.0
_Admission = TypeVar("_Admission")


@dataclass(eq=False)
class _Goal:
    """A goal that was accepted and has not ended."""

    action: SpeechAction
    handle: Any
    end: Future[Ending] = field(default_factory=Future)
    executing: bool = False


class GoalServer(Generic[_Admission]):
    """Accepts goals, and gives each one its turn, its feedback and exactly one terminal state.

    rclpy's goal handles are not safe to be used by two threads: a cancel request between the check
    and the change of a goal's state makes that change raise. They are used in the executor's thread
    only; `begin`, `publish_feedback` and `finish` hand over to it and may be called from any
    thread. Goals are known by their keys; keys that are no goal's are ignored.

    Args:
        node: the node that offers the actions.
        actions: what is offered.
        admit: called with a goal's request; what it returns is handed to `accept`. It raises
            `GoalRefused` to reject the goal. What it looks up need not be looked up again.
        accept: called with the key and the request of an accepted goal, and what `admit` returned.
            When it raises the goal is aborted.
        cancel: called with the key of a goal that is to be canceled.
        on_end: called after a goal has ended.
    """

    def __init__(
        self,
        node: Node,
        actions: Sequence[SpeechAction],
        *,
        admit: Callable[[SpeechRequest], _Admission],
        accept: Callable[[bytes, SpeechRequest, _Admission], None],
        cancel: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._node = node
        self._admit = admit
        self._accept = accept
        self._cancel = cancel
        self._on_end = on_end
        self._executor_queue = ExecutorQueue(node)
        self._admitted: tuple[SpeechRequest, _Admission] | None = None
        self._goals: dict[Hashable, _Goal] = {}
        self._goal_ended = threading.Condition()
        self.rejected = 0
        """How many goals were rejected."""
        self._servers = {action.name: self._serve(action) for action in actions}

    def _serve(self, action: SpeechAction) -> ActionServer[Any, Any, Any]:
        return ActionServer(
            self._node,
            action.type,
            action.name,
            execute_callback=self._execute,
            goal_callback=partial(self._on_goal, action),
            handle_accepted_callback=partial(self._on_accepted, action),
            cancel_callback=self._on_cancel,
            goal_service_qos_profile=request_qos(),
            cancel_service_qos_profile=request_qos(),
            result_service_qos_profile=request_qos(),
            feedback_pub_qos_profile=words_qos(),
            result_timeout=_RESULT_SECONDS,
        )

    def __len__(self) -> int:
        """How many goals were accepted and have not ended."""
        return len(self._goals)

    def watched(self) -> list[WatchedGoal]:
        """The goals that were accepted and have not ended."""
        return [WatchedGoal(key, goal.action.name) for key, goal in self._goals.items()]

    def begin(self, key: Hashable) -> None:
        """It is a goal's turn: its state becomes EXECUTING, if it is not yet."""
        self._executor_queue.post(partial(self._start_executing, key))

    def wants_words(self, key: Hashable) -> bool:
        """Whether the action of a goal gives feedback for words."""
        goal = self._goals.get(key)
        return goal is not None and goal.action.word_feedback is not None

    def audible_chunk(self, key: Hashable, audio: AudioStamped) -> None:
        """A chunk of a goal begins to be heard."""
        goal = self._goals.get(key)
        if goal is not None and goal.action.chunk_feedback is not None:
            feedback = goal.action.chunk_feedback(audio)
            self._executor_queue.post(partial(self._publish_feedback, key, feedback))

    def audible_word(self, key: Hashable, word: TimedWord, elapsed_s: float) -> None:
        """A word of a goal begins to be heard, so long after the first frame was."""
        goal = self._goals.get(key)
        if goal is not None and goal.action.word_feedback is not None:
            feedback = goal.action.word_feedback(word, elapsed_s)
            self._executor_queue.post(partial(self._publish_feedback, key, feedback))

    def finish(self, key: Hashable, ending: Ending) -> None:
        """A goal has ended."""
        self._executor_queue.post(partial(self._finish, key, ending))

    def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds until all goals have ended and their results were sent."""
        deadline = time.monotonic() + timeout
        with self._goal_ended:
            self._goal_ended.wait_for(lambda: not self._goals, timeout)
        self._flush_results(deadline)
        destroyed = threading.Event()
        self._executor_queue.post(lambda: self._destroy(destroyed))
        if not destroyed.wait(_DESTROY_SECONDS):  # nobody spins the node
            self._destroy(destroyed)

    def _destroy(self, destroyed: threading.Event) -> None:
        """Offer the actions no longer. An executor that waits for them meanwhile would fail."""
        for server in self._servers.values():
            server.destroy()
        self._servers.clear()
        destroyed.set()

    def _flush_results(self, deadline: float) -> None:
        """Wait for the executor to send the results of goals that have just ended.

        A result is sent by a task of its own, which the end of a goal's task creates: it is there
        when a first task has run after that end, and has run when a second one has.
        """
        for _ in range(2):
            passed = threading.Event()
            if self._node.executor is not None:
                self._node.executor.create_task(passed.set)
                passed.wait(max(0.0, deadline - time.monotonic()))

    # From here on in the executor's thread.

    def _on_goal(self, action: SpeechAction, goal: Any) -> GoalResponse:
        try:
            request = action.request(goal)
            self._admitted = request, self._admit(request)
        except Exception as error:  # noqa: BLE001 - rclpy would leave the client without an answer
            refused = isinstance(error, GoalRefused)
            reason = str(error) if refused else f"{type(error).__name__}: {error}"
            self.rejected += 1
            self._node.get_logger().warning(f"goal refused: {reason}")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, action: SpeechAction, handle: Any) -> None:
        """Called right after `_on_goal`; rclpy runs no other callback between them."""
        key = bytes(handle.goal_id.uuid)
        admitted, self._admitted = self._admitted, None
        assert admitted is not None
        self._goals[key] = _Goal(action, handle)
        try:
            self._accept(key, *admitted)
        except Exception as error:  # noqa: BLE001 - rclpy would drop requests that came with it
            message = f"{type(error).__name__}: {error}"
            self._node.get_logger().error(f"goal aborted: {message}")
            self._finish(key, Ending(Reason.INTERNAL_ERROR, message=message))

    def _on_cancel(self, handle: Any) -> CancelResponse:
        self._cancel(bytes(handle.goal_id.uuid))
        return CancelResponse.ACCEPT

    def _start_executing(self, key: Hashable) -> None:
        goal = self._goals.get(key)
        if goal is not None and not goal.executing:
            goal.executing = True
            try:
                goal.handle.execute()
            except rclpy_implementation.RCLError:
                server = self._servers[goal.action.name]
                server.notify_execute(goal.handle, None)  # it has to end all the same
                raise

    def _publish_feedback(self, key: Hashable, feedback: Any) -> None:
        goal = self._goals.get(key)
        if goal is not None:
            goal.handle.publish_feedback(feedback)

    def _finish(self, key: Hashable, ending: Ending) -> None:
        goal = self._goals.get(key)
        if goal is not None and not goal.end.done():
            goal.end.set_result(ending)
            self._start_executing(key)

    async def _execute(self, handle: Any) -> Any:
        """Run from a goal's turn to its end. It is the one place where goals end.

        If it raises, rclpy aborts the goal.
        """
        key = bytes(handle.goal_id.uuid)
        goal = self._goals[key]
        try:
            ending = await goal.end
            assert ending is not None
            if ending.outcome is Outcome.SUCCEEDED:
                handle.succeed()
            elif ending.outcome is Outcome.CANCELED and handle.is_cancel_requested:
                handle.canceled()
            else:
                handle.abort()
        finally:
            with self._goal_ended:
                del self._goals[key]
                self._goal_ended.notify_all()
            self._executor_queue.post(self._on_end)
        return goal.action.result(ending)
