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

"""Measurements over ROS: a client sends goals to both nodes, each in a process of its own."""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from k2so_tts.bench.cost import Cost, Meter
from k2so_tts.bench.local import BarePipe
from k2so_tts.bench.node_processes import Robot, running
from k2so_tts.bench.texts import LONG, MINUTE, PARAGRAPH, SHORT, WARM_UP
from k2so_tts.bench.utterance import MeasuredUtterance, MeasureError
from k2so_tts.playback import PlayerSettings
from k2so_tts.ros.client import Measured, SpeechClient
from k2so_tts.ros.diagnostics import values_by_node
from k2so_tts.ros.errors import SpeechError
from k2so_tts.synthesis.engine_supervisor import EngineSpec

_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
_GOAL_SECONDS, _WHOLE_SECONDS = 60.0, 600.0
"""Timeouts of a goal that is streamed, and of one that is made whole first."""
_REST_SECONDS = 3.0
_WARM_UPS = 5
_LOOK_SECONDS = 0.02
_CUT_SECONDS = 0.05
"""Seconds heard of a goal before it is cut short."""


class BenchClient(SpeechClient):
    """A client that also reads the nodes' diagnostics and sets the server's parameters.

    Raises:
        MeasureError: ROS rejects the node (see `SpeechError`).
    """

    def __init__(self, namespace: str) -> None:
        try:
            super().__init__(namespace)
        except SpeechError as error:
            raise MeasureError(str(error)) from error
        self._namespace = namespace
        self._diagnostics: dict[str, dict[str, str]] = {}
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self._parameters: Any = self._node.create_client(
            SetParameters, "speak_server/set_parameters"
        )

    def wait_for_nodes(self) -> None:
        """Wait until both nodes run and have discovered each other.

        Raises:
            MeasureError: they do not start in time.
        """
        there = self.wait_for_server(_START_SECONDS) and self.wait_for_player(_START_SECONDS)
        if not there or not self._parameters.wait_for_service(_START_SECONDS):
            raise MeasureError(f"the nodes did not start within {_START_SECONDS:g} s")
        self.wait_for_status("speak_server", lambda values: values["players"] != "0")

    def set_streaming(self, streaming: bool) -> None:
        """Set the server's parameter `streaming`. Raises `MeasureError`."""
        parameter = Parameter("streaming", value=streaming).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        response = self._ask(lambda: self._parameters.call_async(request), _ANSWER_SECONDS)
        if not response.results[0].successful:
            raise MeasureError(f"streaming cannot be set: {response.results[0].reason}")

    def status(self, node: str) -> dict[str, str]:
        """The last diagnostic values of `speak_server` or `audio_player`; empty before any."""
        return self._diagnostics.get(f"{self._namespace}/{node}", {})

    def wait_for_status(
        self,
        node: str,
        condition: Callable[[dict[str, str]], bool],
        timeout: float = _START_SECONDS,
    ) -> dict[str, str]:
        """Wait for diagnostic values that satisfy a condition, and return them.

        Raises:
            MeasureError: none came in time.
        """
        deadline = time.monotonic() + timeout
        while not (values := self.status(node)) or not condition(values):
            if time.monotonic() > deadline:
                raise MeasureError(
                    f"{node} did not publish the expected diagnostics in {timeout:g} s"
                )
            time.sleep(_LOOK_SECONDS)
        return values

    def warm_up(self) -> None:
        """Say a word, again until its chunks and playhead were received: discovery may not be
        complete at first.

        Raises:
            MeasureError: no playhead was received.
        """
        for _ in range(_WARM_UPS):
            measured = self.say(WARM_UP, timeout=_GOAL_SECONDS)
            if measured.chunks and measured.heard:
                return
        raise MeasureError("no playhead was received from the player")

    def speak(self, text: str, *, streaming: bool = True, cut: bool = False) -> Measured:
        """Say a text, streamed or made whole first; with `cut` it is cancelled once it is heard.

        Raises:
            MeasureError: it was refused, not heard, or did not end as it should.
        """
        self.set_streaming(streaming)
        try:
            measured = self.say(
                text,
                cancel_after=_CUT_SECONDS if cut else math.inf,
                timeout=_GOAL_SECONDS if streaming else _WHOLE_SECONDS,
            )
        except (SpeechError, TimeoutError) as error:
            raise MeasureError(str(error)) from error
        if not measured.heard or not measured.chunks:
            raise MeasureError(f"a goal was {measured.status} without being heard: {text[:40]!r}")
        if measured.status != "succeeded" and not cut:
            raise MeasureError(f"a goal was {measured.status} after {measured.text!r}")
        return measured

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._diagnostics.update(values_by_node(message))


def server_parameters(spec: EngineSpec, voice: str) -> dict[str, object]:
    """The parameters of a server that speaks with this engine, or not at all: it has no fallback
    that could be measured in its place, nor phrases from earlier runs.
    """
    options = {f"{spec.name}.{name}": value for name, value in spec.options.items()}
    parameters = {
        "engine": spec.name,
        "fallback_engine": "",
        "voice": voice,
        "phrase_cache_mib": 0,
        **options,
    }
    return {name: json.dumps(value) for name, value in parameters.items()}


@contextmanager
def bench_robot(
    spec: EngineSpec, voice: str, settings: PlayerSettings
) -> Iterator[tuple[Robot, BenchClient]]:
    """Run one robot in a namespace of its own; yields it, warmed up, and its client.

    Raises:
        MeasureError: the nodes do not start, or are not heard.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    namespace = f"/bench_{os.getpid()}"
    player = {
        "device": settings.device,
        "block_frames": settings.block_frames,
        "device_latency": settings.device_latency,
        "prebuffer_chunks": settings.prebuffer_chunks,
        "rest_after": _REST_SECONDS,
    }
    with (
        closing(BenchClient(namespace)) as client,
        running(namespace, server_parameters(spec, voice), player) as robot,
    ):
        client.wait_for_nodes()
        client.warm_up()
        yield robot, client


@dataclass(frozen=True)
class SideBySide:
    """Results of `side_by_side`: the short text, the long one streamed and made whole first, and
    the times (s) to the first frame of the short text through the bare pipe.
    """

    short: list[Measured]
    long: list[Measured]
    traditional: list[Measured]
    pipe: list[float]

    @property
    def first_frames(self) -> dict[str, list[float]]:
        """The times (s) to the first frame, as `ratios` takes them."""
        goals = {"short": self.short, "long": self.long, "traditional": self.traditional}
        times = {name: [goal.heard[0][0] for goal in each] for name, each in goals.items()}
        return times | {"pipe": self.pipe}


def side_by_side(
    client: BenchClient,
    settings: PlayerSettings,
    rounds: int,
    seed: int,
    *,
    cut: bool,
    on_round: Callable[[], None],
) -> SideBySide:
    """Measure each kind of goal once a round, in an order drawn from `seed` for each round, so that
    load on the machine affects all kinds alike. With `cut` the short goals are cancelled as well
    once they are heard. `on_round` is called after each round.

    Raises:
        MeasureError: a goal or the bare pipe was not heard.
    """
    order = random.Random(seed)  # noqa: S311 - no secret
    found = SideBySide([], [], [], [])
    with closing(BarePipe(settings)) as pipe:
        turns: list[Callable[[], None]] = [
            lambda: found.short.append(client.speak(SHORT, cut=cut)),
            lambda: found.long.append(client.speak(LONG, cut=True)),
            lambda: found.traditional.append(client.speak(LONG, streaming=False, cut=True)),
            lambda: found.pipe.append(pipe.speak(SHORT)),
        ]
        for _ in range(rounds):
            order.shuffle(turns)
            for turn in turns:
                turn()
            on_round()
    return found


def measure_utterances(client: BenchClient) -> list[MeasuredUtterance]:
    """Measure the short text, and a paragraph both ways, each heard to its end."""
    return [
        measure_utterance(client, f"{name}, over ROS", text, streaming=streaming)
        for name, text, streaming in (
            ("4 words", SHORT, True),
            ("a paragraph", PARAGRAPH, True),
            ("a paragraph made whole first", PARAGRAPH, False),
        )
    ]


def measure_utterance(
    client: BenchClient, name: str, text: str, *, streaming: bool
) -> MeasuredUtterance:
    """Measure one goal. When the engine had made all of it is known from the server's diagnostics.

    Raises:
        MeasureError: it was not heard, or a node published no diagnostics.
    """
    before = client.wait_for_status("speak_server", lambda _: True)["goals_succeeded"]
    underruns = int(client.status("audio_player")["underruns"])
    goal = client.speak(text, streaming=streaming)
    server = client.wait_for_status(
        "speak_server", lambda values: values["goals_succeeded"] != before
    )
    engine_s = float(server["real_time_factor"]) * float(server["duration_s"])
    return MeasuredUtterance(
        name=name,
        accepted_s=goal.accepted_s,
        made_s=goal.accepted_s + engine_s,
        chunks=goal.chunks,
        heard=goal.heard,
        underruns=int(client.status("audio_player")["underruns"]) - underruns,
    )


def measure_costs(robot: Robot, client: BenchClient, seconds: float) -> dict[str, dict[str, Cost]]:
    """The cost of each node over `seconds` of speech, and over a third of that while it is idle and
    its device is closed.
    """
    nodes = {name: [pid] for name, pid in robot.pids.items()}
    found = {}
    with Meter(nodes) as meter:
        client.say(MINUTE, cancel_after=seconds)
    found["speaking"] = meter.costs
    client.wait_for_status("audio_player", lambda values: values["device_rests"] == "True")
    with Meter(nodes) as meter:
        time.sleep(seconds / 3)
    found["idle"] = meter.costs
    return found
