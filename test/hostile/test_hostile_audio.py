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

"""Audio messages built at random: into the decoder and the player, and over the real topic.

Each case is made by its seed alone, which a failure names: `random_message(random.Random(seed))`.
Other cases than the usual ones are tried with `HOSTILE_SEED=1000000 pytest test/hostile`.
"""

from __future__ import annotations

import array
import logging
import os
import random
import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import pytest
from audio_common_msgs.msg import AudioStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from std_srvs.srv import Trigger
from support.ros import CODES, FIELDS, SUCCEEDED, Observer, publish_hum, running
from support.simulated_player import EMPTY, SimulatedPlayer, sine, sounding

from k2so_tts.audio import NANOSECONDS, AudioFormat
from k2so_tts.playback import PlayerSettings
from k2so_tts.playback import player as player_module
from k2so_tts.ros.messages import (
    RATES,
    SAMPLE_FIELDS,
    MessageError,
    Received,
    from_message,
    speech_qos,
)

SEED = int(os.environ.get("HOSTILE_SEED", "0"))
CASES = 100_000
ON_THE_TOPIC = 3000
MOST_GROWTH = 400 << 20
"""Bytes of memory that all of it may leave a player with."""

START = 1_700_000_000
EDGES = (0, 1, -1, 2**31 - 1, -(2**31), 2**30, 255, 65_536)
FLOATS = np.array([0.0, 1.0, -1.0, 1e38, -1e38, 1e-45, np.nan, np.inf, -np.inf], np.float32)
NAMED = re.compile(
    r"^(info\.(format|channels|rate)|header\.stamp\.sec|\w+_data) (is|has|holds) .*; ?allowed: "
    r"|^\w+_data has \d+ values; allowed: "
)
NOISE = random.Random(0).randbytes(1 << 16)


def random_data(rng: random.Random, code: str) -> array.array[Any]:
    size = array.array(code).itemsize
    length = rng.choice((0, 0, 1, 2, 3, 8, 64, 480, rng.randrange(5000)))
    start = rng.randrange(1 << 14) * 2
    data = array.array(code, NOISE[start : start + length * size])
    if code == "f":
        kinds = rng.choice((3, 6, 9))  # sound, loud, or not a number
        values = FLOATS[np.frombuffer(data, np.uint32) % kinds]
        data = array.array(code, values.tobytes())
    return data


def random_message(rng: random.Random) -> AudioStamped:
    """Half of them keep to most of the contract, or none would reach the player."""
    message = AudioStamped()
    info, stamp = message.audio.info, message.header.stamp
    tame = rng.random() < 0.5
    info.format = rng.choice(tuple(FIELDS)) if tame else rng.choice((*FIELDS, *EDGES, 7, 64))
    info.channels = rng.choice((1, 1, 2, 8)) if tame else rng.choice((1, 2, 9, *EDGES))
    rates = (8000, 22_050, 48_000, 192_000)
    info.rate = rng.choice(rates) if tame else rng.choice((*rates, 7999, 192_001, *EDGES))
    info.chunk = rng.choice((0, 4096, *EDGES))
    name = FIELDS.get(info.format, "int16_data")
    if not tame and rng.random() < 0.2:
        name = rng.choice(SAMPLE_FIELDS)
    data = random_data(rng, CODES[name])
    if tame:
        del data[len(data) // info.channels * info.channels :]
    setattr(message.audio.audio_data, name, data)
    if rng.random() < 0.05:
        other = rng.choice(SAMPLE_FIELDS)
        setattr(message.audio.audio_data, other, random_data(rng, CODES[other]))
    stamp.sec = rng.choice((START, START, START + rng.randrange(40), *EDGES))
    stamp.nanosec = rng.choice((0, 1, 10**9 - 1, 10**9, 2**32 - 1, rng.randrange(10**9)))
    message.header.frame_id = rng.choice(
        ("a", "b", "", f"{rng.randrange(10**6)}", "\U0001f600" * 9)
    )
    return message


def decoded(message: AudioStamped) -> Received | None:
    """What a message holds, found to be sound; or None where it was refused with a reason."""
    try:
        received = from_message(message)
    except MessageError as error:
        said = str(error)
    else:
        return sound(message, received)
    assert NAMED.match(said), said
    return None


def sound(message: AudioStamped, received: Received) -> Received:
    info, samples = message.audio.info, received.samples
    assert received.format == AudioFormat(info.rate, info.channels)
    assert RATES[0] <= info.rate <= RATES[1]
    assert received.stamp_ns >= 0
    assert samples.dtype == np.float32
    assert samples.shape[1] == info.channels
    assert samples.size == len(getattr(message.audio.audio_data, FIELDS[info.format]))
    assert np.isfinite(samples).all()
    assert np.abs(samples).max(initial=0.0) <= 1.0
    return received


@contextmanager
def naming(seed: int) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.mark.timeout(300)
def test_any_message_is_a_chunk_or_refused_and_the_player_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    bench = SimulatedPlayer(PlayerSettings())
    memory, taken = peak_memory(), 0
    for seed in range(SEED, SEED + CASES):
        with naming(seed):
            message = random_message(random.Random(seed))
            received = decoded(message)
            if received is not None:
                taken += bench.player.receive(
                    message.header.frame_id, received.stamp_ns, received.format, received.samples
                )
            if seed % 20 == 0:
                assert np.abs(bench.render()).max() <= 1.0
                check_bounds(bench)
            if seed % 5000 == 0:
                bench.player.stop()
    assert CASES / 10 < taken < CASES
    assert caplog.records == []
    assert peak_memory() - memory < MOST_GROWTH
    assert_is_heard(bench)


def check_bounds(bench: SimulatedPlayer) -> None:
    player = bench.player
    assert player.buffered_seconds <= 3 * player.max_buffer
    assert len(player._sources) <= player_module._MAX_SOURCES
    assert len(player.active) <= 2 * player_module._MAX_TRACKS
    assert all(stamp_ns >= 0 for stamp_ns, _ in bench.playheads)
    bench.playheads.clear()


def assert_is_heard(bench: SimulatedPlayer) -> None:
    """Whatever came before, a normal utterance is then heard, to the sample."""
    bench.player.stop()
    bench.hear_all()
    sound = sine(20_000)
    bench.say(sound, source="normal")
    assert np.array_equal(sounding(bench.hear_all()), sounding(sound))


@settings(max_examples=300)
@given(st.randoms(use_true_random=False, note_method_calls=False), st.integers(1, 30))
def test_any_few_messages_leave_a_player_that_plays(rng: random.Random, count: int) -> None:
    """As above, with hypothesis, which finds the shortest sequence that fails."""
    bench = SimulatedPlayer(PlayerSettings())
    for _ in range(count):
        message = random_message(rng)
        received = decoded(message)
        if received is not None:
            source = message.header.frame_id
            bench.player.receive(source, received.stamp_ns, received.format, received.samples)
            bench.render()
            check_bounds(bench)
    assert_is_heard(bench)


def test_a_chunk_that_is_longer_than_may_be_held_is_refused() -> None:
    """Before it is converted, which would take a multiple of it."""
    bench = SimulatedPlayer(PlayerSettings(max_buffer=2.0))
    assert not bench.send(np.zeros((2 * 8000 + 1, 1), np.float32), rate=8000)
    assert bench.player.counters.overflow_frames == 2 * 8000 + 1
    assert bench.send(np.zeros((2 * 8000, 1), np.float32), rate=8000, frame=2 * 8000 + 1)


def test_no_more_utterances_wait_than_can_be_afforded() -> None:
    """Each has a resampler of its own, of half a megabyte."""
    bench = SimulatedPlayer(PlayerSettings())
    bench.send(EMPTY, source="head")  # its utterances end with a marker: it is waited for
    bench.send(sine(100, rate=8000), source="head", rate=8000)
    bench.render()
    memory = peak_memory()
    accepted, most = 0, 0
    for number in range(800):  # another format is another utterance
        rate = 8000 + number
        accepted += bench.send(sine(1, rate=rate), source="changing", rate=rate)
        if number % 3 == 0:  # they come faster than they are played
            bench.render()
        most = max(most, len(bench.player.active))
    assert accepted < 800
    assert bench.player.counters.overflow_frames > 0
    assert 100 < most < 2 * player_module._MAX_TRACKS
    assert peak_memory() - memory < MOST_GROWTH
    assert_is_heard(bench)


def garbage(rng: random.Random) -> bytes:
    """A message on the wire that was cut off, or had bytes changed, its lengths among them."""
    wire = bytearray(serialize_message(random_message(rng)))
    if rng.random() < 0.3:
        del wire[rng.randrange(len(wire)) :]
    for _ in range(rng.randrange(1, 8)):
        if wire:
            wire[rng.randrange(min(len(wire), 80))] = rng.choice(
                (0, 0xFF, 0x7F, rng.randrange(256))
            )
    return bytes(wire)


def hears(observer: Observer, publisher: Publisher[AudioStamped], stamp_ns: int) -> bool:
    """Whether a tenth of a second that is published now is heard at once."""
    end_ns = publish_hum(publisher, stamp_ns, "calm")
    try:
        observer.wait(lambda: end_ns in [head for _, head, _ in observer.playheads[-100:]], 1.0)
    except TimeoutError:
        return False
    return True


def calm_down(observer: Observer, publisher: Publisher[AudioStamped]) -> None:
    """Stop the player until it has taken all that was published, and once more."""
    for second in range(20):
        assert observer.call(Trigger, "audio_player/stop").success
        if hears(observer, publisher, (START - 1000 + second) * NANOSECONDS):
            assert observer.call(Trigger, "audio_player/stop").success
            return
    raise TimeoutError("the player does not calm down")


@pytest.mark.timeout(120)
def test_a_node_outlives_all_of_it(observer: Observer) -> None:
    """Thousands of messages over the topic, some of them no messages at all; then a goal."""
    with running("audio_player", device="null") as process, running("speak_server"):
        observer.wait_for_nodes()
        assert observer.say("Before.").status == SUCCEEDED
        for subscription in list(observer.node.subscriptions):
            if subscription.topic_name == "/audio":  # the watcher need not survive it
                observer.node.destroy_subscription(subscription)
        player = psutil.Process(process.pid)
        memory = player.memory_info().rss
        publisher = observer.node.create_publisher(AudioStamped, "audio", speech_qos())
        observer.wait(lambda: publisher.get_subscription_count() == 1)
        rng = random.Random(SEED)
        for number in range(ON_THE_TOPIC):
            publisher.publish(garbage(rng) if number % 10 == 0 else random_message(rng))
            time.sleep(
                0.002
            )  # as fast as a message is taken: more would only be dropped on the way
        calm_down(observer, publisher)
        observer.node.destroy_publisher(publisher)
        observer.wait(
            lambda: (
                int(observer.status("/audio_player").get("refused_messages", 0)) > ON_THE_TOPIC / 10
            )
        )
        goal = observer.say("All is well.")
        assert (goal.status, goal.text) == (SUCCEEDED, "All is well.")
        told = [entry.msg for entry in observer.log if "was dropped" in entry.msg]
        assert 0 < len(told) < 20
        assert process.poll() is None
        assert player.memory_info().rss - memory < MOST_GROWTH
