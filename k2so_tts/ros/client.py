"""The client a person uses: sends goals to `say` and measures when their speech is heard."""

from __future__ import annotations

import concurrent.futures
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import rclpy
from action_msgs.msg import GoalStatus
from rclpy.action.client import ActionClient
from rclpy.context import Context
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import TimeReference

from k2so_tts.audio import NANOSECONDS
from k2so_tts.ros.errors import REFUSALS, reason
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
_SEND_SECONDS = 10.0
_CANCEL_SECONDS = 5.0
_JOIN_SECONDS = 5.0
_Sent = TypeVar("_Sent")


class SpeechRefused(Exception):
    """There is no server, or it did not accept the goal, or ROS refuses to take part."""


@dataclass(frozen=True)
class Measured:
    """One goal: its end, the text that was heard, and times in seconds after it was sent.

    `chunks`: when each came over the wire, and its seconds. `heard`: when a frame left the player's
    device, by the player's clock, and how many seconds of the goal lie before that frame; the
    first pair is the first frame. Empty when no player told.
    """

    status: str
    text: str
    accepted_s: float
    result_s: float
    chunks: tuple[tuple[float, float], ...]
    heard: tuple[tuple[float, float], ...]

    @property
    def first_chunk_s(self) -> float | None:
        return self.chunks[0][0] if self.chunks else None

    @property
    def first_frame_s(self) -> float | None:
        return self.heard[0][0] if self.heard else None


def ask(executor: Executor, send: Callable[[], _Sent]) -> _Sent:
    """What `send` gives, called in the thread that spins; never to be called from that one.

    In another thread the answer may be taken before rclpy's `ActionClient` has noted the request,
    and is then lost ("Ignoring unexpected goal response"; Jazzy and Kilted). It is waited for, as
    Jazzy's executor takes the latest of several tasks first.

    Raises what `send` does, and TimeoutError when nobody spins.
    """
    sent: concurrent.futures.Future[_Sent] = concurrent.futures.Future()

    def do() -> None:
        try:
            sent.set_result(send())
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            sent.set_exception(error)

    executor.create_task(do)
    try:
        return sent.result(_SEND_SECONDS)
    except concurrent.futures.TimeoutError as error:
        raise TimeoutError(f"nothing could be sent for {_SEND_SECONDS:g} s") from error


class SpeechClient:
    """A ROS node of its own that says things, one at a time, until it is closed.

    Raises:
        SpeechRefused: ROS refuses the namespace, or who has no enclave where it has to be secure.
    """

    def __init__(self, namespace: str = "") -> None:
        self._context = Context()
        try:
            rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
            self._node = rclpy.create_node(
                "speech_client",
                namespace=namespace,
                context=self._context,
                enable_rosout=False,
                start_parameter_services=False,
            )
        except REFUSALS as error:
            self._context.try_shutdown()
            raise SpeechRefused(reason(error)) from error
        self._client: Any = ActionClient(self._node, TTS, "say")
        self._goal_sent_ns = 0
        self._start_ns = 0
        self._chunks: list[tuple[float, float]] = []
        self._heard: list[tuple[float, float]] = []
        self._node.create_subscription(AudioStamped, "audio", self._on_audio, speech_qos())
        self._node.create_subscription(TimeReference, "playhead", self._on_playhead, playhead_qos())
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, name="client", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave ROS and join the thread."""
        self._executor.shutdown(_JOIN_SECONDS)
        self._thread.join(_JOIN_SECONDS)
        self._client.destroy()
        self._node.destroy_node()
        self._context.try_shutdown()

    def wait_for_server(self, timeout: float) -> bool:
        return bool(self._client.wait_for_server(timeout))

    def wait_for_player(self, timeout: float) -> bool:
        """Wait until somebody plays and tells a playhead."""
        deadline = time.monotonic() + timeout
        while not self._node.count_publishers("playhead"):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
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
        """Say something and wait until it was heard; `on_heard` is told how many seconds were.

        When `cancel_after` seconds have begun to be heard the goal is cancelled.

        An exception that interrupts the wait (Ctrl-C) cancels the goal before it goes on.

        Raises:
            SpeechRefused: the server did not accept the goal.
            TimeoutError: it took longer than `timeout` seconds.
        """
        heard = 0.0
        handle: Any = None

        def on_feedback(message: Any) -> None:
            nonlocal heard
            info = message.feedback.audio.audio.info
            heard += info.chunk / info.rate
            on_heard(heard)
            if heard >= cancel_after and handle is not None:
                handle.cancel_goal_async()

        self._chunks, self._heard = [], []
        goal = TTS.Goal(text=text, language=language, volume=volume, rate=rate)
        sent = 0.0

        def send() -> Any:
            nonlocal sent
            sent = time.monotonic()
            self._goal_sent_ns = self._node.get_clock().now().nanoseconds
            return self._client.send_goal_async(goal, on_feedback)

        handle = self._ask(send, timeout)
        accepted_s = time.monotonic() - sent
        if not handle.accepted:
            raise SpeechRefused("the goal was refused; speak_server's log says why")
        if heard >= cancel_after:  # so soon that the feedback did not know the goal yet
            ask(self._executor, handle.cancel_goal_async)
        try:
            response = self._ask(handle.get_result_async, timeout)
        except BaseException:
            self._ask(handle.cancel_goal_async, _CANCEL_SECONDS)
            raise
        return Measured(
            _STATUS.get(response.status, "unknown"),
            response.result.text,
            accepted_s,
            time.monotonic() - sent,
            tuple(self._chunks),
            tuple(self._heard),
        )

    def _after_sending(self, moment_ns: int) -> float:
        return (moment_ns - self._goal_sent_ns) / NANOSECONDS

    def _ask(self, send: Callable[[], Any], timeout: float) -> Any:
        done = threading.Event()
        answer = ask(self._executor, send)
        answer.add_done_callback(lambda _: done.set())
        if not done.wait(timeout):
            raise TimeoutError(f"no answer from speak_server for {timeout:g} s")
        return answer.result()

    def _on_audio(self, message: AudioStamped) -> None:
        now_ns = self._node.get_clock().now().nanoseconds
        info = message.audio.info
        if info.chunk:
            if not self._chunks:
                self._start_ns = to_nanoseconds(message.header.stamp)
            self._chunks.append((self._after_sending(now_ns), info.chunk / info.rate))

    def _on_playhead(self, message: TimeReference) -> None:
        due_ns = to_nanoseconds(message.time_ref)
        if due_ns >= self._goal_sent_ns:
            position = (due_ns - self._start_ns) / NANOSECONDS
            heard_s = self._after_sending(to_nanoseconds(message.header.stamp))
            self._heard.append((heard_s, position))
