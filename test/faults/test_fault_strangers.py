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

"""Strangers on the network of a robot that only speaks with those it knows (SROS 2).

It takes sros2, and an RMW that is built with security; that of the wheels is not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from audio_common_msgs.msg import AudioStamped
from support.policy import NODES, policy_file
from support.ros import SUCCEEDED, TIMEOUT, Observer, publish_hum, running

from k2so_tts.audio import NANOSECONDS
from k2so_tts.ros.messages import speech_qos

ANYBODY = "/anybody"
"""An enclave that may do everything, as each may that was given no permissions."""
STRANGE = 9_000 * NANOSECONDS
"""What a stranger says is stamped from then on."""


def secure(keystore: Path, enclave: str) -> dict[str, str]:
    """What a process of an enclave has in its environment."""
    return {
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_KEYSTORE": str(keystore),
        "ROS_SECURITY_ENCLAVE_OVERRIDE": enclave,
    }


def run(keystore: Path, enclave: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a process in an enclave to its end."""
    return subprocess.run(
        command,
        env={**os.environ, **secure(keystore, enclave)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture(scope="module")
def keystores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two, each of an authority of its own, with all enclaves and the rights of the policy."""
    sros2: Any = pytest.importorskip("sros2.keystore")
    made = (tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs"))
    for keystore in made:
        sros2.create_keystore(keystore)
        sros2.create_enclave(keystore, ANYBODY)
        for node in NODES:
            sros2.create_enclave(keystore, f"/{node}")
            sros2.create_permission(keystore, f"/{node}", policy_file())
    code = "import rclpy; rclpy.init(); rclpy.create_node('anybody')"
    tried = run(made[0], ANYBODY, sys.executable, "-c", code)
    if "doesn't have the security libraries" in tried.stderr:
        pytest.skip("the RMW is built without security")
    assert tried.returncode == 0, tried.stderr
    return made


@contextmanager
def joined(environment: dict[str, str]) -> Iterator[Observer]:
    """Who takes part in this environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        observer = Observer()
    with closing(observer):
        yield observer


@contextmanager
def secure_robot(keystore: Path) -> Iterator[Observer]:
    """Nodes in their enclaves, and who may watch them."""
    with (
        running("audio_player", secure(keystore, "/audio_player"), device="null"),
        running("speak_server", secure(keystore, "/speak_server")),
        joined(secure(keystore, ANYBODY)) as watching,
    ):
        watching.wait_for_nodes()
        yield watching


def spoken(observer: Observer) -> list[AudioStamped]:
    return [message for _, message in observer.audio if message.header.frame_id != "stranger"]


@pytest.mark.parametrize("kind", ["none", "without security", "of another authority"])
def test_a_stranger_is_not_heard_and_hears_nothing(kind: str, keystores: tuple[Path, Path]) -> None:
    """But one that is none, which is held to the opposite, so that this can fail."""
    ours, theirs = keystores
    known = kind == "none"
    environment = secure(ours if known else theirs, ANYBODY)
    environment["ROS_SECURITY_ENABLE"] = str(kind != "without security").lower()
    with secure_robot(ours) as robot, joined(environment) as stranger:
        publisher = stranger.node.create_publisher(AudioStamped, "audio", speech_qos())
        if known:
            stranger.wait(lambda: publisher.get_subscription_count() == 3)
            stranger.wait(stranger.client.server_is_ready)
        for begin in (STRANGE, STRANGE + NANOSECONDS, STRANGE + 2 * NANOSECONDS):
            publish_hum(publisher, begin, "stranger")
            goal = robot.say("This is none of your business.")
            assert (goal.status, goal.text) == (SUCCEEDED, "This is none of your business.")
        heads = [head for _, head, _ in robot.playheads]
        assert any(STRANGE <= head < 2 * STRANGE for head in heads) == known
        assert bool(spoken(stranger)) == known
        assert bool(stranger.playheads) == known
        assert bool(stranger.diagnostics) == known
        assert stranger.client.server_is_ready() == known
        assert spoken(robot)


def test_a_client_in_its_enclave_is_heard(keystores: tuple[Path, Path]) -> None:
    ours, _ = keystores
    with secure_robot(ours) as robot:
        sent = run(ours, "/speech_client", "k2so-tts", "send", "Hello.")
        assert sent.returncode == 0, sent.stderr
        assert spoken(robot)


@pytest.mark.parametrize("node", ["audio_player", "speech_client"])
def test_no_enclave_but_that_of_the_server_may_speak(
    node: str, keystores: tuple[Path, Path]
) -> None:
    code = (
        "import rclpy; from audio_common_msgs.msg import AudioStamped; rclpy.init();"
        f"node = rclpy.create_node({node!r}, enable_rosout=False, start_parameter_services=False);"
        "print('joined'); node.create_publisher(AudioStamped, 'audio', 1)"
    )
    tried = run(keystores[0], f"/{node}", sys.executable, "-c", code)
    assert "joined" in tried.stdout, tried.stderr
    assert tried.returncode != 0
    assert "create publisher" in tried.stderr
