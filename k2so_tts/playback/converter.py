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

"""Adapts the sample rate and the channels of a stream to those of a device."""

from __future__ import annotations

import numpy as np

from k2so_tts.audio import AudioFormat, Samples, clip
from k2so_tts.resampler import Resampler


def map_channels(samples: Samples, channels: int) -> Samples:
    """Spread or mix the channels of `samples`, shape (frames, n), over `channels` channels.

    Mono is heard on all; otherwise channel k goes to k modulo `channels`, averaged where several
    meet. The result has shape (frames, channels).
    """
    present = samples.shape[1]
    if present == channels:
        return samples
    if present == 1:
        return np.repeat(samples, channels, axis=1)
    mixed = np.zeros((len(samples), channels), np.float32)
    for channel in range(channels):
        meeting = samples[:, channel::channels]
        if meeting.shape[1]:
            mixed[:, channel] = meeting.mean(axis=1)
    return mixed


class Converter:
    """Converts a stream chunk by chunk as if it were converted whole: no seams, no drift.

    Raises:
        ResamplerMissing: the rates differ, and soxr is not installed.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self._channels = target.channels
        self._resampler = (
            None
            if source.rate == target.rate
            else Resampler(source.rate, target.rate, source.channels)
        )
        self._empty = np.empty((0, source.channels), np.float32)

    def convert(self, samples: Samples) -> Samples:
        """Convert `samples`, shape (frames, channels of the source); return what is ready."""
        if self._resampler is not None:
            samples = clip(self._resampler.push(samples))  # a resampler overshoots at full scale
        return map_channels(samples, self._channels)

    def flush(self) -> Samples:
        """End the stream, and return the frames that were held back."""
        rest = self._empty if self._resampler is None else clip(self._resampler.flush())
        return map_channels(rest, self._channels)
