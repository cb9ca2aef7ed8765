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

"""A client of the action `speak` that remembers all that comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from k2so_tts_msgs.action import Speak
from k2so_tts_msgs.msg import TextPiece
from rclpy.action.client import ActionClient

from k2so_tts.ros.executors import ask
from k2so_tts.ros.messages import pieces_qos, request_qos, words_qos
from support.ros import TIMEOUT, Observer


@dataclass(eq=False)
class SpeakGoal:
    """A goal that was sent: everything that has come back so far."""

    sent_at: float
    accepted: bool | None = None
    handle: Any = None
    status: int | None = None
    result: Any = None
    words: list[tuple[float, Any]] = field(default_factory=list)
    """When each word was told (s, monotonic), and the feedback."""

    @property
    def ended(self) -> bool:
        return self.status is not None or self.accepted is False

    def words_told(self, count: int) -> Callable[[], bool]:
        """Whether so many words were told of, for `Observer.wait`."""
        return lambda: len(self.words) >= count


class SpeakClient:
    """Sends goals, and the pieces of their texts, as the participant of an observer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._client: Any = ask(observer._executor, self._new_client)
        self._pieces = observer.node.create_publisher(TextPiece, "text_pieces", pieces_qos())
        self._sent: dict[str, int] = {}
        assert self._client.wait_for_server(TIMEOUT)
        observer.wait(self._pieces.get_subscription_count)

    def close(self) -> None:
        ask(self._observer._executor, self._client.destroy)

    def _new_client(self) -> Any:
        return ActionClient(
            self._observer.node,
            Speak,
            "speak",
            goal_service_qos_profile=request_qos(),
            result_service_qos_profile=request_qos(),
            cancel_service_qos_profile=request_qos(),
            feedback_sub_qos_profile=words_qos(),
        )

    def send(self, text: str = "", **fields: Any) -> SpeakGoal:
        """Send a goal; returns at once."""
        goal = SpeakGoal(time.monotonic())
        changed = self._observer.changed

        def on_feedback(message: Any) -> None:
            with changed:
                goal.words.append((time.monotonic(), message.feedback))
                changed.notify_all()

        def on_response(future: Any) -> None:
            with changed:
                goal.handle = future.result()
                goal.accepted = goal.handle.accepted
                changed.notify_all()
            if goal.accepted:
                goal.handle.get_result_async().add_done_callback(on_result)

        def on_result(future: Any) -> None:
            with changed:
                goal.result = future.result().result
                goal.status = future.result().status
                changed.notify_all()

        request = Speak.Goal(text=text, **fields)

        def send() -> None:
            sent = self._client.send_goal_async(request, on_feedback)
            sent.add_done_callback(on_response)

        ask(self._observer._executor, send)
        return goal

    def accepted(self, text: str = "", **fields: Any) -> SpeakGoal:
        """Send a goal and wait until it is accepted."""
        goal = self.send(text, **fields)
        self._observer.wait(lambda: goal.accepted is not None)
        assert goal.accepted
        return goal

    def say(self, text: str = "", **fields: Any) -> SpeakGoal:
        """Send a goal and wait for its end."""
        goal = self.send(text, **fields)
        self.wait_for_end(goal)
        return goal

    def wait_for_end(self, *goals: SpeakGoal, timeout: float = TIMEOUT) -> None:
        self._observer.wait(lambda: all(goal.ended for goal in goals), timeout)

    def cancel(self, goal: SpeakGoal) -> None:
        ask(self._observer._executor, goal.handle.cancel_goal_async)

    def write(self, stream: str, pieces: Iterable[str], *, end: bool = False) -> None:
        """Publish pieces of a text, and its end."""
        for piece in pieces:
            self._publish(TextPiece(stream=stream, text=piece))
        if end:
            self._publish(TextPiece(stream=stream, end=True))

    def flush(self, stream: str) -> None:
        self._publish(TextPiece(stream=stream, flush=True))

    def skip(self, stream: str, count: int) -> None:
        """Lose some pieces."""
        self._sent[stream] = self._sent.get(stream, 0) + count

    def _publish(self, piece: TextPiece) -> None:
        piece.sequence = self._sent.get(piece.stream, 0)
        self._sent[piece.stream] = piece.sequence + 1
        self._pieces.publish(piece)
