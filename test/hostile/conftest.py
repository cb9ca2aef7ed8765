"""Fixtures of the tests with hostile input."""

from support.fixtures import observer, ros_domain

__all__ = ["observer", "ros_domain"]
