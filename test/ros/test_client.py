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

"""The client that the command line and the benchmarks use, on real nodes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.ros import TIMEOUT, Observer, running

from k2so_tts.ros.client import SpeechClient
from k2so_tts.ros.errors import SpeechRefused

LONG = " ".join(f"Number {n} is spoken." for n in range(20))


@pytest.fixture
def client(observer: Observer) -> Iterator[SpeechClient]:
    """A client of both nodes; `observer` watches them."""
    with (
        running("audio_player", device="null"),
        running("speak_server"),
        closing(SpeechClient()) as client,
    ):
        observer.wait_for_nodes()
        assert client.wait_for_server(TIMEOUT)
        assert client.wait_for_player(TIMEOUT)
        yield client


def test_a_closed_client_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with closing(SpeechClient()):
        assert "client" in {thread.name for thread in threading.enumerate()}
    assert set(threading.enumerate()) <= before


def test_a_text_is_spoken_and_measured(client: SpeechClient) -> None:
    heard: list[float] = []
    measured = client.say("Hello world.", on_heard=heard.append)
    assert (measured.status, measured.text) == ("succeeded", "Hello world.")
    assert heard == sorted(heard)
    seconds = sum(seconds for _, seconds in measured.chunks)
    assert heard[-1] == pytest.approx(seconds)
    assert measured.first_chunk_s is not None
    assert measured.first_frame_s is not None
    assert 0 < measured.first_chunk_s < measured.first_frame_s < measured.result_s


def test_a_goal_is_cancelled_when_enough_was_heard(client: SpeechClient) -> None:
    measured = client.say(LONG, cancel_after=1.0)
    assert measured.status == "canceled"
    assert 0 < len(measured.text) < len(LONG)


def test_a_refused_goal_raises(client: SpeechClient) -> None:
    with pytest.raises(SpeechRefused, match="refused"):
        client.say("Hello.", language="klingon")


def test_an_exception_of_on_heard_cancels_the_goal_and_is_raised(
    client: SpeechClient, observer: Observer
) -> None:
    def fail(_: float) -> None:
        raise ZeroDivisionError("of a listener")

    with pytest.raises(ZeroDivisionError, match="of a listener"):
        client.say(LONG, on_heard=fail, timeout=TIMEOUT)
    observer.wait(lambda: observer.status("/speak_server").get("goals_canceled") == "1")
    assert client.say("Hello.").status == "succeeded"
