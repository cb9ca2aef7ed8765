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

"""Streaming sample rate conversion by soxr, which is loaded when the first one is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from k2so_tts.audio import Block
from k2so_tts.remedies import pip_install

_BLOCK_FRAMES = 32_768
"""Converted at a time: soxr keeps as much memory as the largest block it was ever given took."""


class ResamplerMissing(ImportError):
    """The Python package soxr is not installed; the message says how to install it."""


def require_soxr() -> Any:
    """Load soxr and return its module.

    Raises:
        ResamplerMissing: it is not installed.
    """
    try:
        import soxr
    except ImportError as error:
        raise ResamplerMissing(
            f"the Python package soxr is missing; install it with '{pip_install('soxr')}'",
            name="soxr",
        ) from error
    return soxr


class Resampler:
    """Converts a stream block by block as if it were converted whole: no seams, no drift.

    Uses soxr's high quality (HQ), which holds back some tens of milliseconds until `flush`. Blocks
    have shape (frames, channels) and the sample type `dtype`.

    Raises:
        ResamplerMissing: soxr is not installed.
    """

    def __init__(
        self,
        source_rate: int,
        target_rate: int,
        channels: int = 1,
        dtype: Literal["int16", "float32"] = "float32",
    ) -> None:
        self._stream = require_soxr().ResampleStream(
            source_rate, target_rate, channels, dtype=dtype, quality="HQ"
        )
        self._empty = np.empty((0, channels), dtype)

    def push(self, samples: NDArray[Any]) -> NDArray[Any]:
        """Convert `samples`, and return the frames that are ready."""
        whole = np.ascontiguousarray(samples)
        starts = range(0, max(1, len(whole)), _BLOCK_FRAMES)
        parts = [
            self._stream.resample_chunk(whole[start : start + _BLOCK_FRAMES]) for start in starts
        ]
        return np.concatenate(parts)

    def flush(self) -> NDArray[Any]:
        """End the stream, and return the frames that were held back."""
        rest: NDArray[Any] = self._stream.resample_chunk(self._empty, last=True)
        return rest


def resampled(blocks: Iterator[Block], source_rate: int, rate: int) -> Iterator[Block]:
    """Convert blocks of a rate (Hz) to another as one stream, with the frames of their marks.

    Raises:
        ResamplerMissing: the rates differ, and soxr is not installed.
    """
    if source_rate == rate:
        yield from blocks
        return
    resampler = Resampler(source_rate, rate, dtype="int16")
    for block in blocks:
        marks = tuple(replace(mark, frame=mark.frame * rate // source_rate) for mark in block.marks)
        yield Block(resampler.push(block.pcm.reshape(-1, 1)).reshape(-1), marks)
    yield Block(resampler.flush().reshape(-1))
