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

"""Have a robot speak: whole texts, and texts that are still being written.

For threads:

    with Speaker() as speaker:
        speaker.say("Hello.")
        with speaker.utterance() as utterance:
            for token in model.answer(question):
                utterance.write(token)
        print(utterance.heard)

For asyncio:

    async with AsyncSpeaker() as speaker:
        async with speaker.utterance() as utterance:
            async for token in model.answer(question):
                await utterance.write(token)

All that is not in `__all__` is private.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from k2so_tts.ros.endings import Reason
from k2so_tts.ros.errors import ResultLost, ServerUnavailable, SpeechError, SpeechRefused
from k2so_tts.ros.executors import timeout_error, wait_for
from k2so_tts.ros.own_speak_client import OwnSpeakClient
from k2so_tts.ros.speak_client import SpeakClient, SpeakGoal, new_stream, speak_goal
from k2so_tts.ros.spoken import Policy, SpeechOptions, Spoken, Word

if TYPE_CHECKING:
    from rclpy.node import Node
    from typing_extensions import Self, Unpack

__all__ = [
    "AsyncSpeaker",
    "AsyncUtterance",
    "Policy",
    "Reason",
    "ResultLost",
    "ServerUnavailable",
    "Speaker",
    "SpeechError",
    "SpeechOptions",
    "SpeechRefused",
    "Spoken",
    "Utterance",
    "Word",
]

_HOUR = 3600.0
_CANCEL_SECONDS = 10.0
_Outcome = TypeVar("_Outcome")


class _SpeakerBase:
    """What both kinds of speakers share: a node, and the client that lives on it."""

    def __init__(
        self, namespace: str = "", *, node: Node | None = None, server_timeout: float = 5.0
    ) -> None:
        self._server_timeout = server_timeout
        self._current: Callable[[], SpeakClient]
        if node is None:
            own = OwnSpeakClient(namespace)
            self._current, self._close = own.current, own.close
        else:
            client = SpeakClient(node, f"{namespace.rstrip('/')}/" if namespace else "")
            self._current, self._close = lambda: client, client.close


class _UtteranceBase:
    """What both kinds of utterances share."""

    def __init__(self, goal: SpeakGoal) -> None:
        self._goal = goal

    @property
    def heard(self) -> str:
        """What was heard: so far, up to the word that is being heard; exact when it has ended."""
        return self._goal.heard

    @property
    def result(self) -> Spoken | None:
        """How it ended; None until then."""
        return self._goal.result


class Speaker(_SpeakerBase):
    """Speaks, for threads. Any number of threads may use it, and any number of utterances at once.

    Never to be waited for in the thread that spins its node: with a `node` of your own, not in a
    callback of it.

    Args:
        namespace: that of speak_server; empty: that of `node`, or none.
        node: a node of your own that you spin; None: it gets one of its own, and spins it.
        server_timeout: seconds to wait for speak_server, and for it to accept a text.

    Raises:
        SpeechError: the namespace is invalid, or ROS's security is on and there is no enclave.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what is still being spoken and leave ROS; a node of your own goes on."""
        self._close()

    def say(
        self,
        text: str,
        *,
        on_word: Callable[[Word], object] | None = None,
        timeout: float = _HOUR,
        **options: Unpack[SpeechOptions],
    ) -> Spoken:
        """Speak a whole text and wait until it was heard.

        An exception that interrupts it, as Ctrl-C does, cancels it before it goes on.

        Args:
            text: what to say.
            on_word: called, in this thread, with each word that becomes audible.
            timeout: seconds to wait for the end.
            **options: see `SpeechOptions`.

        Raises:
            ServerUnavailable: there is no speak_server, or it has gone.
            SpeechRefused: it did not accept the text.
            ResultLost: it no longer knows how the text ended.
            TimeoutError: it took longer than `timeout`.
            ValueError: an option has a value that can't be sent.
        """
        with self._speak(text, "", timeout, options) as utterance:
            for word in utterance.words(timeout):
                if on_word is not None:
                    on_word(word)
        return utterance.wait()

    def utterance(
        self, *, timeout: float = _HOUR, **options: Unpack[SpeechOptions]
    ) -> contextlib.AbstractContextManager[Utterance]:
        """Speak a text while it is being written, in a `with` block.

        To enter the block waits until speak_server has accepted the utterance. To leave it ends the
        text and waits until it was heard. An exception that leaves it cancels the utterance.

        Args:
            timeout: seconds to wait for the end, once the text was written.
            **options: see `SpeechOptions`.

        Raises:
            SpeechError, TimeoutError, ValueError: as `say`.
        """
        return self._speak("", new_stream(), timeout, options)

    @contextlib.contextmanager
    def _speak(
        self, text: str, stream: str, timeout: float, options: SpeechOptions
    ) -> Iterator[Utterance]:
        goal = speak_goal(text, stream, options)
        client = self._current()
        for pause in client.until_ready(self._server_timeout):
            time.sleep(pause)
        sent = client.send(goal)
        try:
            wait_for(sent.accepted, self._server_timeout)
        except BaseException:
            sent.cancel()
            raise
        utterance = Utterance(sent)
        try:
            yield utterance
            utterance.end()
            utterance.wait(timeout)
        except BaseException:
            with contextlib.suppress(SpeechError, TimeoutError):
                utterance.cancel()
            raise


class Utterance(_UtteranceBase):
    """A text that is being spoken, while it is being written: what `Speaker.utterance` gives.

    Its methods may be called from any thread. Once it is over, for whatever reason, what is written
    is dropped: `result` says that there is no need to write more.
    """

    def write(self, text: str) -> None:
        """Append a piece of any length to the text. Returns at once.

        Raises:
            ValueError: the text has ended.
        """
        self._goal.write(text)

    def flush(self) -> None:
        """Have spoken what was written, though a clause may not be complete. Returns at once.

        Raises:
            ValueError: the text has ended.
        """
        self._goal.write("", flush=True)

    def end(self) -> None:
        """End the text: nothing more will be written. Returns at once."""
        self._goal.end()

    def cancel(self, timeout: float = _CANCEL_SECONDS) -> Spoken:
        """Stop speaking, and wait for the result: at most `timeout` seconds.

        Raises:
            SpeechError, TimeoutError: as `Speaker.say`.
        """
        self._goal.cancel()
        return self.wait(timeout)

    def wait(self, timeout: float = _HOUR) -> Spoken:
        """Wait until it has ended: at most `timeout` seconds.

        Raises:
            SpeechError, TimeoutError: as `Speaker.say`.
        """
        return wait_for(self._goal.ended, timeout)

    def words(self, timeout: float = _HOUR) -> Iterator[Word]:
        """Yield each word as it becomes audible, from the first one on, until the utterance ends.

        Any number of iterators may be used at once.

        Args:
            timeout: seconds to wait for each word.

        Raises:
            TimeoutError: none came for `timeout` seconds.
        """
        for number in itertools.count():
            word = wait_for(self._goal.word(number), timeout)
            if word is None:
                return
            yield word


class AsyncSpeaker(_SpeakerBase):
    """Speaks, for asyncio. Any number of tasks may use it, and any number of utterances at once.

    Args:
        namespace: that of speak_server; empty: that of `node`, or none.
        node: a node of your own that is spun in another thread; None: it gets one of its own, and
            spins it.
        server_timeout: seconds to wait for speak_server, and for it to accept a text.

    Raises:
        SpeechError: the namespace is invalid, or ROS's security is on and there is no enclave.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel what is still being spoken and leave ROS; a node of your own goes on."""
        await asyncio.to_thread(self._close)

    async def say(
        self,
        text: str,
        *,
        on_word: Callable[[Word], object] | None = None,
        timeout: float = _HOUR,
        **options: Unpack[SpeechOptions],
    ) -> Spoken:
        """As `Speaker.say`; `on_word` is called in the event loop."""
        async with self._speak(text, "", timeout, options) as utterance:
            async for word in utterance.words(timeout):
                if on_word is not None:
                    on_word(word)
        return await utterance.wait()

    def utterance(
        self, *, timeout: float = _HOUR, **options: Unpack[SpeechOptions]
    ) -> contextlib.AbstractAsyncContextManager[AsyncUtterance]:
        """As `Speaker.utterance`, in an `async with` block.

        A task that is cancelled in the block cancels the utterance.
        """
        return self._speak("", new_stream(), timeout, options)

    @contextlib.asynccontextmanager
    async def _speak(
        self, text: str, stream: str, timeout: float, options: SpeechOptions
    ) -> AsyncIterator[AsyncUtterance]:
        goal = speak_goal(text, stream, options)
        client = self._current()
        for pause in client.until_ready(self._server_timeout):
            await asyncio.sleep(pause)
        sent = client.send(goal)
        try:
            await _wait_async(sent.accepted, self._server_timeout)
        except BaseException:
            sent.cancel()
            raise
        utterance = AsyncUtterance(sent)
        try:
            yield utterance
            await utterance.end()
            await utterance.wait(timeout)
        except BaseException:
            with contextlib.suppress(SpeechError, TimeoutError):
                await utterance.cancel()
            raise


class AsyncUtterance(_UtteranceBase):
    """As `Utterance`, for asyncio: what `AsyncSpeaker.utterance` gives."""

    async def write(self, text: str) -> None:
        """Append a piece of any length to the text. Other tasks get their turn, no more.

        Raises:
            ValueError: the text has ended.
        """
        self._goal.write(text)
        await asyncio.sleep(0)

    async def flush(self) -> None:
        """Have spoken what was written, though a clause may not be complete.

        Raises:
            ValueError: the text has ended.
        """
        self._goal.write("", flush=True)

    async def end(self) -> None:
        """End the text: nothing more will be written."""
        self._goal.end()

    async def cancel(self, timeout: float = _CANCEL_SECONDS) -> Spoken:
        """Stop speaking, and wait for the result: at most `timeout` seconds.

        Raises:
            SpeechError, TimeoutError: as `Speaker.say`.
        """
        self._goal.cancel()
        return await self.wait(timeout)

    async def wait(self, timeout: float = _HOUR) -> Spoken:
        """Wait until it has ended: at most `timeout` seconds.

        Raises:
            SpeechError, TimeoutError: as `Speaker.say`.
        """
        return await _wait_async(self._goal.ended, timeout)

    async def words(self, timeout: float = _HOUR) -> AsyncIterator[Word]:
        """As `Utterance.words`."""
        for number in itertools.count():
            word = await _wait_async(self._goal.word(number), timeout)
            if word is None:
                return
            yield word


async def _wait_async(future: concurrent.futures.Future[_Outcome], timeout: float) -> _Outcome:
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), timeout)
    except asyncio.TimeoutError as error:
        raise timeout_error(timeout) from error
