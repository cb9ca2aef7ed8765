"""The vocabulary of sound: PCM, formats, blocks as engines make them and chunks as they travel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
"""Signed 16-bit mono samples, shape (frames,)."""

Samples = NDArray[np.float32]
"""Samples in -1.0 .. 1.0, shape (frames, channels)."""

EMPTY_PCM: Pcm = np.empty(0, np.int16)
NANOSECONDS = 1_000_000_000
CHUNK_FRAMES = 4096
SHORT_CHUNKS = 2
"""So many at the start of an utterance are half as long."""


@dataclass(frozen=True)
class AudioFormat:
    """Frames per second (Hz) and channels of a stream."""

    rate: int
    channels: int = 1


@dataclass(frozen=True)
class Mark:
    """The first `text_end` characters of a text have been spoken once `frame` frames were heard."""

    text_end: int
    frame: int


@dataclass(frozen=True)
class Chunk:
    """A piece of an utterance, `start` frames after its beginning.

    An empty one says that nothing follows for now: the listener must not wait for more.
    """

    start: int
    pcm: Pcm

    @property
    def end(self) -> int:
        return self.start + len(self.pcm)


@dataclass(frozen=True)
class Block:
    """What an engine yields: some PCM, of any length, and the marks that became known with it.

    Frames and characters of the marks count from the start of the text given to the engine.
    """

    pcm: Pcm
    marks: tuple[Mark, ...] = ()


def frames_to_ns(frames: int, rate: int) -> int:
    """Duration of `frames` frames in whole nanoseconds, rounded to the nearest."""
    return (frames * NANOSECONDS + rate // 2) // rate


def ns_to_frames(nanoseconds: int, rate: int) -> int:
    """How many frames `nanoseconds` are, rounded to the nearest."""
    return (nanoseconds * rate + NANOSECONDS // 2) // NANOSECONDS


class Chunker:
    """Cuts blocks of any length into chunks of `frames` frames, losing and repeating nothing.

    The first two, also after a `flush`, are half as long: a player that waits for three chunks
    starts sooner.
    """

    def __init__(self, frames: int = CHUNK_FRAMES) -> None:
        self._frames = frames
        self._cut = 0
        self._pending: list[Pcm] = []
        self._held = 0

    def push(self, pcm: Pcm) -> list[Pcm]:
        """The chunks that are full now."""
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
        """What is left, as one shorter chunk; empty when nothing is."""
        rest = [np.concatenate(self._pending)] if self._held else []
        self._pending = []
        self._held = self._cut = 0
        return rest

    @property
    def _length(self) -> int:
        """Of the chunk that is being filled, in frames."""
        return max(1, self._frames // 2) if self._cut < SHORT_CHUNKS else self._frames


def apply_gain(pcm: Pcm, gain: float) -> Pcm:
    """Scale by a linear gain, rounded and clipped once. A gain of 1.0 changes no bit."""
    if gain == 1.0:
        return pcm
    scaled = np.rint(pcm.astype(np.float32) * gain)
    clipped: Pcm = np.clip(scaled, -32768, 32767).astype(np.int16)
    return clipped
