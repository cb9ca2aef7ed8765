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

"""Judge hours of speech: what was sent, what of it was heard, and what it cost.

Nothing here knows ROS, a sound server or a clock. Positions and lengths are in frames: at `WIRE_HZ`
on the wire, at the rate of the recording where it was heard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import soxr

from k2so_tts.audio import EMPTY_PCM, NANOSECONDS, Pcm, frames_to_ns, to_samples
from k2so_tts.playback.fades import FADE_SECONDS
from support.compare import Match, Mono, align, find_speech

WIRE_HZ = 22_050

SILENCE = 1e-4
"""No louder is silence (1.0 is full scale)."""
TOLERANCE = 1e-3
"""What rounding and resampling in pieces may change."""
_LEAST_LOUD = 64
"""So many frames above ten times the tolerance must agree for the start of an utterance to count as
found: fewer may be chance."""
_UNRECOGNISED = 1024
"""An utterance that was cut after fewer frames than that may be unlike itself: sound of no more is
taken for it."""
_MOST_TRIES = 20
"""Places where an utterance may seem to begin."""
_LOOK = 4096
"""Frames by which the place where an utterance begins is chosen."""
_LATE_SECONDS = 0.5
"""For so long an utterance may go on after the place where it was to fall silent: what the device
holds already is heard."""

GROWTH_MIB = 10.0
"""Memory that a node and its children may have more at the end than once it had settled. It is no
rate: what a goal leaves behind adds up, so the longer it runs the smaller a leak is found: 1 MiB an
hour in ten hours. What is not a leak is less: arenas of Python, malloc's per thread, and the
longest text so far."""
GROWTH_THREADS = 0
"""Threads that a node may have more at the end, when it is silent and its device rests."""
GROWTH_DESCRIPTORS = 2
"""Open files, sockets and pipes that it may have more: the middleware closes what belonged to a
participant that was killed when it next looks."""
MOST_UNJUDGED = 0.2
"""Part of the windows (one in any case) that may tell nothing: the recorder itself lost frames, or
the whole machine stood still for longer than the sound device holds."""


@dataclass(eq=False)
class Utterance:
    """What was on the wire between a first chunk and its end marker."""

    start_ns: int
    pieces: list[Pcm] = field(default_factory=list)
    frames: int = 0
    ended: bool = False
    cut_at: int | None = None
    """From this frame on its end marker called it back: what is not heard yet is not to be."""
    gapless: bool = True
    """Each stamp was where the frames before it ended."""

    @property
    def pcm(self) -> Pcm:
        return np.concatenate([EMPTY_PCM, *self.pieces])


class Wire:
    """The utterances of one publisher on `audio`."""

    def __init__(self) -> None:
        self.utterances: list[Utterance] = []

    def add(self, stamp_ns: int, pcm: Pcm) -> None:
        """A message, in the order of their arrival; without frames it is an end marker."""
        last = self.utterances[-1] if self.utterances else None
        if len(pcm):
            if last is None or last.ended:
                last = Utterance(stamp_ns)
                self.utterances.append(last)
            last.gapless &= self._is_due(last, stamp_ns)
            last.pieces.append(pcm)
            last.frames += len(pcm)
        elif last is not None:
            at = max(0, round((stamp_ns - last.start_ns) * WIRE_HZ / NANOSECONDS))
            if at < last.frames:
                last.cut_at = at if last.cut_at is None else min(at, last.cut_at)
            elif last.cut_at is None:
                last.gapless &= self._is_due(last, stamp_ns)
            last.ended = True

    def take(self) -> list[Utterance]:
        """All so far, to begin anew; only while nothing is spoken."""
        taken, self.utterances = self.utterances, []
        return taken

    @staticmethod
    def _is_due(utterance: Utterance, stamp_ns: int) -> bool:
        return stamp_ns == utterance.start_ns + frames_to_ns(utterance.frames, WIRE_HZ)


@dataclass
class Hearing:
    """What a recording holds of what was sent. Frames at the rate of the recording."""

    due: int = 0
    """Of utterances that were not called back: all of each."""
    heard: int = 0
    lost: int = 0
    repeated: int = 0
    """Frames in an utterance that do not belong there: repetition, silence, noise."""
    stray: int = 0
    """Frames with sound that belongs to no utterance."""
    longest_gap: int = 0
    """Frames for which an utterance stood still, at most."""

    def add(self, other: Hearing) -> None:
        self.due += other.due
        self.heard += other.heard
        self.lost += other.lost
        self.repeated += other.repeated
        self.stray += other.stray
        self.longest_gap = max(self.longest_gap, other.longest_gap)


def as_heard(pcm: Pcm, rate: int, gain: float = 1.0) -> Mono:
    """What a loudspeaker at `rate` Hz is to play of what was on the wire: where resampling goes
    beyond full scale it is clipped, then comes the volume.
    """
    resampled: Mono = soxr.resample(to_samples(pcm)[:, 0], WIRE_HZ, rate)
    heard: Mono = np.clip(resampled, -1.0, 1.0) * np.float32(gain)
    return heard


def judge(recorded: Mono, utterances: Sequence[Utterance], rate: int, gain: float) -> Hearing:
    """Find each utterance in a recording at `rate` Hz, in order, and see what else there is.

    All of one must be there, to the frame; of one that was cut all up to there, of the rest its
    first frames (or none), and then a fade. `gain` is the player's volume.
    """
    found = Hearing()
    rest = recorded.copy()
    cuts: list[Mono] = []
    cursor = 0
    for utterance in utterances:
        whole = as_heard(utterance.pcm, rate, gain)
        expected = whole[: _frames_due(utterance, rate)]
        recognisable = np.count_nonzero(_loud(expected, 10 * TOLERANCE))
        if utterance.cut_at is not None and recognisable < _UNRECOGNISED:
            cuts.append(whole)
            continue
        if not _loud(expected).any():  # a text of punctuation
            continue
        found.due += len(expected)
        placed = _place(recorded, expected, cursor)
        if placed is None:
            found.lost += len(expected)
            continue
        start, match = placed
        _blank_cuts(rest[cursor:start], cuts, rate)
        cuts.clear()
        cursor = start + len(expected) - match.missing_frames + match.extra_frames
        rest[start:cursor] = 0.0
        if utterance.cut_at is not None:
            late = recorded[cursor : cursor + int(_LATE_SECONDS * rate)]
            late_frames = _agreement(late, whole[len(expected) :])
            rest[cursor : cursor + late_frames + int(FADE_SECONDS * rate)] = 0.0
        found.heard += len(expected) - match.missing_frames
        found.lost += match.missing_frames
        found.repeated += match.extra_frames
        found.longest_gap = max([found.longest_gap, *(b.extra for b in match.breaks)])
    _blank_cuts(rest[cursor:], cuts, rate)
    found.stray = int(np.count_nonzero(_loud(rest)))
    return found


def _frames_due(utterance: Utterance, rate: int) -> int | None:
    """How many frames of a recording must hold an utterance; None: all."""
    return None if utterance.cut_at is None else utterance.cut_at * rate // WIRE_HZ


def _place(recorded: Mono, expected: Mono, cursor: int) -> tuple[int, Match] | None:
    """Where an utterance is heard best from `cursor` on; None if it is not.

    Others, which were cut, may begin with the same word.
    """
    places: list[tuple[int, Match]] = []
    for _ in range(_MOST_TRIES):
        try:
            match = align(recorded[cursor:], expected, tolerance=TOLERANCE)
        except ValueError:
            break
        start = cursor + max(0, match.offset)
        places.append((start, match))
        if not match.breaks:
            break
        cursor = start + _UNRECOGNISED
    return min(places, key=_damage, default=None)


def _damage(place: tuple[int, Match]) -> int:
    return place[1].missing_frames + place[1].extra_frames


def _loud(samples: Mono, threshold: float = SILENCE) -> npt.NDArray[np.bool_]:
    return np.abs(samples) > threshold


def _blank_cuts(recorded: Mono, cuts: Sequence[Mono], rate: int) -> None:
    """Blank what was heard of utterances that were cut, each with the fade after it.

    Each sound is taken for the one that it is like for longest; those before it were not heard.
    """
    fade = int(FADE_SECONDS * rate)
    heard = recorded.copy()
    waiting = list(cuts)
    while waiting and (sounds := find_speech(recorded, SILENCE, fade)):
        first, end = sounds[0]
        begins = [_beginning(heard, first, expected) for expected in waiting]
        length, begin, number = max((*each, -number) for number, each in enumerate(begins))
        if length:
            recorded[first : begin + length + fade] = 0.0
            del waiting[: 1 - number]
        elif end - first < _UNRECOGNISED:
            recorded[first:end] = 0.0
            del waiting[0]
        else:
            return


def _beginning(heard: Mono, sound: int, expected: Mono) -> tuple[int, int]:
    """For how many frames (0: too few) it is what is expected that is heard from where.

    It may begin before the first sound that is left: what was cut before can be like its own fade,
    or the silence after that, and is then taken to have ended later than it did. And it may begin
    later, if that was cut too soon to be recognised.
    """
    wanted = np.flatnonzero(_loud(expected))
    if not len(wanted):
        return 0, sound
    voice = expected[wanted[0] :]
    begins = range(max(0, sound - _UNRECOGNISED), min(sound + _UNRECOGNISED, len(heard)))
    _, begin = max((_agreement(heard[at : at + _LOOK], voice), at) for at in begins)
    length = _agreement(heard[begin:], voice)
    enough = np.count_nonzero(_loud(voice[:length], 10 * TOLERANCE)) >= _LEAST_LOUD
    return (length if enough else 0), begin


def _agreement(one: Mono, other: Mono) -> int:
    """For how many frames two signals are the same."""
    frames = min(len(one), len(other))
    differing = _loud(one[:frames] - other[:frames], TOLERANCE)
    return int(differing.argmax()) if differing.any() else frames


@dataclass(frozen=True)
class Footprint:
    """What a node holds: memory resident (MiB) with that of its children, its own threads and open
    descriptors, and how many children it has.
    """

    mib: float
    threads: int
    descriptors: int
    children: int


@dataclass
class Report:
    """All that is known at the end."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Goals by their terminal state, refused ones, and those `UNFINISHED`."""
    company: Counter[str] = field(default_factory=Counter)
    """How many joined for a while, by what they are."""
    surprises: list[str] = field(default_factory=list)
    """What happened against the rules, in words."""
    sent_frames: int = 0
    """On the wire, at `WIRE_HZ`."""
    interruptions: int = 0
    """Utterances that fell silent at a word, to go on later."""
    windows: int = 0
    judged: int = 0
    """Windows that tell something."""
    longest_standstill: float = 0.0
    """Seconds for which the machine ran nothing, whatever its priority."""
    hearing: Hearing = field(default_factory=Hearing)
    counters: Counter[str] = field(default_factory=Counter)
    """What the player has counted (its diagnostics), by their names there."""
    latencies_ms: list[float] = field(default_factory=list)
    settled: dict[str, Footprint] = field(default_factory=dict)
    """What each node held after the first minute, silent and its device at rest."""
    ended: dict[str, Footprint] = field(default_factory=dict)


UNFINISHED = "without an end"
FAULTS = (
    "underruns",
    "lost_frames",
    "dropped_frames",
    "overflow_frames",
    "refused_messages",
    "device_losses",
)
"""The counters of a player that must stay at 0."""


def faults(report: Report) -> Iterator[str]:
    """Why the bar does not hold; nothing if it does."""
    yield from report.surprises
    if report.outcomes[UNFINISHED]:
        yield f"{report.outcomes[UNFINISHED]} goals have no terminal state"
    unjudged = report.windows - report.judged
    if unjudged > max(1, MOST_UNJUDGED * report.windows) or not report.hearing.heard:
        yield f"only {report.judged} of {report.windows} recordings tell anything"
    for name in ("lost", "repeated", "stray"):
        if frames := getattr(report.hearing, name):
            yield f"{frames} frames of the recordings are {name}"
    for name in FAULTS:
        if count := report.counters[name]:
            yield f"{name} of the player is {count}"
    for node, ended in report.ended.items():
        yield from _growth(node, report.settled[node], ended)


def _growth(node: str, settled: Footprint, ended: Footprint) -> Iterator[str]:
    bounds = {
        "mib": GROWTH_MIB,
        "threads": GROWTH_THREADS,
        "descriptors": GROWTH_DESCRIPTORS,
        "children": 0,
    }
    for name, bound in bounds.items():
        growth = getattr(ended, name) - getattr(settled, name)
        if growth > bound:
            yield f"{node} has {growth:g} more {name} than once it had settled (allowed: {bound:g})"
