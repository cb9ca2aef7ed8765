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
from contextlib import closing
from pathlib import Path

import pytest
from support.ros import SUCCEEDED, Observer

STOP_SECONDS = 10.0
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


def test_both_nodes_start_in_a_namespace_with_arguments() -> None:
    pytest.importorskip("launch_ros", reason="no launch_ros here; it comes with a ROS installation")
    share = Path(os.environ["AMENT_PREFIX_PATH"].split(":")[0]) / "share" / "k2so_tts"
    arguments = ["device:=null", "voice:=de", "namespace:=robot1"]
    command = [sys.executable, "-c", LAUNCH, str(share / "launch" / "k2so_tts.launch.py")]
    with (
        subprocess.Popen([*command, *arguments], start_new_session=True) as launched,
        closing(Observer("robot1")) as robot,
    ):
        try:
            robot.wait_for_nodes()
            assert robot.say("Guten Tag.").status == SUCCEEDED
            enclaves = {
                enclave
                for _, space, enclave in robot.node.get_node_names_and_namespaces_with_enclaves()
                if space == "/robot1"
            }
            assert enclaves >= {"/robot1/speak_server", "/robot1/audio_player"}
            assert robot.status("/robot1/audio_player").get("device", "null") == "null"
        finally:
            launched.send_signal(signal.SIGINT)
            assert launched.wait(STOP_SECONDS) == 0
