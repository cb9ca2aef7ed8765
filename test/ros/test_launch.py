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
