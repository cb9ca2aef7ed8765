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

"""The action server's goals, on a real node in this process: each ends exactly once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from rclpy.action.server import ServerGoalHandle
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.signals import SignalHandlerOptions
from support.ros import ABORTED, CANCELED, SUCCEEDED, TIMEOUT, Observer

from k2so_tts.ros.actions import SAY
from k2so_tts.ros.admission import GoalRefused
from k2so_tts.ros.endings import Ending, Reason
from k2so_tts.ros.executors import keep_spinning
from k2so_tts.ros.goals import GoalServer


class Server:
    """A `GoalServer` whose owner is a test: it says what becomes of each goal.

    A goal named "refuse", "admit fails" or "accept fails" meets with that.
    """

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("goal_server", context=self._context)
        self.accepted: dict[str, bytes] = {}
        self.canceled: list[bytes] = []
        self.ended = 0
        self.goals: GoalServer[str] = GoalServer(
            self.node,
            [SAY],
            admit=self._admit,
            accept=self._accept,
            cancel=self.canceled.append,
            on_end=self._on_end,
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=keep_spinning, args=[self._executor, self.node])
        self._thread.start()

    def close(self) -> None:
        if not self._context.ok():
            return
        self.goals.close(TIMEOUT)
        self._executor.shutdown(TIMEOUT)
        self._thread.join(TIMEOUT)
        self.node.destroy_node()
        self._context.try_shutdown()

    def _admit(self, request: Any) -> str:
        if request.text == "refuse":
            raise GoalRefused("text is 'refuse'")
        if request.text == "admit fails":
            raise ZeroDivisionError("of admit")
        return f"admission of {request.text}"

    def _accept(self, key: bytes, request: Any, admission: str) -> None:
        assert admission == f"admission of {request.text}"
        if request.text == "accept fails":
            raise ZeroDivisionError("of accept")
        self.accepted[request.text] = key

    def _on_end(self) -> None:
        self.ended += 1
        if self.ended == 1:
            raise ZeroDivisionError("of on_end, once")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def client(observer: Observer, server: Server) -> Observer:
    """A client that has found the server."""
    assert observer.client.wait_for_server(TIMEOUT)
    observer.wait(lambda: observer.node.count_publishers("say/_action/status"))
    assert len(server.goals) == 0
    return observer


@pytest.mark.parametrize(
    ("reason", "status"), [(Reason.FINISHED, SUCCEEDED), (Reason.STOPPED, ABORTED)]
)
@pytest.mark.parametrize("begins", [True, False])
def test_a_goal_ends_with_its_outcome_and_text(
    client: Observer,
    server: Server,
    capfd: pytest.CaptureFixture[str],
    reason: Reason,
    status: int,
    *,
    begins: bool,
) -> None:
    goals = [client.send(text) for text in ("One.", "Two.")]
    client.wait(lambda: len(server.accepted) == 2)
    for text, key in server.accepted.items():
        if begins:
            server.goals.begin(key)
            server.goals.begin(key)
        server.goals.finish(key, Ending(reason, f"heard of {text}"))
        server.goals.finish(key, Ending(Reason.STOPPED, "a second end"))
    client.wait_for_end(*goals)
    assert [(goal.status, goal.text) for goal in goals] == [
        (status, "heard of One."),
        (status, "heard of Two."),
    ]
    client.wait(lambda: server.ended == 2)
    assert len(server.goals) == 0
    assert "a callback failed: ZeroDivisionError: of on_end, once" in capfd.readouterr().err


def test_a_canceled_goal_is_told_to_the_owner_and_ends_as_canceled(
    client: Observer, server: Server
) -> None:
    goal = client.send("One.")
    client.cancel(goal)
    client.wait(lambda: server.canceled)
    assert server.canceled == [server.accepted["One."]]
    server.goals.finish(server.canceled[0], Ending(Reason.CANCELED, ""))
    client.wait_for_end(goal)
    assert goal.status == CANCELED


def test_a_goal_that_nobody_asked_to_cancel_is_aborted(client: Observer, server: Server) -> None:
    goal = client.send("One.")
    client.wait(lambda: server.accepted)
    server.goals.finish(server.accepted["One."], Ending(Reason.CANCELED, ""))
    client.wait_for_end(goal)
    assert goal.status == ABORTED


@pytest.mark.parametrize("text", ["refuse", "admit fails"])
def test_a_goal_that_is_not_admitted_is_rejected(
    client: Observer, server: Server, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    assert client.say(text).accepted is False
    assert server.goals.rejected == 1
    assert "goal refused: " in capfd.readouterr().err
    assert len(server.goals) == 0


def test_a_goal_whose_owner_fails_to_take_it_is_aborted_and_holds_no_place(
    client: Observer, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    goal = client.say("accept fails")
    assert (goal.status, goal.text) == (ABORTED, "")
    assert "goal aborted: ZeroDivisionError: of accept" in capfd.readouterr().err
    client.wait(lambda: server.ended == 1)
    assert len(server.goals) == 0


def test_a_goal_ends_although_its_turn_could_not_be_published(
    client: Observer, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = ServerGoalHandle._update_state

    def fail_to_publish(handle: Any, event: Any) -> None:
        update(handle, event)
        if event == rclpy_implementation.GoalEvent.EXECUTE:
            raise rclpy_implementation.RCLError("of a test")

    monkeypatch.setattr(ServerGoalHandle, "_update_state", fail_to_publish)
    goal = client.send("One.")
    client.wait(lambda: server.accepted)
    server.goals.finish(server.accepted["One."], Ending(Reason.FINISHED, "One."))
    client.wait_for_end(goal)
    assert (goal.status, goal.text) == (SUCCEEDED, "One.")


def test_a_goal_that_can_not_succeed_is_aborted_and_holds_no_place(
    client: Observer, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise rclpy_implementation.RCLError("of a test")

    monkeypatch.setattr(ServerGoalHandle, "succeed", fail)
    goal = client.send("One.")
    client.wait(lambda: server.accepted)
    server.goals.finish(server.accepted["One."], Ending(Reason.FINISHED, "One."))
    client.wait_for_end(goal)
    assert goal.status == ABORTED
    client.wait(lambda: server.ended == 1)
    assert len(server.goals) == 0


def test_close_delivers_the_results_of_goals_that_have_just_ended(
    client: Observer, server: Server
) -> None:
    goal = client.send("One.")
    client.wait(lambda: server.accepted)
    client.wait(lambda: goal.accepted)
    server.goals.finish(server.accepted["One."], Ending(Reason.STOPPED, "One"))
    server.close()
    client.wait_for_end(goal)
    assert (goal.status, goal.text) == (ABORTED, "One")
