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

"""The examples, run as a reader would run them, against the real nodes."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest
import rclpy
from action_msgs.msg import GoalStatus, GoalStatusArray
from ament_index_python import PackageNotFoundError, get_package_prefix
from audio_common_msgs.action import TTS
from diagnostic_msgs.msg import DiagnosticArray
from k2so_tts_msgs.action import Speak
from py_trees.common import Status
from rclpy.action.server import ActionServer, CancelResponse, GoalResponse
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool
from support.ros import own_domain

from k2so_tts.ros.diagnostics import values_by_node

EXAMPLES = Path(__file__).parents[2] / "examples"
GREET = EXAMPLES / "py_trees" / "greet.py"
CONVERSATION = EXAMPLES / "llm_conversation.py"
CPP = EXAMPLES / "behaviortree_cpp"

TIMEOUT = 20.0
STOP_SECONDS = 5.0

T = TypeVar("T")


# What runs


@dataclass
class Running:
    """A child process, and what it has printed."""

    process: subprocess.Popen[bytes]
    output: str = ""

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()

    def wait(self) -> int:
        return self.process.wait(TIMEOUT)

    def read(self) -> None:
        """Read all there comes, as it comes."""
        assert self.process.stdout is not None
        while piece := os.read(self.process.stdout.fileno(), 4096).decode():
            self.output += piece


@contextlib.contextmanager
def running(domain: int, *command: str | Path) -> Iterator[Running]:
    """A process while the block runs: told to end after it, ended if it does not listen."""
    env = {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        child = Running(process)
        reader = threading.Thread(target=child.read, daemon=True)
        reader.start()
        try:
            yield child
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(STOP_SECONDS)


@dataclass
class Goal:
    """What anybody can see of a goal: how it ended, and what of it began to be heard: seconds of
    one of `say`, the words of one of `speak`.
    """

    status: int = GoalStatus.STATUS_UNKNOWN
    heard_s: float = 0.0
    words: list[str] = field(default_factory=list)


class Witness:
    """Sees and hears, in a domain, what the nodes tell everybody."""

    def __init__(self, domain: int) -> None:
        self.goals: dict[bytes, Goal] = {}
        self.is_speaking: bool | None = None
        self.diagnostics: dict[str, dict[str, str]] = {}
        self._context = Context()
        rclpy.init(
            context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO
        )
        self.node: Node = rclpy.create_node("witness", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        remembered = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        subscribe = self.node.create_subscription
        subscribe(GoalStatusArray, "say/_action/status", self._on_status, remembered)
        subscribe(TTS.Impl.FeedbackMessage, "say/_action/feedback", self._on_feedback, 100)
        subscribe(GoalStatusArray, "speak/_action/status", self._on_status, remembered)
        subscribe(Speak.Impl.FeedbackMessage, "speak/_action/feedback", self._on_word, 100)
        subscribe(Bool, "is_speaking", self._on_speaking, remembered)
        subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self._danger = self.node.create_publisher(Bool, "danger", 10)
        self._battery_low = self.node.create_publisher(Bool, "battery_low", 10)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def wait(self, condition: Callable[[], T], timeout: float = TIMEOUT) -> T:
        """Spin until the condition holds; its value."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, "it did not happen"
            self._executor.spin_once(0.02)
        return value

    def raise_alarm(self) -> None:
        """Tell the tree that there is danger."""
        self.wait(self._danger.get_subscription_count)
        self._danger.publish(Bool(data=True))

    def drain_battery(self) -> None:
        """Tell the tree that the battery is low."""
        self.wait(self._battery_low.get_subscription_count)
        self._battery_low.publish(Bool(data=True))

    def statuses(self) -> list[int]:
        return [goal.status for goal in self.goals.values()]

    def number(self, node: str, key: str) -> int:
        """A counter in a node's last diagnostics; -1 before there are any."""
        return int(self.diagnostics.get(node, {}).get(key, -1))

    def _goal(self, goal_id: Any) -> Goal:
        return self.goals.setdefault(bytes(goal_id.uuid), Goal())

    def _on_status(self, message: GoalStatusArray) -> None:
        for status in message.status_list:
            self._goal(status.goal_info.goal_id).status = status.status

    def _on_feedback(self, message: Any) -> None:
        info = message.feedback.audio.audio.info
        self._goal(message.goal_id).heard_s += info.chunk / info.rate

    def _on_word(self, message: Any) -> None:
        self._goal(message.goal_id).words.append(message.feedback.word)

    def _on_speaking(self, message: Bool) -> None:
        self.is_speaking = message.data

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics.update(values_by_node(message))


@pytest.fixture
def domain() -> Iterator[int]:
    with own_domain() as domain:
        yield domain


@pytest.fixture
def witness(domain: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with contextlib.closing(Witness(domain)) as witness:
        yield witness


@pytest.fixture
def robot(domain: int, witness: Witness) -> Iterator[Witness]:
    """Both nodes, playing to nobody in real time, and who watches them."""
    player = ("audio_player", "--ros-args", "-p", "device:=null")
    with (
        running(domain, *player),
        running(domain, "speak_server", "--ros-args", "-p", "engine:=espeak"),
    ):
        witness.wait(lambda: len(witness.diagnostics) == 2 and witness.is_speaking is not None)
        yield witness


# The tree of py_trees

UNHEARD = "(UNHEARD: the player had no sound device)"
"""How `speak` ends where no player has a device."""


def heard(tree: Running, name: str) -> list[str]:
    """What a behaviour of the tree said was heard in full."""
    return [line for line in tree.lines if line.startswith(f"{name}: heard ")]


def test_the_tree_greets_to_the_end(robot: Witness, domain: int) -> None:
    text = "Hello, and welcome."
    with running(domain, sys.executable, GREET, "--once", text) as tree:
        robot.wait(lambda: tree.process.poll() is not None)
    assert tree.wait() == 0
    assert heard(tree, "Greeting") == [f"Greeting: heard '{text}'"]
    robot.wait(lambda: robot.number("/speak_server", "goals_succeeded") == 1)
    robot.wait(lambda: robot.is_speaking is False)
    assert robot.statuses() == [GoalStatus.STATUS_SUCCEEDED]


def test_danger_breaks_the_greeting_off(robot: Witness, domain: int) -> None:
    text = "Hello, and welcome aboard. I am your guide, and I talk about the weather today."
    with running(domain, sys.executable, GREET, "--once", text) as tree:
        robot.wait(lambda: any(goal.heard_s for goal in robot.goals.values()))
        robot.raise_alarm()
        robot.wait(lambda: tree.process.poll() is not None)
    assert tree.wait() == 0

    robot.wait(lambda: robot.number("/speak_server", "goals_canceled") == 1)
    robot.wait(lambda: robot.number("/speak_server", "goals_succeeded") == 2)
    cut, warning, greeting = robot.goals.values()
    assert cut.status == GoalStatus.STATUS_CANCELED
    assert warning.status == greeting.status == GoalStatus.STATUS_SUCCEEDED
    assert 0.0 < cut.heard_s < greeting.heard_s
    assert warning.words == ["Danger"]

    (cut_off,) = [line for line in tree.lines if line.startswith("Greeting: cut off after ")]
    words = cut_off.removeprefix("Greeting: cut off after ").strip("'")
    assert text.startswith(words)
    assert len(words) < len(text)
    assert heard(tree, "Warning") == [f"Warning: heard 'Danger!' {UNHEARD}"]
    assert heard(tree, "Greeting") == [f"Greeting: heard '{text}'"]


def test_a_low_battery_is_heard_in_the_middle_of_the_greeting(robot: Witness, domain: int) -> None:
    text = "Hello, and welcome aboard. I am your guide, and I talk about the weather today."
    with running(domain, sys.executable, GREET, "--once", text) as tree:
        robot.wait(lambda: any(goal.heard_s for goal in robot.goals.values()))
        robot.drain_battery()
        robot.wait(lambda: tree.process.poll() is not None)
    assert tree.wait() == 0
    (battery,) = heard(tree, "Battery")
    assert battery.startswith("Battery: heard 'My battery is low.")
    assert battery.endswith(UNHEARD)
    assert heard(tree, "Greeting") == [f"Greeting: heard '{text}'"]
    assert tree.lines.index(battery) < tree.lines.index(f"Greeting: heard '{text}'")
    assert robot.statuses() == 2 * [GoalStatus.STATUS_SUCCEEDED]


def test_danger_is_heard_before_the_end_of_a_warning(robot: Witness, domain: int) -> None:
    with running(domain, sys.executable, GREET, "--once", "Hello, and welcome aboard.") as tree:
        robot.wait(lambda: any(goal.heard_s for goal in robot.goals.values()))
        robot.drain_battery()
        robot.wait(lambda: "Battery: saying " in tree.output)
        robot.raise_alarm()
        robot.wait(lambda: tree.process.poll() is not None)
    assert tree.wait() == 0
    names = [line.partition(":")[0] for line in tree.lines if ": heard " in line]
    assert names == ["Warning", "Battery", "Greeting"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_tree_falls_silent_when_it_is_ended(
    robot: Witness, domain: int, number: signal.Signals
) -> None:
    with running(domain, sys.executable, GREET) as tree:
        robot.wait(lambda: robot.is_speaking)
        tree.process.send_signal(number)
        robot.wait(lambda: tree.process.poll() is not None)
    assert tree.wait() == 0
    robot.wait(lambda: robot.is_speaking is False)
    assert robot.statuses() == [GoalStatus.STATUS_CANCELED]


def test_a_behaviour_tells_why_it_was_not_heard(robot: Witness) -> None:
    speak = load("speak")
    text = "This is going to take a while, and somebody else will not wait for its end."
    talk = speak.Speak("Talk", text, priority=3)
    late = speak.Speak("Late", "Later.", policy=speak.REJECT, priority=3)
    urgent = speak.Speak("Urgent", "Now!", policy=speak.REPLACE, priority=3)
    for behaviour in (talk, late, urgent):
        behaviour.setup(node=robot.node)

    def ticked(*behaviours: Any) -> bool:
        for behaviour in behaviours:
            if behaviour.status not in (Status.SUCCESS, Status.FAILURE):
                behaviour.tick_once()
        return all(each.status in (Status.SUCCESS, Status.FAILURE) for each in behaviours)

    robot.wait(lambda: ticked(talk) or talk.feedback_message == "saying 'going'")
    robot.wait(lambda: ticked(late))
    assert late.feedback_message == "refused; speak_server's log says why"
    robot.wait(lambda: ticked(talk, urgent))
    for behaviour in (talk, late, urgent):
        behaviour.shutdown()
    assert [talk.status, late.status, urgent.status] == [
        Status.FAILURE,
        Status.FAILURE,
        Status.SUCCESS,
    ]
    cut_off = re.fullmatch(r"cut off after '(.+)' \(REPLACED: .+\)", talk.feedback_message)
    assert cut_off
    assert text.startswith(cut_off[1])
    assert urgent.feedback_message == f"heard 'Now!' {UNHEARD}"


def test_a_server_that_is_not_there_is_not_waited_for_long(witness: Witness) -> None:
    say = load("say").Say("Say", "Hello", server_timeout=0.3)
    say.setup(node=witness.node)

    def failed() -> bool:
        say.tick_once()
        return bool(say.status == Status.FAILURE)

    witness.wait(failed)
    say.shutdown()
    assert say.feedback_message == "there is no server"


class SlowServer:
    """An action server that answers goals only when it is let."""

    def __init__(self, domain: int) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()
        self.ended: list[bool] = []
        self._context = Context()
        rclpy.init(
            context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO
        )
        self._node = rclpy.create_node("slow_server", context=self._context)
        self._server: Any = ActionServer(
            self._node,
            TTS,
            "say",
            execute_callback=self._execute,
            goal_callback=self._on_goal,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        self._executor = MultiThreadedExecutor(2, context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.answer.set()
        self._executor.shutdown(STOP_SECONDS)
        self._thread.join(STOP_SECONDS)
        self._server.destroy()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on_goal(self, _: Any) -> GoalResponse:
        self.asked.set()
        self.answer.wait(TIMEOUT)
        return GoalResponse.ACCEPT

    def _execute(self, handle: Any) -> Any:
        deadline = time.monotonic() + TIMEOUT
        while not handle.is_cancel_requested and time.monotonic() < deadline:
            time.sleep(0.005)
        self.ended.append(handle.is_cancel_requested)
        handle.canceled() if handle.is_cancel_requested else handle.abort()
        return TTS.Result(text="")


def test_a_goal_not_accepted_yet_is_cancelled_too(witness: Witness, domain: int) -> None:
    say = load("say").Say("Say", "Hello")
    say.setup(node=witness.node)
    with contextlib.closing(SlowServer(domain)) as server:

        def asked() -> bool:
            say.tick_once()
            assert say.status == Status.RUNNING
            return server.asked.is_set()

        witness.wait(asked)
        say.stop(Status.INVALID)
        assert say.feedback_message == "cut off"
        server.answer.set()
        witness.wait(lambda: not say.busy)
        say.shutdown()
    assert server.ended == [True]
    assert say.feedback_message == "cut off after ''"


def test_a_server_that_does_not_answer_is_not_waited_for(witness: Witness, domain: int) -> None:
    say = load("say").Say("Say", "Hello", server_timeout=0.5)
    say.setup(node=witness.node)
    with contextlib.closing(SlowServer(domain)) as server:
        witness.wait(say._client.server_is_ready)
        statuses = []

        def failed() -> bool:
            say.tick_once()
            statuses.append(say.status)
            return bool(say.status == Status.FAILURE)

        witness.wait(failed)
        assert say.feedback_message == "the server does not answer"
        assert len(statuses) > 2, "a tick waits for nothing"
        server.answer.set()
        witness.wait(lambda: not say.busy)
        say.shutdown()
    assert server.ended == [True]


def load(name: str, folder: Path = GREET.parent) -> ModuleType:
    """A module among the behaviours, imported as `greet.py` does, or of another folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return importlib.import_module(name)


# The conversation

SAID = re.compile(r'assistant: "(.*?)"( \[interrupted by the user\])?')


def test_a_conversation_goes_on_with_what_was_heard(robot: Witness, domain: int) -> None:
    with running(domain, sys.executable, CONVERSATION, "--interrupt-after", "5") as conversation:
        robot.wait(lambda: conversation.process.poll() is not None)
    assert conversation.wait() == 0
    question, cut, interruption, last = conversation.lines
    assert question.startswith("user: ")
    assert interruption.startswith("user: ")
    example = load(CONVERSATION.stem, EXAMPLES)
    cut_short, whole = SAID.fullmatch(cut), SAID.fullmatch(last)
    assert cut_short is not None
    assert whole is not None
    assert cut_short[2]
    assert 0 < len(cut_short[1].split()) <= 5
    assert example.LONG_ANSWER.startswith(cut_short[1])
    assert (whole[1], whole[2]) == (example.SHORT_ANSWER, None)

    robot.wait(lambda: robot.number("/speak_server", "goals_canceled") == 1)
    robot.wait(lambda: robot.number("/speak_server", "goals_succeeded") == 1)
    robot.wait(lambda: robot.is_speaking is False)
    assert robot.number("/audio_player", "lost_frames") == 0


def test_a_conversation_without_a_server_fails(domain: int) -> None:
    with running(domain, sys.executable, CONVERSATION) as conversation:
        assert conversation.wait() == 1


# The tree of BehaviorTree.CPP

PORT = re.compile(r'BT::(?:Input|Output)Port<\w[\w:]*>\("(\w+)"')


def declared_ports(node: str) -> set[str]:
    """What a tree node declares in C++, and what its base class adds."""
    header = CPP / f"{node.lower()}.hpp"
    return {*PORT.findall(header.read_text(encoding="utf-8")), "action_name"}


@pytest.mark.parametrize("node", ["Say", "Speak"])
def test_the_trees_use_the_ports_that_are_declared(node: str) -> None:
    root = ET.parse(CPP / "trees" / "greet.xml").getroot()  # noqa: S314 - it is ours
    trees = {tree.get("ID"): tree for tree in root.findall("BehaviorTree")}
    assert root.get("BTCPP_format") == "4"
    assert root.get("main_tree_to_execute") in trees
    used = [set(found.attrib) - {"name"} for tree in trees.values() for found in tree.iter(node)]
    assert used
    for ports in used:
        assert "text" in ports
        assert ports <= declared_ports(node)
    model = root.find(f"TreeNodesModel/Action[@ID='{node}']")
    assert model is not None
    assert {port.get("name") for port in model} == declared_ports(node)


def test_the_warnings_interrupt_by_priority() -> None:
    root = ET.parse(CPP / "trees" / "greet.xml").getroot()  # noqa: S314 - it is ours
    warnings = [(found.get("policy"), found.get("priority")) for found in root.iter("Speak")]
    assert warnings == [("interrupt", "1"), ("interrupt", "2")]


@pytest.mark.parametrize(
    ("node", "action", "left_out"), [("Say", TTS, set()), ("Speak", Speak, {"stream"})]
)
def test_the_goal_is_set_from_all_its_ports(node: str, action: Any, left_out: set[str]) -> None:
    code = (CPP / f"{node.lower()}.hpp").read_text(encoding="utf-8")
    for name in set(action.Goal.get_fields_and_field_types()) - left_out:
        read = (f'getInput("{name}", goal.{name})', f"get{name.capitalize()}(goal.{name})")
        assert any(call in code for call in read)
        assert name in declared_ports(node)


@pytest.mark.parametrize("policy", ["DEFAULT", "QUEUE", "REPLACE", "REJECT", "INTERRUPT"])
def test_each_policy_has_a_name(policy: str) -> None:
    assert hasattr(Speak.Goal, policy)
    code = (CPP / "speak.hpp").read_text(encoding="utf-8")
    assert f'{{"{policy.lower()}", Goal::{policy}}}' in code


@pytest.mark.timeout(600)
def test_the_tree_compiles_where_its_packages_are(tmp_path: Path) -> None:
    try:
        get_package_prefix("behaviortree_ros2")
    except PackageNotFoundError:
        pytest.skip("behaviortree_ros2 is not installed here")
    subprocess.run(["cmake", "-S", CPP, "-B", tmp_path], check=True)
    subprocess.run(["cmake", "--build", tmp_path], check=True)
