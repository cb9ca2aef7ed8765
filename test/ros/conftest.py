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

"""Fixtures of the tests of nodes and programs."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from support.espeak import espeak
from support.fixtures import (
    observer,
    quiet_robot,
    ros_domain,
    shared_robot,
    sound_env,
    sound_server,
)
from support.ros import Observer, running

__all__ = [
    "espeak",
    "observer",
    "quiet_robot",
    "ros_domain",
    "shared_robot",
    "sound_env",
    "sound_server",
]


@pytest.fixture(scope="module")
def robot() -> Iterator[Observer]:
    """Both nodes, on no sound device, in the domain of the programs that a test starts."""
    with (
        closing(Observer()) as observer,
        running("audio_player", device="null"),
        running("speak_server"),
    ):
        observer.wait_for_nodes()
        yield observer
