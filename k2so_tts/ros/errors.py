"""Errors of ROS at startup, in words."""

from __future__ import annotations

import os

from rclpy.exceptions import NameValidationException
from rclpy.impl.implementation_singleton import rclpy_implementation

STARTUP_ERRORS = (rclpy_implementation.RCLError, NameValidationException)
"""What rclpy raises when it can't initialise or can't create a node."""


def describe_startup_error(error: Exception) -> str:
    """What `error` (one of `STARTUP_ERRORS`) says, on one line, with the likely remedy."""
    description = " ".join(str(error).split())
    if os.environ.get("ROS_SECURITY_ENABLE") == "true":
        description += (
            "; ROS_SECURITY_ENABLE is true: this needs a keystore (ROS_SECURITY_KEYSTORE) with the "
            "enclave of this node (--enclave or ROS_SECURITY_ENCLAVE_OVERRIDE), and an RMW that "
            "was built with security"
        )
    return description
