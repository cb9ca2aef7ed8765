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

"""How loud speech is (ITU-R BS.1770-4, mono), so that voices can be made equally loud."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from k2so_tts.audio import Pcm, to_samples

__all__ = ["integrated_loudness"]

_BLOCK_SECONDS, _STEP_SECONDS = 0.4, 0.1
_ABSOLUTE_GATE, _RELATIVE_GATE = -70.0, -10.0
_OFFSET = -0.691


def integrated_loudness(pcm: Pcm, rate: int) -> float | None:
    """The gated loudness of samples of `rate` Hz, in LUFS; None if they are silence, or shorter
    than 0.4 s.
    """
    block, step = round(_BLOCK_SECONDS * rate), round(_STEP_SECONDS * rate)
    if len(pcm) < block:
        return None
    weighted = _k_weighted(to_samples(pcm)[:, 0].astype(np.float64), rate)
    sums = np.concatenate([[0.0], np.cumsum(weighted**2)])
    starts = np.arange(0, len(pcm) - block + 1, step)
    powers = (sums[starts + block] - sums[starts]) / block
    powers = powers[_loudness(powers) > _ABSOLUTE_GATE]
    if not len(powers):
        return None
    powers = powers[_loudness(powers) > _loudness(powers.mean()) + _RELATIVE_GATE]
    return float(_loudness(powers.mean()))


def _loudness(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(_OFFSET + 10.0 * np.log10(np.maximum(power, 1e-20)))


def _k_weighted(samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Samples through the standard's two filters, a high shelf and a high pass, whose coefficients
    for any rate are those of De Man, "Evaluation of implementations of the EBU R128 loudness
    measurement" (AES 2018).
    """
    size = 2 * len(samples)
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    shelf_k, shelf_q, gain = np.tan(np.pi * 1681.9744509555319 / rate), 0.7071752369554193, 3.99984
    high, middle = 10.0 ** (gain / 20.0), 10.0 ** (gain / 20.0 * 0.499666774155)
    pass_k, pass_q = np.tan(np.pi * 38.13547087613982 / rate), 0.5003270373253953
    shelf = _biquad(
        z,
        (
            high + middle * shelf_k / shelf_q + shelf_k**2,
            2.0 * (shelf_k**2 - high),
            high - middle * shelf_k / shelf_q + shelf_k**2,
        ),
        shelf_k,
        shelf_q,
    )
    high_pass = _biquad(z, (1.0, -2.0, 1.0), pass_k, pass_q)
    high_pass *= 1.0 + pass_k / pass_q + pass_k**2  # the standard's numerator is 1, -2, 1
    filtered = np.fft.irfft(np.fft.rfft(samples, size) * shelf * high_pass, size)
    return np.asarray(filtered[: len(samples)])


def _biquad(
    z: NDArray[np.complex128], numerator: tuple[float, float, float], k: float, q: float
) -> NDArray[np.complex128]:
    """The response of a filter of second order, with the poles that k and q give."""
    above = numerator[0] + numerator[1] * z + numerator[2] * z**2
    below = (1.0 + k / q + k**2) + 2.0 * (k**2 - 1.0) * z + (1.0 - k / q + k**2) * z**2
    return np.asarray(above / below)
