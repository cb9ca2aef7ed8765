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

"""Fixtures that several tiers share; each tier's conftest names those it offers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest

from support.ros import Observer, clean_shared_memory, own_domain, running
from support.sound import STEADY, STEADY_CYCLE, SoundServer


@pytest.fixture(scope="session", autouse=True)
def ros_domain() -> Iterator[None]:
    """A ROS domain of this session's own, on this machine only."""
    with own_domain() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield
    clean_shared_memory()


@pytest.fixture
def observer() -> Iterator[Observer]:
    """A ROS participant that sends goals and records what it sees."""
    with closing(Observer()) as found:
        yield found


@pytest.fixture
def quiet_robot(observer: Observer) -> Iterator[Observer]:
    """Both nodes, playing to nobody in real time, and who watches them."""
    with running("audio_player", device="null"), running("speak_server") as server:
        observer.server = psutil.Process(server.pid)
        observer.wait_for_nodes()
        yield observer


@pytest.fixture(scope="module")
def shared_robot() -> Iterator[Observer]:
    """Both nodes, on no sound device, and their observer: for tests that leave no trace in them.

    They live in a domain of their own, as other tests of the module may start nodes meanwhile.
    """
    with own_domain() as domain, closing(Observer(domain=domain)) as found:
        env = {"ROS_DOMAIN_ID": str(domain)}
        with running("audio_player", env, device="null"), running("speak_server", env):
            found.wait_for_nodes()
            yield found


@pytest.fixture(scope="session")
def sound_server() -> Iterator[SoundServer]:
    """The session's virtual sound card; PortAudio in this process uses it too.

    A test that kills it must restart it.
    """
    with SoundServer(quantum=STEADY_CYCLE) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        _refresh_portaudio()
        yield server


@pytest.fixture
def sound_env(sound_server: SoundServer) -> dict[str, str]:
    """The environment for a child process that is to be heard by ``sound_server``."""
    return {**os.environ, **sound_server.env}


@pytest.fixture
def robot(observer: Observer, sound_env: dict[str, str]) -> Iterator[Observer]:
    """Both nodes, playing on the virtual loudspeaker, and their observer."""
    with (
        running("audio_player", sound_env, **STEADY),
        running("speak_server"),
    ):
        observer.wait_for_nodes()
        yield observer


@pytest.fixture
def quick_sound_server() -> Iterator[SoundServer]:
    """A virtual sound card with short cycles, for what has to be timed."""
    with SoundServer() as server:
        yield server


@pytest.fixture
def quick_robot(observer: Observer, quick_sound_server: SoundServer) -> Iterator[Observer]:
    """Both nodes as they are by default on a sound card with short cycles."""
    env = {**os.environ, **quick_sound_server.env}
    with running("audio_player", env), running("speak_server"):
        observer.wait_for_nodes()
        yield observer


def _refresh_portaudio() -> None:
    """Make PortAudio list its devices anew, if this process has loaded it; no stream may be open.

    If it is not loaded yet, it will list those of the environment it finds then.
    """
    sounddevice = sys.modules.get("sounddevice")
    if sounddevice is not None:
        sounddevice._terminate()
        sounddevice._initialize()
