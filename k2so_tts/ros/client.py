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

"""The client that people and benchmarks use: sends goals to `say` and measures what is heard."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from action_msgs.msg import GoalStatus
from sensor_msgs.msg import TimeReference

from k2so_tts.audio import NANOSECONDS
from k2so_tts.ros.accepted_goal import AcceptedGoal, NamedAction
from k2so_tts.ros.client_node import ClientNode
from k2so_tts.ros.errors import SpeechError, SpeechRefused
from k2so_tts.ros.executors import ask, wait_for
from k2so_tts.ros.messages import (
    TTS,
    AudioStamped,
    playhead_qos,
    speech_qos,
    to_nanoseconds,
)

_STATUS = {
    GoalStatus.STATUS_SUCCEEDED: "succeeded",
    GoalStatus.STATUS_CANCELED: "canceled",
    GoalStatus.STATUS_ABORTED: "aborted",
}
_CANCEL_SECONDS = 5.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Measured:
    """One goal: how it ended, the text that was heard, and times in seconds after it was sent.

    Attributes:
        status: "succeeded", "canceled" or "aborted".
        text: what was heard, as the goal's result says.
        accepted_s: when the goal was accepted.
        result_s: when its result came.
        chunks: when each chunk came over the wire, and its duration (s).
        heard: when a frame left the player's device, by the player's clock, and how many seconds
            of the goal lie before that frame; the first pair is the first frame. Empty when no
            player published a playhead.
    """

    status: str
    text: str
    accepted_s: float
    result_s: float
    chunks: tuple[tuple[float, float], ...]
    heard: tuple[tuple[float, float], ...]

    @property
    def first_chunk_s(self) -> float | None:
        """When the first chunk came over the wire; None if none did."""
        return self.chunks[0][0] if self.chunks else None

    @property
    def first_frame_s(self) -> float | None:
        """When the first frame left the player's device; None if no player reported it."""
        return self.heard[0][0] if self.heard else None


@dataclass(eq=False)
class _Progress:
    """What is known of the goal that is being spoken. Written in the executor's thread."""

    on_heard: Callable[[float], None] = lambda _: None
    cancel_after: float = math.inf
    goal: AcceptedGoal | None = None
    """None until it is accepted."""
    sent_at: float = 0.0
    """When it was sent (s, monotonic)."""
    sent_ns: int = 0
    """When it was sent (ROS time); 0 until it is: what arrives then is of an earlier goal."""
    start_ns: int = 0
    """The stamp of its first frame."""
    heard_s: float = 0.0
    error: Exception | None = None
    """What `on_heard` raised."""
    chunks: list[tuple[float, float]] = field(default_factory=list)
    heard: list[tuple[float, float]] = field(default_factory=list)

    @property
    def is_to_be_cancelled(self) -> bool:
        """As much as `cancel_after` has begun to be heard, or `on_heard` has raised."""
        return self.error is not None or self.heard_s >= self.cancel_after

    def on_feedback(self, message: Any) -> None:
        """A chunk begins to be heard."""
        info = message.feedback.audio.audio.info
        self.heard_s += info.chunk / info.rate
        if self.error is None:
            try:
                self.on_heard(self.heard_s)
            except Exception as error:  # noqa: BLE001 - raised by `say`
                self.error = error
        if self.is_to_be_cancelled and self.goal is not None:
            self.goal.cancel()

    def after_sending(self, moment_ns: int) -> float:
        """Seconds from the sending of the goal to `moment_ns` (ROS time)."""
        return (moment_ns - self.sent_ns) / NANOSECONDS


class SpeechClient:
    """A ROS node of its own that speaks texts, one at a time, until it is closed.

    Subscribes to `audio` and `playhead`. Action client of `say`.

    Raises:
        SpeechError: the namespace is invalid, or ROS's security is on and there is no enclave.
    """

    def __init__(self, namespace: str = "") -> None:
        self._own = ClientNode("speech_client", namespace)
        self._node, self._executor = self._own.node, self._own.executor
        self._action = NamedAction(TTS, self._node.resolve_topic_name("say"))
        self._client = self._action.client_on(self._node)
        self._progress = _Progress()
        self._node.create_subscription(AudioStamped, "audio", self._on_audio, speech_qos())
        self._node.create_subscription(TimeReference, "playhead", self._on_playhead, playhead_qos())
        self._own.start()

    def close(self) -> None:
        """Leave ROS and join the thread."""
        self._own.stop()
        self._client.destroy()
        self._own.close()

    def wait_for_server(self, timeout: float) -> bool:
        """Wait until a server offers `say`. False after `timeout` seconds."""
        return bool(self._client.wait_for_server(timeout))

    def wait_for_player(self, timeout: float) -> bool:
        """Wait until a player publishes its playhead. False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self._node.count_publishers("playhead"):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def say(
        self,
        text: str,
        *,
        language: str = "",
        volume: float = 1.0,
        rate: float = 1.0,
        on_heard: Callable[[float], None] = lambda _: None,
        cancel_after: float = math.inf,
        timeout: float = 3600.0,
    ) -> Measured:
        """Speak `text` and wait until it was heard.

        An exception that interrupts the wait (Ctrl-C) cancels the goal before it goes on.

        Args:
            text: what to say.
            language: a voice alias, voice or language tag; empty: the server's voice.
            volume: linear gain, 0.0 to 1.0.
            rate: speed, 0.25 to 4.0.
            on_heard: called with the seconds that have begun to be heard, in the client's thread.
            cancel_after: the goal is cancelled when so many seconds have begun to be heard.
            timeout: seconds to wait for acceptance, and for the result.

        Raises:
            SpeechRefused: the server rejected the goal.
            ServerUnavailable: the server has gone.
            ResultLost: the server no longer knows how the goal ended.
            TimeoutError: it took longer than `timeout` seconds.
            Exception: what `on_heard` raised; the goal was cancelled.
        """
        progress = self._progress = _Progress(on_heard, cancel_after)
        goal = TTS.Goal(text=text, language=language, volume=volume, rate=rate)
        return self._speak(goal, progress, timeout)

    def _speak(self, goal: Any, progress: _Progress, timeout: float) -> Measured:
        """Send a goal and wait for its result. Raises as `say` does."""
        handle = self._ask(lambda: self._send(goal, progress), timeout)
        accepted_s = time.monotonic() - progress.sent_at
        if not handle.accepted:
            raise SpeechRefused("the goal was refused; speak_server's log says why")
        goal = ask(
            self._executor, lambda: AcceptedGoal(self._node, self._action, self._client, handle)
        )
        progress.goal = goal
        if progress.is_to_be_cancelled:  # before the feedback had a goal to cancel
            ask(self._executor, goal.cancel)
        try:
            response = wait_for(goal.response, timeout)
        except SpeechError:  # there is nobody who could cancel it
            raise
        except BaseException:
            self._ask(handle.cancel_goal_async, _CANCEL_SECONDS)
            raise
        finally:
            goal.close()
        if progress.error is not None:
            raise progress.error
        return Measured(
            _STATUS[response.status],
            response.result.text,
            accepted_s,
            time.monotonic() - progress.sent_at,
            tuple(progress.chunks),
            tuple(progress.heard),
        )

    def _send(self, goal: Any, progress: _Progress) -> Any:
        progress.sent_at = time.monotonic()
        progress.sent_ns = self._node.get_clock().now().nanoseconds
        return self._client.send_goal_async(goal, progress.on_feedback)

    def _ask(self, send: Callable[[], Any], timeout: float) -> Any:
        """What the future that `send` returns comes to. Raises `TimeoutError`."""
        done = threading.Event()
        future = ask(self._executor, send)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout):
            raise TimeoutError(f"no answer from speak_server for {timeout:g} s")
        return future.result()

    def _on_audio(self, message: AudioStamped) -> None:
        now_ns = self._node.get_clock().now().nanoseconds
        info, progress = message.audio.info, self._progress
        if info.chunk and progress.sent_ns:
            if not progress.chunks:
                progress.start_ns = to_nanoseconds(message.header.stamp)
            progress.chunks.append((progress.after_sending(now_ns), info.chunk / info.rate))

    def _on_playhead(self, message: TimeReference) -> None:
        progress, due_ns = self._progress, to_nanoseconds(message.time_ref)
        if progress.sent_ns and due_ns >= progress.sent_ns:
            position = (due_ns - progress.start_ns) / NANOSECONDS
            heard_s = progress.after_sending(to_nanoseconds(message.header.stamp))
            progress.heard.append((heard_s, position))
