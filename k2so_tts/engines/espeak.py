"""espeak-ng: the voice that works everywhere, a millisecond after it is asked.

The library runs in a process of its own (see `espeak_process.py`), which is started by `load` and
again when it has died. Text reaches it through a socket, never through a shell or an argument.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from k2so_tts.audio import Block, Mark
from k2so_tts.engines import (
    EngineError,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    Voice,
    match_voice,
)
from k2so_tts.engines.espeak_process import LENGTH, MARK, RECORD

_logger = logging.getLogger(__name__)

LIBRARY = "libespeak-ng.so.1"
STALL_SECONDS = 5.0
_START_SECONDS = 10.0
_READ_BYTES = 1 << 16


class EspeakEngine:
    """Speaks with espeak-ng's 100-odd languages and their variants (`de`, `en-us+f3`)."""

    streams: ClassVar[bool] = True
    default_voice = "en-us"

    def __init__(self, library: str = LIBRARY, stall_seconds: float = STALL_SECONDS) -> None:
        self.sample_rate = 0
        self._library = library
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._voices: list[Voice] = []
        self._by_language: dict[str, str] = {}
        self._identifiers: dict[str, str] = {}
        self._variants: frozenset[str] = frozenset()

    def load(self) -> None:
        """Start the process and learn its sample rate and voices.

        Raises:
            EngineUnavailable: the library or its data is missing.
        """
        with self._lock:
            self._start()
        listed = next(
            body for kind, body in self._ask({"voice": self.default_voice}) if kind == b"R"
        )
        self._learn_voices(json.loads(listed))

    @property
    def pid(self) -> int | None:
        """The process that holds espeak-ng, if one is running."""
        return self._process.pid if self._process else None

    def voices(self) -> Sequence[Voice]:
        return self._voices

    def find_voice(self, name: str) -> str:
        base, plus, variant = name.partition("+")
        found = self._by_language.get(base.lower()) or match_voice(self._voices, base)
        if found is None:
            raise UnknownVoice(f"espeak-ng has no voice or language {base!r}")
        if plus and variant not in self._variants:
            raise UnknownVoice(f"espeak-ng has no voice variant {variant!r}")
        return found + plus + variant

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        name, plus, variant = voice.partition("+")
        request = {
            "text": text,
            "voice": self._identifiers.get(name, name) + plus + variant,
            "rate": prosody.rate,
            "pitch": prosody.pitch,
        }
        audio = bytearray()
        marks: list[Mark] = []
        for kind, body in self._ask(request):
            if kind == b"A":
                audio += body
            elif kind == b"W":
                marks.append(Mark(*MARK.unpack(body)))
            elif audio or marks:
                yield Block(np.frombuffer(bytes(audio), dtype="<i2"), tuple(marks))
                audio.clear()
                marks.clear()

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _learn_voices(self, listed: dict[str, Any]) -> None:
        best: dict[str, tuple[int, str]] = {}
        for tags, identifier in listed["voices"]:
            name = tags[0][1]
            self._identifiers.setdefault(name, identifier)
            for priority, tag in tags:
                best[tag] = min(best.get(tag, (priority, name)), (priority, name))
        self._voices = [Voice(name, name) for name in self._identifiers]
        self._by_language = {voice.name: voice.name for voice in self._voices}
        for tag, (_, name) in best.items():
            self._by_language.setdefault(tag, name)
        self._variants = frozenset(listed["variants"])

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            script = str(Path(__file__).with_name("espeak_process.py"))
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", script, str(theirs.fileno()), self._library],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._control = ours
        ours.settimeout(_START_SECONDS)
        try:
            records = _Records(ours)
            kind, body = next(records, (b"X", b"its process ended at the start"))
        except OSError as error:
            kind, body = b"X", str(error).encode()
        if kind != b"R":
            self._stop()
            raise EngineUnavailable(
                f"espeak-ng can't be used: {body.decode()}; install it with 'apt install espeak-ng'"
            )
        self.sample_rate = int(json.loads(body))

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _connect(self) -> socket.socket:
        """A connection to a fresh child; starts the process again if it has died."""
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

    def _ask(self, request: dict[str, object]) -> Iterator[tuple[bytes, bytes]]:
        """The records that answer `request`, with a `-` after those that arrived together.

        The last is `.`.
        """
        body = json.dumps(request).encode()
        try:
            with self._connect() as connection:
                connection.sendall(LENGTH.pack(len(body)) + body)
                for kind, record in _Records(connection):
                    if kind == b"X":
                        raise EngineError(record.decode())
                    yield kind, record
                    if kind == b".":
                        return
        except TimeoutError as error:
            self.close()
            raise EngineError(
                f"espeak-ng stalled: nothing came for {self._stall_seconds:g} s"
            ) from error
        except OSError as error:
            self.close()
            raise EngineError(f"espeak-ng's process died ({error})") from error
        self.close()
        raise EngineError("espeak-ng's process died in the middle of a text")


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
