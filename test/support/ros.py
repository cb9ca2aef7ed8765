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

"""Real nodes in processes of their own, and a ROS participant that watches all they do."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rclpy
from action_msgs.msg import GoalStatus
from audio_common_msgs.action import TTS
from audio_common_msgs.msg import AudioStamped
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Log
from rclpy.action.client import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import TimeReference
from std_msgs.msg import Bool

from k2so_tts.audio import EMPTY_PCM, NANOSECONDS
from k2so_tts.ros.diagnostics import node_of, values_of
from k2so_tts.ros.executors import ask
from k2so_tts.ros.messages import (
    request_qos,
    speech_qos,
    state_qos,
    to_message,
    to_nanoseconds,
)

SUCCEEDED = GoalStatus.STATUS_SUCCEEDED
CANCELED = GoalStatus.STATUS_CANCELED
ABORTED = GoalStatus.STATUS_ABORTED
TIMEOUT = 30.0
STOP_SECONDS = 15.0
"""Seconds a node may take to end; a fraction of one on an idle machine."""
MOST_DOMAINS = 101
"""Further ones have ports that Linux hands out to anybody (docs.ros.org, "The ROS_DOMAIN_ID")."""


CODES = {
    "float32_data": "f",
    "int32_data": "i",
    "int16_data": "h",
    "int8_data": "b",
    "uint8_data": "B",
}
FIELDS = {1: "float32_data", 2: "int32_data", 8: "int16_data", 16: "int8_data", 32: "uint8_data"}
"""The sample fields of `AudioData` by format, and the type codes of their arrays."""


@contextlib.contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain that no other session of tests on this machine has.

    Who holds one is bound to a socket of its name, which the kernel frees however a process ends.
    """
    with socket.socket(socket.AF_UNIX) as claim:
        for domain in range(1, MOST_DOMAINS + 1):
            with contextlib.suppress(OSError):
                claim.bind(f"\0k2so_tts domain {domain}")
                break
        else:
            raise RuntimeError(f"all {MOST_DOMAINS} ROS domains are taken")
        yield domain


def clean_shared_memory() -> None:
    """Remove what nodes that were killed have left behind, if their RMW is Fast DDS."""
    if program := shutil.which("fastdds"):
        command = [program, "shm", "clean"]
        subprocess.run(command, stdout=subprocess.DEVNULL, timeout=TIMEOUT, check=True)


@contextlib.contextmanager
def running(
    program: str,
    env: Mapping[str, str] | None = None,
    errors: int = subprocess.PIPE,
    namespace: str = "/",
    patch: str = "",
    **parameters: Any,
) -> Iterator[subprocess.Popen[str]]:
    """A node, ended with SIGINT if it still runs; its exit code must be 0 then."""
    process = start(program, env, errors, namespace, patch, **parameters)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            assert process.wait(STOP_SECONDS) == 0


def start(
    program: str,
    env: Mapping[str, str] | None = None,
    errors: int = subprocess.PIPE,
    namespace: str = "/",
    patch: str = "",
    **parameters: Any,
) -> subprocess.Popen[str]:
    """Start a node with parameters; it must be ended by the caller.

    Python code given as `patch` runs in its process first. A server speaks with espeak unless its
    `engine` is given, which is the same on every machine.
    """
    if program == "speak_server":
        parameters = {"engine": "espeak", **parameters}
    command = [program]
    if patch:
        installed = "import sys\nsys.path.remove('')\n"  # not what lies in the current directory
        code = f"{installed}{patch}\nfrom k2so_tts.ros.main import {program}\n{program}()\n"
        command = [sys.executable, "-c", code]
    command += ["--ros-args", "-r", f"__ns:={namespace}"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return subprocess.Popen(command, env={**os.environ, **(env or {})}, stderr=errors, text=True)


def publish_hum(publisher: Publisher[AudioStamped], stamp_ns: int, name: str) -> int:
    """Publish a tenth of a second and its end, as a node of this name; the stamp of the end."""
    end_ns = stamp_ns + NANOSECONDS // 10
    publisher.publish(to_message(stamp_ns, np.ones(800, np.int16), 8000, name))
    publisher.publish(to_message(end_ns, EMPTY_PCM, 8000, name))
    return end_ns


@dataclass(eq=False)
class Goal:
    """A goal that was sent: everything that has come back so far."""

    sent_at: float
    accepted: bool | None = None
    handle: Any = None
    status: int | None = None
    text: str = ""
    ended_at: float | None = None
    feedback: list[tuple[float, int]] = field(default_factory=list)


class Observer:
    """Sends goals and remembers, with the time (s, monotonic), every message of interest."""

    def __init__(self, namespace: str = "", domain: int | None = None) -> None:
        self._context = Context()
        rclpy.init(
            context=self._context,
            domain_id=domain,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.node = rclpy.create_node(
            f"observer_{os.getpid()}_{id(self) % 10000}",
            namespace=namespace,
            context=self._context,
        )
        self.server: Any = None
        """The process of `speak_server` (psutil), where a test needs it."""
        self.changed = threading.Condition()
        self.audio: list[tuple[float, AudioStamped]] = []
        self.playheads: list[tuple[float, int, int]] = []
        self.speaking: list[tuple[float, bool]] = []
        self.diagnostics: dict[str, Any] = {}
        self.log: list[Log] = []
        subscribe = self.node.create_subscription
        subscribe(AudioStamped, "audio", self._on_audio, speech_qos())
        subscribe(TimeReference, "playhead", self._on_playhead, QoSProfile(depth=1000))
        state = state_qos()
        state.depth = 1000  # a change is not lost to the next one while this process is busy
        subscribe(Bool, "is_speaking", self._on_speaking, state)
        subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        subscribe(Log, "/rosout", self._on_log, 1000)
        self.client: Any = ActionClient(
            self.node,
            TTS,
            "say",
            goal_service_qos_profile=request_qos(),
            result_service_qos_profile=request_qos(),
            cancel_service_qos_profile=request_qos(),
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown(1.0)
        self._thread.join(5.0)
        self.client.destroy()
        self.node.destroy_node()
        self._context.try_shutdown()

    def wait(self, condition: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
        """Wait until something holds of what was seen; its value. Raises `TimeoutError`."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while not (value := condition()):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"it did not happen; {self._seen()}")
                self.changed.wait(0.02)
        return value

    def wait_for_end(self, *goals: Goal, timeout: float = TIMEOUT) -> None:
        """Wait until goals have ended, or were refused."""
        self.wait(
            lambda: all(goal.status is not None or goal.accepted is False for goal in goals),
            timeout,
        )

    def wait_for_nodes(self) -> None:
        """Wait until server and player know each other, as the server's next status tells."""
        server = f"{self.node.get_namespace().rstrip('/')}/speak_server"
        with self.changed:
            self.diagnostics.pop(server, None)
        assert self.client.wait_for_server(TIMEOUT)
        self.wait(lambda: self.node.count_publishers("playhead"))
        self.wait(lambda: self.node.count_subscribers("audio") >= 2)
        self.wait(lambda: self.speaking)
        self.wait(lambda: self.status(server).get("players", "0") != "0")

    def send(self, text: str, language: str = "", volume: float = 1.0, rate: float = 1.0) -> Goal:
        """Send a goal; returns at once."""
        goal = Goal(time.monotonic())

        def on_feedback(message: Any) -> None:
            stamp = to_nanoseconds(message.feedback.audio.header.stamp)
            with self.changed:
                goal.feedback.append((time.monotonic(), stamp))

        def on_response(future: Any) -> None:
            goal.handle = future.result()
            goal.accepted = goal.handle.accepted
            if goal.accepted:
                goal.handle.get_result_async().add_done_callback(on_result)
            self._notify()

        def on_result(future: Any) -> None:
            goal.ended_at = time.monotonic()
            goal.text = future.result().result.text
            goal.status = future.result().status
            self._notify()

        request = TTS.Goal(text=text, language=language, volume=volume, rate=rate)

        def send() -> None:
            sent = self.client.send_goal_async(request, on_feedback)
            sent.add_done_callback(on_response)

        ask(self._executor, send)
        return goal

    def say(self, text: str, timeout: float = TIMEOUT, **fields: Any) -> Goal:
        """Send a goal and wait for its end."""
        goal = self.send(text, **fields)
        self.wait(lambda: goal.status is not None or goal.accepted is False, timeout)
        return goal

    def cancel(self, goal: Goal) -> float:
        """Ask for a goal to be cancelled; when (s, monotonic)."""
        self.wait(lambda: goal.accepted is not None)
        asked = time.monotonic()
        ask(self._executor, goal.handle.cancel_goal_async)
        return asked

    def call(self, service_type: Any, name: str, **fields: Any) -> Any:
        """Call a service and wait for its response."""
        client: Any = self.node.create_client(service_type, name)
        try:
            assert client.wait_for_service(TIMEOUT)
            request = service_type.Request(**fields)
            future = ask(self._executor, lambda: client.call_async(request))
            return self.wait(lambda: future.done() and future.result())
        finally:
            self.node.destroy_client(client)

    def set_parameter(self, node: str, name: str, value: float | str | bool) -> Any:
        """Set a parameter of a node: the result, with `successful` and `reason`."""
        from rcl_interfaces.srv import SetParameters

        parameter = Parameter(name, value=value).to_parameter_msg()
        response = self.call(SetParameters, f"{node}/set_parameters", parameters=[parameter])
        return response.results[0]

    def status(self, node: str) -> dict[str, str]:
        """The last diagnostic values of a node, its level as `level`, its message as `message`."""
        found = self.diagnostics.get(node)
        if found is None:
            return {}
        return {**values_of(found), "level": str(found.level[0]), "message": found.message}

    def _seen(self) -> str:
        """What was seen last: what a test that waits in vain is understood by."""
        told = {node: self.status(node) for node in self.diagnostics}
        log = [f"{entry.name}: {entry.msg}" for entry in self.log[-20:]]
        return f"speaking {self.speaking[-3:]}, {len(self.audio)} chunks, {told}, log {log}"

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _on_audio(self, message: AudioStamped) -> None:
        with self.changed:
            self.audio.append((time.monotonic(), message))
            self.changed.notify_all()

    def _on_playhead(self, message: TimeReference) -> None:
        head = to_nanoseconds(message.time_ref)
        with self.changed:
            self.playheads.append((time.monotonic(), head, to_nanoseconds(message.header.stamp)))
            self.changed.notify_all()

    def _on_speaking(self, message: Bool) -> None:
        with self.changed:
            self.speaking.append((time.monotonic(), message.data))
            self.changed.notify_all()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        with self.changed:
            for status in message.status:
                self.diagnostics[node_of(status)] = status
            self.changed.notify_all()

    def _on_log(self, message: Log) -> None:
        with self.changed:
            self.log.append(message)
            self.changed.notify_all()
