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

"""Work for an executor's thread: keeping that thread alive, handing calls over to it, and waiting
for what comes of them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from rclpy.callback_groups import CallbackGroup
from rclpy.executors import Executor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

_SEND_SECONDS = 10.0
_Outcome = TypeVar("_Outcome")


def keep_spinning(executor: Executor, node: Node) -> None:
    """Spin until the executor or its context is shut down.

    An exception that a callback raises, or rclpy itself (it raises for requests with a parameter
    of an unknown type), is logged; the callbacks after it are served.

    Args:
        executor: what to spin.
        node: the node in whose name errors are logged.
    """
    while executor.context.ok():
        try:
            executor.spin()
        except Exception as error:  # noqa: BLE001, PERF203 - one callback must not end the others
            if executor.context.ok():
                node.get_logger().error(f"a callback failed: {type(error).__name__}: {error}")
        else:
            return


def ask(executor: Executor, send: Callable[[], _Outcome]) -> _Outcome:
    """Call `send` in the thread that spins `executor`, and return what it returns.

    Never to be called from that thread. It is needed because rclpy's `ActionClient` is not safe to
    be called from another one: the executor may take the response before the client has noted the
    request, and then drops it ("Ignoring unexpected goal response"; Jazzy and Kilted). It waits, as
    Jazzy's executor runs the latest of several tasks first.

    Raises:
        Exception: what `send` raises.
        TimeoutError: the executor does not spin.
    """
    answer: concurrent.futures.Future[_Outcome] = concurrent.futures.Future()

    def run() -> None:
        try:
            answer.set_result(send())
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            answer.set_exception(error)

    executor.create_task(run)
    try:
        return answer.result(_SEND_SECONDS)
    except concurrent.futures.TimeoutError as error:
        raise TimeoutError(f"nothing could be sent for {_SEND_SECONDS:g} s") from error


def wait_for(future: concurrent.futures.Future[_Outcome], seconds: float) -> _Outcome:
    """What a future comes to that is set in the executor's thread.

    Raises:
        Exception: what the future raises.
        TimeoutError: it took longer than `seconds`.
    """
    try:
        return future.result(seconds)
    except concurrent.futures.TimeoutError as error:
        raise timeout_error(seconds) from error


def timeout_error(seconds: float) -> TimeoutError:
    """What is raised after so many seconds in which nothing came."""
    return TimeoutError(f"no answer from speak_server for {seconds:g} s")


class ExecutorQueue:
    """Calls that other threads hand over to the thread that spins a node, made there in order.

    rclpy's `Executor.create_task` is no substitute: its order differs between distributions, and
    there is no executor before the node was added to one. The queue has no bound of its own: each
    goal adds as many calls as it has chunks, and two.

    Args:
        node: the node that is spun.
        group: the callback group that the calls belong to; None for the node's default.
    """

    def __init__(self, node: Node, group: CallbackGroup | None = None) -> None:
        self._node = node
        self._calls: deque[Callable[[], None]] = deque()
        self._ready = node.create_guard_condition(self._run, group)

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` called in the executor's thread. May be called from any thread.

        What it raises reaches whoever spins (see `keep_spinning`); the calls after it are made.
        """
        self._calls.append(call)
        with contextlib.suppress(rclpy_implementation.InvalidHandle):  # after `close`
            self._ready.trigger()

    def close(self) -> None:
        """Make no more calls; those that are handed over from now on are dropped."""
        self._node.destroy_guard_condition(self._ready)

    def _run(self) -> None:
        try:
            while self._calls:
                self._calls.popleft()()
        finally:
            if self._calls:
                self._ready.trigger()
