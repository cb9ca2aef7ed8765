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

"""The vocabulary of sound: PCM formats, engine blocks, wire chunks, and marks.

All conversions between sample types, gains, fades and clipping are in here. Full scale is 1.0 in
floating point and 2 ** (bits - 1) in integers, so that 16-bit PCM survives the way to floating
point and back bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
"""Signed 16-bit mono samples, shape (frames,)."""

Samples = NDArray[np.float32]
"""Samples in -1.0 .. 1.0, shape (frames, channels)."""

EMPTY_PCM: Pcm = np.empty(0, np.int16)
NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second."""
CHUNK_FRAMES = 4096
"""Default length of a chunk on the wire, in frames."""
START_CHUNKS = 3
"""So many chunks a player collects by default before it starts."""
START_DIVISORS = (8, 8, 4, 4, 4, 2, 2)
"""The first chunks of an utterance have this fraction of the frames of the later ones."""

_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class AudioFormat:
    """Sample rate and channel count of a stream."""

    rate: int
    """Frames per second (Hz)."""
    channels: int = 1


@dataclass(frozen=True)
class Mark:
    """The first `text_end` characters of a text have been spoken once `frame` frames were heard."""

    text_end: int
    frame: int


@dataclass(frozen=True, eq=False)
class Chunk:
    """A part of an utterance as it is sent; compared by identity.

    An empty chunk says that no more audio follows for now: the receiver must not wait for more.
    """

    start: int
    """Offset from the beginning of the utterance (frames)."""
    pcm: Pcm

    @property
    def end(self) -> int:
        """Offset of the frame after the last one (frames)."""
        return self.start + len(self.pcm)


@dataclass(frozen=True, eq=False)
class Block:
    """What an engine yields: PCM of any length and the marks known so far; compared by identity.

    Frames and characters of the marks count from the start of the text given to the engine.
    """

    pcm: Pcm
    marks: tuple[Mark, ...] = ()


def frames_to_ns(frames: int, rate: int) -> int:
    """The duration of `frames` frames at `rate` Hz in nanoseconds, rounded to the nearest."""
    return (frames * NANOSECONDS + rate // 2) // rate


def ns_to_frames(nanoseconds: int, rate: int) -> int:
    """The number of frames at `rate` Hz in `nanoseconds`, rounded to the nearest."""
    return (nanoseconds * rate + NANOSECONDS // 2) // NANOSECONDS


class Chunker:
    """Splits blocks of any length into chunks of `frames` frames without losing or repeating any.

    The first ones, also after a `flush`, are shorter (`START_DIVISORS`): a player that waits for
    three chunks starts as soon as half a chunk of sound is there.
    """

    def __init__(self, frames: int = CHUNK_FRAMES) -> None:
        self._frames = frames
        self._cut = 0
        self._pending: list[Pcm] = []
        self._held = 0

    def push(self, pcm: Pcm) -> list[Pcm]:
        """Append `pcm`, and return the chunks that are complete now."""
        self._pending.append(pcm)
        self._held += len(pcm)
        if self._held < self._length:
            return []
        joined = np.concatenate(self._pending)
        chunks, start = [], 0
        while start + self._length <= len(joined):
            end = start + self._length
            chunks.append(joined[start:end])
            self._cut += 1
            start = end
        self._pending = [joined[start:]]
        self._held = len(joined) - start
        return chunks

    def flush(self) -> list[Pcm]:
        """Return the remainder as one shorter chunk, or an empty list if there is none."""
        rest = [np.concatenate(self._pending)] if self._held else []
        self._pending = []
        self._held = self._cut = 0
        return rest

    @property
    def _length(self) -> int:
        """Length of the chunk that is being filled (frames)."""
        return chunk_length(self._frames, self._cut)


def chunk_length(frames: int, index: int) -> int:
    """Length (frames) of chunk number `index` of an utterance whose later chunks have `frames`."""
    divisor = START_DIVISORS[index] if index < len(START_DIVISORS) else 1
    return max(1, frames // divisor)


def to_samples(values: NDArray[Any], channels: int = 1) -> Samples:
    """Convert interleaved samples of any type to floating point.

    `values` has shape (frames * channels,) and is int8, uint8 (zero is 128), int16, int32 or
    float32, which is clipped to -1.0 .. 1.0. The result has shape (frames, channels).

    Raises:
        ValueError: the length of `values` is no multiple of `channels`.
    """
    samples = values.astype(np.float32)
    if values.dtype.kind == "f":
        clip(samples)
    else:
        bits = 8 * values.dtype.itemsize
        if values.dtype.kind == "u":
            samples -= np.float32(2 ** (bits - 1))
        samples *= np.float32(2.0 ** (1 - bits))
    return samples.reshape(-1, channels)


def to_pcm(samples: NDArray[np.floating], full_scale: float = -float(_INT16.min)) -> Pcm:
    """Convert samples of any shape to 16-bit PCM, rounded and clipped once.

    1.0 becomes `full_scale`. The default is the inverse of `to_samples`.
    """
    return _rounded(samples * full_scale)


def clip(samples: Samples) -> Samples:
    """Limit `samples` to -1.0 .. 1.0 in place, and return them."""
    return np.clip(samples, -1.0, 1.0, out=samples)


def apply_gain(pcm: Pcm, gain: float | NDArray[np.floating]) -> Pcm:
    """Scale by a linear gain, or one gain per frame, rounded and clipped once.

    A constant gain of 1.0 returns `pcm` itself.
    """
    if np.ndim(gain) == 0 and gain == 1.0:
        return pcm
    return _rounded(pcm.astype(np.float32) * gain)


def fade_ramp(frames: int) -> NDArray[np.float32]:
    """Gains of a fade-in, shape (frames,): a raised cosine from 0.0 to just below 1.0.

    Reversed it is a fade-out that ends at 0.0.
    """
    phase = np.arange(frames) * (np.pi / 2 / max(1, frames))
    ramp: NDArray[np.float32] = (np.sin(phase) ** 2).astype(np.float32)
    return ramp


def _rounded(scaled: NDArray[np.floating]) -> Pcm:
    pcm: Pcm = np.clip(np.rint(scaled), _INT16.min, _INT16.max).astype(np.int16)
    return pcm
