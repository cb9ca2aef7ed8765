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

"""Parameters set at random, on both nodes: refused with a reason that names them, or taken."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
from support.ros import SUCCEEDED, Observer, running

from k2so_tts.engines import engine_options
from k2so_tts.ros import player_parameters, server_parameters
from k2so_tts.settings import Setting, SettingError

SEED = int(os.environ.get("HOSTILE_SEED", "0"))
ROUNDS = 8
AT_ONCE = 60
PIPER = tuple(engine_options("piper").values())
NODES = {
    "audio_player": player_parameters.PARAMETERS,
    "speak_server": (*server_parameters.PARAMETERS, *PIPER),
}
ALL = [*player_parameters.PARAMETERS, *server_parameters.PARAMETERS, *PIPER]
ALL += engine_options("coqui").values()
STRINGS = [
    "",
    "null",
    "nope",
    "-1",
    "99999999999999999999",
    "~nobody/voice.onnx",
    "~",
    "/proc/self/mem",
    "x" * 5000,
    "/" + "y/" * 3000,
    "a=de",
    "a=,=b",
    "$(reboot)",
    "\u202e\U0001f600\n\x1b[2J",
    "wav:/nonexistent/there.wav",
    "wav:/proc/self/mem/no",
    "tts_models/../../etc/passwd",
]
VALUES: list[Any] = [
    *STRINGS,
    *(True, False, 0, 1, -1, 2**63 - 1, -(2**63), 65_536, 0.0, 0.5, 1.0, -1.0, 1e308, 5e-324),
    *(float("nan"), float("inf"), float("-inf"), [1, 2], [0.5], ["a", "b"], [True], [b"\xff"], []),
]


@settings(max_examples=2000)
@given(
    st.sampled_from(ALL),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(VALUES),
)
def test_any_value_is_allowed_or_refused_by_name(setting: Setting, value: Any) -> None:
    said = None
    try:
        assert type(setting.check(value)) is type(setting.default)
    except SettingError as error:
        said = str(error)
    assert said is None or said.startswith(f"parameter '{setting.name}' is ")
    assert len(said or "") < 1000


@given(st.sampled_from(ALL), st.text(max_size=20) | st.just("9" * 400) | st.sampled_from(STRINGS))
def test_any_text_on_the_command_line_is_allowed_or_refused(setting: Setting, text: str) -> None:
    said = None
    try:
        assert type(setting.parse(text)) is type(setting.default)
    except SettingError as error:
        said = str(error)
    assert said is None or f"'{setting.name}'" in said


@pytest.mark.parametrize("node", NODES)
def test_a_node_outlives_any_parameter(observer: Observer, node: str, tmp_path: Path) -> None:
    """A refusal changes nothing; set back to what it was, the node speaks as before."""
    os.mkfifo(pipe := tmp_path / "pipe")
    values = [*VALUES, f"wav:{pipe}", str(tmp_path / "x")]
    rng = random.Random(f"{node} {SEED}")
    names = [setting.name for setting in NODES[node]]
    own = {setting.name: setting for setting in NODES[node]}
    with (
        running("audio_player", device="null") as one,
        running("speak_server", engine="piper") as other,  # it can't be used: espeak speaks
    ):
        observer.wait_for_nodes()
        before = current(observer, node, names)
        for number in range(ROUNDS):
            chosen = [
                (rng.choice([*names, f"unknown{number}", "device.x"]), rng.choice(values))
                for _ in range(AT_ONCE)
            ]
            known = current(observer, node, names)
            changes = [Parameter(name, value=value).to_parameter_msg() for name, value in chosen]
            results = observer.call(SetParameters, f"{node}/set_parameters", parameters=changes)
            for (name, value), result in zip(chosen, results.results, strict=True):
                note = f"seed {SEED}: {name} = {value!r}: {result.reason}"
                if result.successful:
                    assert name in own, note
                    known[name] = value
                else:
                    assert name in result.reason or name not in own, note  # those rclpy refuses
                    assert len(result.reason) < 1000, note
            found = current(observer, node, names)
            assert found == known
        back = [Parameter(name, value=value).to_parameter_msg() for name, value in before.items()]
        results = observer.call(SetParameters, f"{node}/set_parameters", parameters=back)
        assert all(result.successful for result in results.results)
        goal = observer.say("All is well.")
        assert (goal.status, goal.text) == (SUCCEEDED, "All is well.")
        assert one.poll() is None
        assert other.poll() is None


def current(observer: Observer, node: str, names: list[str]) -> dict[str, Any]:
    values = observer.call(GetParameters, f"{node}/get_parameters", names=names).values
    messages = (ParameterMessage(name=n, value=v) for n, v in zip(names, values, strict=True))
    return {message.name: Parameter.from_parameter_msg(message).value for message in messages}


@pytest.mark.parametrize("node", NODES)
def test_a_node_outlives_a_request_that_rclpy_fails_at(observer: Observer, node: str) -> None:
    """It raises for an unknown parameter type; the log says so, and the node goes on."""
    with running("audio_player", device="null"), running("speak_server"):
        observer.wait_for_nodes()
        change = Parameter("volume", value=0.5).to_parameter_msg()
        change.value.type = 77
        assert change.value.type not in range(ParameterType.PARAMETER_STRING_ARRAY + 1)
        client: Any = observer.node.create_client(SetParameters, f"{node}/set_parameters")
        assert client.wait_for_service(10)
        client.call_async(SetParameters.Request(parameters=[change]))
        observer.wait(lambda: any("a callback failed" in line.msg for line in observer.log))
        goal = observer.say("All is well.")
        assert (goal.status, goal.text) == (SUCCEEDED, "All is well.")
