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

"""A small behaviour tree that greets, and interrupts the greeting for what is more urgent.

Run `speak_server` and `audio_player`, then `python examples/py_trees/greet.py`. A low battery is
heard in between, and the greeting goes on after it. Danger breaks it off, and is heard before all:

    ros2 topic pub --once battery_low std_msgs/msg/Bool 'data: true'
    ros2 topic pub --once danger std_msgs/msg/Bool 'data: true'
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import rclpy
from py_trees.behaviour import Behaviour
from py_trees.common import ParallelPolicy, Status
from py_trees.composites import Parallel, Selector, Sequence
from py_trees.decorators import FailureIsRunning
from py_trees.timers import Timer
from py_trees.trees import BehaviourTree
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from say import Say
from speak import INTERRUPT, Speak
from speech_action import SpeechAction
from std_msgs.msg import Bool

GREETING = (
    "Hello, and welcome aboard. I am your guide for today. "
    "Should anything dangerous happen, I will stop talking about the weather at once."
)
BATTERY_LOW = "My battery is low. I have to go back to my charging station soon."
TICK_SECONDS = 0.05
PAUSE_SECONDS = 3.0
SILENCE_SECONDS = 1.0
BATTERY_PRIORITY, DANGER_PRIORITY = 1, 2  # that of the greeting is 0, as always with `say`


class Alarm(Behaviour):
    """Succeeds once each time that its topic (std_msgs/Bool) becomes true."""

    def __init__(self, name: str, topic: str) -> None:
        super().__init__(name)
        self._topic = topic
        self._is_on = False
        self._raised = False

    def setup(self, **kwargs: Any) -> None:
        """Subscribe to the topic with the rclpy node `node`."""
        kwargs["node"].create_subscription(Bool, self._topic, self._on_message, 10)

    def update(self) -> Status:
        """SUCCESS if the alarm was raised since the last tick, else FAILURE."""
        raised, self._raised = self._raised, False
        return Status.SUCCESS if raised else Status.FAILURE

    def _on_message(self, message: Bool) -> None:
        self._raised |= message.data and not self._is_on
        self._is_on = message.data


class Greeter:
    """A ROS node that ticks the tree of a greeting."""

    def __init__(self, text: str) -> None:
        self._node = rclpy.create_node("greeter")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._greeting = Say("Greeting", text)
        battery = Speak("Battery", BATTERY_LOW, policy=INTERRUPT, priority=BATTERY_PRIORITY)
        warning = Speak("Warning", "Danger!", policy=INTERRUPT, priority=DANGER_PRIORITY)
        self._speech = (self._greeting, battery, warning)
        self._tree = BehaviourTree(make_root(*self._speech))
        self._tree.setup(node=self._node)
        self._told: dict[SpeechAction, str] = {}

    @property
    def status(self) -> Status:
        """SUCCESS when the greeting was heard to its end, FAILURE when it cannot be."""
        return self._greeting.status

    def run(self, is_over: Callable[[], bool]) -> None:
        """Tick until `is_over` returns True."""
        timer = self._node.create_timer(TICK_SECONDS, self._tick)
        while not is_over():
            self._executor.spin_once(TICK_SECONDS)
        self._node.destroy_timer(timer)

    def close(self) -> None:
        """Cancel what is being said, wait until it is silent, and leave ROS."""
        self._tree.root.stop(Status.INVALID)
        deadline = time.monotonic() + SILENCE_SECONDS
        while any(speech.busy for speech in self._speech) and time.monotonic() < deadline:
            self._executor.spin_once(TICK_SECONDS)
        tell(self._speech, self._told)
        self._tree.shutdown()
        self._executor.shutdown()
        self._node.destroy_node()

    def _tick(self) -> None:
        self._tree.tick()
        tell(self._speech, self._told)


def main() -> int:
    """Greet until Ctrl-C; 0, but with --once 1 if the greeting was not heard to its end."""
    parser = argparse.ArgumentParser(description="greet, until there is danger")
    parser.add_argument("text", nargs="?", default=GREETING, help="the greeting")
    parser.add_argument("--once", action="store_true", help="stop when the greeting has ended")
    arguments = parser.parse_args()

    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    # rclpy's own handlers would shut ROS down at once, before a goal could be cancelled.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    greeter = Greeter(arguments.text)
    ended = (Status.SUCCESS, Status.FAILURE)
    greeter.run(lambda: interrupted or (arguments.once and greeter.status in ended))
    succeeded = greeter.status == Status.SUCCESS
    greeter.close()
    rclpy.shutdown()
    return 0 if succeeded or not arguments.once else 1


def make_root(greeting: SpeechAction, battery: SpeechAction, warning: SpeechAction) -> Behaviour:
    """A tree that greets, again and again.

    The battery is beside the greeting, which runs on while the server interrupts its speech. Danger
    is a branch of higher priority: the selector stops the greeting.
    """
    pause = Timer("Pause", PAUSE_SECONDS)
    greet = Sequence("Greet", memory=True, children=[greeting, pause])
    danger = Sequence("Danger", memory=True, children=[Alarm("Is danger", "danger"), warning])
    talk = Selector("Talk", memory=False, children=[danger, greet])
    low = Sequence("Low", memory=True, children=[Alarm("Is low", "battery_low"), battery])
    watch = FailureIsRunning("Watch", low)
    policy = ParallelPolicy.SuccessOnAll(synchronise=False)
    return Parallel("Robot", policy, children=[watch, talk])


def tell(behaviours: tuple[SpeechAction, ...], told: dict[SpeechAction, str]) -> None:
    """Print the feedback messages that have changed; `told` has those printed last."""
    for speech in behaviours:
        if speech.feedback_message != told.get(speech, ""):
            told[speech] = speech.feedback_message
            print(f"{speech.name}: {speech.feedback_message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
