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

"""How fast an engine is, learned while it speaks: how much text it is given at a time, and how much
sound is collected before the first of it is played.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2so_tts.text.segmenter import LEAST, LONGEST

FIRST_SECONDS = 0.3
"""How long synthesis of the first segment may take, if the text can be cut that early."""

_MARGIN = 0.8
"""The part of the buffered time within which the next sound must begin."""
_TOO_SLOW = 0.95
"""A real-time factor above which gaps are certain: then they had better be between sentences."""
_REMEMBERED = 8
_LEAST_SECONDS_PER_SIZE = 1e-4
_LATE = 1.1
"""By so much longer than last time a block may take without a gap."""
_BEGINNING_SECONDS = 1.0
"""Sound of a cancelled text from which it shows how much had to be collected."""
_MOST_COLLECTED = 0.9
"""Of a text before it is played; the last block of it is then there."""


class MadeBlock(NamedTuple):
    """Sound that came at one time: seconds from the text until it was there, and how many seconds
    of it could be given to a player, in whole chunks.
    """

    at: float
    seconds: float


class PaceEstimator:
    """How fast an engine is: a guess at first, then learned from the latest texts.

    From a text to its first sound it takes `fixed_seconds` and, for each unit of the text's
    weighted length, `seconds_per_size`. For each further second of sound it takes
    `real_time_factor` seconds.
    """

    def __init__(self) -> None:
        self.fixed_seconds = 0.0
        self.seconds_per_size = 0.03
        self.real_time_factor = 0.4
        self._audio_of = _Line(0.0, 0.0)
        """How long a text sounds, by its weighted length."""
        self._lead_of = _Line(0.0, 0.0)
        """How much of it is still to be heard when all of it is made."""
        self._latest: deque[_Text] = deque(maxlen=_REMEMBERED)
        self._needed: deque[float] = deque(maxlen=_REMEMBERED)

    def learn(self, size: float, blocks: Sequence[MadeBlock]) -> None:
        """Learn from the blocks that were made of a text of weighted length `size`."""
        blocks = [block for block in blocks if block.seconds > 0]
        audio = sum(block.seconds for block in blocks)
        if size <= 0 or audio <= 0:
            return
        self._needed.append(needed_prebuffer(blocks))
        self._latest.append(_Text(size, blocks[0].at, blocks[-1].at, audio))
        sizes, firsts, seconds, audios = np.array(self._latest).T
        first = _fit(sizes, firsts)
        self.fixed_seconds, self.seconds_per_size = first.fixed, first.slope
        self.real_time_factor = _fit(audios, seconds).slope
        self._audio_of = _fit(sizes, audios)
        self._lead_of = _fit(sizes, audios - (seconds - firsts))

    def learn_beginning(self, blocks: Sequence[MadeBlock]) -> None:
        """Learn from the blocks that were made of a text before it was cancelled."""
        blocks = [block for block in blocks if block.seconds > 0]
        if sum(block.seconds for block in blocks) >= _BEGINNING_SECONDS:
            self._needed.append(needed_prebuffer(blocks))

    def budget(self, buffered_seconds: float | None) -> float:
        """The weighted length of a text whose sound can begin before `buffered_seconds` run out.

        None: nothing is buffered yet.
        """
        if self.real_time_factor > _TOO_SLOW:
            return LONGEST
        seconds = (
            FIRST_SECONDS
            if buffered_seconds is None
            else max(FIRST_SECONDS, _MARGIN * buffered_seconds)
        )
        for_size = max(seconds - self.fixed_seconds, self.fixed_seconds / 4)
        size = max(LEAST, for_size / max(self.seconds_per_size, 1e-6))
        return min(LONGEST, max(size, self._least_size()))

    def _least_size(self) -> float:
        """The weighted length of a text after which another such text can begin in time."""
        if not self._latest:
            return 0.0
        gained = _MARGIN * self._lead_of.slope - self.seconds_per_size
        return self.fixed_seconds / gained if gained > 0 else LONGEST

    def prebuffer_seconds(self, size: float, buffered_seconds: float = 0.0) -> float:
        """How much sound has to be collected before it is played, if no gap shall be heard in a
        text of weighted length `size` that comes after `buffered_seconds` of collected sound.

        With an engine that is slower than real time it is what lasts until the rest is made.
        """
        if not self._latest:
            return 0.0
        audio = buffered_seconds + self._audio_of.fixed + self._audio_of.slope * size
        needed = max(self._needed)
        factor = _LATE * self.real_time_factor
        if factor > 1.0:
            needed = max(needed, audio * (1.0 - 1.0 / factor))
        return min(needed, _MOST_COLLECTED * audio)


def needed_prebuffer(blocks: Sequence[MadeBlock]) -> float:
    """How much sound (s) had to be collected so that each block that came later was in time.

    That is more than there was before the block with which playback could begin.
    """
    before = [0.0, *accumulate(block.seconds for block in blocks)]
    earliest_start = -np.inf
    for index in range(len(blocks) - 1, 0, -1):
        earliest_start = max(earliest_start, _LATE * blocks[index].at - before[index])
        if _LATE * blocks[index - 1].at < earliest_start:
            return before[index] + blocks[index].seconds / 2
    return 0.0


class _Text(NamedTuple):
    """What was learned from a text: its weighted length, and in seconds when its first sound and
    when its last were there, and how long it sounds.
    """

    size: float
    first: float
    made: float
    audio: float


class _Line(NamedTuple):
    fixed: float
    slope: float


def _fit(sizes: NDArray[np.float64], times: NDArray[np.float64]) -> _Line:
    """Fit a line through medians (the Theil-Sen estimator): outliers do not bend it."""
    apart = np.triu(sizes[:, None] != sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = ((times[:, None] - times) / (sizes[:, None] - sizes))[apart]
    highest = float(np.median(times / sizes))
    slope = float(np.median(slopes)) if len(slopes) else highest
    slope = min(max(slope, _LEAST_SECONDS_PER_SIZE), highest)
    return _Line(max(0.0, float(np.median(times - slope * sizes))), slope)
