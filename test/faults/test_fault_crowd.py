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

"""Many clients at a time: goals, streams, cancels and interruptions at random."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
import psutil
import pytest
from k2so_tts_msgs.action import Speak
from support.recording import retake
from support.ros import CANCELED, SUCCEEDED, Observer, running
from support.soak import Utterance, Wire, judge
from support.sound import STEADY, SoundServer
from support.speak import SpeakClient, SpeakGoal

from k2so_tts.engines import Prosody
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.ros.messages import to_nanoseconds

CLIENTS, GOALS, STREAMS = 4, 200, 20
WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"]
RESULT = Speak.Result
RATE = 4.0
SEED = 17


@dataclass(eq=False)
class Sent:
    """A goal, its text, and what was done with it."""

    goal: SpeakGoal
    text: str
    is_stream: bool
    is_cancelled: bool


def text_of(number: int) -> str:
    return f"{WORDS[number % len(WORDS)]} {number}, {WORDS[number // 8 % len(WORDS)]}."


def send(clients: list[SpeakClient]) -> list[Sent]:
    """All goals, by turns from each client, as fast as they are accepted."""
    dice = random.Random(SEED)
    sent = []
    for number in range(GOALS + STREAMS):
        client = clients[number % CLIENTS]
        text = text_of(number)
        policy = Speak.Goal.INTERRUPT if dice.random() < 0.1 else Speak.Goal.QUEUE
        fields = {"policy": policy, "priority": dice.randrange(3)}
        is_stream = number % (GOALS // STREAMS + 1) == 0
        if is_stream:
            goal = client.accepted(stream=f"s{number}", **fields)
            client.write(f"s{number}", text, end=True)
        else:
            goal = client.accepted(text, **fields)
        is_cancelled = dice.random() < 0.2
        if is_cancelled:
            client.cancel(goal)
        sent.append(Sent(goal, text, is_stream, is_cancelled))
    return sent


def check_results(sent: list[Sent]) -> None:
    """Each goal has ended once, as it was to, and tells what was heard of it."""
    for each in sent:
        goal, text = each.goal, each.text
        assert goal.result.reason in (RESULT.FINISHED, RESULT.CANCELED), goal.result
        assert goal.status == SUCCEEDED or (each.is_cancelled and goal.status == CANCELED)
        if goal.status == SUCCEEDED:
            assert goal.result.heard == text
            told = [text[word.text_start : word.text_end] for _, word in goal.words]
            assert all(word in text for word in told)
            assert told[-1] == text.rstrip(".").split()[-1]
        else:
            assert text.startswith(goal.result.heard)


def utterances_of(observer: Observer) -> list[Utterance]:
    wire = Wire()
    for _, message in observer.audio:
        pcm = np.array(message.audio.audio_data.int16_data, np.int16)
        wire.add(to_nanoseconds(message.header.stamp), pcm)
    return wire.take()


def check_sound(sent: list[Sent], utterances: list[Utterance]) -> None:
    """What is said to have been heard was sent: each text whole, unless it was interrupted."""
    whole = Counter(each.pcm.tobytes() for each in utterances if each.cut_at is None)
    begun = [each.pcm[: each.cut_at].tobytes() for each in utterances if each.cut_at]
    with closing(EspeakEngine()) as engine:
        engine.load()
        for each in sent:
            if each.goal.status != SUCCEEDED or each.is_stream:
                continue
            blocks = engine.synthesise(each.text, "en-us", Prosody(RATE))
            sound = np.concatenate([block.pcm for block in blocks]).tobytes()
            if whole[sound]:
                whole[sound] -= 1
            else:
                assert any(map(sound.startswith, begun)), each.text


@retake
@pytest.mark.timeout(600)
def test_goals_and_streams_of_many_clients_each_end_once_and_are_heard(
    observer: Observer, sound_server: SoundServer, sound_env: dict[str, str]
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running("speak_server", max_queue=500, rate=RATE))
        stack.enter_context(running("audio_player", sound_env, **STEADY))
        observer.wait_for_nodes()
        observers = [observer, *(stack.enter_context(closing(Observer())) for _ in range(3))]
        clients = [stack.enter_context(closing(SpeakClient(each))) for each in observers]
        threads = psutil.Process(server.pid).num_threads()
        recording = stack.enter_context(sound_server.record())
        recording.lost_frames()
        sent = send(clients)
        for client in clients:
            client.wait_for_end(*(each.goal for each in sent), timeout=500)
        check_results(sent)
        status = observer.status
        observer.wait(lambda: status("/speak_server").get("goals_waiting") == "0")
        succeeded = sum(each.goal.status == SUCCEEDED for each in sent)
        observer.wait(lambda: status("/speak_server")["goals_succeeded"] == str(succeeded))
        assert psutil.Process(server.pid).num_threads() <= threads + 2
        assert status("/audio_player")["lost_frames"] == "0"
        assert status("/audio_player")["dropped_frames"] == "0"
        observer.wait(lambda: not observer.speaking[-1][1])
        recording.wait_for_frames(recording.frames + sound_server.rate, 30)
        utterances = utterances_of(observer)
        check_sound(sent, utterances)
        hearing = judge(recording.whole()[:, 0], utterances, sound_server.rate, 1.0)
        assert hearing.due == hearing.heard > 0, hearing
        assert (hearing.lost, hearing.repeated, hearing.stray) == (0, 0, 0), hearing
