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

"""How much two recordings of the same length differ to the ear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WINDOW, _HOP = 1024, 256
_FLOOR = 1e-3


def log_spectral_distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The log-spectral distance in dB: root mean square over frequencies, mean over frames.

    Both have shape (frames,). Levels of less than -60 dB of the loudest count as that.
    After Gray and Markel, "Distance measures for speech processing", 1976.
    """
    levels = [_levels(samples) for samples in (one, other)]
    floor = levels[0].max() * _FLOOR
    one_db, other_db = (20 * np.log10(np.maximum(level, floor)) for level in levels)
    return float(np.sqrt(((one_db - other_db) ** 2).mean(axis=1)).mean())


def _levels(samples: NDArray[Any]) -> NDArray[Any]:
    """The spectrum of each frame, shape (frames, frequencies)."""
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(float), _WINDOW)[::_HOP]
    return np.abs(np.fft.rfft(windows * np.hanning(_WINDOW)))
