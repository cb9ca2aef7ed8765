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

"""Parameters: what is allowed, and the file that documents them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from k2so_tts.engines import UnknownVoice, engine_options
from k2so_tts.ros import player_parameters, server_parameters
from k2so_tts.ros.voice_selection import VoiceSelector
from k2so_tts.settings import Setting, SettingError

NODES = {
    "speak_server": (
        *server_parameters.PARAMETERS,
        *engine_options("coqui").values(),
        *engine_options("piper").values(),
    ),
    "audio_player": player_parameters.PARAMETERS,
}
ALL = [
    pytest.param(parameter, id=f"{node}.{parameter.name}")
    for node, parameters in NODES.items()
    for parameter in parameters
]
FILE = Path(__file__).parents[2] / "config" / "k2so_tts.yaml"


@pytest.mark.parametrize("parameter", ALL)
def test_every_parameter_is_described_and_its_default_allowed(parameter: Setting) -> None:
    assert parameter.check(parameter.default) == parameter.default
    assert parameter.description.endswith(".")
    assert (parameter.low is None) == (parameter.high is None)
    if isinstance(parameter.default, float | int) and not isinstance(parameter.default, bool):
        assert parameter.low is not None, "a number without a range"


def flat(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as ROS names them: those within others have a dot in their name."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": value[inner] for inner in value}
        else:
            found[name] = value
    return found


@pytest.mark.parametrize("node", NODES)
def test_the_file_holds_every_parameter_with_its_default(node: str) -> None:
    documented = flat(yaml.safe_load(FILE.read_text())[f"/**/{node}"]["ros__parameters"])
    assert documented == {parameter.name: parameter.default for parameter in NODES[node]}
    assert [type(value) for value in documented.values()] == [
        type({parameter.name: parameter.default for parameter in NODES[node]}[name])
        for name in documented
    ]


@pytest.mark.parametrize("node", NODES)
def test_the_file_says_which_parameters_are_live_and_in_what_range(node: str) -> None:
    text = FILE.read_text().partition(f"{node}:")[2]
    for parameter in NODES[node]:
        engine, _, name = parameter.name.rpartition(".")
        lines = text.partition(f" {engine}:\n" if engine else "\n")[2].splitlines()
        line = next(line for line in lines if line.strip().startswith(f"{name}:"))
        comment = line.partition("#")[2]
        assert ("(live)" in comment) == parameter.live
        for choice in parameter.choices:
            assert choice in comment
        if parameter.low is not None:
            assert f" {parameter.low} " in comment
            assert f" to {parameter.high}" in comment


SERVER = {
    **{parameter.name: parameter.default for parameter in server_parameters.PARAMETERS},
    "engine": "espeak",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": "nope"}, "parameter 'engine' is 'nope'; allowed: .*espeak"),
        ({"voice": "nope"}, "parameter 'voice' names 'nope'"),
        ({"voice_aliases": "a=nope"}, "parameter 'voice_aliases' names 'nope'"),
        ({"voice_aliases": "a"}, "parameter 'voice_aliases' holds 'a'; allowed: 'alias=voice"),
        ({"voice_aliases": "=de"}, "parameter 'voice_aliases' holds '=de'"),
    ],
)
def test_an_unknown_engine_or_voice_is_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        VoiceSelector({**SERVER, **changes})


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("", "en-us+f3"),
        ("en", "en-us+f3"),
        ("en-us", "en-us+f3"),
        ("EN_us", "en-us+f3"),
        ("en-gb", "en-gb"),
        ("de", "de"),
        ("robot", "en-us+m3"),
        ("guide", "de"),
        ("de-DE", "de"),
        ("zh-CN", "cmn"),
        ("en-IN", "en-gb"),
        ("en-CA", "en-us+f3"),
    ],
)
def test_a_goal_is_spoken_in_its_language(language: str, voice: str) -> None:
    aliases = "robot=en-us+m3, guide=de"
    voices = VoiceSelector({**SERVER, "voice": "en-us+f3", "voice_aliases": aliases})
    try:
        assert voices.voice_for(language) == voice
        with pytest.raises(UnknownVoice):
            voices.voice_for("xx-nope")
    finally:
        voices.close()


@pytest.mark.parametrize(
    ("language", "voice"),
    [("", "de+f3"), ("en", "de+f3"), ("de-CH", "de+f3"), ("en-US", "en-us"), ("EN", "en-gb")],
)
def test_the_default_language_of_a_goal_does_not_ask_for_english(language: str, voice: str) -> None:
    voices = VoiceSelector({**SERVER, "voice": "de+f3"})
    try:
        assert voices.voice_for(language) == voice
        voices.configure({**SERVER, "voice": "de+f3", "voice_aliases": "en=en-us"})
        assert voices.voice_for("en") == "en-us"
    finally:
        voices.close()


def test_a_goal_is_spoken_with_the_configured_prosody() -> None:
    voices = VoiceSelector({**SERVER, "rate": 0.5, "pitch": 1.5, "volume": 0.5})
    try:
        options = voices.options("de", 1.5, 0.5)
        assert (options.voice, options.volume) == ("de", 0.25)
        assert (options.prosody.rate, options.prosody.pitch) == (0.75, 1.5)
        voices.configure({**SERVER, "rate": 0.5, "volume": 2.0})
        assert voices.options("", 1.0, 0.75).volume == 1.5
        assert voices.options("", 0.25, 1.0).prosody.rate == server_parameters.RATE[0]
    finally:
        voices.close()
