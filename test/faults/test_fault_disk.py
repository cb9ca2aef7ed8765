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

"""A disk that is full: under the phrases that are kept, and under what is recorded."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fallible import Control
from support.ros import SUCCEEDED, Observer, running
from support.sound import no_server_env

from k2so_tts.synthesis.phrase_cache import PhraseCache

DISK_BYTES = 128 << 10
TEXT = "This is what the disk has no room for, and it is spoken all the same."
DEMO = Path(__file__).parents[2] / "tools" / "demo.py"
TIMEOUT = 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    where = tmp_path / "disk"
    where.mkdir()
    size = f"size={DISK_BYTES}"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(where)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, timeout=TIMEOUT).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True, timeout=TIMEOUT)


def fill(disk: Path) -> Path:
    """Take all the room there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    return filler


def test_speech_goes_on_where_phrases_can_not_be_kept(
    observer: Observer, disk: Path, tmp_path: Path
) -> None:
    control = Control(tmp_path)
    env = {
        "PYTHONPATH": os.pathsep.join([*control.paths, os.environ["PYTHONPATH"]]),
        "XDG_CACHE_HOME": str(disk),
    }
    phrases = disk / "k2so_tts" / PhraseCache().path.name
    server: dict[str, Any] = {"engine": "fallible", "fallible.folder": control.folder}
    with running("audio_player", device="null"), running("speak_server", env, **server):
        observer.wait_for_nodes()
        observer.wait(lambda: observer.status("/speak_server").get("engine_state") == "ready")
        for text in (TEXT, "Shorter."):
            filler = fill(disk)
            goal = observer.say(text)
            assert (goal.status, goal.text) == (SUCCEEDED, text)
            observer.wait(lambda: str(phrases) in observer.status("/speak_server")["message"])
            assert "full" in observer.status("/speak_server")["message"]
            assert observer.status("/speak_server")["spoken_by"] == "fallible"
            filler.unlink()
        assert observer.say("Short.").status == SUCCEEDED
        observer.wait(lambda: str(phrases) not in observer.status("/speak_server")["message"])
    with closing(sqlite3.connect(phrases)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert file.execute("SELECT count(*) FROM phrases").fetchone() == (1,)


def test_no_half_file_is_left_where_a_text_has_no_room(disk: Path) -> None:
    path = disk / "out.wav"
    said = subprocess.run(
        ["k2so-tts", "say", TEXT, "--wav", str(path)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert said.returncode == 1
    assert said.stderr == f"k2so-tts: [Errno 28] No space left on device: '{path}'\n"
    assert list(disk.iterdir()) == []


def test_a_device_that_writes_a_file_says_that_it_is_full(observer: Observer, disk: Path) -> None:
    """The goal ends by the clock, and what was heard before stays as it is."""
    path = disk / "heard.wav"
    with running("audio_player", device=f"wav:{path}"), running("speak_server"):
        observer.wait_for_nodes()
        goal = observer.say(TEXT)
        assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
        observer.wait(lambda: observer.status("/audio_player")["level"] == "2")
        message = observer.status("/audio_player")["message"]
        assert f"no sound: device 'wav:{path}': No space left on device" in message
        kept = path.read_bytes()
        assert observer.say("Nothing more is kept.").status == SUCCEEDED
    assert path.read_bytes() == kept
    check_beginning(path)


def test_the_demo_says_that_its_file_is_not_whole(disk: Path, tmp_path: Path) -> None:
    env = {**os.environ, **no_server_env(tmp_path), "TEXT": TEXT}
    demo = subprocess.run(
        [sys.executable, str(DEMO)],
        env=env,
        cwd=disk,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert demo.returncode == 1
    assert "device 'wav:demo.wav': No space left on device" in demo.stderr
    assert "What was heard is in" not in demo.stdout
    assert "demo.wav is incomplete" in demo.stdout
    check_beginning(disk / "demo.wav")


def check_beginning(path: Path) -> None:
    """A file that holds what it says it does: the first seconds, up to the size of the disk."""
    with wave.open(str(path)) as file:
        frames = file.getnframes()
        pcm = np.frombuffer(file.readframes(frames), np.int16)
    assert len(pcm) == frames
    assert DISK_BYTES / 2 < 2 * frames < DISK_BYTES
    assert np.abs(pcm.astype(int)).max() > 3000
