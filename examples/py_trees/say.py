"""A behaviour that says something through the action `say`, for trees of py_trees."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from action_msgs.msg import GoalStatus
from audio_common_msgs.action import TTS
from py_trees.behaviour import Behaviour
from py_trees.common import Status
from rclpy.action.client import ActionClient

_SUCCEEDED = GoalStatus.STATUS_SUCCEEDED


class Say(Behaviour):
    """Runs until its text was heard; stopped before that, it falls silent within 100 ms.

    A tick never waits: the goal is sent by the first tick that finds a server, and what comes back
    is only looked at. It comes back through the node given to `setup(node=...)`, which somebody has
    to spin, in this thread or another.

    Succeeds when the last sample was heard. Fails when

    - there is no server, or it does not answer the goal within `server_timeout` seconds
    - the server refuses the goal, or breaks it off
    - the server goes away
    - the text was not heard to its end `timeout` seconds after the first tick; time spent in the
      server's queue counts

    A selector starts a branch of higher priority before it stops the one that runs, so a text that
    interrupts another is sent before the other is cancelled. That suits speak_server's queue_policy
    `queue`, the default, and `replace`; with `reject` the interruption would be refused.
    """

    def __init__(
        self,
        name: str,
        text: str,
        *,
        language: str = "",
        volume: float = 1.0,
        rate: float = 1.0,
        action: str = "say",
        server_timeout: float = 10.0,
        timeout: float = 60.0,
    ) -> None:
        super().__init__(name)
        self.text = text
        self._goal = TTS.Goal(text=text, language=language, volume=volume, rate=rate)
        self._action = action
        self._server_timeout = server_timeout
        self._timeout = timeout
        self._node: Any = None
        self._client: Any = None
        self._line: _Line | None = None
        self._begun_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether the server may still be speaking for this behaviour."""
        return self._line is not None and self._line.sent and not self._line.ended

    def setup(self, **kwargs: Any) -> None:
        """`node`: the rclpy node to talk through."""
        self._node = kwargs["node"]
        self._client = ActionClient(self._node, TTS, self._action)

    def initialise(self) -> None:
        assert self._client is not None, "setup(node=...) comes before the first tick"
        self._begun_at = time.monotonic()
        self._line = _Line(self._goal, self._on_change)
        self.feedback_message = "waiting for the server"

    def update(self) -> Status:
        line = self._line
        assert line is not None
        if not line.sent and self._client.server_is_ready():
            line.send(self._node.executor, self._client)
        if line.ended:
            return Status.SUCCESS if line.status == _SUCCEEDED else Status.FAILURE
        trouble = self._trouble(line)
        if trouble is None:
            return Status.RUNNING
        self.feedback_message = trouble
        return Status.FAILURE

    def terminate(self, new_status: Status) -> None:
        """Silence what is being said, if it is not over. `INVALID`: another branch took over."""
        line = self._line
        if line is None or line.ended or line.given_up:
            return
        if new_status == Status.INVALID:
            self.feedback_message = "cut off"
        line.give_up()

    def shutdown(self) -> None:
        if self._line is not None:
            self._line.given_up = True
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def _trouble(self, line: _Line) -> str | None:
        """Why there is no point in waiting any longer."""
        waited = time.monotonic() - self._begun_at
        if not line.accepted and waited > self._server_timeout:
            return "the server does not answer" if line.sent else "there is no server"
        if line.accepted and not self._client.server_is_ready():
            return "the server is gone"
        if waited > self._timeout:
            return f"not heard to its end within {self._timeout:g} s"
        return None

    def _on_change(self, line: _Line) -> None:
        """Say what is heard, also when that becomes known after the behaviour was stopped."""
        if line is not self._line:
            return
        if not line.ended:
            if not line.given_up:
                self.feedback_message = f"{line.seconds:.1f} s heard of {self.text!r}"
        elif not line.accepted:
            self.feedback_message = "refused; speak_server's log says why"
        elif line.status == _SUCCEEDED:
            self.feedback_message = f"heard {line.heard!r}"
        else:
            self.feedback_message = f"cut off after {line.heard!r}"


class _Line:
    """One goal on its way. Its callbacks come from the thread that spins the node."""

    def __init__(self, goal: TTS.Goal, on_change: Callable[[_Line], None]) -> None:
        self._goal = goal
        self._on_change = on_change
        self._handle: Any = None
        self.sent = False
        self.ended = False
        self.given_up = False
        self.status: int | None = None
        self.heard = ""
        self.seconds = 0.0

    @property
    def accepted(self) -> bool:
        return self._handle is not None

    def send(self, executor: Any, client: Any) -> None:
        """Have the thread that spins send it: rclpy can lose an answer that is taken by another
        thread than the one that sends (Jazzy and Kilted).
        """
        self.sent = True
        if executor is None:
            self._send(client)
        else:
            executor.create_task(self._send, client)

    def _send(self, client: Any) -> None:
        if self.given_up:
            self.ended = True
        else:
            sent = client.send_goal_async(self._goal, self._on_feedback)
            sent.add_done_callback(self._on_response)

    def give_up(self) -> None:
        """Cancel the goal, or else have its acceptance cancel it.

        First the flag and then the handle here, the other way round in `_on_response`: whichever
        thread comes second finds what the first has left.
        """
        self.given_up = True
        if self._handle is not None:
            self._handle.cancel_goal_async()

    def _on_response(self, future: Any) -> None:
        handle = future.result()
        if not handle.accepted:
            self._end()
            return
        self._handle = handle
        handle.get_result_async().add_done_callback(self._on_result)
        if self.given_up:
            handle.cancel_goal_async()

    def _on_feedback(self, message: Any) -> None:
        info = message.feedback.audio.audio.info
        self.seconds += info.chunk / info.rate
        self._on_change(self)

    def _on_result(self, future: Any) -> None:
        response = future.result()
        self.status, self.heard = response.status, response.result.text
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._on_change(self)
