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

import psutil
import pytest
from k2so_tts_msgs.action import Speak
from support.ros import CANCELED, SUCCEEDED, Observer, running
from support.speak import SpeakClient, SpeakGoal

CLIENTS, GOALS, STREAMS = 4, 200, 20
WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"]
RESULT = Speak.Result
SEED = 17


def text_of(number: int) -> str:
    return f"{WORDS[number % len(WORDS)]} {number}, {WORDS[number // 8 % len(WORDS)]}."


@pytest.mark.timeout(600)
def test_goals_and_streams_of_many_clients_each_end_once(observer: Observer) -> None:
    dice = random.Random(SEED)
    with ExitStack() as stack:
        server = stack.enter_context(running("speak_server", max_queue=500, rate=4.0))
        stack.enter_context(running("audio_player", device="null"))
        observer.wait_for_nodes()
        observers = [observer, *(stack.enter_context(closing(Observer())) for _ in range(3))]
        clients = [stack.enter_context(closing(SpeakClient(each))) for each in observers]
        threads = psutil.Process(server.pid).num_threads()
        goals: list[tuple[SpeakGoal, str, bool]] = []
        for number in range(GOALS + STREAMS):
            client = clients[number % CLIENTS]
            text = text_of(number)
            policy = Speak.Goal.INTERRUPT if dice.random() < 0.1 else Speak.Goal.QUEUE
            fields = {"policy": policy, "priority": dice.randrange(3)}
            if number % (GOALS // STREAMS + 1) == 0:
                goal = client.accepted(stream=f"s{number}", **fields)
                client.write(f"s{number}", text, end=True)
            else:
                goal = client.accepted(text, **fields)
            is_cancelled = dice.random() < 0.2
            if is_cancelled:
                client.cancel(goal)
            goals.append((goal, text, is_cancelled))
        for client in clients:
            client.wait_for_end(*(goal for goal, _, _ in goals), timeout=500)
        reasons = Counter(goal.result.reason for goal, _, _ in goals)
        assert reasons.keys() <= {RESULT.UNHEARD, RESULT.CANCELED}, reasons
        for goal, text, is_cancelled in goals:
            assert goal.status == SUCCEEDED or (is_cancelled and goal.status == CANCELED)
            if goal.status == SUCCEEDED:
                assert goal.result.heard == text
                told = [text[word.text_start : word.text_end] for _, word in goal.words]
                assert all(word in text for word in told)
                assert told[-1] == text.rstrip(".").split()[-1]
            else:
                assert text.startswith(goal.result.heard)
        status = observer.status
        observer.wait(lambda: status("/speak_server").get("goals_waiting") == "0")
        succeeded = sum(goal.status == SUCCEEDED for goal, _, _ in goals)
        observer.wait(lambda: status("/speak_server")["goals_succeeded"] == str(succeeded))
        assert psutil.Process(server.pid).num_threads() <= threads + 2
        assert status("/audio_player")["lost_frames"] == "0"
        assert status("/audio_player")["dropped_frames"] == "0"
