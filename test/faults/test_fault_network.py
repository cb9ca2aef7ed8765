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

"""Server and player on two hosts: the link fails, the player joins late, other robots are near."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import align, find_speech
from support.hearing import SENTENCE, as_heard, check_heard, whole
from support.network import ENVIRONMENT, Host, alone, connected_hosts, why_no_hosts
from support.recording import Recording, retake
from support.ros import ABORTED, SUCCEEDED, TIMEOUT, Goal, Observer, running
from support.sound import STEADY, STEADY_CYCLE, SoundServer

from k2so_tts.audio import Pcm, ns_to_frames
from k2so_tts.ros.messages import to_nanoseconds
from k2so_tts.ros.player_liveness import PLAYER_SILENCE_SECONDS

Sound = NDArray[np.float32]

NO_HOSTS = why_no_hosts()
pytestmark = [pytest.mark.skipif(bool(NO_HOSTS), reason=NO_HOSTS), pytest.mark.timeout(180)]

OUTAGES = (1, 3, 10)
"""Seconds; Fast DDS forgets who says nothing for 20."""
SCRAP_SECONDS = 0.04
"""What a player holds in its resampler: too little, and too late, when it gives an utterance up."""
LEAD = 2.0
"""Seconds of sound sent ahead of what is heard: the default of `max_lead`."""
ENGINE_RATE, SOUND_RATE = 22050, 48000
REMNANT = 0.5
"""Seconds that a player may have begun to play of two goals before it reads that they are over."""
NEXT = "This is heard whole."


@dataclass
class Said:
    """What was said with the link down for a while, and where it is in the recording."""

    goals: list[Goal]
    down_at: float
    part: slice
    following: slice
    """The goal after it."""


@dataclass
class Robot:
    """`speak_server` here, an `audio_player` there, and who watches both from here."""

    here: Host
    there: Host
    sound: SoundServer
    observer: Observer

    @contextlib.contextmanager
    def player(self) -> Iterator[None]:
        with ExitStack() as stack:
            with self.there.inside():
                stack.enter_context(running("audio_player", self.sound.env, **STEADY))
            yield

    @contextlib.contextmanager
    def unplugged(self) -> Iterator[float]:
        """The link is down meanwhile, and nothing passes; since when (s, monotonic)."""
        self.there.pull_out()
        since, packets = time.monotonic(), self.there.packets()
        yield since
        assert self.there.packets() == packets
        assert not [at for at, *_ in self.observer.playheads if at > since + 0.5]
        self.there.plug_in()

    def say_through(self, outage: float, recording: Recording) -> Said:
        """Say the sentence, with the link down for `outage` seconds after its first half second,
        and another one.
        """
        start = recording.frames
        self.observer.playheads.clear()
        goal = self.observer.send(SENTENCE)
        self.observer.wait(lambda: len(self.observer.playheads) > 10)
        with self.unplugged() as since:
            time.sleep(outage)
        self.observer.wait_for_end(goal)
        return self.say_next(recording, start, since, goal)

    def say_next(self, recording: Recording, start: int, down_at: float, *goals: Goal) -> Said:
        """Say what is to be heard whole after goals that are recorded from frame `start` on."""
        between = self.fall_silent(recording)
        following = self.observer.say(NEXT)
        log = [f"{entry.name}: {entry.msg}" for entry in self.observer.log]
        assert (following.status, following.text) == (SUCCEEDED, NEXT), log[-12:]
        end = self.fall_silent(recording)
        return Said([*goals], down_at, slice(start, between), slice(between, end))

    def fall_silent(self, recording: Recording) -> int:
        """Wait until nothing is heard any more; the frame that is recorded then."""
        self.observer.wait(lambda: not self.observer.speaking[-1][1])
        return recording.wait_for_frames(recording.frames + SOUND_RATE // 2, TIMEOUT)

    def counted(self) -> dict[str, int]:
        """What the player has counted by now."""
        self.observer.diagnostics.pop("/audio_player", None)
        self.observer.wait(lambda: "/audio_player" in self.observer.diagnostics)
        values = self.observer.status("/audio_player")
        names = ("utterances", "underruns", "lost_frames", "dropped_frames", "overflow_frames")
        return {name: int(values[name]) for name in names}


@contextlib.contextmanager
def robot_without_player(**parameters: Any) -> Iterator[Robot]:
    """A robot whose server has these parameters."""
    os.environ.update(ENVIRONMENT)
    with (
        SoundServer(SOUND_RATE, quantum=STEADY_CYCLE) as sound,
        connected_hosts() as (here, there),
        here.inside(),
        running("speak_server", **parameters),
        closing(Observer()) as observer,
    ):
        assert observer.client.wait_for_server(TIMEOUT)
        yield Robot(here, there, sound, observer)


@contextlib.contextmanager
def robot_on_two_hosts(**parameters: Any) -> Iterator[Robot]:
    with robot_without_player(**parameters) as robot, robot.player():
        robot.observer.wait_for_nodes()
        yield robot


def check_only(heard: Sound, pcm: Pcm) -> None:
    """It was heard to the frame, and there was silence before and after."""
    expected = as_heard(pcm, SOUND_RATE)
    check_heard(heard, expected)
    offset = align(heard, expected).offset
    before, after = heard[: max(0, offset)], heard[offset + len(expected) :]
    assert not find_speech(before), find_speech(before)
    assert not find_speech(after), find_speech(after)


def seconds_of_pause(heard: Sound, pieces: list[Pcm]) -> float:
    """How long it was silent within and between the pieces, every frame of which is to be heard; at
    the end of all but the last one a scrap may be missing.
    """
    pause, end = 0, 0
    for number, piece in enumerate(pieces):
        expected = as_heard(piece, SOUND_RATE)
        match = align(heard, expected, max_shift=len(heard))
        scrap = SCRAP_SECONDS * SOUND_RATE if number + 1 < len(pieces) else 0
        assert match.missing_frames <= scrap, match
        assert match.offset >= end, match
        pause += match.extra_frames + (match.offset - end if number else 0)
        end = match.offset + len(expected) + match.extra_frames
    return pause / SOUND_RATE


def split(pcm: Pcm, goal: Goal, playheads: list[tuple[float, int, int]]) -> list[Pcm]:
    """The sound of a goal in two, at the chunk before which the player stood still longest."""
    stamps = [stamp for _, stamp in goal.feedback]
    ((stood, _),) = Counter(head for _, head, _ in playheads).most_common(1)
    at = ns_to_frames(min(stamp for stamp in stamps if stamp >= stood) - stamps[0], ENGINE_RATE)
    return [pcm[:at], pcm[at:]]


def figures(text: str) -> None:
    """Show what was measured, with `pytest -s`."""
    sys.stdout.write(f"{text}\n")


@retake
@alone
def test_nothing_is_lost_by_a_server_that_waits_for_the_link() -> None:
    pcm = whole(SENTENCE)
    trials = []
    with robot_on_two_hosts(player_lost="wait") as robot, robot.sound.record() as recording:
        recording.lost_frames()
        counts = [robot.counted()]
        for outage in OUTAGES:
            said = robot.say_through(outage, recording)
            counts.append(robot.counted())
            given_up = counts[-1]["utterances"] > counts[-2]["utterances"] + 2
            pieces = split(pcm, said.goals[0], robot.observer.playheads) if given_up else [pcm]
            trials.append((said, pieces))
        sound = recording.whole()[:, 0]
    for outage, (said, pieces), before, after in zip(
        OUTAGES, trials, counts[:-1], counts[1:], strict=True
    ):
        assert [(goal.status, goal.text) for goal in said.goals] == [(SUCCEEDED, SENTENCE)]
        check_only(sound[said.following], whole(NEXT))
        pause = seconds_of_pause(sound[said.part], pieces)
        counted = {name: after[name] - before[name] for name in after}
        figures(f"down for {outage} s: silent for {pause:.2f} s, {counted}")
        scrap = SCRAP_SECONDS * ENGINE_RATE * (len(pieces) - 1)
        assert counted["lost_frames"] <= scrap, (outage, counted)
        assert counted["dropped_frames"] == 0, (outage, counted)
        assert (counted["underruns"] > 0) == (outage > LEAD), (outage, counted)
        assert (pause > 0) == (outage > LEAD), (outage, pause)


@retake
@alone
def test_a_server_that_does_not_wait_aborts_the_goal_and_the_next_one_is_heard() -> None:
    expected = as_heard(whole(SENTENCE), SOUND_RATE)
    with robot_on_two_hosts() as robot, robot.sound.record() as recording:
        recording.lost_frames()
        trials = [robot.say_through(outage, recording) for outage in OUTAGES]
        sound = recording.whole()[:, 0]
    for outage, said in zip(OUTAGES, trials, strict=True):
        (goal,) = said.goals
        assert goal.status == ABORTED, outage
        assert goal.ended_at is not None
        assert goal.ended_at - said.down_at < 3 * PLAYER_SILENCE_SECONDS, outage
        assert 0 < len(goal.text) < len(SENTENCE), outage
        assert SENTENCE.startswith(goal.text), outage
        check_only(sound[said.following], whole(NEXT))
        (end,) = align(sound[said.part], expected).breaks
        ended_after = goal.ended_at - said.down_at
        figures(f"down for {outage} s: {end.frame / SOUND_RATE:.2f} s heard, {ended_after:.2f} s")
        assert end.extra == 0, (outage, end)
        assert end.frame / SOUND_RATE > 0.5 + min(outage, LEAD) / 2, (outage, end)


@retake
@alone
def test_what_was_said_to_nobody_is_not_heard_when_the_link_is_back() -> None:
    with robot_on_two_hosts() as robot, robot.sound.record() as recording:
        recording.lost_frames()
        before = robot.counted()["utterances"]
        with robot.unplugged() as since:
            goals = [robot.observer.say(text) for text in (NEXT, NEXT)]
            told = robot.observer.status("/speak_server")["message"]
        robot.observer.wait(lambda: robot.counted()["utterances"] == before + len(goals))
        said = robot.say_next(recording, 0, since, *goals)
        sound = recording.whole()[:, 0]
    assert [goal.status for goal in goals] == [ABORTED, SUCCEEDED]
    assert "player" in told
    remnant = sum(end - start for start, end in find_speech(sound[said.part])) / SOUND_RATE
    figures(f"{remnant:.3f} s heard of what was said to nobody")
    assert remnant < REMNANT
    check_only(sound[said.following], whole(NEXT))


@retake
@alone
def test_a_player_that_joins_while_it_is_waited_for_hears_all() -> None:
    with (
        robot_without_player(wait_for_player=TIMEOUT) as robot,
        robot.sound.record() as recording,
    ):
        recording.lost_frames()
        goal = robot.observer.send(NEXT)
        with robot.player():
            robot.observer.wait_for_end(goal)
            robot.fall_silent(recording)
            assert robot.counted()["lost_frames"] == 0
        sound = recording.whole()[:, 0]
    assert (goal.status, goal.text) == (SUCCEEDED, NEXT)
    check_only(sound, whole(NEXT))


@retake
@alone
def test_a_player_that_joins_in_mid_sentence_hears_the_rest_and_all_of_the_next_goal() -> None:
    text = " ".join([SENTENCE] * 3)
    with robot_without_player() as robot, robot.sound.record() as recording:
        recording.lost_frames()
        goal = robot.observer.send(text)
        robot.observer.wait(lambda: goal.feedback)
        with robot.player():
            robot.observer.wait_for_end(goal)
            robot.observer.wait(lambda: robot.counted()["utterances"] == 1)
            seconds = float(robot.observer.status("/audio_player")["duration_s"])
            chunks = [to_nanoseconds(message.header.stamp) for _, message in robot.observer.audio]
            said = robot.say_next(recording, 0, 0.0, goal)
            assert robot.counted()["lost_frames"] == 0
        sound = recording.whole()[:, 0]
    assert (goal.status, goal.text) == (SUCCEEDED, text)
    borders = [ns_to_frames(chunk - chunks[0], ENGINE_RATE) for chunk in chunks]
    pcm = whole(text)
    joined = min(borders, key=lambda border: abs(len(pcm) - border - seconds * ENGINE_RATE))
    assert joined > 0
    check_only(sound[said.part], pcm[joined:])
    check_only(sound[said.following], whole(NEXT))


@alone
def test_of_robots_on_one_network_each_says_its_own(tmp_path: Path) -> None:
    """The first two have namespaces, the third has a domain; the players are on the other host."""
    os.environ.update(ENVIRONMENT)
    domain = int(os.environ["ROS_DOMAIN_ID"])
    robots = (
        ("/first", domain, SENTENCE),
        ("/second", domain, NEXT),
        ("/", domain + 1, "The third one says this."),
    )
    files = [tmp_path / f"{number}.wav" for number in range(len(robots))]
    with ExitStack() as stack:
        here, there = stack.enter_context(connected_hosts())
        observers = []
        for (namespace, own_domain, _), file in zip(robots, files, strict=True):
            env = {"ROS_DOMAIN_ID": str(own_domain)}
            with here.inside():
                stack.enter_context(running("speak_server", env, namespace=namespace))
                observers.append(stack.enter_context(closing(Observer(namespace, own_domain))))
            with there.inside():
                player = running("audio_player", env, namespace=namespace, device=f"wav:{file}")
                stack.enter_context(player)
        for observer in observers:
            observer.wait_for_nodes()
        said = [
            (observer, observer.send(text))
            for observer, (*_, text) in zip(observers, robots, strict=True)
        ]
        for observer, goal in said:
            observer.wait_for_end(goal)
    for file, (_, goal), (*_, text) in zip(files, said, robots, strict=True):
        assert (goal.status, goal.text) == (SUCCEEDED, text)
        check_only(sound_of(file), whole(text))


def sound_of(file: Path) -> Sound:
    with wave.open(str(file)) as recorded:
        pcm = np.frombuffer(recorded.readframes(recorded.getnframes()), "<i2")
    sound: Sound = pcm.astype(np.float32) / np.float32(32768.0)
    return sound
