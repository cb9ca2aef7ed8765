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

"""The loudness of speech, against what the standard itself says."""

from __future__ import annotations

import numpy as np
import pytest

from k2so_tts.audio import Pcm
from k2so_tts.engines.toolkit.loudness import integrated_loudness


def tone(hertz: float, level: float, rate: int, seconds: float = 3.0) -> Pcm:
    """A sine of a peak of `level` (dB of full scale)."""
    time = np.arange(round(seconds * rate)) / rate
    sine = np.sin(2 * np.pi * hertz * time) * 32767 * 10 ** (level / 20)
    return np.asarray(np.rint(sine), np.int16)


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
@pytest.mark.parametrize("level", [0.0, -20.0])
def test_a_tone_of_997_hz_is_3_lu_below_its_peak(rate: int, level: float) -> None:
    """The standard's calibration: -3.01 LUFS for full scale."""
    assert integrated_loudness(tone(997, level, rate), rate) == pytest.approx(level - 3.01, abs=0.1)


def test_low_tones_count_less_and_high_ones_more() -> None:
    middle, low, high = (
        integrated_loudness(tone(hertz, -20, 22050), 22050) for hertz in (997, 40, 4000)
    )
    assert low is not None
    assert middle is not None
    assert high is not None
    assert low < middle - 4
    assert high == pytest.approx(middle + 3.3, abs=0.5)


def test_pauses_do_not_count() -> None:
    speech = tone(997, -20, 22050)
    with_pauses = np.concatenate([speech, np.zeros(5 * 22050, np.int16), speech])
    assert integrated_loudness(with_pauses, 22050) == pytest.approx(-23.0, abs=0.4)


@pytest.mark.parametrize("pcm", [np.zeros(22050, np.int16), tone(997, -20, 22050, 0.3)])
def test_silence_and_a_moment_have_none(pcm: Pcm) -> None:
    assert integrated_loudness(pcm, 22050) is None
