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

"""What was said before, kept on disk to be said again at once.

One SQLite file holds it all: what is written is there as a whole or not at all, two processes can
use it at once, and nothing that is read from it is ever executed. Reading needs no right to write,
and does not wait for a process that writes (SQLite's write-ahead log). The modules for it are
imported only when it is used, as engines that stream have no use for it.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from k2so_tts.audio import Pcm
from k2so_tts.engines import engine_options
from k2so_tts.engines.toolkit.disk_cache import cache_directory, state_of
from k2so_tts.settings import paths_of

if TYPE_CHECKING:
    import sqlite3

MIB = 256
"""How much is kept by default: an hour and a half of speech at 22 kHz."""
LONGEST_SECONDS = 60.0
"""Longer phrases are not kept: they would have to be held in memory until they have been said."""

_FORMAT = 2
"""Of the file and of the phrases in it. Each format has a file of its own: versions of this package
that share a cache do not touch each other's.
"""
_FILE = f"phrases-{_FORMAT}.sqlite"
_BUSY_SECONDS = 0.5
_RECORD_USE_SECONDS = 60.0
"""How long it may take until the use of a phrase is written down, if nothing else is."""
_CAN_NOT_WRITE = ("readonly database", "unable to open database file")
_CREATE = (
    "PRAGMA auto_vacuum = FULL",
    "PRAGMA journal_mode = WAL",
    "CREATE TABLE IF NOT EXISTS phrases (key TEXT PRIMARY KEY, used_ns INTEGER, sound BLOB)",
    "CREATE INDEX IF NOT EXISTS by_use ON phrases (used_ns)",
    f"PRAGMA user_version = {_FORMAT}",
)

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Phrase:
    """A text as it sounds, at `rate` (Hz) and before any gain.

    `marks` are pairs of a frame and the number of characters that are spoken before it. `gain`
    (linear) is what made the voice as loud as others.
    """

    rate: int
    pcm: Pcm
    marks: tuple[tuple[int, int], ...]
    gain: float = 1.0


class PhraseCache:
    """Phrases by their keys, `mib` MiB of them at most: the least recently used go first.

    Errors in reading or writing the file never raise: a phrase is then not there, or not kept, and
    `fault` says why until a phrase can be kept again. A damaged file is thrown away.
    """

    def __init__(self, mib: int = MIB, directory: Path | None = None) -> None:
        self.path = (directory or cache_directory()) / _FILE
        self._limit = mib * 2**20
        self.hits = 0
        self.misses = 0
        self.fault: str | None = None
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        """When phrases were used (ns), as far as the file does not say so yet."""
        self._recorded_at = time.monotonic()

    @property
    def in_use(self) -> bool:
        """Something was looked up."""
        return bool(self.hits or self.misses)

    def get(self, key: str) -> Phrase | None:
        """The phrase of that key, or None."""
        sound = self._try(None, lambda: self._read(key))
        phrase = None
        if sound is not None:
            try:
                phrase = _unpack(sound)
            except ValueError as error:
                self._set_fault(f"a phrase in {self.path} is damaged ({error}): it is made again")
                self._try(None, lambda: self._forget(key))
        with self._lock:
            self.hits += phrase is not None
            self.misses += phrase is None
            if phrase is not None:
                self._used[key] = time.time_ns()
        self._record_use_now_and_then()
        return phrase

    def put(self, key: str, phrase: Phrase) -> None:
        """Keep a phrase; the least recently used ones make room for it."""
        if self._try(False, lambda: self._write(key, _pack(phrase))):
            self.fault = None

    def kept(self) -> tuple[int, int]:
        """How many phrases there are, and how many bytes they take."""
        return self._try((0, 0), self._count)

    def clear(self) -> None:
        """Throw everything away, also what other versions of this package have kept.

        Raises OSError.
        """
        for path in self.path.parent.glob("phrases*.sqlite*"):
            path.unlink(missing_ok=True)

    def _read(self, key: str) -> bytes | None:
        if not self.path.exists():
            return None
        row = self._fetch("SELECT sound FROM phrases WHERE key = ?", key)
        if row is None:
            return None
        return row[0] if isinstance(row[0], bytes) else b""

    def _write(self, key: str, sound: bytes) -> bool:
        if len(sound) > self._limit:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as file:
            self._record_use(file)
            row = [key, time.time_ns(), sound]
            file.execute("INSERT OR REPLACE INTO phrases VALUES (?, ?, ?)", row)
            (size,) = file.execute("SELECT sum(length(sound)) FROM phrases").fetchone()
            oldest = file.execute("SELECT key, length(sound) FROM phrases ORDER BY used_ns")
            while size > self._limit:
                old, freed = oldest.fetchone()
                file.execute("DELETE FROM phrases WHERE key = ?", [old])
                size -= freed
        return True

    def _forget(self, key: str) -> None:
        with self._open() as file:
            file.execute("DELETE FROM phrases WHERE key = ?", [key])

    def _count(self) -> tuple[int, int]:
        if not self.path.exists():
            return 0, 0
        row = self._fetch("SELECT count(*), sum(length(sound)) FROM phrases")
        count, size = row or (0, 0)
        return count, size or 0

    def _record_use_now_and_then(self) -> None:
        """Write down what was used, if that is due and can be done at once; else later."""
        import sqlite3

        if not self._used or time.monotonic() < self._recorded_at + _RECORD_USE_SECONDS:
            return
        self._recorded_at = time.monotonic()
        with suppress(sqlite3.Error, OSError), self._open(wait=False) as file:
            self._record_use(file)

    def _record_use(self, file: sqlite3.Connection) -> None:
        with self._lock:
            used = dict(self._used)
        times = [(used_ns, key) for key, used_ns in used.items()]
        file.executemany("UPDATE phrases SET used_ns = ? WHERE key = ?", times)
        with self._lock:
            self._used = dict(self._used.items() - used.items())
        self._recorded_at = time.monotonic()

    @contextmanager
    def _open(self, wait: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction, which is committed at the end.

        `wait`: for others that write, `_BUSY_SECONDS` at most.
        """
        import sqlite3

        with closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS if wait else 0.0)) as file:
            if _format_of(file) == 0:
                for statement in _CREATE:
                    file.execute(statement)
            file.execute("PRAGMA synchronous = NORMAL")
            with file:
                yield file

    def _fetch(self, query: str, *values: object) -> Any:
        """The first row of a query, also where SQLite can't write what it shares with writers.

        Where it can't, there are no writers, and it needs nothing but the file itself.
        """
        import sqlite3

        uri = self.path.absolute().as_uri()
        try:
            return _fetch_from(uri, query, values)
        except sqlite3.OperationalError as error:
            if not any(words in str(error) for words in _CAN_NOT_WRITE):
                raise
        return _fetch_from(f"{uri}?immutable=1", query, values)

    def _try(self, otherwise: _Result, do: Callable[[], _Result]) -> _Result:
        import sqlite3

        try:
            return _retry_locked(do)
        except (sqlite3.OperationalError, OSError) as error:
            self._set_fault(f"phrases can't be kept in {self.path}: {error}")
            return otherwise
        except sqlite3.DatabaseError as error:
            self._set_fault(f"{self.path} is damaged ({error}): it is made again")
            try:
                self._remove()
            except OSError as failure:
                self._set_fault(f"{self.path} is damaged and can't be removed: {failure}")
            return otherwise

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _set_fault(self, fault: str) -> None:
        if self.fault != fault:
            _logger.warning("%s", fault)
        self.fault = fault


def _retry_locked(do: Callable[[], _Result]) -> _Result:
    """Do what SQLite may refuse at once, without its busy time-out, while others set up the file.

    Changing to the write-ahead log is refused so when two processes make the file at once.
    """
    import sqlite3

    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return do()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _fetch_from(uri: str, query: str, values: Sequence[object]) -> Any:
    import sqlite3

    with closing(sqlite3.connect(uri, timeout=_BUSY_SECONDS, uri=True)) as file:
        return file.execute(query, values).fetchone() if _format_of(file) else None


def _format_of(file: sqlite3.Connection) -> int:
    """The format of a file; 0: it is new. Raises `sqlite3.OperationalError` if it is another's."""
    import sqlite3

    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version not in (0, _FORMAT):
        raise sqlite3.OperationalError(f"it is of format {version}, not {_FORMAT}, and left alone")
    return int(version)


def fingerprint_of(engine: str, options: Mapping[str, object]) -> str:
    """What a phrase is made by: an engine, its options, and the state of the files they name.

    Raises `EngineUnavailable`.
    """
    known = engine_options(engine)
    files = [
        state_of(path)
        for option, value in options.items()
        if known[option].paths
        for path in paths_of(str(value))
    ]
    return json.dumps([_FORMAT, engine, dict(options), files], sort_keys=True, default=str)


def key_of(fingerprint: str, *how: object) -> str:
    """The key of a phrase: the engine's fingerprint, and all else that its sound depends on."""
    import hashlib

    return hashlib.sha256(json.dumps([fingerprint, *how]).encode()).hexdigest()


def _pack(phrase: Phrase) -> bytes:
    pcm = phrase.pcm.astype("<i2").tobytes()
    head = {
        "rate": phrase.rate,
        "marks": phrase.marks,
        "gain": phrase.gain,
        "crc": zlib.crc32(pcm),
    }
    return json.dumps(head).encode() + b"\n" + pcm


def _unpack(sound: bytes) -> Phrase:
    """Raises ValueError."""
    head, _, pcm = sound.partition(b"\n")
    try:
        described = json.loads(head)
        rate, gain, crc = int(described["rate"]), float(described["gain"]), described["crc"]
        marks = tuple((int(frame), int(end)) for frame, end in described["marks"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a phrase: {error!r}") from error
    if rate <= 0 or not 0.0 < gain < math.inf or zlib.crc32(pcm) != crc:
        raise ValueError("its sound is not what was kept")
    return Phrase(rate, np.frombuffer(pcm, "<i2").astype(np.int16), marks, gain)
