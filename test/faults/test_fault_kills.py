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

"""A server, player, engine or sound server that is killed (-9) at any moment of an utterance.

What is heard is judged by a recording of the loudspeaker. The moments come from a seed, which a
failure names; others are tried with `FAULT_SEED=1 pytest test/faults`, and more or fewer of them
with `FAULT_ROUNDS`. What each took at the most is logged (`-n 0 --log-cli-level INFO`).
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest
from numpy.typing import NDArray
from support.compare import Mono, align, find_speech, piece_of
from support.hearing import as_heard, whole
from support.recording import Recording, retake
from support.ros import ABORTED, STOP_SECONDS, SUCCEEDED, Observer, own_domain, running, start
from support.sound import STEADY, STEADY_CYCLE, SoundServer

from k2so_tts.audio import CHUNK_FRAMES
from k2so_tts.ros.player_liveness import PLAYER_SILENCE_SECONDS

SEED = int(os.environ.get("FAULT_SEED", "0"))
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "20"))
TEXT = "I was talking when it broke, calm and clear as ever."
LONG = " ".join(f"Number {n} is spoken in one breath." for n in range(400))
LONG_BEGINNING = " ".join(LONG.split()[:70])
SHORT = "All is well again."
AGAIN = "Ready."
LATEST = 1.2
"""Seconds after a goal was sent, up to which something is killed."""
FADE_SECONDS = 0.01
QUICK = {**STEADY, "device_latency": 0.2}
"""Parameters of a player that is killed: what its device holds then is lost."""
DEVICE_SECONDS = 1.0
"""Up to this long after a player was told to be silent, or died, its device and the card are."""
SEAM_CYCLES = 3
"""Of the sound card: so much of what a player has handed over may be lost when it dies."""
SETTLE_SECONDS = 0.25
"""Until what a device has played is recorded, with its last cycles."""

_logger = logging.getLogger(__name__)


class Mortal:
    """A node that is killed and started anew."""

    def __init__(self, program: str, env: dict[str, str] | None = None, **parameters: Any) -> None:
        self._start = partial(start, program, env, subprocess.DEVNULL, **parameters)
        self.process = self._start()

    def kill(self) -> float:
        """Kill it; when (s, monotonic)."""
        locks = shared_memory_locks(self.process.pid)
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        killed_at = time.monotonic()
        for lock in locks:
            remove_unless_held(lock)
        return killed_at

    def restart(self) -> None:
        self.process = self._start()

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(STOP_SECONDS) == 0


def shared_memory_locks(pid: int) -> list[Path]:
    """The lock files of a process by which Fast DDS tells whose segments of memory are in use."""
    held = (Path(file.path) for file in psutil.Process(pid).open_files())
    return [path for path in held if path.name.startswith("fastdds_") and "port" not in path.name]


def remove_unless_held(lock: Path) -> None:
    """What a killed process leaves in memory for ever, half a megabyte."""
    with suppress(OSError), lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.with_name(lock.name.removesuffix("_el")).unlink()
        lock.unlink()


@dataclass
class Round:
    """One kill: when it was, and what came of it."""

    number: int
    moment: float
    recorded_from: int = 0
    recorded_to: int = 0
    again_from: int = 0
    killed_at: float = 0.0
    sent: int = 0
    took: dict[str, float] = field(default_factory=dict)

    def cut(self, samples: NDArray[Any]) -> Mono:
        """What was heard in this round, of all that was recorded."""
        return samples[self.recorded_from : self.recorded_to, 0]


@dataclass
class Stage:
    """A domain and a sound card of its own, and who watches."""

    observer: Observer
    sound: SoundServer
    env: dict[str, str]


def perform(scenario: Callable[[Stage], None]) -> None:
    with (
        own_domain() as domain,
        closing(Observer(domain=domain)) as observer,
        SoundServer(quantum=STEADY_CYCLE) as sound,
    ):
        env = {**os.environ, **sound.env, "ROS_DOMAIN_ID": str(domain)}
        scenario(Stage(observer, sound, env))


def rounds(name: str, number: int = ROUNDS) -> list[Round]:
    rng = random.Random(f"{SEED} {name}")
    return [Round(index, rng.uniform(0.0, LATEST)) for index in range(number)]


@contextmanager
def naming(this: Round) -> Iterator[None]:
    try:
        yield
    except (AssertionError, ValueError, TimeoutError) as error:
        told = f"FAULT_SEED={SEED}, round {this.number}, killed after {this.moment:.3f} s"
        raise AssertionError(f"{told}: {error}") from error


@contextmanager
def recorded(this: Round, recording: Recording) -> Iterator[None]:
    """A round, up to the silence after it."""
    with naming(this):
        this.recorded_from = recording.frames
        yield
        end = recording.frames + int(SETTLE_SECONDS * recording.rate)
        this.recorded_to = recording.wait_for_frames(end, 10)


def wait_for_server(observer: Observer) -> None:
    """Wait until a server that was started anew is there and knows a player."""
    with observer.changed:
        observer.diagnostics.pop("/speak_server", None)
    observer.wait(lambda: observer.status("/speak_server").get("players", "0") != "0")


def wait_for_player(observer: Observer) -> None:
    """Wait until a player that was started anew is there and the server has heard of it."""
    observer.wait(lambda: not all(speaking for _, speaking in observer.speaking))
    with observer.changed:
        observer.diagnostics.pop("/speak_server", None)
    observer.wait(lambda: "lost" not in observer.status("/speak_server").get("message", "lost"))


def tell(what: str, done: list[Round]) -> None:
    for name in done[0].took:
        took = sorted(this.took[name] for this in done if name in this.took)
        _logger.info(
            "%s, %s: %.2f s at the most, median %.2f s", what, name, took[-1], took[len(took) // 2]
        )


def check_again(heard: Mono, rate: int) -> int:
    """What was said last was heard whole; where it begins."""
    match = align(heard, as_heard(whole(AGAIN), rate))
    assert (match.missing_frames, match.extra_frames) == (0, 0), match
    return match.offset


def last_sound(sound: Mono) -> int:
    return max((end for _, end in find_speech(sound)), default=0)


def check_beginning(heard: Mono, expected: Mono, rate: int) -> int:
    """The beginning of it was heard, without a gap or a repetition, and nothing else; its end."""
    pieces = piece_of(heard, expected, fade=int(FADE_SECONDS * rate))
    if not pieces:
        return 0
    start, end = pieces[0]
    assert start <= find_speech(expected)[0][0] + FADE_SECONDS * rate
    return end


def moment_of(recording: Recording) -> Callable[[int], float]:
    """When a frame of a recording is heard (s, monotonic), as long as the recorder loses none."""
    recording.lost_frames()
    origin, cycle = recording.clock()
    return lambda frame: origin + (frame + cycle) / recording.rate


def a_killed_server(stage: Stage) -> None:
    """What it had sent is heard to its end, then silence; the next server is heard whole."""
    done, rate = rounds("server"), stage.sound.rate
    with (
        running("audio_player", stage.env, **STEADY),
        closing(Mortal("speak_server", stage.env)) as server,
        stage.sound.record() as recording,
    ):
        observer = stage.observer
        observer.wait_for_nodes()
        heard_at = moment_of(recording)
        for this in done:
            with recorded(this, recording):
                observer.audio.clear()
                observer.send(TEXT)
                time.sleep(this.moment)
                this.killed_at = server.kill()
                server.restart()
                wait_for_server(observer)
                this.sent = sum(message.audio.info.chunk for _, message in observer.audio)
                if this.number % 5 == 0:
                    observer.wait(lambda: not observer.speaking[-1][1])
                    told = observer.speaking[-1][0] - this.killed_at
                    this.took["is_speaking false without a next goal"] = told
                assert observer.say(AGAIN).status == SUCCEEDED
                observer.wait(lambda: not observer.speaking[-1][1])
                this.took["next goal heard"] = time.monotonic() - this.killed_at
        samples = recording.whole()
    expected = as_heard(whole(TEXT), rate)
    for this in done:
        with naming(this):
            heard = this.cut(samples)
            heard = heard[: check_again(heard, rate)]
            end = check_beginning(heard, expected, rate)
            arrived = last_sound(expected[: this.sent * rate // 22050])
            assert abs(end - arrived) <= (CHUNK_FRAMES / 22050 + FADE_SECONDS) * rate
            silent_at = heard_at(this.recorded_from + last_sound(heard))
            this.took["silence"] = silent_at - this.killed_at
    tell("server killed", done)


def a_killed_player(stage: Stage) -> None:
    """Silence at once, the goal is aborted, and the next one is heard whole by the next player:
    late, while that and the server are just finding each other.
    """
    done, rate = rounds("player"), stage.sound.rate
    with (
        closing(Mortal("audio_player", stage.env, **QUICK)) as player,
        running("speak_server", stage.env),
        stage.sound.record() as recording,
    ):
        observer = stage.observer
        observer.wait_for_nodes()
        assert observer.say(AGAIN).status == SUCCEEDED
        heard_at = moment_of(recording)
        for this in done:
            with recorded(this, recording):
                goal = observer.send(TEXT)
                time.sleep(this.moment)
                this.killed_at = player.kill()
                observer.speaking.clear()
                player.restart()
                observer.wait_for_end(goal)
                assert goal.status == ABORTED
                assert goal.ended_at is not None
                assert TEXT.startswith(goal.text)
                assert goal.text != TEXT
                this.took["goal aborted"] = goal.ended_at - this.killed_at
                wait_for_player(observer)
                this.again_from = recording.frames
                assert observer.say(AGAIN).status == SUCCEEDED
                this.took["next goal heard"] = time.monotonic() - this.killed_at
        samples = recording.whole()
    expected = as_heard(whole(TEXT), rate)
    for this in done:
        with naming(this):
            heard = samples[this.recorded_from : this.again_from, 0]
            check_beginning(heard, expected, rate)
            check_again(samples[this.again_from : this.recorded_to, 0], rate)
            silent_at = heard_at(this.recorded_from + last_sound(heard))
            this.took["silence"] = silent_at - this.killed_at
            assert this.took["silence"] < DEVICE_SECONDS
            assert this.took["goal aborted"] < 3 * PLAYER_SILENCE_SECONDS
    assert median(this.took["goal aborted"] for this in done) < 1.0
    tell("player killed", done)


def a_killed_player_that_is_waited_for(stage: Stage) -> None:
    """The next player goes on where this one was: no word is lost, none is heard twice."""
    done, rate = rounds("waiting", 5), stage.sound.rate
    with (
        closing(Mortal("audio_player", stage.env, **QUICK)) as player,
        running("speak_server", stage.env, player_lost="wait"),
        stage.sound.record() as recording,
    ):
        observer = stage.observer
        observer.wait_for_nodes()
        recording.lost_frames()
        for this in done:
            with recorded(this, recording):
                goal = observer.send(TEXT)
                time.sleep(this.moment)
                this.killed_at = player.kill()
                player.restart()
                observer.wait_for_end(goal)
                assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
                this.took["goal heard"] = time.monotonic() - this.killed_at
        samples = recording.whole()
    expected = as_heard(whole(TEXT), rate)
    for this in done:
        with naming(this):
            heard = this.cut(samples)
            split = longest_silence(heard)
            end = check_beginning(heard[:split], expected, rate)
            # Resampled from another frame on, it lies between the samples of what is expected.
            rest = piece_of(heard[split:], expected, fade=int(FADE_SECONDS * rate), tolerance=0.1)
            ((start, last),) = rest
            assert last >= last_sound(expected) - FADE_SECONDS * rate
            this.took["heard twice (lost: negative)"] = (end - start) / rate
            assert abs(end - start) < SEAM_CYCLES * STEADY_CYCLE
    tell("player killed and waited for", done)


def a_killed_engine(stage: Stage) -> None:
    """The goal is aborted, its beginning was heard and no more, and the next one is heard whole."""
    done, rate = rounds("engine"), stage.sound.rate
    with (
        running("audio_player", stage.env, **STEADY),
        running("speak_server", stage.env) as process,
        stage.sound.record() as recording,
    ):
        observer = stage.observer
        observer.wait_for_nodes()
        heard_at = moment_of(recording)
        server = psutil.Process(process.pid)
        for this in done:
            with recorded(this, recording):
                text = SHORT if this.number % 4 > 1 else LONG
                goal = observer.send(text)
                time.sleep(this.moment)
                holder, *speaking = server.children(recursive=True)
                for child in speaking if this.number % 2 else [holder]:
                    with suppress(psutil.NoSuchProcess):
                        child.kill()
                this.killed_at = time.monotonic()
                observer.wait_for_end(goal)
                assert goal.status == ABORTED or (goal.status, goal.text) == (SUCCEEDED, SHORT)
                assert goal.ended_at is not None
                assert text.startswith(goal.text)
                this.took["goal over"] = goal.ended_at - this.killed_at
                assert observer.say(AGAIN).status == SUCCEEDED
                this.took["next goal heard"] = time.monotonic() - this.killed_at
        samples = recording.whole()
    for this in done:
        with naming(this):
            heard = this.cut(samples)
            heard = heard[: check_again(heard, rate)]
            text = SHORT if this.number % 4 > 1 else LONG_BEGINNING
            check_beginning(heard, as_heard(whole(text), rate), rate)
            silent_at = heard_at(this.recorded_from + last_sound(heard))
            this.took["silence"] = silent_at - this.killed_at
            assert this.took["silence"] < this.took["goal over"] + DEVICE_SECONDS
    tell("engine killed", done)


def a_killed_sound_server(stage: Stage) -> None:
    """The goal ends as if it were heard, and is again once the device is back; so is the next.

    One that was not heard yet may be aborted: a player without a device says nothing for a second.
    """
    rate = stage.sound.rate
    expected = as_heard(whole(TEXT), rate)
    fade = int(FADE_SECONDS * rate)
    done = rounds("sound server")
    with running("audio_player", stage.env, **STEADY), running("speak_server", stage.env):
        observer = stage.observer
        observer.wait_for_nodes()
        for this in done:
            with naming(this):
                losses = int(observer.status("/audio_player").get("device_losses", 0))
                with stage.sound.record() as recording:
                    goal = observer.send(TEXT)
                    time.sleep(this.moment)
                    stage.sound.kill()
                    this.killed_at = time.monotonic()
                    before = recording.stop()[:, 0]
                stage.sound.restart()
                with stage.sound.record() as recording:
                    recording.lost_frames()
                    observer.wait_for_end(goal)
                    assert goal.status == SUCCEEDED or not find_speech(before)
                    wait_for_device(observer, losses)
                    this.took["device back"] = time.monotonic() - this.killed_at
                    assert observer.say(AGAIN).status == SUCCEEDED
                    recording.wait_for_frames(recording.frames + int(SETTLE_SECONDS * rate), 10)
                    heard = recording.whole()[:, 0]
                end = check_beginning(before, expected, rate)
                heard = heard[: check_again(heard, rate)]
                for start, last in piece_of(heard, expected, fade=fade):
                    assert start >= end
                    assert last >= last_sound(expected) - fade
    tell("sound server killed", done)


def wait_for_device(observer: Observer, losses: int) -> None:
    """Wait until a device was lost once more, and is in use again."""

    def is_back() -> bool:
        status = observer.status("/audio_player")
        return int(status["device_losses"]) > losses and "no sound" not in status["message"]

    observer.wait(is_back)


def longest_silence(heard: Mono) -> int:
    """The frame at which the longest silence between two sounds ends; 0 without one."""
    pairs = pairwise(find_speech(heard))
    return max(((after[0] - before[1], after[0]) for before, after in pairs), default=(0, 0))[1]


@retake
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "scenarios",
    [
        (a_killed_server, a_killed_engine, a_killed_player_that_is_waited_for),
        (a_killed_player, a_killed_sound_server),
    ],
    ids=lambda scenarios: "+".join(scenario.__name__ for scenario in scenarios),
)
def test_what_is_killed_is_silent_and_the_next_goal_is_heard(
    scenarios: tuple[Callable[[Stage], None], ...],
) -> None:
    """Several robots at a time: they wait most of it."""
    with ThreadPoolExecutor() as pool:
        acts = [pool.submit(perform, scenario) for scenario in scenarios]
        for act in acts:
            act.result()
