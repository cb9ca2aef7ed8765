"""The two nodes and a client. Nothing outside `ros` and `bench` imports rclpy or a message type."""

from __future__ import annotations

from collections.abc import Sequence


def own_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command line that are not for ROS (`--ros-args ...`)."""
    from rclpy.utilities import remove_ros_args

    return [str(argument) for argument in remove_ros_args(["", *arguments])[1:]]
