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

"""Which modules the nodes have loaded by the time they have spoken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.imports import HEAVY
from support.ros import SUCCEEDED, Observer, running

WITNESS = """
import atexit, os, sys
from pathlib import Path
file = Path(os.environ["LOADED_MODULES"]) / str(os.getpid())
atexit.register(lambda: file.write_text("\\n".join(sys.modules)))
"""
"""Makes each Python process write down, at its end, what it has imported."""


@pytest.mark.parametrize("engine", ["espeak", "auto"])
def test_nodes_load_no_heavy_library(observer: Observer, tmp_path: Path, engine: str) -> None:
    """Piper, where `auto` selects it, is used in a process of its own."""
    (tmp_path / "sitecustomize.py").write_text(WITNESS)
    loaded = tmp_path / "loaded"
    loaded.mkdir()
    env = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]),
        "LOADED_MODULES": str(loaded),
    }
    with (
        running("audio_player", env, device="null") as player,
        running("speak_server", env, engine=engine) as server,
    ):
        observer.wait_for_nodes()
        assert observer.say("Hello.").status == SUCCEEDED
    for node in (player, server):
        modules = set((loaded / str(node.pid)).read_text().splitlines())
        assert "rclpy" in modules
        assert not modules & HEAVY
