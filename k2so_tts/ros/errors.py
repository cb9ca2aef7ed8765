"""Why ROS does not let a node start, in words."""

from __future__ import annotations

import os

from rclpy.exceptions import NameValidationException
from rclpy.impl.implementation_singleton import rclpy_implementation

REFUSALS = (rclpy_implementation.RCLError, NameValidationException)
"""What rclpy raises when ROS refuses."""


def reason(refusal: Exception) -> str:
    """Why ROS refuses, on one line, and what may be done about it."""
    told = " ".join(str(refusal).split())
    if os.environ.get("ROS_SECURITY_ENABLE") == "true":
        told += (
            "; ROS_SECURITY_ENABLE is true: that takes a keystore (ROS_SECURITY_KEYSTORE) with the "
            "enclave of this node (--enclave or ROS_SECURITY_ENCLAVE_OVERRIDE), and an RMW that "
            "was built with security"
        )
    return told
