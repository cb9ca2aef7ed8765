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

"""The rules of the source tree, read from the import statements of every module.

Imports in functions and under `TYPE_CHECKING` count as well.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from support.imports import HEAVY

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "k2so_tts"
TESTS = ROOT / "test"

FLOORS = (
    ("cli",),
    ("bench", "client"),
    ("ros",),
    ("synthesis", "playback", "effects"),
    ("engines",),
    ("text", "metrics", "processes", "resampler", "limiter"),
    ("audio", "settings", "remedies"),
)
"""From top to bottom: a module may import from lower floors only, and from its own room."""
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ROS_ROOMS = ("ros", "bench", "client")
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in MODULES}


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """The modules that a file imports; of names in one of our modules, that module."""
    return frozenset(_imports(ast.parse(path.read_text(encoding="utf-8"))))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "a relative import"
            assert node.level == 0, "a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in NAMES else node.module


def room_of(module: str) -> str:
    """The directory or module right below the package; empty for the package itself."""
    return ".".join(module.split(".")[1:2])


def top_level(modules: frozenset[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def per_module(*paths: Path) -> pytest.MarkDecorator:
    """Parametrize a test with files."""
    names = [str(path.relative_to(ROOT)) for path in paths]
    return pytest.mark.parametrize("path", paths, ids=names)


def test_every_room_has_a_floor() -> None:
    assert {room_of(name) for name in NAMES} - {""} <= FLOOR_OF.keys()


@per_module(*MODULES)
def test_imports_point_downwards(path: Path) -> None:
    room = room_of(module_name(path))
    used = {room_of(name) for name in imports(path) & NAMES} - {room, ""}
    floor = FLOOR_OF.get(room, len(FLOORS))
    assert not {other for other in used if FLOOR_OF[other] <= floor}


def test_no_module_imports_itself_through_others() -> None:
    graph = {module_name(path): imports(path) & NAMES for path in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@per_module(*MODULES)
def test_only_nodes_clients_and_benchmarks_know_ros(path: Path) -> None:
    if room_of(module_name(path)) not in ROS_ROOMS:
        used = top_level(imports(path))
        assert not {name for name in used if name == "rclpy" or name.endswith("_msgs")}


@per_module(*MODULES)
def test_only_the_devices_know_sounddevice(path: Path) -> None:
    if path != PACKAGE / "playback" / "devices.py":
        assert "sounddevice" not in top_level(imports(path))


@per_module(*(PACKAGE / "engines").rglob("*.py"))
def test_no_engine_knows_another(path: Path) -> None:
    """And what they share knows none of them: engines are found by their entry points."""
    own = path.relative_to(PACKAGE / "engines").parts[0]
    engines = {module.parent.name for module in (PACKAGE / "engines").glob("*/engine.py")}
    used = {name.split(".")[2] for name in imports(path) & NAMES if ".engines." in name}
    assert not (used & engines) - {own}


def test_importing_the_package_loads_no_heavy_library() -> None:
    """Nor ROS. Left out are nodes and clients, and what is imported where it is used: the modules
    of single commands, engines and texts.
    """
    rooms = {"", *FLOOR_OF} - {*ROS_ROOMS, "cli", "engines", "text"}
    names = ["k2so_tts.cli.main", *sorted(name for name in NAMES if room_of(name) in rooms)]
    unwanted = {"rclpy", *HEAVY}
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(sorted({unwanted!r} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[]\n", done.stderr


# The tests themselves


@per_module(*sorted(TESTS.rglob("test_*.py")))
def test_no_test_file_imports_another(path: Path) -> None:
    """What several need is in `test/support`."""
    found = {name for name in imports(path) if name.rpartition(".")[2].startswith("test_")}
    assert not found
    assert "conftest" not in {name.rpartition(".")[2] for name in imports(path)}


@per_module(*sorted((TESTS / "unit").rglob("*.py")))
def test_unit_tests_need_no_ros(path: Path) -> None:
    assert not {name for name in reached(path) if name == "rclpy" or name.endswith("_msgs")}


def reached(path: Path) -> set[str]:
    """The top-level modules that a test file imports, by itself or through `test/support`."""
    found = imports(path)
    return top_level(found).union(
        *(
            reached(TESTS / "support" / f"{name.split('.')[1]}.py")
            for name in found
            if name.startswith("support.")
        )
    )
