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

"""A gain that never clips: peaks beyond full scale are turned down instead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from k2so_tts.audio import Pcm, Samples, apply_gain, to_pcm, to_samples

THRESHOLD = 0.8
"""The peak (linear, of full scale) up to which sound passes unchanged: -1.9 dB."""
CEILING = 0.99
"""The peak that is never exceeded: -0.1 dB, so that resampling has some room."""
RELEASE_DB_PER_SECOND = 60.0
"""How fast the gain recovers: 0.6 dB in a period of a low voice (100 Hz), which distorts little."""


class Limiter:
    """Scales sound of `rate` Hz, block by block, and turns the gain down around high peaks.

    The gain follows an envelope that rises with the sound at once and falls slowly (a feed-forward
    peak limiter with a soft knee: Giannoulis, Massberg and Reiss, "Digital Dynamic Range Compressor
    Design", JAES 60(6), 2012). It adds no delay, and the result does not depend on how the sound is
    split into blocks.
    """

    def __init__(self, rate: int) -> None:
        self._release = RELEASE_DB_PER_SECOND * np.log(10.0) / 20.0 / rate
        """By how much the logarithm of the envelope falls from one frame to the next."""
        self._level = 0.0
        """The logarithm of the envelope over the threshold at the last frame; 0: below it."""

    def apply(self, samples: Samples) -> None:
        """Limit `samples`, shape (frames, channels), in place to `CEILING`.

        They are not touched where the envelope is within `THRESHOLD`.
        """
        if not len(samples):
            return
        peaks = np.abs(samples).max(axis=1)
        if self._level == 0.0 and peaks.max() <= THRESHOLD:
            return
        levels = np.log(np.maximum(peaks, THRESHOLD, dtype=np.float64) / THRESHOLD)
        samples *= _gains(self._follow(levels))[:, np.newaxis].astype(np.float32)

    def amplify(self, pcm: Pcm, gain: float) -> Pcm:
        """Scale 16-bit samples, shape (frames,), by a linear gain; limited if it is above 1."""
        if gain <= 1.0:
            return apply_gain(pcm, gain)
        samples = to_samples(pcm)
        samples *= np.float32(gain)
        self.apply(samples)
        return to_pcm(samples[:, 0])

    def _follow(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """The envelope of `levels` (logarithms, shape (frames,)): it falls in a straight line."""
        fallen = self._release * np.arange(1, len(levels) + 1)
        levels[0] = max(levels[0], self._level - self._release)
        envelope = np.maximum(np.maximum.accumulate(levels + fallen) - fallen, levels)
        self._level = float(envelope[-1])
        return np.asarray(envelope)


def _gains(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The gains for an envelope, given as logarithms over the threshold: exactly 1.0 for 0."""
    over = np.expm1(levels) * THRESHOLD
    knee = CEILING - THRESHOLD
    return np.asarray((THRESHOLD + knee * np.tanh(over / knee)) / (THRESHOLD + over))
