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

"""How fast an engine is, learned while it speaks."""

from __future__ import annotations

from collections import deque

import numpy as np

from k2so_tts.text.segmenter import LEAST, LONGEST

FIRST_SECONDS = 0.3
"""How long synthesis of the first segment may take, if the text can be cut that early."""

_MARGIN = 0.8
"""The part of the buffered time within which the next sound must begin."""
_TOO_SLOW = 0.95
"""A real-time factor above which gaps are certain: then they had better be between sentences."""
_REMEMBERED = 8
_LEAST_SECONDS_PER_SIZE = 1e-4


class PaceEstimator:
    """How fast an engine is: a guess at first, then learned from the latest texts.

    From a text to its first sound it takes `fixed_seconds` and, for each unit of the text's
    weighted length, `seconds_per_size`.
    """

    def __init__(self) -> None:
        self.fixed_seconds = 0.0
        self.seconds_per_size = 0.03
        self.real_time_factor = 0.4
        self._latest: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def learn(self, size: float, first_seconds: float, seconds: float, audio: float) -> None:
        """Learn from a text of weighted length `size`, which has `audio` seconds of sound.

        It took `first_seconds` to its first sound and `seconds` to its last.
        """
        if size <= 0 or audio <= 0:
            return
        weight = 0.4 if self._latest else 1.0
        self.real_time_factor += weight * (seconds / audio - self.real_time_factor)
        self._latest.append((size, first_seconds))
        self._fit()

    def _fit(self) -> None:
        """Fit a line through medians (the Theil-Sen estimator): outliers do not bend it."""
        sizes, times = np.array(self._latest).T
        apart = np.triu(sizes[:, None] != sizes)
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = ((times[:, None] - times) / (sizes[:, None] - sizes))[apart]
        highest = float(np.median(times / sizes))
        slope = float(np.median(slopes)) if len(slopes) else highest
        self.seconds_per_size = min(max(slope, _LEAST_SECONDS_PER_SIZE), highest)
        self.fixed_seconds = max(0.0, float(np.median(times - self.seconds_per_size * sizes)))

    def budget(self, buffered_seconds: float | None) -> float:
        """The weighted length of a text whose sound can begin before `buffered_seconds` run out.

        None: nothing is buffered yet.
        """
        if buffered_seconds is not None and self.real_time_factor > _TOO_SLOW:
            return LONGEST
        seconds = (
            FIRST_SECONDS
            if buffered_seconds is None
            else max(FIRST_SECONDS, _MARGIN * buffered_seconds)
        )
        for_size = max(seconds - self.fixed_seconds, self.fixed_seconds / 4)
        return min(LONGEST, max(LEAST, for_size / max(self.seconds_per_size, 1e-6)))
