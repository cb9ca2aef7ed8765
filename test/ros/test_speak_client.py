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

"""The client of those who write robots, on real nodes: for threads, for asyncio, on their nodes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from k2so_tts_msgs.action import Speak
from k2so_tts_msgs.msg import TextPiece
from rclpy.context import Context
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from support.ros import TIMEOUT, Observer, start

from k2so_tts.client import (
    AsyncSpeaker,
    AsyncUtterance,
    Policy,
    Reason,
    ResultLost,
    ServerUnavailable,
    Speaker,
    SpeechError,
    SpeechRefused,
    Spoken,
    Utterance,
    Word,
)
from k2so_tts.ros import accepted_goal
from k2so_tts.ros.messages import pieces_qos

TEXT = "Hello there, robot."
LONG = " ".join(f"Number {n} is spoken." for n in range(40))
LETTERS = 20_000
SHORT_LEASE_SECONDS = 2
SHORT_LEASE = f"""
<profiles xmlns="http://www.eprosima.com">
  <participant profile_name="short_lease" is_default_profile="true"><rtps><builtin>
    <discovery_config>
      <leaseDuration><sec>{SHORT_LEASE_SECONDS}</sec></leaseDuration>
      <leaseAnnouncement><nanosec>300000000</nanosec></leaseAnnouncement>
    </discovery_config>
  </builtin></rtps></participant>
</profiles>
"""
"""What Fast DDS reads: who is silent for so long has gone, instead of after 20 s."""


@pytest.fixture
def speaker(robot: Observer) -> Iterator[Speaker]:
    with Speaker() as speaker:
        yield speaker
    robot.wait(lambda: not robot.speaking[-1][1])


@pytest.fixture
def short_lease(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that is taken for gone soon after it fell silent."""
    profile = tmp_path / "short_lease.xml"
    profile.write_text(SHORT_LEASE)
    return {"FASTDDS_DEFAULT_PROFILES_FILE": str(profile)}


def heard_word(utterance: Utterance) -> Word:
    """The first word, once it is heard."""
    return next(utterance.words(TIMEOUT))


# Whole texts


def test_a_text_is_spoken_word_by_word(speaker: Speaker) -> None:
    words: list[Word] = []
    spoken = speaker.say(TEXT, on_word=words.append)
    assert spoken.complete
    assert spoken.heard == TEXT
    assert spoken.engine == "espeak"
    assert spoken.perceived_latency_s is not None
    assert 0.0 < spoken.perceived_latency_s < 5.0
    assert [TEXT[word.start : word.end] for word in words] == ["Hello", "there", "robot"]
    assert [word.text for word in words] == ["Hello", "there", "robot"]
    times = [word.elapsed_s for word in words]
    assert times == sorted(times)


def test_options_reach_the_server(speaker: Speaker) -> None:
    words: list[Word] = []
    speaker.say("One, two, three.", on_word=words.append)
    fast: list[Word] = []
    speaker.say("One, two, three.", on_word=fast.append, rate=3.0, volume=0.5, language="de")
    assert fast[-1].elapsed_s < 0.7 * words[-1].elapsed_s


def test_a_refused_text_raises(speaker: Speaker) -> None:
    with pytest.raises(SpeechRefused, match="refused"):
        speaker.say(TEXT, voice="klingon")


@pytest.mark.parametrize("priority", [-1, 256])
def test_a_priority_that_can_not_be_sent_raises(speaker: Speaker, priority: int) -> None:
    with pytest.raises(ValueError, match="allowed: 0 to 255"):
        speaker.say(TEXT, priority=priority)


def test_an_unknown_option_raises(speaker: Speaker) -> None:
    options: Any = {"speed": 2.0}
    with pytest.raises(TypeError, match="unknown options: speed"):
        speaker.say(TEXT, **options)


def test_without_a_server_it_raises_in_time() -> None:
    began = time.monotonic()
    with Speaker("/nobody", server_timeout=0.2) as speaker, pytest.raises(ServerUnavailable):
        speaker.say(TEXT)
    assert time.monotonic() - began < TIMEOUT


def test_an_invalid_namespace_raises() -> None:
    with pytest.raises(SpeechError, match="namespace"):
        Speaker("robot 1")


def test_who_replaces_is_heard_and_the_other_told(speaker: Speaker) -> None:
    with speaker.utterance() as utterance:
        utterance.write(LONG)
        utterance.end()
        heard_word(utterance)
        assert speaker.say(TEXT, policy=Policy.REPLACE).complete
        spoken = utterance.wait(TIMEOUT)
        utterance.write("Nobody hears this.")
    assert spoken.reason is Reason.REPLACED
    assert not spoken.complete
    assert LONG.startswith(spoken.heard)


def test_the_policies_are_those_of_the_action() -> None:
    assert {policy.name: policy.value for policy in Policy} == {
        policy.name: getattr(Speak.Goal, policy.name) for policy in Policy
    }


# Texts that are being written


def test_a_text_is_heard_while_it_is_being_written(speaker: Speaker) -> None:
    with speaker.utterance() as utterance:
        utterance.write("The first clause is heard, ")
        utterance.write("and then ")
        first = heard_word(utterance)
        assert utterance.heard.startswith("The")
        utterance.write("the rest.")
    assert (first.text, first.start, first.end) == ("The", 0, 3)
    assert utterance.result is not None
    assert utterance.result.complete
    assert utterance.heard == "The first clause is heard, and then the rest."


def test_what_was_written_is_spoken_when_it_is_flushed(speaker: Speaker) -> None:
    with speaker.utterance() as utterance:
        utterance.write("no clause ends here ")
        utterance.flush()
        assert heard_word(utterance).text == "no"
        utterance.write("but there.")
    assert utterance.heard == "no clause ends here but there."


def test_words_can_be_read_by_several_and_again(speaker: Speaker) -> None:
    with speaker.utterance() as utterance:
        utterance.write("One, two, three.")
        utterance.end()
        words = list(utterance.words(TIMEOUT))
        assert list(utterance.words(TIMEOUT)) == words
    assert [word.text for word in words] == ["One", "two", "three"]


@pytest.mark.parametrize("streamed", [True, False])
def test_words_are_found_in_the_text_as_it_was_given(speaker: Speaker, *, streamed: bool) -> None:
    """Whatever is left out of it, or can't be sent."""
    text = "  \tOne\0, two\ud800,\r\n \x1bthree, four."
    words: list[Word] = []
    if streamed:
        with speaker.utterance() as utterance:
            utterance.write(text)
            utterance.end()
            words += utterance.words()
    else:
        speaker.say(text, on_word=words.append)
    assert [text[word.start : word.end] for word in words] == ["One", "two", "three", "four"]


def test_a_text_that_has_ended_takes_no_more(speaker: Speaker) -> None:
    with speaker.utterance() as utterance:
        utterance.write("One.")
        utterance.end()
        utterance.end()
        with pytest.raises(ValueError, match="has ended"):
            utterance.write("Two.")
    assert utterance.heard == "One."


def test_nothing_may_be_written(speaker: Speaker) -> None:
    with speaker.utterance() as utterance:
        pass
    assert utterance.wait().complete
    assert utterance.heard == ""


def test_an_exception_in_the_block_cancels(speaker: Speaker) -> None:
    began: list[Utterance] = []

    def fail() -> None:
        with speaker.utterance() as utterance:
            began.append(utterance)
            utterance.write(LONG)
            heard_word(utterance)
            raise ZeroDivisionError("of the model")

    with pytest.raises(ZeroDivisionError, match="of the model"):
        fail()
    (utterance,) = began
    assert utterance.result is not None
    assert utterance.result.reason is Reason.CANCELED
    assert LONG.startswith(utterance.heard)


def test_a_wait_that_takes_too_long_cancels(speaker: Speaker) -> None:
    with pytest.raises(TimeoutError), speaker.utterance(timeout=0.1) as utterance:
        utterance.write(LONG)
    assert utterance.result is not None
    assert utterance.result.reason is Reason.CANCELED


def test_another_thread_may_cancel_while_it_is_written(speaker: Speaker) -> None:
    """What is heard so far is what the result says, or a word that was broken off more."""
    cancelled: list[tuple[str, Spoken]] = []

    def interrupt(utterance: Utterance) -> None:
        heard_word(utterance)
        cancelled.append((utterance.heard, utterance.cancel()))

    with speaker.utterance() as utterance:
        thread = threading.Thread(target=interrupt, args=[utterance])
        thread.start()
        while utterance.result is None:
            utterance.write("and on, ")
            time.sleep(0.01)
    thread.join(TIMEOUT)
    ((before, spoken),) = cancelled
    assert utterance.result == spoken
    assert spoken.reason is Reason.CANCELED
    assert before.startswith("and")
    assert ("and on, " * 1000).startswith(spoken.heard)


def test_utterances_of_two_writers_do_not_mix(speaker: Speaker) -> None:
    with (
        Speaker() as other,
        speaker.utterance(policy=Policy.QUEUE) as first,
        other.utterance(policy=Policy.QUEUE) as second,
    ):
        for number in ("one", "two", "three"):
            first.write(f" First {number}.")
            second.write(f" Second {number}.")
        first.end()
        assert first.wait(TIMEOUT).heard == " First one. First two. First three."
    assert second.heard == " Second one. Second two. Second three."


def test_a_fast_writer_loses_nothing(robot: Observer, speaker: Speaker) -> None:
    """Letters as fast as they can be written are all there, in a row."""
    pieces: list[TextPiece] = []
    text = "abcdefghij" * (LETTERS // 10)
    subscription = robot.node.create_subscription(
        TextPiece, "text_pieces", pieces.append, pieces_qos()
    )
    try:
        robot.wait(lambda: speaker._current().pieces.get_subscription_count() == 2)
        with speaker.utterance() as utterance:
            for letter in text:
                utterance.write(letter)
            utterance.end()
            robot.wait(lambda: pieces and pieces[-1].end)
            spoken = utterance.cancel()
    finally:
        robot.node.destroy_subscription(subscription)
    assert [piece.sequence for piece in pieces] == list(range(len(pieces)))
    assert "".join(piece.text for piece in pieces) == text
    assert "lost" not in spoken.message
    assert robot.wait(lambda: robot.status("/speak_server").get("pieces_lost")) == "0"


# For asyncio


def asynchronously(test: Callable[[AsyncSpeaker], Any]) -> None:
    """Run a test in an event loop."""

    async def run() -> None:
        async with AsyncSpeaker() as speaker:
            await asyncio.wait_for(test(speaker), TIMEOUT)

    asyncio.run(run())


@pytest.mark.usefixtures("robot")
def test_tokens_are_spoken_in_an_event_loop() -> None:
    async def test(speaker: AsyncSpeaker) -> None:
        async with speaker.utterance() as utterance:
            counts = [asyncio.create_task(read(utterance)) for _ in range(2)]
            for token in ("One, ", "two, ", "three, "):
                await utterance.write(token)
            await utterance.flush()
            await utterance.write("four.")
        expected = ["One", "two", "three", "four"]
        assert await asyncio.gather(*counts) == [expected, expected]
        assert utterance.heard == "One, two, three, four."

    async def read(utterance: AsyncUtterance) -> list[str]:
        return [word.text async for word in utterance.words()]

    asynchronously(test)


@pytest.mark.usefixtures("robot")
def test_a_whole_text_is_spoken_in_an_event_loop() -> None:
    async def test(speaker: AsyncSpeaker) -> None:
        words: list[Word] = []
        spoken = await speaker.say("One, two.", on_word=words.append)
        assert spoken.heard == "One, two."
        assert [word.text for word in words] == ["One", "two"]
        with pytest.raises(SpeechRefused):
            await speaker.say(TEXT, voice="klingon")

    asynchronously(test)


@pytest.mark.usefixtures("robot")
def test_a_task_that_is_cancelled_cancels_its_utterance() -> None:
    async def test(speaker: AsyncSpeaker) -> None:
        began: asyncio.Future[AsyncUtterance] = asyncio.get_running_loop().create_future()

        async def talk() -> None:
            async with speaker.utterance() as utterance:
                await utterance.write(LONG)
                async for _ in utterance.words():
                    if not began.done():
                        began.set_result(utterance)

        talking = asyncio.create_task(talk())
        utterance = await began
        talking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await talking
        assert utterance.result is not None
        assert utterance.result.reason is Reason.CANCELED
        assert LONG.startswith(utterance.heard)

    asynchronously(test)


@pytest.mark.usefixtures("robot")
def test_a_wait_for_a_word_ends_in_time() -> None:
    async def test(speaker: AsyncSpeaker) -> None:
        async with speaker.utterance() as utterance:
            with pytest.raises(TimeoutError):
                await anext(utterance.words(timeout=0.05))

    asynchronously(test)


# Life and death


@pytest.mark.parametrize("kind", [SingleThreadedExecutor, MultiThreadedExecutor])
def test_a_speaker_lives_on_a_node_of_ones_own(
    robot: Observer, kind: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("mine", context=context)
    add_waitable = node.add_waitable

    def add_and_look(waitable: Any) -> None:
        add_waitable(waitable)
        waitable.get_num_entities()  # as the executor may do at once

    monkeypatch.setattr(node, "add_waitable", add_and_look)
    executor = kind(context=context)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    try:
        with Speaker(node=node) as speaker:
            assert speaker.say(TEXT).heard == TEXT
            with speaker.utterance() as utterance:
                utterance.write(TEXT)
            assert utterance.heard == TEXT
        ticked = threading.Event()
        node.create_timer(0.01, ticked.set)
        assert ticked.wait(TIMEOUT), "the node is spun as before"
        topic = robot.node.resolve_topic_name("text_pieces")
        robot.wait(lambda: not robot.node.count_publishers(topic))
    finally:
        executor.shutdown()
        spinning.join(TIMEOUT)
        node.destroy_node()
        context.try_shutdown()


def test_a_node_that_nobody_spins_is_not_waited_for(robot: Observer) -> None:
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("mine", context=context)
    try:
        with Speaker(node=node, server_timeout=1.0) as speaker:
            robot.wait(lambda: speaker._current()._is_ready(0.0))
            with pytest.raises(TimeoutError):
                speaker.say(TEXT)
    finally:
        node.destroy_node()
        context.try_shutdown()


def test_a_speaker_that_is_closed_falls_silent_and_leaves_no_thread(robot: Observer) -> None:
    before = set(threading.enumerate())
    speaker = Speaker()

    def speak() -> None:
        with speaker.utterance() as utterance:
            utterance.write(LONG)
            heard_word(utterance)
            speaker.close()

    with pytest.raises(SpeechError, match="closed"):
        speak()
    robot.wait(lambda: not robot.speaking[-1][1])
    assert set(threading.enumerate()) <= before


class Unheard:
    """The handle of a goal of a participant that the server has forgotten."""

    def __init__(self, goal_id: Any) -> None:
        self.goal_id = goal_id

    def get_result_async(self) -> Any:
        return Future()

    def cancel_goal_async(self) -> None:
        pass


@pytest.mark.usefixtures("robot")
@pytest.mark.parametrize("cancel", [False, True])
def test_after_a_standstill_another_participant_asks(
    monkeypatch: pytest.MonkeyPatch, *, cancel: bool
) -> None:
    """As the one that stood still may not be answered any more."""
    monkeypatch.setattr(accepted_goal, "REPEAT_SECONDS", 1.0)
    before = set(threading.enumerate())
    with Speaker() as speaker, speaker.utterance() as utterance:
        utterance.write(LONG if cancel else "One, two, three.")
        utterance.end()
        heard_word(utterance)
        followed = utterance._goal._followed
        assert followed is not None
        followed._handle = Unheard(followed._handle.goal_id)
        followed._standstill._noticed = True
        if cancel:
            assert utterance.cancel(TIMEOUT).reason is Reason.CANCELED
        else:
            assert utterance.wait(TIMEOUT).heard == "One, two, three."
    assert set(threading.enumerate()) <= before


def test_after_a_standstill_the_next_text_is_sent_by_another_participant(
    robot: Observer, speaker: Speaker
) -> None:
    assert speaker.say("One.").complete
    ((node, client),) = speaker._current.__self__._members  # type: ignore[attr-defined]
    node._standstill._noticed = True
    assert speaker.say("Two.").complete
    assert speaker._current() is not client
    assert speaker._current() is speaker._current()
    robot.wait(lambda: robot.node.get_node_names().count("speaker") == 1)


@contextlib.contextmanager
def server_of_its_own(env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A server in the namespace /own that may be killed."""
    server = start("speak_server", env, namespace="/own")
    try:
        yield server
    finally:
        server.kill()
        server.wait(TIMEOUT)


def speak_until(speaker: Speaker, happens: Callable[[], object]) -> Spoken:
    """Speak, and let something happen when the first word is heard; how the utterance ended."""
    with speaker.utterance() as utterance:
        utterance.write(LONG)
        heard_word(utterance)
        happens()
        return utterance.wait(2 * TIMEOUT)


def test_a_server_that_was_started_again_does_not_know_the_text() -> None:
    with Speaker("/own", server_timeout=TIMEOUT) as speaker, contextlib.ExitStack() as stack:
        server = stack.enter_context(server_of_its_own())

        def restart() -> None:
            server.kill()
            stack.enter_context(server_of_its_own())

        with pytest.raises(ResultLost, match="no longer knows"):
            speak_until(speaker, restart)


def test_a_server_that_has_gone_is_not_waited_for(
    short_lease: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted_goal, "REPEAT_SECONDS", 0.2)
    with (
        Speaker("/own", server_timeout=TIMEOUT) as speaker,
        server_of_its_own(short_lease) as server,
        pytest.raises(ServerUnavailable, match="has gone"),
    ):
        speak_until(speaker, server.kill)


def test_a_server_that_is_shut_down_says_so() -> None:
    with (
        Speaker("/own", server_timeout=TIMEOUT) as speaker,
        server_of_its_own() as server,
    ):
        spoken = speak_until(speaker, lambda: server.send_signal(signal.SIGINT))
    assert spoken.reason is Reason.SHUTDOWN
