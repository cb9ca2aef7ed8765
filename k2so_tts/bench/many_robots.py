"""Several robots on one machine, all of them speaking: what that costs, and who waits how long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action.client import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import TimeReference

from k2so_tts.audio import NANOSECONDS
from k2so_tts.bench.cost import Meter
from k2so_tts.bench.node_processes import running
from k2so_tts.bench.results import Crowd
from k2so_tts.bench.texts import MINUTE, WARM_UP
from k2so_tts.bench.utterance import MeasureError
from k2so_tts.ros.client import ask
from k2so_tts.ros.messages import TTS, playhead_qos, to_nanoseconds

_REST_SECONDS = 1.0
_WARM_UPS = 5
_START_SECONDS = 120.0
_JOIN_SECONDS = 5.0


def crowd(robots: int, engine: str, seconds: float) -> Crowd:
    """Have that many robots speak for some seconds at once, on null devices, and then rest.

    Raises:
        MeasureError: they do not come up, or are not heard.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    namespaces = [f"/bench_{os.getpid()}/robot{number}" for number in range(1, robots + 1)]
    with ExitStack() as stack:
        server = {"engine": engine}
        player = {"device": "null", "rest_after": _REST_SECONDS}
        pids = [
            pid
            for namespace in namespaces
            for pid in stack.enter_context(running(namespace, server, player)).pids.values()
        ]
        choir = stack.enter_context(closing(_Fleet(namespaces)))
        choir.wait_for_nodes()
        choir.warm_up()
        choir.speak(MINUTE)
        with Meter({"all": pids}) as meter:
            time.sleep(seconds)
        speaking = meter.costs["all"]
        first_frames, underruns = choir.first_frames(), choir.underruns()
        choir.cancel()
        choir.wait("devices at rest", choir.all_rest)
        with Meter({"all": pids}) as meter:
            time.sleep(seconds / 2)
        idle = meter.costs["all"]
    return Crowd(robots, len(pids), speaking, idle, first_frames, underruns)


class _Fleet:
    """One ROS participant that has several robots speak at once."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("choir", context=self._context, enable_rosout=False)
        self._changed = threading.Condition()
        self._clients: dict[str, Any] = {}
        self._handles: list[Any] = []
        self._told: dict[str, dict[str, str]] = {}
        self._heard_ns: dict[str, int] = {}
        self._sent_ns = 0
        self.speaking = 0
        """Goals that have not ended."""
        for name in namespaces:
            self._clients[name] = ActionClient(self._node, TTS, f"{name}/say")
            self._node.create_subscription(
                TimeReference,
                f"{name}/playhead",
                lambda message, name=name: self._on_playhead(name, message),
                playhead_qos(),
            )
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 1000)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, name="choir", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave ROS and join the thread."""
        self._executor.shutdown(_JOIN_SECONDS)
        self._thread.join(_JOIN_SECONDS)
        for client in self._clients.values():
            client.destroy()
        self._node.destroy_node()
        self._context.try_shutdown()

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until something holds. Raises `MeasureError`."""
        with self._changed:
            if not self._changed.wait_for(condition, _START_SECONDS):
                raise MeasureError(f"{what}: not within {_START_SECONDS:g} s")

    def wait_for_nodes(self) -> None:
        for name, client in self._clients.items():
            if not client.wait_for_server(_START_SECONDS):
                raise MeasureError(f"{name}/speak_server did not start")
        self.wait(
            "servers that know their players",
            lambda: all(
                self._value(name, "speak_server", "players") == "1" for name in self._clients
            ),
        )

    def warm_up(self) -> None:
        """Have all of them say a word, again until every player was heard of: at first they may not
        know yet who listens. Raises `MeasureError`.
        """
        for _ in range(_WARM_UPS):
            self._send(WARM_UP)
            self.wait("the end of the first goals", lambda: not self.speaking)
            if self._all_heard():
                return
        raise MeasureError("not every player tells its playhead")

    def speak(self, text: str) -> None:
        """Give all of them the same goal at once; returns when all are heard."""
        self._send(text)
        self.wait("a first frame of each", self._all_heard)

    def _send(self, text: str) -> None:
        with self._changed:
            self._heard_ns.clear()
            self._handles.clear()
            self.speaking = len(self._clients)
            self._sent_ns = self._now_ns()
        goal = TTS.Goal(text=text)

        def send() -> None:
            for client in self._clients.values():
                client.send_goal_async(goal).add_done_callback(self._on_response)

        ask(self._executor, send)

    def _all_heard(self) -> bool:
        return len(self._heard_ns) == len(self._clients)

    def cancel(self) -> None:
        """Cancel all goals and wait for their end."""
        for handle in list(self._handles):
            ask(self._executor, handle.cancel_goal_async)
        self.wait("the end of all goals", lambda: not self.speaking)

    def first_frames(self) -> tuple[float, ...]:
        """When each was heard first (s after the goals were sent)."""
        return tuple((heard - self._sent_ns) / NANOSECONDS for heard in self._heard_ns.values())

    def underruns(self) -> int:
        return sum(int(self._value(name, "audio_player", "underruns")) for name in self._clients)

    def all_rest(self) -> bool:
        """Whether every player's device is closed because nothing is to be heard."""
        return all(
            self._value(name, "audio_player", "device_rests") == "True" for name in self._clients
        )

    def _value(self, namespace: str, node: str, key: str) -> str:
        return self._told.get(f"{namespace}/{node}", {}).get(key, "")

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _on_response(self, future: Any) -> None:
        handle = future.result()
        with self._changed:
            self._handles.append(handle)
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, _: Any) -> None:
        with self._changed:
            self.speaking -= 1
            self._changed.notify_all()

    def _on_playhead(self, namespace: str, message: TimeReference) -> None:
        if to_nanoseconds(message.time_ref) >= self._sent_ns:
            with self._changed:
                self._heard_ns.setdefault(namespace, to_nanoseconds(message.header.stamp))
                self._changed.notify_all()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        with self._changed:
            for status in message.status:
                values = {pair.key: pair.value for pair in status.values}
                self._told[status.name.partition(":")[0]] = values
            self._changed.notify_all()
