"""The thread that owns a speech queue: whatever fails, goals end and the thread is not lost."""

from __future__ import annotations

import threading
from dataclasses import replace

from support.scripted_synthesis import Say
from support.simulated_robot import EPOCH_NS, SETTINGS, Goal, SimulatedRobot

from k2so_tts.ros.queue_thread import QueueThread
from k2so_tts.ros.speech_queue import Outcome, SpeechQueue
from k2so_tts.ros.utterance import Utterance
from k2so_tts.synthesis.synthesis import SynthesisOptions


class BrokenRobot(SimulatedRobot):
    """Nothing can be published."""

    def __init__(self) -> None:
        super().__init__()
        self.over = threading.Semaphore(0)

    def publish(self, *_: object) -> None:
        raise RuntimeError("the context is gone")

    def finish(self, utterance: Utterance, outcome: Outcome, text: str, reason: str | None) -> None:
        super().finish(utterance, outcome, text, reason)
        self.over.release()


def test_the_thread_survives_exceptions_and_ends_its_goals() -> None:
    def fail(_: SpeechQueue) -> None:
        raise ZeroDivisionError

    robot = BrokenRobot()
    thread = QueueThread(robot, replace(SETTINGS, wait_for_player=0.0))
    thread.post(fail)
    for key in range(3):
        utterance = Utterance(key, "", SynthesisOptions("any"), 0.0, EPOCH_NS)
        robot.goals.append(Goal((Say(300, pace=0.0),), utterance))
        thread.post(lambda queue, utterance=utterance: queue.submit(utterance))  # type: ignore[misc]
    thread.start()
    assert all(robot.over.acquire(timeout=5) for _ in robot.goals)
    assert {goal.outcome for goal in robot.goals} == {Outcome.ABORTED}
    thread.close("enough")
    assert not thread._thread.is_alive()


def test_closing_ends_what_was_posted_before() -> None:
    robot = BrokenRobot()
    thread = QueueThread(robot, SETTINGS)
    utterance = Utterance(0, "", SynthesisOptions("any"), 0.0, EPOCH_NS)
    robot.goals.append(Goal((Say(300),), utterance))
    thread.start()
    thread.post(lambda queue: queue.submit(utterance))
    thread.close("enough")
    assert (robot.goals[0].outcome, robot.goals[0].reason) == (Outcome.ABORTED, "enough")
