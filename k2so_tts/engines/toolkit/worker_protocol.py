"""What an engine and its worker process say to each other over a Unix socket.

A request is a 4-byte length and JSON. A record is a 1-byte kind, a 4-byte length and a body: `R`
ready, `X` an error (UTF-8), `W` a word mark, `.` the end; the others are the engine's own. Numbers
are little-endian. Only the standard library is imported here: a worker may run without
site-packages.
"""

import json
import socket
import struct
from typing import Any

RECORD = struct.Struct("<cI")
MARK = struct.Struct("<II")
"""A word mark: the first so many characters are spoken once so many frames were heard."""
LENGTH = struct.Struct("<I")
MOST_BYTES = 1 << 28
"""In a request or a record: more than 10 million characters as JSON take."""
PR_SET_PDEATHSIG = 1
"""The option of prctl(2) that has a process die with its parent."""

_READ_BYTES = 1 << 16


def record(kind: bytes, body: bytes = b"") -> bytes:
    """One record, ready to be sent."""
    return RECORD.pack(kind, len(body)) + body


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), _READ_BYTES))
        if not part:
            raise EOFError("the request ended early")
        data += part
    return bytes(data)


def read_request(connection: socket.socket) -> dict[str, Any]:
    """The next request of a connection. Raises `EOFError` if it is cut off or too long."""
    (size,) = LENGTH.unpack(_read_exactly(connection, LENGTH.size))
    if size > MOST_BYTES:
        raise EOFError(f"the request is of {size} bytes; allowed: {MOST_BYTES}")
    request: dict[str, Any] = json.loads(_read_exactly(connection, size))
    return request
