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

"""The playhead reporter goes on after exceptions in its listener and of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from support.simulated_player import CHUNK, MONO, RATE, START, ones

from k2so_tts.audio import frames_to_ns
from k2so_tts.metrics import PlaybackStats
from k2so_tts.playback import Player, PlayerSettings

TIMEOUT = 20.0
REPORTS = ("on_playhead", "on_speaking", "on_utterance")


class Failing:
    """A listener one of whose methods always fails."""

    def __init__(self, failing: str) -> None:
        self.failing = failing
        self.playheads = 0
        self.ended = threading.Semaphore(0)

    def on_playhead(self, *_: float) -> None:
        self.playheads += 1
        self.fail("on_playhead")

    def on_speaking(self, speaking: bool) -> None:  # noqa: ARG002
        self.fail("on_speaking")

    def on_utterance(self, heard: PlaybackStats) -> None:  # noqa: ARG002
        self.ended.release()
        self.fail("on_utterance")

    def on_level(self, level: float) -> None:
        """Not used."""

    def fail(self, name: str) -> None:
        if self.failing == name:
            raise LookupError(f"it failed in {name}")


@pytest.fixture
def listener(request: pytest.FixtureRequest) -> Failing:
    return Failing(request.param)


@pytest.fixture
def player(listener: Failing) -> Iterator[Player]:
    player = Player(PlayerSettings(device="null"), listener)
    player.start()
    yield player
    player.close()


def say(player: Player, start_ns: int = START) -> None:
    player.receive("us", start_ns, MONO, ones(CHUNK))
    player.receive("us", start_ns + frames_to_ns(CHUNK, RATE), MONO, ones(0))


@pytest.mark.parametrize("listener", REPORTS, indirect=True)
def test_after_an_exception_in_the_listener_later_utterances_are_reported(
    player: Player, listener: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        say(player, START * (number + 1))
        assert listener.ended.acquire(timeout=TIMEOUT)
    assert f"it failed in {listener.failing}" in caplog.text
    assert "Traceback" in caplog.text
    assert player.counters.utterances == 3


@pytest.mark.parametrize("listener", ["on_playhead"], indirect=True)
def test_an_exception_that_is_raised_again_and_again_is_logged_once(
    player: Player, listener: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        say(player, START * (number + 1))
        assert listener.ended.acquire(timeout=TIMEOUT)
    assert listener.playheads > 1
    assert caplog.text.count("Traceback") == 1
    listener.failing = ""
    say(player, START * 3)
    assert listener.ended.acquire(timeout=TIMEOUT)
    listener.failing = "on_playhead"
    say(player, START * 4)
    assert listener.ended.acquire(timeout=TIMEOUT)
    assert caplog.text.count("Traceback") == 2, "a failure after a success is logged again"


@pytest.mark.parametrize("listener", [""], indirect=True)
def test_after_an_exception_of_its_own_the_reporter_goes_on(
    player: Player,
    listener: Failing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed = threading.Event()

    def fail() -> bool:
        failed.set()
        raise LookupError("it failed")

    with monkeypatch.context() as patch:
        patch.setattr(player, "end_overdue_utterances", fail)
        say(player)
        assert failed.wait(TIMEOUT)
    assert listener.ended.acquire(timeout=TIMEOUT)
    say(player, 2 * START)
    assert listener.ended.acquire(timeout=TIMEOUT)
    assert "it failed" in caplog.text
    assert "Traceback" in caplog.text
