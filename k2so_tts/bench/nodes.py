"""Measures over ROS: a client sends real goals to both nodes, each in a process of its own."""

from __future__ import annotations

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
from k2so_tts.bench.utterance import MeasureError, Utterance
from k2so_tts.playback import PlayerSettings
from k2so_tts.ros.client import Measured, SpeechClient, SpeechRefused

START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
_GOAL_SECONDS, _WHOLE_SECONDS = 60.0, 600.0
"""For a goal that is streamed, and for one that is made whole first."""
_REST_SECONDS = 3.0
_WARM_UPS = 5
_LOOK_SECONDS = 0.02
_CUT_SECONDS = 0.05
"""Heard of a goal that is cut short, once its first frame was."""


class BenchClient(SpeechClient):
    """A client that knows what the nodes tell of themselves, and can set their parameters.

    Raises:
        MeasureError: ROS refuses to take part.
    """

    def __init__(self, namespace: str) -> None:
        try:
            super().__init__(namespace)
        except SpeechRefused as error:
            raise MeasureError(str(error)) from error
        self._namespace = namespace
        self._told: dict[str, dict[str, str]] = {}
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self._parameters: Any = self._node.create_client(
            SetParameters, "speak_server/set_parameters"
        )

    def wait_for_nodes(self) -> None:
        """Wait until both nodes are there and know each other.

        Raises:
            MeasureError: they do not come up.
        """
        there = self.wait_for_server(START_SECONDS) and self.wait_for_player(START_SECONDS)
        if not there or not self._parameters.wait_for_service(START_SECONDS):
            raise MeasureError(f"the nodes did not start within {START_SECONDS:g} s")
        self.wait_for_status("speak_server", lambda values: values["players"] != "0")

    def set_streaming(self, streaming: bool) -> None:
        """Have texts spoken while they are made, or made whole first."""
        parameter = Parameter("streaming", value=streaming).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        response = self._ask(lambda: self._parameters.call_async(request), _ANSWER_SECONDS)
        if not response.results[0].successful:
            raise MeasureError(f"streaming can't be set: {response.results[0].reason}")

    def status(self, node: str) -> dict[str, str]:
        """What a node has told last in `/diagnostics`; empty before it did."""
        return self._told.get(f"{self._namespace}/{node}", {})

    def wait_for_status(
        self, node: str, condition: Callable[[dict[str, str]], bool]
    ) -> dict[str, str]:
        """Wait until something holds of what a node tells. Raises `MeasureError`."""
        deadline = time.monotonic() + START_SECONDS
        while not (values := self.status(node)) or not condition(values):
            if time.monotonic() > deadline:
                raise MeasureError(f"{node} did not tell in /diagnostics what was waited for")
            time.sleep(_LOOK_SECONDS)
        return values

    def warm_up(self) -> None:
        """Say a word, again until it was heard of: at first the nodes may not know yet who listens.

        Raises:
            MeasureError: nothing is heard of it.
        """
        for _ in range(_WARM_UPS):
            measured = self.say(WARM_UP, timeout=_GOAL_SECONDS)
            if measured.chunks and measured.heard:
                return
        raise MeasureError("the player does not tell its playhead")

    def speak(self, text: str, *, streaming: bool = True, cut: bool = False) -> Measured:
        """Say a text in the one way or the other. Raises `MeasureError` if it was not heard."""
        self.set_streaming(streaming)
        try:
            measured = self.say(
                text,
                cancel_after=_CUT_SECONDS if cut else math.inf,
                timeout=_GOAL_SECONDS if streaming else _WHOLE_SECONDS,
            )
        except (SpeechRefused, TimeoutError) as error:
            raise MeasureError(str(error)) from error
        if not measured.heard or not measured.chunks:
            raise MeasureError(f"a goal {measured.status} unheard: {text[:40]!r}")
        if measured.status != "succeeded" and not cut:
            raise MeasureError(f"a goal was {measured.status} after {measured.text!r}")
        return measured

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._told[status.name.partition(":")[0]] = {
                pair.key: pair.value for pair in status.values
            }


@contextmanager
def bench_robot(engine: str, settings: PlayerSettings) -> Iterator[tuple[Robot, BenchClient]]:
    """One robot of its own namespace, warmed up, and its client."""
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
        running(namespace, {"engine": engine}, player) as robot,
    ):
        client.wait_for_nodes()
        client.warm_up()
        yield robot, client


@dataclass(frozen=True)
class SideBySide:
    """Measured in turns: the short text, the long one streamed and made whole, the bare pipe."""

    short: list[Measured]
    long: list[Measured]
    traditional: list[Measured]
    pipe: list[float]

    @property
    def first_frames(self) -> dict[str, list[float]]:
        """The times (s) to the first frame, for `ratios`."""
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
    """Each thing once a round, in an order that is drawn anew each time: what disturbs the machine
    disturbs all of them alike. With `cut` the short goals are not spoken to their end either.

    Raises:
        MeasureError: a goal or the bare pipe was not heard.
    """
    drawn = random.Random(seed)  # noqa: S311 - for an order
    found = SideBySide([], [], [], [])
    with closing(BarePipe(settings)) as pipe:
        turns: list[Callable[[], None]] = [
            lambda: found.short.append(client.speak(SHORT, cut=cut)),
            lambda: found.long.append(client.speak(LONG, cut=True)),
            lambda: found.traditional.append(client.speak(LONG, streaming=False, cut=True)),
            lambda: found.pipe.append(pipe.speak(SHORT)),
        ]
        for _ in range(rounds):
            drawn.shuffle(turns)
            for turn in turns:
                turn()
            on_round()
    return found


def timelines(client: BenchClient) -> list[Utterance]:
    """The short text, and a paragraph both ways, each heard to its end."""
    return [
        timeline(client, f"{name}, over ROS", text, streaming=streaming)
        for name, text, streaming in (
            ("4 words", SHORT, True),
            ("a paragraph", PARAGRAPH, True),
            ("a paragraph made whole first", PARAGRAPH, False),
        )
    ]


def timeline(client: BenchClient, name: str, text: str, *, streaming: bool) -> Utterance:
    """One goal, with the time at which its engine had made everything."""
    before = client.wait_for_status("speak_server", lambda _: True)["goals_succeeded"]
    ran_dry = int(client.status("audio_player")["underruns"])
    goal = client.speak(text, streaming=streaming)
    server = client.wait_for_status(
        "speak_server", lambda values: values["goals_succeeded"] != before
    )
    engine_s = float(server["real_time_factor"]) * float(server["duration_s"])
    return Utterance(
        name=name,
        accepted_s=goal.accepted_s,
        made_s=goal.accepted_s + engine_s,
        chunks=goal.chunks,
        heard=goal.heard,
        underruns=int(client.status("audio_player")["underruns"]) - ran_dry,
    )


def costs(robot: Robot, client: BenchClient, seconds: float) -> dict[str, dict[str, Cost]]:
    """What each node costs while it speaks, and while it is idle and the device rests."""
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
