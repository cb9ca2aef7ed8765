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

"""The action `speak`: reasons, priorities, streams with a name, words. Real server and player."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from k2so_tts_msgs.action import Speak
from k2so_tts_msgs.msg import Word
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from support.company import Company
from support.ros import ABORTED, CANCELED, SUCCEEDED, TIMEOUT, Observer, running
from support.speak import SpeakClient

from k2so_tts.ros.endings import Reason
from k2so_tts.ros.messages import words_qos
from k2so_tts.ros.spoken import Policy

LONG = " ".join(f"This is sentence number {number}." for number in range(30))
RESULT = Speak.Result


@pytest.fixture
def quiet_client(quiet_robot: Observer) -> Iterator[SpeakClient]:
    with closing(SpeakClient(quiet_robot)) as client:
        yield client


@pytest.fixture(scope="module")
def client(shared_robot: Observer) -> Iterator[SpeakClient]:
    """For tests that leave nothing in the nodes but names of streams."""
    with closing(SpeakClient(shared_robot)) as client:
        yield client


def test_reasons_and_policies_have_the_values_of_the_message() -> None:
    assert all(getattr(RESULT, reason.name) == reason for reason in Reason)
    assert all(getattr(Speak.Goal, policy.name) == policy for policy in Policy)


def test_what_was_spoken_without_a_device_is_unheard(client: SpeakClient) -> None:
    goal = client.say("Hello, world!")
    assert goal.status == SUCCEEDED
    assert goal.result.reason == RESULT.UNHEARD
    assert goal.result.message == "the player had no sound device"
    assert goal.result.heard == "Hello, world!"
    assert goal.result.engine == "espeak"
    assert 0 < goal.result.perceived_latency_ms < 10_000
    assert [word.word for _, word in goal.words] == ["Hello", "world"]
    assert [(word.text_start, word.text_end) for _, word in goal.words] == [(0, 5), (7, 12)]


def test_it_was_heard_if_one_of_two_players_has_a_device(
    quiet_robot: Observer, quiet_client: SpeakClient, tmp_path: Path
) -> None:
    def players() -> str:
        return quiet_robot.status("/speak_server")["players"]

    with closing(Company(tmp_path, quiet_robot)) as company:
        company.join("wav")
        quiet_robot.wait(lambda: players() == "2")
        assert quiet_client.say("One, two, three.").result.reason == RESULT.FINISHED
        assert quiet_client.say("Four.").result.reason == RESULT.FINISHED
    quiet_robot.wait(lambda: players() == "1")
    assert quiet_client.say("Five.").result.reason == RESULT.UNHEARD


def test_nothing_to_say_is_said_at_once(client: SpeakClient) -> None:
    goal = client.say("  ")
    assert (goal.status, goal.result.reason) == (SUCCEEDED, RESULT.FINISHED)
    assert goal.result.message == "there was nothing to say"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"policy": 5}, "policy is 5; allowed: 0 to 4"),
        ({"pitch": 2.5}, "pitch is 2.5; allowed: 0.0 to 2.0"),
        ({"rate": float("nan")}, "rate is nan; allowed: 0.25 to 4.0"),
        ({"volume": -1.0}, "volume is -1; allowed: 0.0 to 1.0"),
        ({"voice": "nobody"}, "voice is 'nobody'"),
        ({"stream": "x" * 257}, "stream has 257 characters; allowed: 256"),
    ],
)
def test_a_goal_with_a_bad_field_is_refused(
    shared_robot: Observer, client: SpeakClient, fields: dict[str, object], told: str
) -> None:
    goal = client.send("Hello", **fields)
    shared_robot.wait(lambda: goal.accepted is False)
    shared_robot.wait(lambda: any(told in entry.msg for entry in shared_robot.log))


def test_a_stream_is_spoken_while_it_is_being_written(
    shared_robot: Observer, client: SpeakClient
) -> None:
    goal = client.accepted("Well, ", stream="written")
    client.write("written", ["this ", "is ", "it, ", "and "])
    shared_robot.wait(lambda: len(goal.words) > 2)
    client.write("written", ["so on."], end=True)
    client.wait_for_end(goal)
    assert goal.status == SUCCEEDED
    assert goal.result.heard == "Well, this is it, and so on."


def test_pieces_may_come_before_their_goal(client: SpeakClient) -> None:
    client.write("early", ["Too ", "early."], end=True)
    assert client.say("Not ", stream="early").result.heard == "Not Too early."


def test_a_cancelled_stream_drops_what_comes_later_and_the_next_one_does_not(
    quiet_robot: Observer, quiet_client: SpeakClient
) -> None:
    first = quiet_client.accepted(stream="a")
    quiet_client.write("a", ["One, two, three, ", "four, "])
    quiet_robot.wait(first.words_told(3))
    quiet_client.cancel(first)
    quiet_client.wait_for_end(first)
    assert (first.status, first.result.reason) == (CANCELED, RESULT.CANCELED)
    assert "One, two, three, four, ".startswith(first.result.heard)
    assert first.result.heard
    second = quiet_client.accepted(stream="b")
    quiet_client.write("a", ["late, "] * 3)
    quiet_client.write("b", ["Next."], end=True)
    quiet_client.wait_for_end(second)
    assert second.result.heard == "Next."
    quiet_robot.wait(lambda: quiet_robot.status("/speak_server").get("pieces_dropped") == "3")


def test_a_flush_speaks_what_there_is(shared_robot: Observer, client: SpeakClient) -> None:
    goal = client.accepted(stream="flushed")
    client.write("flushed", ["No end in"])
    client.flush("flushed")
    shared_robot.wait(lambda: len(goal.words) == 3)
    client.write("flushed", [" sight"], end=True)
    client.wait_for_end(goal)
    assert goal.result.heard == "No end in sight"


def test_a_name_can_not_be_used_twice_at_a_time(client: SpeakClient) -> None:
    goal = client.accepted(stream="taken")
    assert client.say(stream="taken").accepted is False
    client.write("taken", ["One."], end=True)
    client.wait_for_end(goal)
    assert goal.result.heard == "One."


def test_pieces_that_are_lost_are_told(client: SpeakClient) -> None:
    goal = client.accepted(stream="gaps")
    client.write("gaps", ["One. "])
    client.skip("gaps", 3)
    client.write("gaps", ["Five."], end=True)
    client.wait_for_end(goal)
    assert goal.result.heard == "One. Five."
    assert goal.result.message.endswith("; 3 pieces of its text were lost on the way")


def test_ten_thousand_pieces_in_a_loop_are_all_taken(
    quiet_robot: Observer, quiet_client: SpeakClient
) -> None:
    goal = quiet_client.accepted(stream="a", rate=4.0)
    quiet_client.write("a", ["x"] * 9_000 + [" The", " end."] + [""] * 998, end=True)
    quiet_robot.wait(lambda: len(goal.words) > 0)
    quiet_client.cancel(goal)
    quiet_client.wait_for_end(goal)
    status = quiet_robot.status
    assert goal.result.reason == RESULT.CANCELED
    quiet_robot.wait(lambda: status("/speak_server").get("pieces_lost") == "0")


@pytest.mark.timeout(120)
def test_a_writer_that_stalls_or_writes_blanks_holds_nobody_up(observer: Observer) -> None:
    with (
        running("speak_server", stream_timeout=1.0),
        running("audio_player", device="null"),
        closing(SpeakClient(observer)) as client,
    ):
        observer.wait_for_nodes()
        stalled = client.accepted("One", stream="a")
        blank = client.accepted(stream="b")
        after = client.accepted("After.")
        client.write("b", [" ", "", "\n"] * 10)
        client.wait_for_end(stalled, blank, after)
        heard = [goal.result.heard for goal in (stalled, blank, after)]
        assert [text.strip() for text in heard] == ["One", "", "After."]
        for goal in (stalled, blank):
            assert goal.result.message.endswith("not ended: nothing came for stream_timeout")


@pytest.mark.timeout(120)
def test_ten_streams_from_three_processes_are_never_mixed(quiet_client: SpeakClient) -> None:
    names = [f"s{number}" for number in range(10)]
    goals = [quiet_client.accepted(stream=name, rate=4.0) for name in names]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, *names[n::3]]) for n in range(3)]
    try:
        quiet_client.wait_for_end(*goals, timeout=100)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    for name, goal in zip(names, goals, strict=True):
        assert goal.result.heard == "".join(f"{name} {number}, " for number in range(5)) + "end."


WRITER = """
import sys, rclpy
from k2so_tts_msgs.msg import TextPiece
from k2so_tts.ros.messages import pieces_qos
rclpy.init()
node = rclpy.create_node("writer")
publisher = node.create_publisher(TextPiece, "text_pieces", pieces_qos())
while not publisher.get_subscription_count():
    rclpy.spin_once(node, timeout_sec=0.05)
pieces = [*(f"{{}} {number}, " for number in range(5)), "end."]
for number, piece in enumerate(pieces):
    for name in sys.argv[1:]:
        end = number == len(pieces) - 1
        text = piece.format(name)
        publisher.publish(TextPiece(stream=name, sequence=number, text=text, end=end))
rclpy.spin_once(node, timeout_sec=60.0)
"""


def test_what_is_urgent_is_heard_first_and_the_rest_goes_on(
    shared_robot: Observer, client: SpeakClient
) -> None:
    long = client.accepted("One two three four five six seven eight nine ten.")
    shared_robot.wait(lambda: len(long.words) > 2)
    waiting = client.accepted("Later.")
    urgent = client.say("Obstacle! Stop!", policy=Speak.Goal.INTERRUPT, priority=9)
    assert not long.ended
    client.wait_for_end(long, waiting)
    assert urgent.result.heard == "Obstacle! Stop!"
    assert long.result.heard == "One two three four five six seven eight nine ten."
    words = [word.word for _, word in long.words]
    assert " ".join(words) == "One two three four five six seven eight nine ten"
    told = [at for at, _ in urgent.words]
    assert not any(told[0] < at < told[-1] for at, _ in long.words)
    assert waiting.words[0][0] > long.words[-1][0]


def test_what_waits_interrupted_is_cancelled_in_silence(
    shared_robot: Observer, client: SpeakClient
) -> None:
    long = client.accepted(LONG)
    shared_robot.wait(long.words_told(3))
    text = "Obstacle! Stop! Step aside, and let nobody pass."
    urgent = client.accepted(text, policy=Speak.Goal.INTERRUPT)
    shared_robot.wait(urgent.words_told(2))
    client.cancel(long)
    client.wait_for_end(long, urgent)
    assert (long.status, urgent.status) == (CANCELED, SUCCEEDED)
    assert LONG.startswith(long.result.heard)
    assert long.result.heard
    assert urgent.result.heard == text


def test_a_full_queue_never_refuses_what_is_urgent(
    quiet_robot: Observer, quiet_client: SpeakClient
) -> None:
    assert quiet_robot.set_parameter("/speak_server", "max_queue", 3).successful
    spoken = quiet_client.accepted(LONG)
    waiting = [quiet_client.accepted("Wait.", priority=priority) for priority in (1, 0)]
    assert quiet_client.say("No room.").accepted is False
    urgent = quiet_client.accepted("Stop!", policy=Speak.Goal.INTERRUPT, priority=9)
    quiet_client.wait_for_end(waiting[1])
    assert (waiting[1].status, waiting[1].result.reason) == (ABORTED, RESULT.DROPPED)
    quiet_client.wait_for_end(urgent)
    assert urgent.result.heard == "Stop!"
    quiet_client.say("Only this.", policy=Speak.Goal.REPLACE, priority=1)
    assert spoken.result.reason == waiting[0].result.reason == RESULT.REPLACED


def test_stop_says_what_it_did(shared_robot: Observer, client: SpeakClient) -> None:
    stop = "/speak_server/stop"
    assert shared_robot.call(Trigger, stop).message == "nothing to stop"
    goals = [client.accepted(LONG) for _ in range(3)]
    assert shared_robot.call(Trigger, stop).message == "stopped 3 goals"
    client.wait_for_end(*goals)
    assert {goal.result.reason for goal in goals} == {RESULT.STOPPED}


def test_what_nobody_heard_may_be_a_failure(
    quiet_robot: Observer, quiet_client: SpeakClient
) -> None:
    assert quiet_robot.set_parameter("/speak_server", "unheard", "abort").successful
    goal = quiet_client.say("One.")
    assert (goal.status, goal.result.reason) == (ABORTED, RESULT.UNHEARD)
    assert quiet_robot.say("Two.").status == ABORTED


def test_words_are_published_ahead_of_their_sound(
    shared_robot: Observer, client: SpeakClient
) -> None:
    words: list[Word] = []

    def on_word(word: Word) -> None:
        with shared_robot.changed:
            words.append(word)

    shared_robot.node.create_subscription(Word, "words", on_word, words_qos())
    shared_robot.wait(lambda: shared_robot.node.count_publishers("words"))
    goal = client.accepted("So, ", stream="named")
    client.write("named", ["these are words."], end=True)
    client.wait_for_end(goal)
    shared_robot.wait(lambda: len(words) == 4)
    assert [word.text for word in words] == ["So", "these", "are", "words"]
    assert [(word.text_start, word.text_end) for word in words] == [
        (0, 2),
        (4, 9),
        (10, 13),
        (14, 19),
    ]
    assert {word.stream for word in words} == {"named"}
    assert shared_robot.say("By say as well.").status == SUCCEEDED
    shared_robot.wait(lambda: len(words) == 8)


# Texts without a name


def test_after_a_stop_the_next_text_is_heard(quiet_robot: Observer) -> None:
    publisher = quiet_robot.node.create_publisher(String, "say_stream", 100)
    quiet_robot.wait(publisher.get_subscription_count)
    publisher.publish(String(data=LONG))
    quiet_robot.wait(lambda: len(quiet_robot.playheads) > 20)
    assert quiet_robot.call(Trigger, "/speak_server/stop").success
    quiet_robot.wait(lambda: not quiet_robot.speaking[-1][1])
    publisher.publish(String(data="The next answer."))
    publisher.publish(String(data=""))
    quiet_robot.wait(lambda: quiet_robot.status("/speak_server").get("goals_succeeded") == "1")


def test_a_fast_writer_loses_no_word(quiet_robot: Observer) -> None:
    publisher = quiet_robot.node.create_publisher(String, "say_stream", 1000)
    words: list[Word] = []
    quiet_robot.node.create_subscription(Word, "words", words.append, words_qos())
    quiet_robot.wait(publisher.get_subscription_count)
    quiet_robot.wait(lambda: quiet_robot.node.count_publishers("words"))
    assert quiet_robot.set_parameter("/speak_server", "rate", 4.0).successful
    text = " ".join(f"This is number {number}," for number in range(20))
    pieces = [text[start : start + 2] for start in range(0, len(text), 2)]
    assert len(pieces) > 150
    for piece in (*pieces, ""):
        publisher.publish(String(data=piece))
    quiet_robot.wait(lambda: quiet_robot.status("/speak_server").get("goals_succeeded") == "1")
    quiet_robot.wait(lambda: words[-1].text_end == len(text) - 1)
    assert [word.text for word in words if word.text.isdigit()] == [*map(str, range(20))]


def test_a_muted_robot_is_not_heard(quiet_robot: Observer, quiet_client: SpeakClient) -> None:
    assert quiet_robot.call(SetBool, "/audio_player/mute", data=True).message == "muted"
    assert quiet_client.say("One.").result.reason == RESULT.UNHEARD


# Clients and servers that come and go

CLIENT = """
import sys, time, rclpy
from rclpy.action import ActionClient
from k2so_tts_msgs.action import Speak
rclpy.init()
node = rclpy.create_node("leaving")
client = ActionClient(node, Speak, "speak")
client.wait_for_server()
sent = client.send_goal_async(Speak.Goal(text=sys.argv[1]))
rclpy.spin_until_future_complete(node, sent)
print("accepted", flush=True)
sys.stdin.read()
rclpy.shutdown()
"""


@pytest.mark.parametrize("what", ["stop", "finish"])
def test_the_goal_of_a_client_that_leaves(observer: Observer, what: str) -> None:
    with (
        running("speak_server", when_client_dies=what),
        running("audio_player", device="null"),
    ):
        observer.wait_for_nodes()
        command = [sys.executable, "-c", CLIENT, LONG if what == "stop" else "One, two, three."]
        leaving = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert leaving.stdout is not None
        assert leaving.stdout.readline() == "accepted\n"
        observer.wait(lambda: observer.speaking[-1][1])
        leaving.communicate(timeout=TIMEOUT)
        ended = "goals_aborted" if what == "stop" else "goals_succeeded"
        observer.wait(lambda: observer.status("/speak_server").get(ended) == "1")
        told = any("its client has left" in entry.msg for entry in observer.log)
        assert told == (what == "stop")


def test_two_servers_of_one_action_say_so(quiet_robot: Observer) -> None:
    with running("speak_server"):
        quiet_robot.wait(
            lambda: "offers the action say" in quiet_robot.status("/speak_server")["message"]
        )
    quiet_robot.wait(lambda: quiet_robot.status("/speak_server")["message"] == "ready")
    assert quiet_robot.say("One.").status == SUCCEEDED
