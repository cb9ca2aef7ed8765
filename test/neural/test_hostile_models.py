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

"""Files of models that are damaged or evil: the engine can't be used, and nothing is executed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.neural_models import make_piper, make_vits

from k2so_tts.engines import EngineUnavailable, create_engine

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda whole: whole[: len(whole) // 2],
    "noise": lambda _: b"\x80\x04" + bytes(range(256)) * 40,
    "null": lambda _: b"null",
}


class Evil:
    """A pickle that makes a directory when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def refused(engine: str, **options: object) -> None:
    made = create_engine(engine, options)
    try:
        with pytest.raises(EngineUnavailable):
            made.load()
    finally:
        made.close()


@pytest.fixture
def vits(make: Callable[[Callable[[Path], Any]], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(make(make_vits), tmp_path / "vits"))


@pytest.fixture
def piper(make: Callable[[Callable[[Path], Any]], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(make(make_piper), tmp_path / "piper"))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["model.pth", "config.json"])
def test_a_damaged_model_of_coqui(vits: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    file = vits / name
    file.write_bytes(damage(file.read_bytes()))
    refused("coqui", model=str(vits))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["voice.onnx", "voice.onnx.json"])
def test_a_damaged_voice_of_piper(piper: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    file = piper / name
    file.write_bytes(damage(file.read_bytes()))
    refused("piper", voice=str(piper / "voice.onnx"))


def test_a_pickle_in_a_model_is_not_executed(vits: Path, tmp_path: Path) -> None:
    evil = tmp_path / "done"
    torch.save({"model": Evil(evil)}, vits / "model.pth")
    refused("coqui", model=str(vits))
    assert not evil.exists()
    torch.load(vits / "model.pth", weights_only=False)
    assert evil.exists(), "it would have been seen"
