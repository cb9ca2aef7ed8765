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

"""How engines are found, and voices in them."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import k2so_tts
from k2so_tts.engines import (
    EngineUnavailable,
    Voice,
    create_engine,
    engine_names,
    engine_options,
    match_voice,
    streams,
    toolkit,
)
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.settings import SettingError

VOICES = [
    Voice("amy", "en-gb"),
    Voice("joe", "en-us"),
    Voice("de", "de"),
    Voice("kerstin", "de-at"),
    Voice("En-Odd", "xx"),
]


def test_espeak_is_installed_as_an_engine() -> None:
    assert "espeak" in engine_names()
    assert isinstance(create_engine("espeak"), EspeakEngine)


def test_an_engine_that_is_not_installed_is_unavailable() -> None:
    with pytest.raises(EngineUnavailable, match=r"no engine 'nope'; installed: .*espeak"):
        create_engine("nope")


@pytest.mark.parametrize(
    ("name", "voice"),
    [
        ("joe", "joe"),
        ("de", "de"),
        ("de-at", "kerstin"),
        ("de_AT", "kerstin"),
        ("en", "amy"),
        ("EN-US", "joe"),
        ("En-Odd", "En-Odd"),
        ("e", None),
        ("fr", None),
        ("", None),
    ],
)
def test_a_voice_is_found_by_its_name_or_language(name: str, voice: str | None) -> None:
    assert match_voice(VOICES, name) == voice


def test_importing_the_package_imports_no_neural_library() -> None:
    """Nor do naming the engines, and making one."""
    code = (
        "import sys, k2so_tts.cli.main, k2so_tts.engines as engines\n"
        "for name in engines.engine_names():\n"
        "    engines.create_engine(name)\n"
        "print({'torch', 'TTS', 'onnxruntime', 'onnx', 'piper'} & set(sys.modules))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert printed == "set()\n"


PARROT = """
from k2so_tts.settings import Setting

class Plain:
    pass

class Parrot:
    options = (
        Setting("pitch", 1.0, "How high.", 0.5, 2.0),
        Setting("words", 3, "How many.", 1, 9),
        Setting("repeat", False, "Again and again."),
        Setting("mood", "calm", "How it feels.", choices=("calm", "cross")),
    )
    streams = True

    def __init__(self, **values):
        self.values = values
"""
ENTRY_POINTS = """[k2so_tts.engines]
parrot = somebodys_parrot:Parrot
plain = somebodys_parrot:Plain
broken = somebodys_missing:Engine
"""
DEFAULTS = {"pitch": 1.0, "words": 3, "repeat": False, "mood": "calm"}


@pytest.fixture
def parrot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of somebody's is installed, with an engine that has options and one without."""
    (tmp_path / "somebodys_parrot.py").write_text(PARROT)
    metadata = tmp_path / "parrot-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()


@pytest.mark.usefixtures("parrot")
@pytest.mark.parametrize("given", [{}, {"pitch": 2, "mood": "cross"}, {"repeat": True}])
def test_an_engine_is_called_with_every_option(given: dict[str, Any]) -> None:
    engine: Any = create_engine("parrot", given)
    assert engine.values == {**DEFAULTS, **given}
    assert isinstance(engine.values["pitch"], float)
    assert streams(engine)


@pytest.mark.usefixtures("parrot")
def test_an_engine_without_options_is_called_without_arguments() -> None:
    assert not streams(create_engine("plain"))
    assert engine_options("plain") == {}


@pytest.mark.usefixtures("parrot")
@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("piper", {"voice": "/no:/where"}, "'piper.voice' is '/no:/where'; allowed: what exists"),
        ("coqui", {"model": "/nowhere"}, "'/nowhere'; allowed: what exists: .* name tts_models/"),
        ("coqui", {"speaker_wav": "/nowhere"}, "'coqui.speaker_wav' is '/nowhere'; allowed"),
        ("parrot", {"pitch": 3.0}, "parameter 'parrot.pitch' is 3.0; allowed: .* from 0.5 to 2"),
        ("parrot", {"mood": "odd"}, "parameter 'parrot.mood' is 'odd'; allowed: calm | cross"),
        ("parrot", {"colour": 1}, "engine 'parrot' has no option 'colour'; allowed: pitch | words"),
        ("plain", {"pitch": 1.0}, "engine 'plain' has no option 'pitch'; allowed: none"),
    ],
)
def test_an_invalid_option_is_named(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        create_engine(name, given)


@pytest.mark.usefixtures("parrot")
def test_an_engine_whose_package_is_broken_is_unavailable() -> None:
    with pytest.raises(EngineUnavailable, match=r"engine 'broken' can't be imported: .*missing"):
        create_engine("broken")


@pytest.mark.usefixtures("parrot")
@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("pitch", "1.5", 1.5),
        ("pitch", "2", 2.0),
        ("words", "4", 4),
        ("repeat", "True", True),
        ("mood", "cross", "cross"),
    ],
)
def test_options_are_typed_on_the_command_line(option: str, text: str, value: object) -> None:
    parsed = engine_options("parrot")[option].parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.usefixtures("parrot")
@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("pitch", "high"),
        ("pitch", "9"),
        ("pitch", "nan"),
        ("words", "1.5"),
        ("repeat", "1"),
        ("mood", ""),
    ],
)
def test_what_is_typed_is_checked(option: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"'parrot.{option}' is '?{text}'?; allowed"):
        engine_options("parrot")[option].parse(text)


def run_python(*options: str, program: str) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


STANDARD_LIBRARY_ONLY = (
    "k2so_tts.engines",
    "k2so_tts.engines.espeak.worker",
    "k2so_tts.engines.toolkit.time_stretch",
    "k2so_tts.engines.toolkit.worker_client",
    "k2so_tts.engines.toolkit.worker_protocol",
)


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ONLY)
def test_workers_need_the_standard_library_alone(module: str) -> None:
    root = str(Path(k2so_tts.__file__).parents[1])
    program = f"import sys; sys.path.insert(0, {root!r}); import {module}; print('fine')"
    assert run_python("-I", "-S", program=program) == "fine\n"


def test_the_toolkit_declares_what_is_public() -> None:
    for info in pkgutil.iter_modules(toolkit.__path__):
        if info.name == "onnx_session" and importlib.util.find_spec("onnxruntime") is None:
            continue
        module = importlib.import_module(f"{toolkit.__name__}.{info.name}")
        defined = {
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        }
        assert defined <= set(module.__all__), info.name
        assert all(hasattr(module, name) for name in module.__all__), info.name
        assert f"`{info.name}`" in str(toolkit.__doc__)


def test_a_missing_splitter_of_sentences_is_one_clear_line() -> None:
    program = (
        "import sys; sys.modules['sentencex'] = None\n"
        "from k2so_tts.engines import EngineUnavailable\n"
        "from k2so_tts.synthesis.engine_supervisor import EngineSpec, load\n"
        "class Silent:\n"
        "    load = lambda self: None\n"
        "try:\n"
        "    load(EngineSpec('silent'), Silent())\n"
        "except EngineUnavailable as error:\n"
        "    print(error)\n"
    )
    output = run_python(program=program)
    assert "package sentencex is missing; install it with 'pip install sentencex'" in output
    assert len(output.splitlines()) == 1
