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

"""The judge of `make soak`: every fault it is there for is seen, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support.compare import Mono
from support.soak import (
    FAULTS,
    UNFINISHED,
    WIRE_HZ,
    Footprint,
    Hearing,
    Report,
    Utterance,
    Wire,
    as_heard,
    faults,
    judge,
)

from k2so_tts.audio import EMPTY_PCM, Pcm, frames_to_ns

RATE = 48_000
START_NS = 1_700_000_000_000_000_000
PAUSE = np.zeros(RATE // 2, np.float32)
GAIN = 0.5


def speech(seed: int, frames: int = 2 * WIRE_HZ) -> Pcm:
    """Noise without the highest frequencies: like speech, no part of it is like another."""
    noise = np.random.default_rng(seed).normal(0.0, 1.0, frames + 31)
    smooth = np.convolve(noise, np.hanning(32), "valid")
    return np.asarray(8000 * smooth / np.abs(smooth).max(), np.int16)


def sent(*each: tuple[Pcm, int | None]) -> list[Utterance]:
    """Utterances as the wire tells them, and the frame from which on they were called back."""
    wire = Wire()
    for number, (pcm, cut_at) in enumerate(each):
        end = len(pcm) if cut_at is None else cut_at
        start_ns = START_NS + number * 10_000_000_000
        for first in range(0, len(pcm), 4096):
            wire.add(start_ns + frames_to_ns(first, WIRE_HZ), pcm[first : first + 4096])
        wire.add(start_ns + frames_to_ns(end, WIRE_HZ), EMPTY_PCM)
    return wire.take()


def heard(seed: int) -> Mono:
    return as_heard(speech(seed), RATE, GAIN)


def fade(after: Mono) -> Mono:
    """5 ms as the player makes them where it has to stop."""
    mirrored = after[: -RATE // 200 - 1 : -1]
    return np.asarray(mirrored * np.linspace(1.0, 0.0, len(mirrored)), np.float32)


def hear(*pieces: Mono) -> Hearing:
    """Judge a recording of an utterance, one that was cut, and another; each lasts 2 s."""
    utterances = sent((speech(1), None), (speech(2), 0), (speech(3), None))
    return judge(np.concatenate([PAUSE, *pieces, PAUSE]), utterances, RATE, GAIN)


def test_what_is_heard_whole_is_without_a_fault() -> None:
    part = heard(2)[:30_000]
    assert hear(heard(1), PAUSE, part, fade(part), PAUSE, heard(3)) == Hearing(
        due=4 * RATE, heard=4 * RATE
    )


@pytest.mark.parametrize("frames", [0, 20, 200, 700, 2 * RATE])
def test_of_an_utterance_that_is_cut_anything_may_be_heard(frames: int) -> None:
    part = heard(2)[:frames]
    assert hear(heard(1), part, fade(part), heard(3)) == Hearing(due=4 * RATE, heard=4 * RATE)


def test_one_that_was_cut_may_have_begun_with_the_same_words() -> None:
    same = np.concatenate([speech(3)[:WIRE_HZ], speech(2)])
    utterances = sent((same, 0), (speech(3), None))
    part = as_heard(same, RATE, GAIN)[: 3 * RATE // 4]
    recorded = np.concatenate([PAUSE, part, fade(part), heard(3), PAUSE])
    assert judge(recorded, utterances, RATE, GAIN) == Hearing(due=2 * RATE, heard=2 * RATE)


def test_of_silence_nothing_need_be_heard() -> None:
    utterances = sent((np.zeros(WIRE_HZ, np.int16), None), (speech(1), None))
    recorded = np.concatenate([PAUSE, heard(1), PAUSE])
    assert judge(recorded, utterances, RATE, GAIN) == Hearing(due=2 * RATE, heard=2 * RATE)


def test_one_that_was_cut_may_end_and_the_next_begin_in_silence() -> None:
    pause = np.zeros(WIRE_HZ // 20, np.int16)
    one = np.concatenate([speech(2)[:WIRE_HZ], pause, speech(2)])
    two = np.concatenate([pause[:20], speech(4)])
    utterances = sent((one, 0), (speech(5), 0), (two, 0))
    first, second = (as_heard(pcm, RATE, GAIN) for pcm in (one, two))
    recorded = np.concatenate([PAUSE, first[: RATE + 300], second[:RATE], fade(second[:RATE])])
    assert judge(recorded, utterances, RATE, GAIN) == Hearing()


def test_a_gap_a_loss_and_a_repetition_are_seen() -> None:
    one, three = heard(1), heard(3)
    gap = hear(one[:40_000], PAUSE, one[40_000:], three)
    assert (gap.lost, gap.repeated, gap.longest_gap, gap.stray) == (0, len(PAUSE), len(PAUSE), 0)
    loss = hear(one[:40_000], one[40_100:], three)
    assert (loss.lost, loss.repeated, loss.heard) == (100, 0, 4 * RATE - 100)
    again = hear(one[:40_000], one[36_000:], three)
    assert (again.lost, again.repeated) == (0, 4000)


def test_what_is_never_heard_is_lost() -> None:
    assert hear(heard(3)).lost == 2 * RATE
    assert hear(np.zeros(4 * RATE, np.float32)).lost == 4 * RATE
    assert hear(heard(1), heard(3)[:RATE]).lost == RATE


def test_what_was_not_sent_is_stray() -> None:
    assert hear(heard(1), PAUSE, heard(7)[:20_000], PAUSE, heard(3)).stray > 19_000
    assert hear(heard(1), PAUSE, heard(3), PAUSE, heard(3)).stray > 90_000


def test_one_that_is_cut_and_goes_on_is_stray() -> None:
    two = heard(2)
    assert hear(heard(1), two[:30_000], fade(two[:30_000]), two[50_000:], heard(3)).stray > 40_000


@pytest.mark.parametrize("late", [0, RATE // 3])
def test_one_that_falls_silent_may_do_so_late_and_is_heard_until_then(late: int) -> None:
    utterances = sent((speech(1), WIRE_HZ), (speech(2), None), (speech(1)[WIRE_HZ - 800 :], None))
    again = as_heard(utterances[2].pcm, RATE, GAIN)
    part = heard(1)[: RATE + late]
    whole = RATE + 2 * RATE + len(again)
    good = np.concatenate([PAUSE, part, fade(part), heard(2), again, PAUSE])
    assert judge(good, utterances, RATE, GAIN) == Hearing(due=whole, heard=whole)
    early = np.concatenate([PAUSE, part[: RATE - 500], heard(2), again, PAUSE])
    assert judge(early, utterances, RATE, GAIN).lost >= 500
    long = np.concatenate([PAUSE, heard(1), heard(2), again, PAUSE])
    assert judge(long, utterances, RATE, GAIN).stray > RATE // 3


@pytest.mark.parametrize("cut_at", [0, 300, 1000])
def test_one_that_was_to_fall_silent_before_its_first_word_may_be_heard_late(cut_at: int) -> None:
    pause = np.zeros(900, np.int16)
    utterances = sent((np.concatenate([pause, speech(1)]), cut_at), (speech(2), None))
    part = as_heard(utterances[0].pcm, RATE, GAIN)[: RATE // 3]
    recorded = np.concatenate([PAUSE, part, fade(part), heard(2), PAUSE])
    assert judge(recorded, utterances, RATE, GAIN) == Hearing(due=2 * RATE, heard=2 * RATE)


def test_another_volume_is_seen() -> None:
    assert hear(2 * heard(1), heard(3)).lost > RATE


def test_the_wire_knows_gaps_and_cuts() -> None:
    wire = Wire()
    wire.add(START_NS, speech(1)[:4096])
    wire.add(START_NS + frames_to_ns(4097, WIRE_HZ), speech(1)[4097:])
    wire.add(START_NS, EMPTY_PCM)
    (one,) = wire.take()
    assert (one.gapless, one.ended, one.cut_at, one.frames) == (False, True, 0, 2 * WIRE_HZ - 1)
    (late,) = sent((speech(1), None))
    assert (late.gapless, late.ended, late.cut_at) == (True, True, None)
    assert np.array_equal(late.pcm, speech(1))


def test_an_utterance_may_be_called_back_after_its_last_chunk() -> None:
    wire = Wire()
    for stamp_ns, pcm in ((START_NS, speech(1)), (START_NS + 2_000_000_000, EMPTY_PCM)):
        wire.add(stamp_ns, pcm)
    assert wire.utterances[0].cut_at is None
    wire.add(START_NS, EMPTY_PCM)
    (one,) = wire.take()
    assert one.cut_at == 0
    assert one.gapless


def test_the_wire_knows_where_an_utterance_falls_silent_and_goes_on() -> None:
    stop_ns, end_ns = (START_NS + frames_to_ns(n, WIRE_HZ) for n in (WIRE_HZ, 2 * WIRE_HZ))
    wire = Wire()
    wire.add(START_NS, speech(1))
    for stamp_ns in (stop_ns, stop_ns, end_ns):
        wire.add(stamp_ns, EMPTY_PCM)
    wire.add(end_ns, speech(2))
    wire.add(START_NS, EMPTY_PCM)
    one, two = wire.take()
    assert (one.gapless, one.ended, one.cut_at) == (True, True, WIRE_HZ)
    assert (two.gapless, two.ended, two.cut_at) == (True, True, 0)


FLAT = Footprint(mib=100.0, threads=12, descriptors=40, children=2)


def good() -> Report:
    return Report(
        outcomes=Counter(succeeded=5, canceled=2, aborted=1),
        windows=5,
        judged=5,
        hearing=Hearing(due=RATE, heard=RATE),
        counters=Counter(),
        settled={"speak_server": FLAT},
        ended={"speak_server": replace(FLAT, mib=105.0, descriptors=41)},
    )


def test_a_good_run_passes() -> None:
    assert list(faults(good())) == []


def end_with(footprint: Footprint) -> Callable[[Report], None]:
    return lambda report: report.ended.update(speak_server=footprint)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report.outcomes.update([UNFINISHED]),
        lambda report: report.surprises.append("a goal was aborted for no reason"),
        lambda report: setattr(report, "judged", 3),
        lambda report: setattr(report.hearing, "heard", 0),
        lambda report: setattr(report.hearing, "lost", 1),
        lambda report: setattr(report.hearing, "repeated", 1),
        lambda report: setattr(report.hearing, "stray", 1),
        *(lambda report, name=name: report.counters.update({name: 1}) for name in FAULTS),
        end_with(replace(FLAT, mib=111.0)),
        end_with(replace(FLAT, threads=13)),
        end_with(replace(FLAT, descriptors=43)),
        end_with(replace(FLAT, children=3)),
    ],
)
def test_any_fault_is_a_reason(spoil: Callable[[Report], None]) -> None:
    report = good()
    spoil(report)
    assert len(list(faults(report))) == 1
