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

"""The libraries that k2so_tts uses, and the command that installs each one that is missing.

This module needs the standard library alone.
"""

from __future__ import annotations

from importlib import import_module

from k2so_tts.remedies import pip_install

PYTHON_PACKAGES = ("numpy", "soxr", "sounddevice", "rich", "sentencex", "regex", "matplotlib")
"""Those that `pip install` installs under the name they are imported by."""
ROS_PACKAGES = (
    "action_msgs",
    "ament_index_python",
    "builtin_interfaces",
    "diagnostic_msgs",
    "rcl_interfaces",
    "rclpy",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
)
"""Those that come with ROS 2."""

PORTAUDIO = "PortAudio is missing; install it with 'apt install libportaudio2'"
ESPEAK = "espeak-ng is missing; install it with 'apt install espeak-ng'"
_ROS = (
    "the ROS 2 package {} is missing; run 'source /opt/ros/DISTRO/setup.bash' first, or "
    "'. ./env.sh' where 'make' has installed ROS 2"
)


class LibraryMissingError(Exception):
    """A library is missing; the message names it and the command that installs it."""


def module_of(error: ImportError) -> str:
    """The top-level module that could not be imported; empty if the error does not say."""
    return (error.name or "").partition(".")[0]


def explain(error: ImportError) -> str:
    """One line that says what could not be imported, and how to install it where that is known."""
    module = module_of(error)
    if isinstance(error, ModuleNotFoundError) and module in PYTHON_PACKAGES:
        return f"the Python package {module} is missing; install it with '{pip_install(module)}'"
    if isinstance(error, ModuleNotFoundError) and module in ROS_PACKAGES:
        return _ROS.format(module)
    return " ".join(str(error).split())


def require_portaudio() -> None:
    """Check that sound devices can be used.

    Raises:
        LibraryMissingError: PortAudio is missing.
        ImportError: the Python package sounddevice is missing.
    """
    try:
        import_module("sounddevice")
    except OSError as error:
        raise LibraryMissingError(PORTAUDIO) from error
