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

"""Start `speak_server` and `audio_player`.

ros2 launch k2so_tts k2so_tts.launch.py engine:=espeak voice:=en-gb device:=auto namespace:=robot1
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    "engine": "the engine that speaks, or auto; empty: as in the parameter file",
    "voice": "a voice (joe), language tag or Piper file; empty: as in the parameter file",
    "device": "auto, null, wav:FILE, an index or a part of a name; empty: as in the parameter file",
    "namespace": "the namespace of both nodes, and of their enclaves where ROS's security is on",
    "params_file": "a parameter file",
}


def start_nodes(context: LaunchContext) -> list[Node]:
    """Both nodes; arguments that are given override the parameter file."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}

    def node(executable: str, *overriding: str) -> Node:
        overrides = {name: given[name] for name in overriding if given[name]}
        enclave = f"{given['namespace']}/{executable}"
        return Node(
            package="k2so_tts",
            executable=executable,
            name=executable,
            namespace=given["namespace"],
            parameters=[given["params_file"], overrides],
            ros_arguments=["--enclave", f"/{enclave.strip('/')}"],
            output="screen",
        )

    return [node("speak_server", "engine", "voice"), node("audio_player", "device")]


def generate_launch_description() -> LaunchDescription:
    """The description that `ros2 launch` runs."""
    share = Path(get_package_share_directory("k2so_tts"))
    defaults = {"params_file": str(share / "config" / "k2so_tts.yaml")}
    arguments = [
        DeclareLaunchArgument(name, default_value=defaults.get(name, ""), description=description)
        for name, description in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_nodes)])
