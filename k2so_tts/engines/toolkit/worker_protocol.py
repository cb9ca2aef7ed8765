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

"""How an engine and its worker process talk over Unix sockets.

The worker is started with a socket, its control socket. It answers there with one record when it is
ready, and is then sent a connection for each request. A request is a 4-byte length and JSON. A
record is a 1-byte kind, a 4-byte length and a body: `R` ready, `X` an error (UTF-8), `W` a word
mark, `.` the end; the others are the engine's own. Numbers are little-endian. Only the standard
library is imported here: a worker may run without site-packages.
"""

import contextlib
import json
import socket
import struct
from typing import Any

__all__ = [
    "LENGTH",
    "MARK",
    "MOST_BYTES",
    "PR_SET_PDEATHSIG",
    "RECORD",
    "next_connection",
    "read_request",
    "record",
    "report_error",
]

RECORD = struct.Struct("<cI")
MARK = struct.Struct("<II")
"""A word mark: the first so many characters are spoken once so many frames were heard."""
LENGTH = struct.Struct("<I")
MOST_BYTES = 1 << 28
"""Allowed in a request or a record: more than 10 million characters take as JSON."""
PR_SET_PDEATHSIG = 1
"""The option of prctl(2) that sets the signal a process gets when its parent dies."""

_READ_BYTES = 1 << 16


def record(kind: bytes, body: bytes = b"") -> bytes:
    """One record, ready to be sent."""
    return RECORD.pack(kind, len(body)) + body


def report_error(connection: socket.socket, error: Exception | str) -> None:
    """Answer with an error. A connection that is closed already is ignored."""
    with contextlib.suppress(OSError):
        connection.sendall(record(b"X", str(error).encode(errors="replace")))


def next_connection(control: socket.socket) -> socket.socket | None:
    """Wait for the next connection that the engine sends; None once it has closed `control`."""
    _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    return socket.socket(fileno=descriptors[0]) if descriptors else None


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), _READ_BYTES))
        if not part:
            raise EOFError("the request ended early")
        data += part
    return bytes(data)


def read_request(connection: socket.socket) -> dict[str, Any]:
    """The next request of a connection.

    Raises `EOFError` if it is cut off or too long, and `ValueError` if it is not JSON.
    """
    (size,) = LENGTH.unpack(_read_exactly(connection, LENGTH.size))
    if size > MOST_BYTES:
        raise EOFError(f"the request is of {size} bytes; allowed: {MOST_BYTES}")
    request: dict[str, Any] = json.loads(_read_exactly(connection, size))
    return request
