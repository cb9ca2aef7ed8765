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

"""Fades in mid-sound, made of mirrored neighbouring frames so that no real frame is attenuated."""

from __future__ import annotations

import numpy as np

from k2so_tts.audio import Samples, fade_ramp

FADE_SECONDS = 0.005
"""Duration of a fade to silence or back in the middle of a sound (s)."""


def fade_out(before: Samples, frames: int) -> Samples:
    """Return `frames` frames that continue `before`, shape (frames, channels), and fade to silence.

    They are the mirror image of its end under a raised cosine, so that there is no step.
    """
    return _mirrored(before[::-1], frames) * fade_ramp(frames)[::-1, np.newaxis]


def fade_in(after: Samples, frames: int) -> Samples:
    """Return `frames` frames that rise from silence to the beginning of `after`."""
    return _mirrored(after, frames)[::-1] * fade_ramp(frames)[:, np.newaxis]


def _mirrored(samples: Samples, frames: int) -> Samples:
    """The first `frames` frames; if there are fewer they are repeated back and forth."""
    missing = max(0, frames - len(samples))
    return np.pad(samples[:frames], ((0, missing), (0, 0)), "symmetric")
