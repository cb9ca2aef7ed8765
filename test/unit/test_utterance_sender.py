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

"""What of an utterance is sent when, and with which stamps."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest
from support.player_graph import Graph

from k2so_tts.audio import EMPTY_PCM, Chunk, Pcm
from k2so_tts.ros.player_liveness import PlayerLiveness
from k2so_tts.ros.utterance import Utterance
from k2so_tts.ros.utterance_sender import SendLimits, UtteranceSender
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

RATE = 1000
NOW_NS = 50_000_000_000
MS = 1_000_000
LIMITS = SendLimits(max_lead=1.0, max_unheard_chunks=8)


class Engine:
    """A synthesis whose chunks a test hands over."""

    rate = RATE
    done = False

    def __init__(self) -> None:
        self.chunks: deque[Chunk] = deque()

    def take(self) -> Chunk | None:
        return self.chunks.popleft() if self.chunks else None


@dataclass
class Wire:
    """Everything that is published: stamp in ms after `NOW_NS`, and frames."""

    now_ns_: int = NOW_NS
    sent: list[tuple[float, int]] = field(default_factory=list)

    def now_ns(self) -> int:
        return self.now_ns_

    def publish(self, stamp_ns: int, pcm: Pcm, rate: int) -> None:
        assert rate == RATE
        self.sent.append(((stamp_ns - NOW_NS) / MS, len(pcm)))


class Bench:
    """A sender, the engine of one utterance and the wire, with a player or without."""

    def __init__(self, *, reports: bool = True) -> None:
        self.wire = Wire()
        self.engine = Engine()
        self.graph = Graph(1, frozenset({"one"}) if reports else frozenset())
        self.liveness = PlayerLiveness(self.graph, -60.0)
        self.liveness.announce(0.0)
        self.sender = UtteranceSender(self.wire, self.liveness)
        self.utterance = self.begin()
        self._made = 0

    def begin(self, accepted_ms: int = 0) -> Utterance:
        accepted_ns = NOW_NS + accepted_ms * MS
        self.utterance = Utterance("key", "", SynthesisOptions("any"), 0.0, accepted_ns)
        self.utterance.attach(cast(Synthesis, self.engine))
        self.liveness.reset()
        assert self.liveness.wait_for_player(0.0, 0.0, 1.0) is None
        self._made = 0
        return self.utterance

    def make(self, *frames: int) -> None:
        for count in frames:
            pcm = np.zeros(count, np.int16) if count else EMPTY_PCM
            self.engine.chunks.append(Chunk(self._made, pcm))
            self._made += count

    def send(self, now: float = 0.0, limits: SendLimits = LIMITS) -> float | None:
        return self.sender.send_due(self.utterance, now, limits)

    def report(self, frame: int, now: float) -> None:
        self.utterance.confirm(0, frame, now, None, by_clock=False)
        self.liveness.confirm(at_part_start=False)


def test_stamps_follow_each_other_without_a_gap() -> None:
    bench = Bench()
    bench.make(100, 200, 50, 0)
    assert bench.send(0.5) is None
    assert bench.wire.sent == [(0, 100), (100, 200), (300, 50), (350, 0)]
    assert bench.utterance.wire.sent_at == 0.5
    assert bench.utterance.first_chunk_at == 0.5
    assert bench.utterance.sent == 350


def test_an_end_is_marked_once_and_only_of_what_was_sent() -> None:
    bench = Bench()
    bench.make(0, 100, 0, 0)
    assert bench.send() is None
    assert bench.wire.sent == [(0, 100), (100, 0)]


def test_no_more_seconds_are_sent_ahead_than_allowed() -> None:
    bench = Bench()
    bench.make(*[500] * 8)
    assert bench.send(0.0, SendLimits(2.5, 100)) == pytest.approx(0.5)
    assert bench.utterance.sent == 2500
    bench.report(0, 0.0)
    assert bench.send(0.05, SendLimits(2.5, 100)) == pytest.approx(0.5)
    bench.report(500, 0.5)
    assert bench.send(0.5, SendLimits(2.5, 100)) == pytest.approx(1.0)
    assert bench.utterance.sent == 3000


def test_four_chunks_are_sent_ahead_however_long() -> None:
    bench = Bench()
    bench.make(*[500] * 6)
    assert bench.send() == pytest.approx(0.5)
    assert bench.utterance.sent == 2000


def test_no_more_chunks_are_sent_ahead_than_allowed() -> None:
    bench = Bench()
    bench.make(*[10] * 20)
    assert bench.send() == pytest.approx(0.01)
    assert bench.utterance.sent == 80
    bench.report(10, 0.0105)
    bench.send(0.0105)
    assert bench.utterance.sent == 90
    assert SendLimits() == SendLimits(2.0, 192)


def test_a_player_that_reports_nothing_is_sent_four_chunks_ahead() -> None:
    bench = Bench(reports=False)
    bench.make(*[10] * 20)
    assert bench.send() == pytest.approx(0.01)
    assert bench.utterance.sent == 40
    assert bench.send(0.0105) == pytest.approx(0.02)
    assert bench.utterance.sent == 50


def test_it_is_never_looked_again_sooner_than_after_a_millisecond() -> None:
    bench = Bench(reports=False)
    bench.make(*[10] * 20)
    bench.send()
    assert bench.send(0.0098) == pytest.approx(0.0108)


def test_a_pause_is_marked_at_once_for_a_player_that_does_not_play() -> None:
    bench = Bench()
    bench.make(600, 0)
    assert bench.send() is None
    assert bench.wire.sent[-1] == (600, 0)


def test_a_pause_is_marked_before_the_audio_runs_out() -> None:
    bench = Bench()
    bench.make(600)
    bench.send()
    bench.report(0, 0.0)
    bench.report(50, 0.05)
    bench.make(0)
    assert bench.send(0.05) == pytest.approx(0.45)
    assert bench.wire.sent == [(0, 600)]
    assert bench.send(0.1) == pytest.approx(0.45)
    bench.report(450, 0.45)
    assert bench.send(0.45) is None
    assert bench.wire.sent == [(0, 600), (600, 0)]


def test_a_pause_that_is_over_is_not_marked() -> None:
    bench = Bench()
    bench.make(600)
    bench.send()
    bench.report(50, 0.05)
    bench.make(0)
    bench.send(0.05)
    bench.make(100)
    assert bench.send(0.06) is None
    assert bench.wire.sent == [(0, 600), (600, 100)]


def test_the_end_of_a_text_is_marked_at_once() -> None:
    bench = Bench()
    bench.make(600)
    bench.send()
    bench.report(50, 0.05)
    bench.make(0)
    bench.engine.done = True
    assert bench.send(0.05) is None
    assert bench.wire.sent == [(0, 600), (600, 0)]


def test_by_the_clock_a_pause_is_marked_in_time_as_well() -> None:
    bench = Bench(reports=False)
    bench.make(600)
    bench.send(0.0)
    bench.make(0)
    assert bench.send(0.2) == pytest.approx(0.45)
    assert bench.send(0.45) is None


@pytest.mark.parametrize(("late_ms", "stamp"), [(100, 350), (900, 900)])
def test_a_later_part_is_stamped_now_or_at_the_end_of_the_one_before(
    late_ms: int, stamp: int
) -> None:
    bench = Bench()
    bench.make(350, 0)
    bench.send()
    bench.wire.now_ns_ = NOW_NS + late_ms * MS
    bench.make(100)
    bench.send()
    assert bench.wire.sent[-1] == (stamp, 100)


def test_the_next_utterance_begins_at_the_end_of_what_was_heard() -> None:
    bench = Bench()
    bench.make(500, 0)
    bench.send()
    bench.wire.now_ns_ = NOW_NS + 200 * MS
    bench.sender.note_end(bench.utterance, 100)
    bench.begin(accepted_ms=50)
    bench.make(100)
    bench.send()
    assert bench.wire.sent[-1] == (200, 100), "cut: not before now"


@pytest.mark.parametrize(("now_ms", "stamp"), [(300, 500), (700, 700)])
def test_the_next_utterance_begins_after_one_that_was_heard_to_its_end(
    now_ms: int, stamp: int
) -> None:
    bench = Bench()
    bench.make(500, 0)
    bench.send()
    bench.wire.now_ns_ = NOW_NS + now_ms * MS
    bench.sender.note_end(bench.utterance, 500)
    bench.begin(accepted_ms=50)
    bench.make(100)
    bench.send()
    assert bench.wire.sent[-1] == (stamp, 100)


def test_the_next_utterance_begins_after_what_was_heard_ahead_of_its_stamps() -> None:
    bench = Bench()
    bench.make(500, 0)
    bench.send()
    bench.wire.now_ns_ = NOW_NS + 100 * MS
    bench.sender.note_end(bench.utterance, 300)
    bench.begin(accepted_ms=50)
    bench.make(100)
    bench.send()
    assert bench.wire.sent[-1] == (300, 100)


@pytest.mark.parametrize(("ahead_ms", "stamp"), [(1000, 1000), (1001, 0), (3_600_000, 0)])
def test_after_a_clock_was_set_back_stamps_are_of_the_new_time(ahead_ms: int, stamp: int) -> None:
    bench = Bench()
    bench.begin(accepted_ms=ahead_ms)
    bench.make(100)
    bench.send()
    assert bench.wire.sent == [(stamp, 100)]


def test_what_was_not_heard_is_sent_again() -> None:
    bench = Bench()
    bench.make(100, 100, 100, 0)
    bench.send(1.0)
    bench.wire.sent.clear()
    bench.sender.resend(bench.utterance, 5.0, 150, 2.0)
    assert bench.wire.sent == [(150, 50), (200, 100), (300, 0)]
    assert bench.utterance.wire.sent_at == 5.0
    assert bench.utterance.wire.spans[0].due_at == 4.0


def test_no_end_is_marked_again_that_was_not_marked_before() -> None:
    bench = Bench()
    bench.make(100, 100)
    bench.send()
    bench.wire.sent.clear()
    bench.sender.resend(bench.utterance, 5.0, 0, 2.0)
    assert bench.wire.sent == [(0, 100), (100, 100)]


def test_a_cut_is_an_end_marker_at_the_start() -> None:
    bench = Bench()
    bench.begin(accepted_ms=70)
    bench.make(100, 0)
    bench.send()
    bench.sender.cut(bench.utterance)
    assert bench.wire.sent[-1] == (70, 0)


def test_a_player_that_had_played_everything_is_expected_to_resume() -> None:
    bench = Bench()
    bench.make(100)
    bench.send()
    bench.report(100, 0.2)
    bench.make(100)
    bench.send(0.3)
    assert bench.liveness.state.value == "resuming"
    bench.report(150, 0.4)
    bench.make(100)
    bench.send(0.4)
    assert bench.liveness.state.value == "playing"
