"""A small behaviour tree that greets, and breaks the greeting off when there is danger.

Run `speak_server` and `audio_player`, then `python examples/py_trees/greet.py`. Raise the alarm:

    ros2 topic pub --once danger std_msgs/msg/Bool 'data: true'
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from typing import Any

import rclpy
from py_trees.behaviour import Behaviour
from py_trees.common import Status
from py_trees.composites import Selector, Sequence
from py_trees.timers import Timer
from py_trees.trees import BehaviourTree
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from say import Say
from std_msgs.msg import Bool

GREETING = (
    "Hello, and welcome aboard. I am your guide for today. "
    "Should anything dangerous happen, I will stop talking about the weather at once."
)
TICK_SECONDS = 0.05
PAUSE_SECONDS = 3.0
SILENCE_SECONDS = 1.0


class Alarm(Behaviour):
    """Succeeds once each time that the topic `danger` (std_msgs/Bool) becomes true."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._danger = False
        self._raised = False

    def setup(self, **kwargs: Any) -> None:
        kwargs["node"].create_subscription(Bool, "danger", self._on_danger, 10)

    def update(self) -> Status:
        raised, self._raised = self._raised, False
        return Status.SUCCESS if raised else Status.FAILURE

    def _on_danger(self, message: Bool) -> None:
        self._raised |= message.data and not self._danger
        self._danger = message.data


def main() -> int:
    """Tick until Ctrl-C. With --once, the exit code is 0 when the greeting was heard to its end."""
    parser = argparse.ArgumentParser(description="greet, until there is danger")
    parser.add_argument("text", nargs="?", default=GREETING, help="the greeting")
    parser.add_argument("--once", action="store_true", help="end when the greeting has ended")
    arguments = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # rclpy's own handlers would leave ROS at once, before anything could be cancelled.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("greeter")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    greeting, warning = Say("Greeting", arguments.text), Say("Warning", "Danger!")
    tree = BehaviourTree(make_root(greeting, warning))
    tree.setup(node=node)
    told: dict[Say, str] = {}

    def tick() -> None:
        tree.tick()
        tell((greeting, warning), told)
        if arguments.once and greeting.status in {Status.SUCCESS, Status.FAILURE}:
            stop.set()

    timer = node.create_timer(TICK_SECONDS, tick)
    while not stop.is_set():
        executor.spin_once(TICK_SECONDS)
    node.destroy_timer(timer)
    succeeded = greeting.status == Status.SUCCESS

    tree.root.stop(Status.INVALID)
    deadline = time.monotonic() + SILENCE_SECONDS
    while (greeting.busy or warning.busy) and time.monotonic() < deadline:
        executor.spin_once(TICK_SECONDS)
    tell((greeting, warning), told)
    tree.shutdown()
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()
    return 0 if succeeded or not arguments.once else 1


def make_root(greeting: Say, warning: Say) -> Behaviour:
    """Warn when the alarm is raised, else greet, again and again."""
    danger = Sequence("Danger", memory=True, children=[Alarm("Alarm"), warning])
    pause = Timer("Pause", PAUSE_SECONDS)
    greet = Sequence("Greet", memory=True, children=[greeting, pause])
    return Selector("Robot", memory=False, children=[danger, greet])


def tell(behaviours: tuple[Say, ...], told: dict[Say, str]) -> None:
    """Print what the behaviours have to say about themselves, where that is new."""
    for say in behaviours:
        if say.feedback_message != told.get(say, ""):
            told[say] = say.feedback_message
            print(f"{say.name}: {say.feedback_message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
