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

"""How a network that turns frames into samples is run in blocks which, joined, equal the whole.

A sample depends on the frames around it, and only on those: how many they are is its
`ReceptiveField`, which follows from the layers between. A block that is computed with that much
context on either side has, in its middle, the same samples as the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from k2so_tts import audio
from k2so_tts.audio import CHUNK_FRAMES, Pcm

__all__ = ["DecodeWindow", "ReceptiveField", "decode_in_blocks", "decode_windows", "to_pcm"]

_GROWTH = (1, 2, 4)
_LARGEST = 6
"""Sizes of blocks, in chunks. The first is small, so that it is heard soon. Later ones are larger,
as their context is computed in addition, but not so large that a cancel waits for long."""


@dataclass(frozen=True)
class ReceptiveField:
    """How many steps before (`left`) and after (`right`) its own place a sample depends on.

    Found by going through the layers from the last to the first.
    """

    left: int = 0
    right: int = 0

    def __or__(self, other: ReceptiveField) -> ReceptiveField:
        """The field of the sum of two branches."""
        return ReceptiveField(max(self.left, other.left), max(self.right, other.right))

    def before_convolution(self, kernel: int, dilation: int, padding: int) -> ReceptiveField:
        """The field in the input of a convolution of stride 1, if this is the one in its output."""
        return ReceptiveField(self.left + padding, self.right + dilation * (kernel - 1) - padding)

    def before_upsampling(self, kernel: int, stride: int, padding: int) -> ReceptiveField:
        """The field in the input of a transposed convolution, in steps of that input.

        Step s of the input reaches samples s * stride - padding to s * stride - padding + kernel-1.
        """
        first = -((self.left - padding + kernel - 1) // stride)
        last = (self.right - 1 + padding) // stride
        return ReceptiveField(max(0, -first), max(0, last + 1))


@dataclass(frozen=True)
class DecodeWindow:
    """Frames `start` to `end` are wanted; for that, `first` to `last` have to be computed."""

    start: int
    end: int
    first: int
    last: int


def decode_windows(
    frames: int, field: ReceptiveField, frame_samples: int
) -> Iterator[DecodeWindow]:
    """The blocks in which `frames` frames, of `frame_samples` samples each, are to be computed."""
    start = 0
    for chunks in chain(_GROWTH, repeat(_LARGEST)):
        if start >= frames:
            return
        end = min(frames, start + -(-chunks * CHUNK_FRAMES // frame_samples))
        yield DecodeWindow(start, end, max(0, start - field.left), min(frames, end + field.right))
        start = end


def decode_in_blocks(
    frames: int,
    field: ReceptiveField,
    frame_samples: int,
    decode: Callable[[int, int], NDArray[np.float32]],
) -> Iterator[NDArray[np.float32]]:
    """The samples of `frames` frames, block by block, shape (samples,) each.

    `decode(first, last)` gives the samples, shape (samples,), of frames `first` to `last`.
    """
    for window in decode_windows(frames, field, frame_samples):
        samples = decode(window.first, window.last)
        begin = (window.start - window.first) * frame_samples
        size = (window.end - window.start) * frame_samples
        yield samples[begin : None if window.end == frames else begin + size]


def to_pcm(samples: NDArray[np.float32]) -> Pcm:
    """Convert samples in -1.0 .. 1.0 to 16-bit PCM at the scale of Piper and Coqui."""
    return audio.to_pcm(samples, full_scale=32767.0)
