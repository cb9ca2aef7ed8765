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

"""Who may speak: the policy for SROS 2 next to what the nodes do, and nodes that must be secure.

That it is enforced is tried in `test_fault_strangers.py`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest
from support.policy import NODES, policy_file
from support.ros import TIMEOUT, Observer, running

from k2so_tts.ros.client import SpeechClient

RULES = {
    "topics": ("topic", ("publish", "subscribe")),
    "services": ("service", ("request", "reply")),
    "actions": ("action", ("call", "execute")),
}
"""The lists in a profile: what they list, and what it is allowed to do."""
CALLS = ("send_goal", "get_result", "cancel_goal")
TELLS = ("feedback", "status")


class Right(NamedTuple):
    """What a node may do with a name."""

    verb: str
    name: str


def policy() -> ET.Element:
    return ET.parse(policy_file()).getroot()  # noqa: S314 - our own


def only(element: ET.Element, *tags: str) -> list[ET.Element]:
    """The children of an element, which are of these kinds."""
    assert {child.tag for child in element} <= set(tags)
    assert len(element)
    return list(element)


def profile_of(node: str) -> ET.Element:
    """The one profile in the enclave of a node, in the form that sros2's schema asks for."""
    root = policy()
    assert (root.tag, root.attrib) == ("policy", {"version": "0.2.0"})
    (enclaves,) = only(root, "enclaves")
    paths = {enclave.get("path"): enclave for enclave in only(enclaves, "enclave")}
    assert set(paths) == {f"/{name}" for name in NODES}
    (profiles,) = only(paths[f"/{node}"], "profiles")
    (profile,) = only(profiles, "profile")
    assert profile.attrib == {"ns": "/", "node": node}
    return profile


def rights_of(node: str) -> set[Right]:
    """What the policy grants a node, name by name, as sros2 resolves and expands it."""
    rights = set()
    for rules in only(profile_of(node), *RULES):
        tag, verbs = RULES[rules.tag]
        ((verb, qualifier),) = rules.attrib.items()
        assert verb in verbs
        assert qualifier == "ALLOW"
        for entry in only(rules, tag):
            assert not entry.attrib
            rights |= set(expanded(verb, resolved(entry.text or "", node)))
    return rights


def resolved(name: str, node: str) -> str:
    if name.startswith("~/"):
        return f"/{node}/{name[2:]}"
    return name if name.startswith("/") else f"/{name}"


def expanded(verb: str, name: str) -> Iterator[Right]:
    """A right as it is, or those that an action consists of."""
    if verb not in RULES["actions"][1]:
        yield Right(verb, name)
        return
    of_calls, of_tells = ("request", "subscribe") if verb == "call" else ("reply", "publish")
    yield from (Right(of_calls, f"{name}/_action/{call}") for call in CALLS)
    yield from (Right(of_tells, f"{name}/_action/{tell}") for tell in TELLS)


def used_by(node: str, observer: Observer) -> set[Right]:
    """What a running node publishes, subscribes to, offers and calls."""
    graph = observer.node
    seen = {
        "publish": graph.get_publisher_names_and_types_by_node(node, "/"),
        "subscribe": graph.get_subscriber_names_and_types_by_node(node, "/"),
        "reply": graph.get_service_names_and_types_by_node(node, "/"),
        "request": graph.get_client_names_and_types_by_node(node, "/"),
    }
    return {Right(verb, name) for verb, names in seen.items() for name, _ in names}


@pytest.fixture(scope="module")
def observer() -> Iterator[Observer]:
    """Who watches a robot, and a client, that have spoken."""
    with (
        running("audio_player", device="null"),
        running("speak_server"),
        closing(SpeechClient()) as client,
        closing(Observer()) as watching,
    ):
        watching.wait_for_nodes()
        assert client.say("One.", timeout=TIMEOUT).status == "succeeded"
        yield watching


@pytest.mark.parametrize("node", NODES)
def test_the_policy_grants_what_a_node_does_and_nothing_else(node: str, observer: Observer) -> None:
    granted = rights_of(node)
    observer.wait(lambda: node in observer.node.get_node_names())
    observer.wait(lambda: used_by(node, observer) >= granted)
    assert used_by(node, observer) == granted


@pytest.mark.parametrize(
    "command", ["speak_server", "audio_player", "k2so-tts send Hello.", "k2so-tts bench"]
)
@pytest.mark.parametrize("keystore", ["none", "without the enclave", "with an empty enclave"])
def test_what_must_be_secure_does_not_start_otherwise(
    command: str, keystore: str, tmp_path: Path
) -> None:
    env = {**os.environ, "ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}
    if keystore != "none":
        env["ROS_SECURITY_KEYSTORE"] = str(tmp_path)
    if keystore == "with an empty enclave":
        (tmp_path / "enclaves").mkdir()
    refused = subprocess.run(
        command.split(), env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert refused.returncode == 1
    assert "ROS_SECURITY_KEYSTORE" in refused.stderr.strip().splitlines()[-1]
    assert "Traceback" not in refused.stderr
