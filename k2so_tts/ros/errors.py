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

"""Why a text could not be spoken, and errors of ROS at startup, in words."""

from __future__ import annotations

import os

from rclpy.exceptions import NameValidationException
from rclpy.impl.implementation_singleton import rclpy_implementation


class SpeechError(Exception):
    """A text was not spoken, or nobody knows how it ended; says why."""


class ServerUnavailable(SpeechError):
    """No speak_server was found in time, or the one that spoke has gone."""


class SpeechRefused(SpeechError):
    """speak_server did not accept the text; its log says why."""


class ResultLost(SpeechError):
    """speak_server no longer knows how the text ended."""


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
