"""What every test may ask for."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.ros import Observer, clean_shared_memory, own_domain, running
from support.sound import SoundServer

from k2so_tts.synthesis.phrase_cache import PhraseCache

collect_ignore = [] if importlib.util.find_spec("TTS") else ["neural"]
"""Only `make test-neural` has the neural engines at hand."""

STEADY_CYCLE = 4096
"""Frames in a cycle of the sound card whose recordings are judged frame by frame.

A virtual machine may stand still for tens of milliseconds; with short cycles any player, one in C
too, then misses some (docs/player.md)."""
STEADY: dict[str, Any] = {
    "device_latency": 0.3,
    "block_frames": STEADY_CYCLE,
    "warn_latency_ms": 1000.0,
}
"""Parameters of a player for that card."""


@pytest.fixture(scope="session")
def sound_server() -> Iterator[SoundServer]:
    """The session's virtual sound card; PortAudio in this process uses it too.

    A test that kills it must restart it.
    """
    with SoundServer(quantum=STEADY_CYCLE) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        refresh_portaudio()
        yield server


@pytest.fixture(scope="session", autouse=True)
def ros_domain() -> Iterator[None]:
    """A domain of this session's own, on this machine only."""
    with own_domain() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield
    clean_shared_memory()


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the person who runs the tests is read or changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def phrases() -> Iterator[PhraseCache]:
    """What is kept of what a test, and what it starts, has said; nothing at first."""
    kept = PhraseCache()
    yield kept
    kept.clear()


@pytest.fixture
def observer() -> Iterator[Observer]:
    """A ROS participant that sends goals and remembers what it sees."""
    with closing(Observer()) as found:
        yield found


@pytest.fixture
def robot(observer: Observer, sound_env: dict[str, str]) -> Iterator[Observer]:
    """Both nodes, playing on the virtual loudspeaker, and who watches them."""
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


@pytest.fixture
def sound_env(sound_server: SoundServer) -> dict[str, str]:
    """The environment for a child process that is to be heard by ``sound_server``."""
    return {**os.environ, **sound_server.env}


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Any]], Path]:
    """Where something lies that is made once in a session, by a function that fills a directory."""
    made: dict[Callable[[Path], Any], Path] = {}

    def where(maker: Callable[[Path], Any]) -> Path:
        if maker not in made:
            made[maker] = tmp_path_factory.mktemp("made")
            maker(made[maker])
        return made[maker]

    return where


def refresh_portaudio() -> None:
    """Make PortAudio list its devices anew, if this process has loaded it; no stream may be open.

    Not loaded yet, it lists those of the environment it finds when it is.
    """
    sounddevice = sys.modules.get("sounddevice")
    if sounddevice is not None:
        sounddevice._terminate()
        sounddevice._initialize()
