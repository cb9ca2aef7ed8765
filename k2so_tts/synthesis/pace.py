"""How fast an engine is, learnt while it speaks."""

from __future__ import annotations

from collections import deque

import numpy as np

from k2so_tts.text.segmenter import LEAST, LONGEST

FIRST_SECONDS = 0.3
"""How long making the first segment may take, if the text can be cut that early."""

_MARGIN = 0.8
"""Part of the unheard time that is counted on."""
_TOO_SLOW = 0.95
_REMEMBERED = 8
_LEAST_SECONDS_PER_SIZE = 1e-4


class PaceEstimator:
    """How fast an engine is: a guess at first, then learnt from what it has made lately.

    From a text to its first sound it takes `fixed_seconds` and, for each unit of the text's size,
    `seconds_per_size`.
    """

    def __init__(self) -> None:
        self.fixed_seconds = 0.0
        self.seconds_per_size = 0.03
        self.real_time_factor = 0.4
        self._latest: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def learn(self, size: float, first_seconds: float, seconds: float, audio: float) -> None:
        """A text of `size` took `first_seconds` to its first sound and `seconds` to its last, and
        has `audio` seconds of it.
        """
        if size <= 0 or audio <= 0:
            return
        weight = 0.4 if self._latest else 1.0
        self.real_time_factor += weight * (seconds / audio - self.real_time_factor)
        self._latest.append((size, first_seconds))
        self._fit()

    def _fit(self) -> None:
        """The line through medians (Theil and Sen's): a moment when the machine was busy does not
        bend it.
        """
        sizes, times = np.array(self._latest).T
        apart = np.triu(sizes[:, None] != sizes)
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = ((times[:, None] - times) / (sizes[:, None] - sizes))[apart]
        highest = float(np.median(times / sizes))
        slope = float(np.median(slopes)) if len(slopes) else highest
        self.seconds_per_size = min(max(slope, _LEAST_SECONDS_PER_SIZE), highest)
        self.fixed_seconds = max(0.0, float(np.median(times - self.seconds_per_size * sizes)))

    def budget(self, buffered_seconds: float | None) -> float:
        """The weighted length of a text whose sound can begin before the `buffered_seconds` that
        are still to be heard run out; None: nothing is buffered yet.
        """
        if buffered_seconds is not None and self.real_time_factor > _TOO_SLOW:
            return LONGEST  # gaps are certain: better between sentences
        seconds = (
            FIRST_SECONDS
            if buffered_seconds is None
            else max(FIRST_SECONDS, _MARGIN * buffered_seconds)
        )
        for_size = max(seconds - self.fixed_seconds, self.fixed_seconds / 4)
        return min(LONGEST, max(LEAST, for_size / max(self.seconds_per_size, 1e-6)))
