"""Fixtures of the tests of nodes and programs."""

from support.fixtures import observer, ros_domain, shared_robot, sound_env, sound_server

__all__ = ["observer", "ros_domain", "shared_robot", "sound_env", "sound_server"]
