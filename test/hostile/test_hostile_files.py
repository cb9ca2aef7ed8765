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

"""Files of the cache that are damaged or evil, and garbage between a node and its engine."""

from __future__ import annotations

import os
import pickle
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from k2so_tts.engines import NORMAL, EngineError, EngineUnavailable, create_engine
from k2so_tts.engines.espeak import worker
from k2so_tts.engines.espeak.engine import LIBRARY
from k2so_tts.engines.toolkit.disk_cache import cached_arrays
from k2so_tts.engines.toolkit.worker_client import WorkerClient, worker_command
from k2so_tts.engines.toolkit.worker_protocol import LENGTH, MOST_BYTES, RECORD

SEED = int(os.environ.get("HOSTILE_SEED", "0"))
DAMAGES = 500


class Evil:
    """A pickle that makes a directory when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the cache that holds what was made first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made(1)
    return tmp_path / "k2so_tts" / "b.npz"


def made(number: int) -> int:
    """What the cache gives where `number` would be computed."""

    def compute() -> dict[str, NDArray[Any]]:
        return {"number": np.full(50, number), "other": np.zeros((2, 3), np.float32)}

    arrays = cached_arrays("b.npz", ["number", "other"], compute)
    assert arrays["number"].shape == (50,)
    return int(arrays["number"][0])


def test_a_file_that_is_damaged_anywhere_is_made_again(file: Path) -> None:
    whole = file.read_bytes()
    rng = random.Random(SEED)
    for case in range(DAMAGES):
        damaged = bytearray(whole)
        if case % 4 == 0:
            del damaged[rng.randrange(len(damaged)) :]
        for _ in range(rng.randrange(1, 4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        file.write_bytes(damaged)
        assert made(2) in (1, 2), f"seed {SEED}, case {case}"
        assert made(3) in (1, 2), "and it was kept"


def test_nothing_in_a_file_is_executed(file: Path, tmp_path: Path) -> None:
    evil = np.array([Evil(tmp_path / "done")], dtype=object)
    np.savez(file, number=evil, other=evil)
    assert made(2) == 2
    file.write_bytes(pickle.dumps(Evil(tmp_path / "done")))
    assert made(3) == 3
    assert not (tmp_path / "done").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path / "done")))  # noqa: S301 - it would have been seen
    assert (tmp_path / "done").exists()


def test_a_file_that_is_not_ours_is_made_again(file: Path) -> None:
    np.savez(file, foreign=np.zeros(3))
    assert made(2) == 2
    with file.open("wb") as other:
        np.save(other, np.zeros(3))
    assert made(3) == 3
    assert made(4) == 3


def test_where_a_directory_is_in_the_place_nothing_is_kept(file: Path) -> None:
    file.unlink()
    file.mkdir()
    assert (made(2), made(3)) == (2, 3)
    assert [path.name for path in file.parent.iterdir()] == ["b.npz"]


def process(answer: bytes, *, ready: bytes = RECORD.pack(b"R", 5) + b"22050") -> WorkerClient:
    """A library's process that has gone mad: answers the first request with `answer`."""
    script = (
        "import socket, sys\n"
        "control = socket.socket(fileno=int(sys.argv[1]))\n"
        f"control.sendall({ready!r})\n"
        "_, descriptors, _, _ = socket.recv_fds(control, 1, 1)\n"
        "connection = socket.socket(fileno=descriptors[0])\n"
        f"connection.sendall({answer!r})\n"
        "connection.recv(1 << 20)\n"
        "connection.sendall(bytes(1 << 20))\n"
    )
    command = [sys.executable, "-I", "-S", "-c", script]
    return WorkerClient("mad", command, "", start_seconds=10.0, stall_seconds=1.0)


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 2**32 - 1])
def test_a_record_of_gigabytes_is_an_error(size: int) -> None:
    mad = process(RECORD.pack(b"A", size))
    mad.start()
    try:
        with pytest.raises(EngineError, match=f"a record of {size} bytes; allowed: {MOST_BYTES}"):
            list(mad.ask({}))
    finally:
        mad.close()


def test_an_error_that_is_no_text_is_one_all_the_same() -> None:
    mad = process(RECORD.pack(b"X", 3) + b"\xff\xfeb")
    mad.start()
    with pytest.raises(EngineError, match=r"b$"):
        list(mad.ask({}))
    mad.close()
    with pytest.raises(EngineUnavailable):
        process(b"", ready=RECORD.pack(b"X", 1) + b"\xff").start()


@pytest.fixture
def control() -> Iterator[socket.socket]:
    """The real process of espeak-ng, as it is started, and who asks it."""
    ours, theirs = socket.socketpair()
    command = [*worker_command(worker.__name__, LIBRARY), str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as child, ours:
        theirs.close()
        ours.settimeout(10)
        assert ours.recv(64)[:1] == b"R"
        yield ours
        child.kill()


GARBAGE = {
    "nothing": b"",
    "cut off": LENGTH.pack(100) + b"{",
    "gigabytes": LENGTH.pack(2**32 - 1) + b"x" * 1000,
    "no JSON": LENGTH.pack(4) + b"\xff\x00{[",
    "deep": LENGTH.pack(40_000) + b"[" * 40_000,
    "a list": LENGTH.pack(2) + b"[]",
    "no voice": LENGTH.pack(2) + b"{}",
    "wrong types": LENGTH.pack(len(b := b'{"text": 5, "voice": [], "rate": "x"}')) + b,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_that_espeak_is_asked_ends_the_connection(
    control: socket.socket, garbage: bytes
) -> None:
    """Without an answer, or with an error."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with ours:
        with theirs:
            socket.send_fds(control, [b"c"], [theirs.fileno()])
        ours.sendall(garbage)
        ours.shutdown(socket.SHUT_WR)
        try:
            answer = ours.recv(1 << 16)
        except ConnectionResetError:
            answer = b""
        assert answer[:1] in (b"", b"X")


def test_after_garbage_the_next_text_is_spoken() -> None:
    engine: Any = create_engine("espeak")
    engine.load()
    try:
        garbage: Any
        for garbage in ([], {}, {"text": 5, "voice": [], "rate": "x", "pitch": None}):
            with pytest.raises(EngineError):
                list(engine._worker.ask(garbage))
        assert sum(len(block.pcm) for block in engine.synthesise("hello", "en-us", NORMAL)) > 0
    finally:
        engine.close()
