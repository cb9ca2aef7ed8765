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

"""What both forms of `k2so_tts.client` stand on: utterances as futures, and no call that waits."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from k2so_tts.audio import NANOSECONDS
from k2so_tts.ros.accepted_goal import AcceptedGoal, NamedAction
from k2so_tts.ros.endings import Reason
from k2so_tts.ros.errors import ServerUnavailable, SpeechError, SpeechRefused
from k2so_tts.ros.executors import ExecutorQueue
from k2so_tts.ros.messages import Speak, TextPiece, pieces_qos, require_speak
from k2so_tts.ros.spoken import HIGHEST_PRIORITY, Policy, SpeechOptions, Spoken, Word

require_speak()

_POLL_SECONDS = 0.02
_MATCH_SECONDS = 1.0
_CLOSE_SECONDS = 2.0
_UNSENDABLE = re.compile("[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
"""What a ROS string can't hold (it ends at a NUL, and lone surrogates have no UTF-8), and what the
server leaves out, and does not count: other control characters that are no white space."""


def new_stream() -> str:
    """A name that no other stream has."""
    return uuid.uuid4().hex


def speak_goal(text: str, stream: str, options: SpeechOptions) -> Any:
    """The goal that asks for this.

    Raises:
        ValueError: an option has a value that can't be sent.
        TypeError: there is no such option.
    """
    if unknown := options.keys() - SpeechOptions.__annotations__.keys():
        raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
    if not 0 <= options.get("priority", 0) <= HIGHEST_PRIORITY:
        raise ValueError(f"priority is {options['priority']}; allowed: 0 to {HIGHEST_PRIORITY}")
    return Speak.Goal(
        text=_sendable(text),
        stream=stream,
        voice=options.get("voice", ""),
        language=options.get("language", ""),
        rate=float(options.get("rate", 1.0)),
        pitch=float(options.get("pitch", 1.0)),
        volume=float(options.get("volume", 1.0)),
        policy=int(Policy(options.get("policy", Policy.DEFAULT))),
        priority=int(options.get("priority", 0)),
    )


def _sendable(text: str) -> str:
    """`text` with a space for each character that can't be sent: the places of words stay."""
    return _UNSENDABLE.sub(" ", text)


class SpeakClient:
    """Action client of `speak` and publisher of `text_pieces`, on a node that is spun elsewhere.

    Its methods may be called from any thread. Callbacks share a callback group of their own.

    Args:
        node: the node.
        prefix: stands before the names of action and topic, as "/robot1/"; empty: those of the
            namespace of the node.
    """

    def __init__(self, node: Node, prefix: str = "") -> None:
        self.node = node
        self.group: CallbackGroup = MutuallyExclusiveCallbackGroup()
        self.action = NamedAction(Speak, node.resolve_topic_name(f"{prefix}speak"))
        self.action_client = self.action.client_on(node, self.group)
        self.pieces = node.create_publisher(TextPiece, f"{prefix}text_pieces", pieces_qos())
        self.queue = ExecutorQueue(node, self.group)
        self._goals: set[SpeakGoal] = set()
        self._closing = threading.Lock()

    def until_ready(self, timeout: float) -> Iterator[float]:
        """Yield seconds to sleep until a server takes goals and all pieces that are published.

        Raises:
            ServerUnavailable: there was none for `timeout` seconds.
        """
        began = time.monotonic()
        while not self._is_ready(waited := time.monotonic() - began):
            if waited > timeout:
                raise ServerUnavailable(
                    f"no speak_server offers the action 'speak' (waited {timeout:g} s)"
                )
            yield _POLL_SECONDS

    def _is_ready(self, waited: float) -> bool:
        """A server is there, and the subscribers that are known of have been matched: all of them,
        or after a while any, as one of a bystander may never be.
        """
        matched = self.pieces.get_subscription_count()
        subscribers = self.node.count_subscribers(self.pieces.topic_name)
        all_matched = matched >= subscribers or waited > _MATCH_SECONDS
        return matched > 0 and all_matched and self.action_client.server_is_ready()

    @property
    def is_idle(self) -> bool:
        """Nothing is being spoken for it."""
        return all(goal.ended.done() for goal in list(self._goals))

    def send(self, goal: Any) -> SpeakGoal:
        """Send a goal; returns at once."""
        sent = SpeakGoal(self, goal)
        self._goals.add(sent)
        sent.ended.add_done_callback(lambda _: self._forget(sent))
        self.queue.post(sent.send)
        return sent

    def _forget(self, goal: SpeakGoal) -> None:
        if not goal.needs_close:
            self._goals.discard(goal)

    def close(self) -> None:
        """Cancel what is still being spoken, and leave the node as it was.

        What is waited for raises `SpeechError`.
        """
        closed = threading.Event()

        def close() -> None:
            if self._closing.acquire(blocking=False):
                self._close()
            closed.set()

        self.queue.post(close)
        if not closed.wait(_CLOSE_SECONDS):  # nobody spins the node
            close()
        for goal in list(self._goals):
            goal.close()

    def _close(self) -> None:
        for goal in list(self._goals):
            goal.abandon()
        self.queue.close()
        self.action_client.destroy()
        self.node.destroy_publisher(self.pieces)


class SpeakGoal:
    """An utterance. What is not said to be otherwise may be called from any thread, and waits for
    nothing.

    Attributes:
        accepted: done when the server has accepted it. Raises `SpeechError`.
        ended: done when it has ended. Raises `SpeechError`.
    """

    def __init__(self, client: SpeakClient, goal: Any) -> None:
        self.accepted: Future[None] = Future()
        self.ended: Future[Spoken] = Future()
        self._client = client
        self._goal = goal
        self._followed: AcceptedGoal | None = None
        self._writing = threading.Lock()
        self._written = [goal.text]
        self._unsent: list[Any] = []
        """Pieces that were not published yet; those with `flush` stand for themselves."""
        self._sequence = 0
        self._text_ended = not goal.stream
        self._cancelled = False
        self._changing = threading.Lock()
        self._words: list[Word] = []
        self._waiting: list[Future[Word | None]] = []
        """For the next word."""

    def write(self, text: str, *, flush: bool = False, end: bool = False) -> None:
        """Append to the text, unless the utterance is over.

        It is published in the executor's thread: what is written before that comes about goes
        together, so that no writer is faster than a subscriber can follow.

        Raises:
            ValueError: the text has ended.
        """
        text = _sendable(text)
        with self._writing:
            if self.ended.done() or self._cancelled:
                return
            if self._text_ended:
                raise ValueError("the text has ended")
            if not self._unsent:
                self._client.queue.post(self._publish)
            if not self._unsent or self._unsent[-1].flush:
                self._unsent.append(TextPiece(stream=self._goal.stream, sequence=self._sequence))
                self._sequence += 1
            piece = self._unsent[-1]
            piece.text += text
            piece.flush, piece.end = flush, end
            self._written.append(text)
            self._text_ended = end

    def _publish(self) -> None:
        with self._writing:
            pieces, self._unsent = self._unsent, []
        for piece in () if self.ended.done() else pieces:
            self._client.pieces.publish(piece)

    def end(self) -> None:
        """End the text, if it has not ended yet."""
        if not self._text_ended:
            self.write("", end=True)

    def cancel(self) -> None:
        """Ask for it to be cancelled, be it accepted or not; it is over when `ended` is done."""
        with self._writing:
            self._cancelled = True
        self._client.queue.post(self._cancel)

    @property
    def result(self) -> Spoken | None:
        """How it ended; None until then, and where nobody knows."""
        return self.ended.result() if self.ended.done() and not self.ended.exception() else None

    @property
    def heard(self) -> str:
        """The words that were heard so far, the one that is being heard included; exact when it has
        ended.
        """
        if self.result is not None:
            return self.result.heard
        with self._changing:
            end = self._words[-1].end if self._words else 0
        return "".join(self._written)[:end]

    def word(self, number: int) -> Future[Word | None]:
        """The word of a number that is at most one more than words have become audible; None if the
        utterance ends before.
        """
        found: Future[Word | None] = Future()
        with self._changing:
            if number < len(self._words):
                found.set_result(self._words[number])
            elif self.ended.done():
                found.set_result(None)
            else:
                self._waiting.append(found)
        return found

    def send(self) -> None:
        """Send it. In the executor's thread."""
        try:
            sent = self._client.action_client.send_goal_async(self._goal, self._on_feedback)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._fail(error)
        else:
            sent.add_done_callback(self._posted(self._on_accepted))

    @property
    def needs_close(self) -> bool:
        """It has something that `close` waits for."""
        return self._followed is not None and self._followed.asks_twice

    def close(self) -> None:
        """Wait until all is gone that followed it, after `abandon`."""
        if self._followed is not None:
            self._followed.close()

    def abandon(self) -> None:
        """Have it cancelled without waiting. In the executor's thread."""
        self._cancelled = True
        self._cancel()
        error = SpeechError("the client was closed before the text was spoken")
        if self._followed is not None:
            self._followed.fail(error)
        self._fail(error)

    def _posted(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """`callback` for futures, called in the callback group: an executor with several threads
        may run it beside others.
        """
        return lambda future: self._client.queue.post(lambda: callback(future))

    def _on_accepted(self, sent: Any) -> None:
        handle = sent.result()
        if self.ended.done():
            return
        if not handle.accepted:
            self._fail(SpeechRefused("the text was refused; speak_server's log says why"))
            return
        client = self._client
        self._followed = AcceptedGoal(
            client.node, client.action, client.action_client, handle, client.group
        )
        self._followed.response.add_done_callback(self._posted(self._on_ended))
        if self._cancelled:
            self._followed.cancel()
        _settle(self.accepted, None)

    def _on_feedback(self, message: Any) -> None:
        said = message.feedback
        elapsed_s = said.elapsed.sec + said.elapsed.nanosec / NANOSECONDS
        word = Word(said.word, said.text_start, said.text_end, elapsed_s)
        with self._changing:
            self._words.append(word)
            waiting, self._waiting = self._waiting, []
        for found in waiting:
            _settle(found, word)

    def _cancel(self) -> None:
        if self._followed is not None and not self.ended.done():
            self._followed.cancel()

    def _on_ended(self, response: Future[Any]) -> None:
        error = response.exception()
        if error is not None:
            self._fail(error)
            return
        result = response.result().result
        latency_ms = result.perceived_latency_ms
        _settle(
            self.ended,
            Spoken(
                result.heard,
                _reason(result.reason),
                result.message,
                None if latency_ms < 0 else latency_ms / 1000,
                result.engine,
            ),
        )
        self._end_words()

    def _fail(self, error: BaseException) -> None:
        for future in (self.accepted, self.ended):
            if not future.done():
                future.set_exception(error)
        self._end_words()

    def _end_words(self) -> None:
        with self._changing:
            waiting, self._waiting = self._waiting, []
        for found in waiting:
            _settle(found, None)


def _settle(future: Future[Any], value: object) -> None:
    """Set the result of a future, unless it is done or its waiter has cancelled it."""
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_result(value)


def _reason(value: int) -> Reason:
    """The reason of this value; a newer server may know others, which its message tells."""
    try:
        return Reason(value)
    except ValueError:
        return Reason.INTERNAL_ERROR
