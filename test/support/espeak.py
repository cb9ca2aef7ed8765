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

"""espeak-ng, loaded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from k2so_tts.engines.espeak.engine import EspeakEngine


@pytest.fixture(scope="module")
def espeak() -> Iterator[EspeakEngine]:
    """The engine for the tests of a module, which only have it speak."""
    engine = EspeakEngine()
    engine.load()
    yield engine
    engine.close()
