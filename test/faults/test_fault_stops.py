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

"""A server, player or engine that stands still for three seconds (SIGSTOP) in mid-utterance."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from support.compare import Mono, align, find_speech, piece_of
from support.hearing import as_heard, whole
from support.recording import Recording, retake
from support.ros import ABORTED, SUCCEEDED, Observer, running
from support.sound import STEADY, SoundServer

STOPPED_SECONDS = 3.0
TEXT = (
    "I was talking when it stood still, calm and clear as ever, and when it went on "
    "I took up the thread where I had lost it."
)
AGAIN = "Ready."
FADE_FRAMES = 480
MOST_SHIFT = 5 * 48_000


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(STOPPED_SECONDS)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def finish(observer: Observer, recording: Recording) -> Mono:
    """What was heard, up to the silence after a last goal, which is whole; without that one."""
    goal = observer.say(AGAIN)
    assert (goal.status, goal.text) == (SUCCEEDED, AGAIN)
    recording.wait_for_frames(recording.frames + recording.rate // 2, 10)
    heard: Mono = recording.whole()[:, 0]
    match = align(heard, as_heard(whole(AGAIN), recording.rate))
    assert (match.missing_frames, match.extra_frames) == (0, 0), match
    return heard[: match.offset]


def silence_in(heard: Mono, expected: Mono) -> float:
    """How long (frames) it was silent in between, where all of it was heard and nothing twice."""
    match = align(heard, expected, max_shift=MOST_SHIFT)
    assert match.missing_frames == 0, match
    assert len(match.breaks) <= 1, match
    for gap in match.breaks:
        between = heard[match.offset + gap.frame :][: gap.extra]
        assert not find_speech(between[FADE_FRAMES:-FADE_FRAMES]), "silence but for its fades"
    return match.extra_frames


def value(observer: Observer, key: str) -> int:
    return int(observer.status("/audio_player")[key])


@retake
def test_a_server_that_stands_still(robot: Observer, sound_server: SoundServer) -> None:
    """The player runs dry, says so, and goes on with the very next frame: the goal succeeds."""
    (pid,) = pids_of("speak_server")
    with sound_server.record() as recording:
        recording.lost_frames()
        goal = robot.send(TEXT)
        recording.wait_for_sound(sound_server.rate // 4, 10)
        with stopped(pid):
            pass
        robot.wait_for_end(goal)
        assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
        robot.wait(lambda: value(robot, "underruns") == 1)
        heard = finish(robot, recording)
    silent = silence_in(heard, as_heard(whole(TEXT), sound_server.rate))
    assert 0 < silent < STOPPED_SECONDS * sound_server.rate


@retake
def test_a_player_that_stands_still(robot: Observer, sound_server: SoundServer) -> None:
    """The goal is aborted; the player takes nothing up again of it, but for what it holds."""
    (pid,) = pids_of("audio_player")
    with sound_server.record() as recording:
        recording.lost_frames()
        goal = robot.send(TEXT)
        recording.wait_for_sound(sound_server.rate // 4, 10)
        began = time.monotonic()
        with stopped(pid):
            robot.wait_for_end(goal)
        assert goal.status == ABORTED
        assert goal.ended_at is not None
        assert goal.ended_at - began < STOPPED_SECONDS
        assert TEXT.startswith(goal.text)
        robot.wait(lambda: not robot.speaking[-1][1])
        heard = finish(robot, recording)
    check_once(heard, as_heard(whole(TEXT), sound_server.rate))


@retake
def test_a_player_that_stands_still_and_is_waited_for(
    observer: Observer, sound_server: SoundServer, sound_env: dict[str, str]
) -> None:
    """What is sent again is dropped where it is there already: all is heard, and nothing twice."""
    with (
        running("audio_player", sound_env, **STEADY) as player,
        running("speak_server", player_lost="wait"),
        sound_server.record() as recording,
    ):
        observer.wait_for_nodes()
        recording.lost_frames()
        goal = observer.send(TEXT)
        recording.wait_for_sound(sound_server.rate // 4, 10)
        with stopped(player.pid):
            pass
        observer.wait_for_end(goal)
        assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
        heard = finish(observer, recording)
    check_once(heard, as_heard(whole(TEXT), sound_server.rate))


def check_once(heard: Mono, expected: Mono) -> None:
    """Two pieces at the most were heard, the second from behind the first."""
    spans = find_speech(heard, min_gap=24_000)
    assert len(spans) in (1, 2)
    reached = 0
    for begin, end in spans:
        for start, last in piece_of(heard[begin:end], expected, fade=FADE_FRAMES):
            assert start >= reached - FADE_FRAMES
            reached = last


@retake
def test_an_engine_that_stands_still(robot: Observer, sound_server: SoundServer) -> None:
    """Before it has made anything: the goal is late, and whole."""
    (pid,) = pids_of("speak_server")
    assert robot.say(AGAIN).status == SUCCEEDED
    engines = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    with sound_server.record() as recording:
        recording.lost_frames()
        with stopped(*engines):
            goal = robot.send(TEXT)
        robot.wait_for_end(goal)
        assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
        heard = finish(robot, recording)
    assert silence_in(heard, as_heard(whole(TEXT), sound_server.rate)) == 0


def pids_of(program: str) -> list[int]:
    """The nodes of that name that this test has started."""
    children = psutil.Process().children()
    return [child.pid for child in children if any(program in word for word in child.cmdline())]
