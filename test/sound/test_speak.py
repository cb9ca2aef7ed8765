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

"""The action `speak`, judged by what comes out of the loudspeaker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from k2so_tts_msgs.action import Speak
from support.hearing import SENTENCE, as_heard, whole
from support.ros import Observer
from support.sound import SoundServer
from support.speak import SpeakClient
from support.word_times import ToldWords, begin_of, heard_of

from k2so_tts.engines.espeak.engine import EspeakEngine

TRIES = 3
"""Times are taken as often; the machine may stand still in one, not in all."""
LONG = "A rather long sentence with many words in it goes on and on without any pause at all"
URGENT = "Obstacle! Stop!"
SILENCE = 1e-3


@pytest.fixture
def client(quick_robot: Observer) -> Iterator[SpeakClient]:
    with closing(SpeakClient(quick_robot)) as client:
        yield client


def test_words_are_told_with_their_sound(
    quick_robot: Observer,
    quick_sound_server: SoundServer,
    client: SpeakClient,
    espeak: EspeakEngine,
) -> None:
    told = ToldWords(espeak, SENTENCE, "en-us")
    robot, server = quick_robot, quick_sound_server
    errors = [told.median_error(robot, server, client) for _ in range(TRIES)]
    assert min(errors) < 0.05, errors


def test_what_is_urgent_silences_the_rest_within_150_ms(
    quick_robot: Observer, quick_sound_server: SoundServer, client: SpeakClient
) -> None:
    rate = quick_sound_server.rate
    urgent_pcm = as_heard(whole(URGENT), rate)
    delays = []
    for _ in range(TRIES):
        with quick_sound_server.record() as recording:
            long = client.accepted(LONG)
            quick_robot.wait(long.words_told(3))
            urgent = client.accepted(URGENT, policy=Speak.Goal.INTERRUPT)
            client.wait_for_end(long, urgent)
            heard = heard_of(recording, quick_robot, rate)
            begin = begin_of(heard, urgent_pcm)
            before = np.flatnonzero(np.abs(heard[:begin]) > SILENCE)
            delays.append(recording.time_of(int(before[-1])) - urgent.sent_at)
        for goal in (long, urgent):
            assert goal.result.reason == Speak.Result.FINISHED, goal.result.message
        assert (long.result.heard, urgent.result.heard) == (LONG, URGENT)
        words = [word.word for _, word in long.words]
        assert " ".join(words) == LONG
        loud = int((np.abs(heard) > SILENCE).sum())
        alone = sum(
            int((np.abs(pcm) > SILENCE).sum()) for pcm in (urgent_pcm, as_heard(whole(LONG), rate))
        )
        assert 0.97 * alone < loud < alone + rate, "all is heard, and no more than a word twice"
    assert min(delays) < 0.15, delays
