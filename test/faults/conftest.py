"""Fixtures of the fault tests."""

from support.fixtures import observer, robot, ros_domain, sound_env, sound_server

__all__ = ["observer", "robot", "ros_domain", "sound_env", "sound_server"]
