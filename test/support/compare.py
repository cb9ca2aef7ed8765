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

"""Judge recorded sound: where there is any, and how well it equals what was to be heard.

Pure functions on float32 arrays with full scale 1.0; positions and lengths are in frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

Mono = npt.NDArray[np.float32]
Spans = list[tuple[int, int]]

_SHORTEST_PROBE = 256
_AGREEMENT = 64  # frames in a row that must agree for a break to be over
_MOST_BREAKS = 100
_PROBE = 4096  # frames of the expected signal that are looked for at a time
_BLOCK = 1 << 19  # frames of the recording that are searched at a time
_GOOD = 0.9  # normalised correlation from which a probe counts as found


@dataclass(frozen=True)
class Break:
    """A place where the recording departs from the expected signal and comes back to it."""

    frame: int
    """Where it begins, in frames of the expected signal."""
    missing: int
    """Expected frames that were not heard."""
    extra: int
    """Recorded frames in their place: silence, repetition, noise."""


@dataclass(frozen=True)
class Match:
    """How an expected signal was found in a recording."""

    offset: int
    """Frame of the recording that is the first expected one; negative if the start was cut off."""
    snr_db: float
    """Expected signal over difference, over its whole length at this offset; inf when equal."""
    gain: float
    """Gain the expected signal was given before it was compared."""
    first_difference: int | None
    """First expected frame that differs by more than the tolerance; None if none does."""
    breaks: tuple[Break, ...]
    """Where samples are missing or too many, in order; the first 100 at most."""

    @property
    def missing_frames(self) -> int:
        """Expected frames that were not heard."""
        return sum(b.missing for b in self.breaks)

    @property
    def extra_frames(self) -> int:
        """Recorded frames between start and end that were not expected."""
        return sum(b.extra for b in self.breaks)


def find_speech(
    recorded: npt.NDArray[np.float32], threshold: float = 1e-4, min_gap: int = 4800
) -> Spans:
    """Return (start, end) of each span of sound in ``recorded``, (frames,) or (frames, channels).

    A span ends where at least ``min_gap`` frames are no louder than ``threshold``.
    """
    loud = np.abs(recorded) > threshold
    places = np.flatnonzero(loud if loud.ndim == 1 else loud.any(axis=1))
    if not len(places):
        return []
    gaps = np.flatnonzero(np.diff(places) > min_gap)
    starts = places[np.concatenate(([0], gaps + 1))]
    ends = places[np.concatenate((gaps, [len(places) - 1]))] + 1
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def align(
    recorded: Mono,
    expected: Mono,
    *,
    gain: float | None = 1.0,
    tolerance: float = 1e-3,
    max_shift: int = 96_000,
) -> Match:
    """Find ``expected`` in ``recorded`` and compare the two over its whole length.

    With ``gain`` None, the gain that fits best is used. Differences up to ``tolerance`` are
    rounding. After a break, the signal is looked for up to ``max_shift`` frames around its place.
    Raises :class:`ValueError` when no part of ``expected`` is in the recording.
    """
    offset = _locate(recorded, expected)
    heard = _cut(recorded, offset, len(expected))
    if gain is None:
        gain = float(np.dot(heard, expected) / max(np.dot(expected, expected), 1e-30))
    wanted = expected if gain == 1.0 else expected * np.float32(gain)
    differing = np.abs(heard - wanted) > tolerance
    first = int(differing.argmax()) if differing.any() else None
    breaks = _breaks(recorded, wanted, offset, tolerance, max_shift)
    return Match(
        offset=offset,
        snr_db=snr_db(heard, wanted),
        gain=gain,
        first_difference=first,
        breaks=tuple(islice(breaks, _MOST_BREAKS)),
    )


def piece_of(recorded: Mono, expected: Mono, *, fade: int, tolerance: float = 1e-3) -> Spans:
    """Return the (start, end) of ``expected`` that is in ``recorded``, none if that is silent.

    Raises :class:`ValueError` when anything else is heard: a gap, a repetition, noise. Only at its
    ends the piece may have been faded, over ``fade`` frames.
    """
    spans = find_speech(recorded, min_gap=len(recorded))
    if not spans:
        return []
    heard = recorded[slice(*spans[0])]
    _, place = find(_cut(expected, -_PROBE, len(expected) + 2 * _PROBE), heard[:_PROBE])
    place -= _PROBE
    differing = np.abs(heard - _cut(expected, place, len(heard))) > tolerance
    inner = differing[fade : max(fade, len(heard) - fade)]
    if inner.any():
        at = place + fade + int(inner.argmax())
        raise ValueError(f"what is heard departs from what is expected at its frame {at}")
    begun = np.flatnonzero(differing[:fade])
    ended = np.flatnonzero(differing[max(fade, len(heard) - fade) :])
    start = int(begun[-1]) + 1 if len(begun) else 0
    end = max(fade, len(heard) - fade) + int(ended[0]) if len(ended) else len(heard)
    return [(place + start, place + end)]


def snr_db(recorded: Mono, expected: Mono) -> float:
    """Return the power of ``expected`` over that of the difference, in dB (equal lengths)."""
    signal = float(np.sum(np.square(expected, dtype=np.float64)))
    noise = float(np.sum(np.square(recorded - expected, dtype=np.float64)))
    if noise == 0.0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _cut(signal: Mono, start: int, length: int) -> Mono:
    """Return ``length`` frames from ``start`` (may be negative), silence outside the signal."""
    inside = signal[max(start, 0) : max(start + length, 0)]
    before = min(max(-start, 0), length)
    result = np.zeros(length, np.float32)
    result[before : before + len(inside)] = inside
    return result


def _probes(expected: Mono, start: int = 0) -> Iterator[int]:
    """Yield where stretches of ``expected`` begin, from ``start`` on, that are loud enough."""
    loud = np.abs(expected) > 0.1 * float(np.abs(expected).max(initial=0.0))
    position = start
    while position + _SHORTEST_PROBE <= len(expected):
        ahead = int(loud[position:].argmax())
        if not loud[position + ahead]:
            return
        position += ahead
        yield position
        position += _PROBE


def _correlate(signal: Mono, probe: Mono) -> npt.NDArray[np.float32]:
    """Return the normalised correlation of ``probe`` with ``signal`` at each place it fits."""
    places = len(signal) - len(probe) + 1
    size = 1 << (len(signal) - 1).bit_length()
    spectrum = np.fft.rfft(signal, size) * np.conj(np.fft.rfft(probe, size))
    products = np.fft.irfft(spectrum, size)[:places]
    energy = np.concatenate(([0.0], np.cumsum(np.square(signal, dtype=np.float64))))
    local = energy[len(probe) :] - energy[:places]
    own = float(np.sum(np.square(probe, dtype=np.float64)))
    floor = 1e-4 * own  # silence resembles nothing
    scale = np.sqrt(np.maximum(local, floor) * own)
    return np.asarray(products / scale, np.float32)


def find(signal: Mono, probe: Mono, centre: int | None = None) -> tuple[float, int]:
    """Return the best correlation of ``probe`` in ``signal`` and its place.

    Of equally good places the one nearest to ``centre`` counts, without it the first.
    """
    best, place = 0.0, 0
    for start in range(0, len(signal) - len(probe) + 1, _BLOCK - len(probe) + 1):
        values = _correlate(signal[start : start + _BLOCK], probe)
        peak = float(values.max())
        if peak > best + 1e-3:
            equals = np.flatnonzero(values > peak - 1e-3) + start
            nearest = 0 if centre is None else int(np.abs(equals - centre).argmin())
            best, place = peak, int(equals[nearest])
        if best > 0.999 and centre is None:
            break
    return best, place


def _locate(recorded: Mono, expected: Mono) -> int:
    """Return the place in ``recorded`` of the first frame of ``expected``."""
    tries = list(_probes(expected))
    # From the start on, but a damaged start must not take forever: then a few more.
    tries = tries[:3] + tries[3 :: max(1, len(tries) // 8)]
    found = (0.0, 0)
    for start in tries:
        likeness, place = find(recorded, expected[start : start + _PROBE])
        found = max(found, (likeness, place - start), key=lambda item: item[0])
        if likeness > _GOOD:
            break
    if found[0] < 0.5:
        raise ValueError("the expected signal is not in the recording")
    return found[1]


def _breaks(
    recorded: Mono, wanted: Mono, offset: int, tolerance: float, max_shift: int
) -> Iterator[Break]:
    """Follow ``wanted`` through the recording and tell each place where the two part."""
    position, shift = 0, offset
    while (position := _agreement(recorded, wanted, position, shift, tolerance)) < len(wanted):
        again = _resume(recorded, wanted, position, shift, max_shift)
        if again is None:  # nothing more was heard, as far as there was more to hear
            end = find_speech(wanted[position:], tolerance)
            yield Break(position, end[-1][1] if end else 0, 0)
            return
        frame, new_shift = again
        first = max(position, position + shift - new_shift)
        heard = _cut(recorded, first + new_shift, frame + _PROBE - first)
        differing = np.abs(heard - _cut(wanted, first, len(heard))) > tolerance
        frame = first + _first_run(~differing, _AGREEMENT)
        yield Break(position, frame - position, frame + new_shift - position - shift)
        position, shift = frame, new_shift


def _agreement(recorded: Mono, wanted: Mono, position: int, shift: int, tolerance: float) -> int:
    """Return the first frame of ``wanted`` from ``position`` on that differs, or its length."""
    while position < len(wanted):
        length = min(_BLOCK, len(wanted) - position)
        heard = _cut(recorded, position + shift, length)
        differing = np.abs(heard - wanted[position : position + length]) > tolerance
        if differing.any():
            return position + int(differing.argmax())
        position += length
    return position


def _first_run(flags: npt.NDArray[np.bool_], length: int) -> int:
    """Return where ``flags`` first holds ``length`` times in a row, else their number."""
    since = np.concatenate(([-1], np.flatnonzero(~flags), [len(flags)]))
    runs = np.flatnonzero(np.diff(since) > length)
    return int(since[runs[0]]) + 1 if len(runs) else len(flags)


def _resume(
    recorded: Mono, wanted: Mono, position: int, shift: int, max_shift: int
) -> tuple[int, int] | None:
    """Return (frame, shift) where ``wanted`` is heard again after it was lost at ``position``."""
    for start in _probes(wanted, position):
        probe = wanted[start : start + _PROBE]
        if find(_cut(recorded, start + shift, len(probe)), probe)[0] > 0.99:
            return start, shift
        first = max(position + shift, start + shift - max_shift, 0)
        window = recorded[first : max(start + shift + max_shift + _PROBE, 0)]
        likeness, place = find(window, probe, start + shift - first)
        if likeness > _GOOD:
            return start, first + place - start
    return None
