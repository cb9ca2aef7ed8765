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

"""A worker process that keeps a library's licence, crashes and hangs out of this process.

It is started with the number of its control socket as the last argument (see `worker_protocol`).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from k2so_tts.engines import EngineError, EngineUnavailable
from k2so_tts.engines.toolkit.worker_protocol import LENGTH, MOST_BYTES, RECORD

__all__ = ["WorkerClient", "python_environment", "worker_command"]

_READ_BYTES = 1 << 16
_PACKAGE_ROOT = str(Path(__file__).parents[3])
_RUN_MODULE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from importlib import import_module; "
    "import_module(sys.argv[2]).main(*sys.argv[3:])"
)


def worker_command(module: str, *arguments: str) -> list[str]:
    """The command that calls `main` of a module of this package with string arguments.

    It runs in a Python that has the standard library and this package alone, and starts in
    milliseconds.
    """
    return [sys.executable, "-I", "-S", "-c", _RUN_MODULE, _PACKAGE_ROOT, module, *arguments]


def python_environment() -> dict[str, str]:
    """An environment in which another Python finds the modules that this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class WorkerClient:
    """Starts a worker process, again when it has died, and kills it when it stalls.

    `name` is what messages call the library, `remedy` says how to get it. The worker has
    `start_seconds` to get ready, and never to be silent for `stall_seconds` in an answer.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        remedy: str,
        *,
        start_seconds: float,
        stall_seconds: float,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        self._command = command
        self._remedy = remedy
        self._start_seconds = start_seconds
        self._stall_seconds = stall_seconds
        self._env = env
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The process id, if one was started."""
        return self._process.pid if self._process else None

    def start(self) -> bytes:
        """Start the process. Returns the body of its first record. Raises `EngineUnavailable`."""
        with self._lock:
            return self._start()

    def close(self) -> None:
        """Kill the process and its children. A request under way fails."""
        with self._lock:
            self._stop()

    def ask(self, request: Mapping[str, object]) -> Iterator[tuple[bytes, bytes]]:
        """The records, kind and body, that answer a request, up to `.`, the last.

        After those that arrived together there is one of the kind `-`. Closing the iterator closes
        the connection, which ends the work. Raises `EngineError`.
        """
        body = json.dumps(request).encode()
        try:
            with self._connect() as connection:
                connection.sendall(LENGTH.pack(len(body)) + body)
                for kind, record in _Records(connection):
                    if kind == b"X":
                        raise EngineError(record.decode(errors="replace"))
                    yield kind, record
                    if kind == b".":
                        return
        except TimeoutError as error:
            self.close()
            raise EngineError(
                f"{self._name} stalled: nothing came for {self._stall_seconds:g} s"
            ) from error
        except OSError as error:
            self.close()
            raise EngineError(f"{self._name}'s process died ({error})") from error
        self.close()
        raise EngineError(f"{self._name}'s process died in the middle of a text")

    def _start(self) -> bytes:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=self._env,
            )
        self._control = ours
        ours.settimeout(self._start_seconds)
        try:
            kind, body = next(_Records(ours), (b"X", b"its process ended at the start"))
        except OSError as error:
            kind, body = b"X", str(error).encode()
        if kind != b"R":
            self._stop()
            said = body.decode(errors="replace")
            raise EngineUnavailable(f"{self._name} can't be used: {said}; {self._remedy}")
        return body

    def _stop(self) -> None:
        if self._process is not None:  # killed before its socket is closed, at which it would end
            if self._process.poll() is None:  # else its process id may be another's by now
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._control is not None:
            self._control.close()
            self._control = None

    def _connect(self) -> socket.socket:
        """A connection to the process, which is started again if it has died."""
        ours, theirs = socket.socketpair()
        ours.settimeout(self._stall_seconds)
        with theirs, self._lock:
            try:
                self._hand_over(theirs)
            except OSError:  # it has died since
                self._stop()
                self._hand_over(theirs)
        return ours

    def _hand_over(self, connection: socket.socket) -> None:
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._start()
        assert self._control is not None
        socket.send_fds(self._control, [b"c"], [connection.fileno()])


class _Records:
    """Iterates over the records of a connection; `-` marks the end of what one read brought."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = bytearray()
        self._fresh = False

    def __iter__(self) -> _Records:
        return self

    def __next__(self) -> tuple[bytes, bytes]:
        while True:
            if len(self._data) >= RECORD.size:
                kind, size = RECORD.unpack_from(self._data)
                if size > MOST_BYTES:
                    raise OSError(f"a record of {size} bytes; allowed: {MOST_BYTES}")
                if len(self._data) >= RECORD.size + size:
                    body = bytes(self._data[RECORD.size : RECORD.size + size])
                    del self._data[: RECORD.size + size]
                    self._fresh = True
                    return kind, body
            if self._fresh:
                self._fresh = False
                return b"-", b""
            part = self._connection.recv(_READ_BYTES)
            if not part:
                raise StopIteration
            self._data += part
