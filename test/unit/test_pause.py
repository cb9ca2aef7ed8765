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

"""The sound of a pause."""

from __future__ import annotations

import numpy as np

from k2so_tts.synthesis.trim import QUIET, pause_of


def test_a_pause_is_soft_noise_and_no_digital_silence() -> None:
    pcm = pause_of(22_050)
    assert len(pcm) == 22_050
    assert np.abs(pcm.astype(int)).max() < QUIET / 4
    assert 3.0 < pcm.std() < 8.0
    assert abs(pcm.mean()) < 0.2


def test_it_sounds_the_same_each_time() -> None:
    assert (pause_of(1000) == pause_of(1000)).all()
    assert len(pause_of(0)) == 0
