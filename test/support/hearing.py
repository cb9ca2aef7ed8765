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

"""What should be heard of a text, and whether a recording holds it."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import soxr
from numpy.typing import NDArray

from k2so_tts.audio import EMPTY_PCM, Pcm, to_samples
from k2so_tts.engines import Prosody
from k2so_tts.engines.espeak.engine import EspeakEngine
from support.compare import align

SENTENCE = "I am K-2SO, here to help, and I will not stop before the end of this sentence."


def whole(text: str, voice: str = "en-us") -> Pcm:
    """What the engine gives when it is run whole."""
    with closing(EspeakEngine()) as engine:
        engine.load()
        blocks = [block.pcm for block in engine.synthesise(text, voice, Prosody())]
    return np.concatenate([EMPTY_PCM, *blocks])


def words_in(text: str, frames: int, voice: str = "en-us") -> list[str]:
    """The words of `text` that lie within the first `frames` frames of its speech."""
    end, before = 0, 0
    with closing(EspeakEngine()) as engine:
        engine.load()
        for block in engine.synthesise(text, voice, Prosody()):
            ends = [mark.text_end for mark in block.marks if mark.frame <= frames]
            end = max([end, *ends])
            before += len(block.pcm)
    return text[: len(text) if frames >= before else end].split()


def as_heard(pcm: Pcm, rate: int) -> NDArray[np.float32]:
    """What a loudspeaker at `rate` Hz is to play."""
    resampled: NDArray[np.float32] = soxr.resample(to_samples(pcm)[:, 0], 22050, rate)
    return resampled


def check_heard(heard: NDArray[np.float32], expected: NDArray[np.float32], lost: int = 0) -> None:
    """All of it, to the frame: no gap, no repeat, no click.

    Of a long recording the recorder itself may have `lost` frames, whole cycles of them: then
    these are missing and nothing else is.
    """
    match = align(heard, expected)
    assert (match.missing_frames, match.extra_frames) == (lost, 0), match
    assert lost or match.snr_db > 50, match
