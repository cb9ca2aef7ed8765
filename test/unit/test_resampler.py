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

"""What is said where soxr is missing. How it converts is seen in test_converter and test_trim."""

from __future__ import annotations

import sys

import pytest

from k2so_tts.playback import Player, PlayerSettings, play
from k2so_tts.resampler import Resampler, ResamplerMissing

REMEDY = "the Python package soxr is missing; install it with 'pip install soxr'"


class Deaf:
    """A listener that nothing is expected of."""

    def on_playhead(self, *_: float) -> None:
        """Not used."""

    def on_speaking(self, speaking: bool) -> None:
        """Not used."""

    def on_utterance(self, heard: object) -> None:
        """Not used."""

    def on_level(self, level: float) -> None:
        """Not used."""


@pytest.fixture
def no_soxr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)


@pytest.mark.usefixtures("no_soxr")
def test_without_soxr_the_error_names_the_package_and_the_command() -> None:
    with pytest.raises(ResamplerMissing) as error:
        Resampler(22_050, 48_000)
    assert str(error.value) == REMEDY


@pytest.mark.usefixtures("no_soxr")
def test_without_soxr_a_player_says_so_before_it_starts() -> None:
    with pytest.raises(ResamplerMissing, match="pip install soxr"):
        Player(PlayerSettings(device="null"), Deaf()).start()
    with pytest.raises(ResamplerMissing, match="pip install soxr"):
        play([], 48_000, PlayerSettings(device="null"))
