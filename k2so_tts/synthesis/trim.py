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

"""Trims the silence at both ends of a stream of blocks on its way from an engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from k2so_tts.audio import EMPTY_PCM, Block, Mark, Pcm, apply_gain, fade_ramp

QUIET = 184
"""Samples up to this are silence: -45 dB of full scale, above the noise floor of neural voices."""
BEFORE_SECONDS, AFTER_SECONDS = 0.01, 0.03
"""How much is kept of the silence before the first sound and after the last one."""
KEPT_SILENCE_SECONDS = BEFORE_SECONDS + AFTER_SECONDS
FADE_SECONDS = 0.004
_PAUSE_NOISE = 5.0
"""The standard deviation of the noise in a pause, in steps of 16 bits: -76 dB of full scale, which
is what Piper's voices have between sentences.
"""


def trimmed(blocks: Iterator[Block], rate: int) -> Iterator[Block]:
    """`blocks` of `rate` Hz without most of the silence at both ends, and faded there.

    Marks are moved along. No more is held back than a silence that may be the last one, and the
    length of the fade.
    """
    trimmer = _Trimmer(rate)
    for block in blocks:
        if (kept := trimmer.push(block)) is not None:
            yield kept
    if (kept := trimmer.end()) is not None:
        yield kept


def pause_of(frames: int) -> Pcm:
    """A pause of so many frames: noise as soft as that of a voice that is silent, the same each
    time.

    In digital silence the background that is heard around it is missing, as if packets were lost:
    PLCMOS of eight sentences was 0.3 lower with it (docs/measurements/voices.md). Telephony fills
    such gaps in the same way (comfort noise, RFC 3389).
    """
    noise = np.random.default_rng(0).normal(0.0, _PAUSE_NOISE, frames)
    return np.asarray(np.rint(noise), np.int16)


class _Trimmer:
    def __init__(self, rate: int) -> None:
        self._before = round(BEFORE_SECONDS * rate)
        self._after = round(AFTER_SECONDS * rate)
        self._ramp = fade_ramp(max(1, round(FADE_SECONDS * rate)))
        self._held = EMPTY_PCM
        self._marks: list[Mark] = []
        self._began = False
        self._dropped = 0
        self._given = 0

    def push(self, block: Block) -> Block | None:
        """What is certain to be kept now, if anything is."""
        pcm = np.concatenate([self._held, block.pcm])
        self._marks += block.marks
        loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > QUIET)
        if not self._began:
            first = max(0, (int(loud[0]) if len(loud) else len(pcm)) - self._before)
            self._dropped += first
            pcm, loud = pcm[first:], loud - first
            self._began = len(loud) > 0
        end = min(int(loud[-1]) + 1, len(pcm) - len(self._ramp)) if len(loud) else 0
        self._held = pcm[max(0, end) :]
        return self._give(pcm[: max(0, end)]) if self._began else None

    def end(self) -> Block | None:
        """What is left to keep."""
        if not self._began:
            self._held = EMPTY_PCM
        loud = np.flatnonzero(np.abs(self._held.astype(np.int32)) > QUIET)
        tail = self._held[: (int(loud[-1]) + 1 if len(loud) else 0) + self._after]
        ramp = self._ramp[: len(tail)][::-1]
        tail = np.concatenate([tail[: len(tail) - len(ramp)], apply_gain(tail[-len(ramp) :], ramp)])
        block = self._give(tail)
        if block is None or not block.marks:
            return block
        at_most = tuple(replace(mark, frame=min(mark.frame, self._given)) for mark in block.marks)
        return Block(block.pcm, at_most)

    def _give(self, pcm: Pcm) -> Block | None:
        if self._given < len(self._ramp):
            ramp = self._ramp[self._given : self._given + len(pcm)]
            pcm = np.concatenate([apply_gain(pcm[: len(ramp)], ramp), pcm[len(ramp) :]])
        self._given += len(pcm)
        marks = tuple(
            replace(mark, frame=max(0, mark.frame - self._dropped)) for mark in self._marks
        )
        self._marks = []
        return Block(pcm, marks) if len(pcm) or marks else None
