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

"""Fixtures of the tests of neural engines; these are collected where the engines are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.fixtures import observer, ros_domain

__all__ = ["observer", "ros_domain"]

collect_ignore_glob = [] if importlib.util.find_spec("TTS") else ["test_*.py"]
"""`make test-neural` has the neural engines; other environments need not."""


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Any]], Path]:
    """A function that returns a directory, filled once per session by the function it is given."""
    made: dict[Callable[[Path], Any], Path] = {}

    def where(maker: Callable[[Path], Any]) -> Path:
        if maker not in made:
            made[maker] = tmp_path_factory.mktemp("made")
            maker(made[maker])
        return made[maker]

    return where
