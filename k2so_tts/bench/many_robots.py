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

"""Several robots on one machine, all speaking: what they cost, and how late each is heard."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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
from k2so_tts.bench.results import ManyRobotsResult
from k2so_tts.bench.texts import MINUTE, WARM_UP
from k2so_tts.bench.utterance import MeasureError
from k2so_tts.ros.diagnostics import values_by_node
from k2so_tts.ros.executors import ask
from k2so_tts.ros.messages import TTS, playhead_qos, to_nanoseconds

_REST_SECONDS = 1.0
_WARM_UPS = 5
_START_SECONDS = 120.0
_JOIN_SECONDS = 5.0
_DIAGNOSTICS_DEPTH = 1000


def measure_many_robots(
    robots: int, server: Mapping[str, object], seconds: float
) -> ManyRobotsResult:
    """Have several robots speak at once for `seconds`, on null devices, then idle for half that.

    Raises:
        MeasureError: they do not start, or are not heard.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    namespaces = [f"/bench_{os.getpid()}/robot{number}" for number in range(1, robots + 1)]
    with ExitStack() as stack:
        player = {"device": "null", "rest_after": _REST_SECONDS}
        pids = [
            pid
            for namespace in namespaces
            for pid in stack.enter_context(running(namespace, server, player)).pids.values()
        ]
        fleet = stack.enter_context(closing(_Fleet(namespaces)))
        fleet.wait_for_nodes()
        fleet.warm_up()
        fleet.speak(MINUTE)
        with Meter({"all": pids}) as meter:
            time.sleep(seconds)
        speaking = meter.costs["all"]
        first_frames, underruns = fleet.first_frames(), fleet.underruns()
        fleet.cancel()
        fleet.wait("idle devices", fleet.all_rest)
        with Meter({"all": pids}) as meter:
            time.sleep(seconds / 2)
        idle = meter.costs["all"]
    return ManyRobotsResult(robots, len(pids), speaking, idle, first_frames, underruns)


class _Fleet:
    """One ROS participant that has the robots of several namespaces speak at once."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("fleet", context=self._context, enable_rosout=False)
        self._changed = threading.Condition()
        self._clients: dict[str, Any] = {}
        self._handles: list[Any] = []
        self._diagnostics: dict[str, dict[str, str]] = {}
        self._heard_ns: dict[str, int] = {}
        self._sent_ns = 0
        self._unfinished = 0
        for name in namespaces:
            self._clients[name] = ActionClient(self._node, TTS, f"{name}/say")
            self._node.create_subscription(
                TimeReference,
                f"{name}/playhead",
                lambda message, name=name: self._on_playhead(name, message),
                playhead_qos(),
            )
        self._node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, _DIAGNOSTICS_DEPTH
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, name="fleet", daemon=True)
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
        """Wait until a condition holds, which `what` names.

        Raises:
            MeasureError: it does not hold in time.
        """
        with self._changed:
            if not self._changed.wait_for(condition, _START_SECONDS):
                raise MeasureError(f"waited {_START_SECONDS:g} s for {what} in vain")

    def wait_for_nodes(self) -> None:
        """Wait until every server is there and knows its player. Raises `MeasureError`."""
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
        """Have all robots say a word, again until every playhead was received: discovery may not be
        complete at first. Raises `MeasureError`.
        """
        for _ in range(_WARM_UPS):
            self._send(WARM_UP)
            self.wait("the end of the first goals", lambda: not self._unfinished)
            if self._all_heard():
                return
        raise MeasureError("no playhead was received from some of the players")

    def speak(self, text: str) -> None:
        """Send all robots the same goal at once; return when all are heard."""
        self._send(text)
        self.wait("the first frame of each robot", self._all_heard)

    def cancel(self) -> None:
        """Cancel all goals and wait for their end. Raises `MeasureError`."""
        for handle in list(self._handles):
            ask(self._executor, handle.cancel_goal_async)
        self.wait("the end of all goals", lambda: not self._unfinished)

    def first_frames(self) -> tuple[float, ...]:
        """When the first frame of each robot left its device (s after the goals were sent)."""
        return tuple((heard - self._sent_ns) / NANOSECONDS for heard in self._heard_ns.values())

    def underruns(self) -> int:
        """The underruns that all players have counted so far."""
        return sum(int(self._value(name, "audio_player", "underruns")) for name in self._clients)

    def all_rest(self) -> bool:
        """Whether every player has closed its device because there is nothing to play."""
        return all(
            self._value(name, "audio_player", "device_rests") == "True" for name in self._clients
        )

    def _send(self, text: str) -> None:
        with self._changed:
            self._heard_ns.clear()
            self._handles.clear()
            self._unfinished = len(self._clients)
            self._sent_ns = self._now_ns()
        goal = TTS.Goal(text=text)

        def send() -> None:
            for client in self._clients.values():
                client.send_goal_async(goal).add_done_callback(self._on_response)

        ask(self._executor, send)

    def _all_heard(self) -> bool:
        return len(self._heard_ns) == len(self._clients)

    def _value(self, namespace: str, node: str, key: str) -> str:
        return self._diagnostics.get(f"{namespace}/{node}", {}).get(key, "")

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _on_response(self, future: Any) -> None:
        handle = future.result()
        with self._changed:
            self._handles.append(handle)
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, _: Any) -> None:
        with self._changed:
            self._unfinished -= 1
            self._changed.notify_all()

    def _on_playhead(self, namespace: str, message: TimeReference) -> None:
        if to_nanoseconds(message.time_ref) >= self._sent_ns:
            with self._changed:
                self._heard_ns.setdefault(namespace, to_nanoseconds(message.header.stamp))
                self._changed.notify_all()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        with self._changed:
            self._diagnostics.update(values_by_node(message))
            self._changed.notify_all()
