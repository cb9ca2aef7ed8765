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

"""Fixtures of the tests that record a loudspeaker."""

from support.espeak import espeak
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
    "espeak",
    "observer",
    "quick_robot",
    "quick_sound_server",
    "robot",
    "ros_domain",
    "sound_env",
    "sound_server",
]
