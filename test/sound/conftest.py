"""Fixtures of the tests that record a loudspeaker."""

from support.fixtures import (
    observer,
    quick_robot,
    quick_sound_server,
    robot,
    ros_domain,
    sound_env,
    sound_server,
)

__all__ = [
    "observer",
    "quick_robot",
    "quick_sound_server",
    "robot",
    "ros_domain",
    "sound_env",
    "sound_server",
]
