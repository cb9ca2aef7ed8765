"""What was said before, kept on disk to be said again at once.

One SQLite file holds it all: what is written is there as a whole or not at all, two processes can
use it at once, and nothing that is read from it is ever run. An engine that speaks at once has no
use for it, so what it takes is imported when it is used.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from k2so_tts.audio import Pcm
from k2so_tts.engines import engine_options
from k2so_tts.engines.toolkit.disk_cache import cache_directory, state_of
from k2so_tts.settings import paths_of

if TYPE_CHECKING:
    import sqlite3

MIB = 256
"""How much is kept unless one says otherwise: an hour and a half of speech at 22 kHz."""
LONGEST_SECONDS = 60.0
"""What takes longer to say is not kept: it is in memory until it has been said."""

_FILE = "phrases.sqlite"
_FORMAT = 1
_BUSY_SECONDS = 0.5
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
    """A text as it sounds, at `rate` (Hz) and before any gain; `marks` are frames and the number
    of characters that are spoken when they were heard.
    """

    rate: int
    pcm: Pcm
    marks: tuple[tuple[int, int], ...]


class PhraseCache:
    """Phrases by their keys, `mib` MiB of them at most: those go that were not used for longest.

    What can't be read or written is not there, and speaking goes on; `fault` says what is wrong
    until something can be kept again. A damaged file is thrown away.
    """

    def __init__(self, mib: int = MIB, directory: Path | None = None) -> None:
        self.path = (directory or cache_directory()) / _FILE
        self._limit = mib * 2**20
        self.hits = 0
        self.misses = 0
        self.fault: str | None = None
        self._changing = threading.Lock()

    @property
    def in_use(self) -> bool:
        """Something was looked for."""
        return bool(self.hits or self.misses)

    def get(self, key: str) -> Phrase | None:
        """The phrase of that key, or None."""
        sound = self._try(None, lambda: self._read(key))
        phrase = None
        if sound is not None:
            try:
                phrase = _unpack(sound)
            except ValueError as error:
                self._is_wrong(f"a phrase in {self.path} is damaged ({error}): it is made again")
                self._try(None, lambda: self._forget(key))
        with self._changing:
            self.hits += phrase is not None
            self.misses += phrase is None
        return phrase

    def put(self, key: str, phrase: Phrase) -> None:
        """Keep a phrase, and let go of what there is no room for any more."""
        if self._try(False, lambda: self._write(key, _pack(phrase))):
            self.fault = None

    def kept(self) -> tuple[int, int]:
        """How many phrases there are, and how many bytes they take."""
        return self._try((0, 0), self._count)

    def clear(self) -> None:
        """Throw everything away. Raises OSError."""
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _read(self, key: str) -> bytes | None:
        if not self.path.exists():
            return None
        with self._open() as file:
            row = file.execute("SELECT sound FROM phrases WHERE key = ?", [key]).fetchone()
            if row is None:
                return None
            file.execute("UPDATE phrases SET used_ns = ? WHERE key = ?", [time.time_ns(), key])
        sound = row[0]
        return sound if isinstance(sound, bytes) else b""

    def _write(self, key: str, sound: bytes) -> bool:
        if len(sound) > self._limit:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as file:
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
        with self._open() as file:
            asked = file.execute("SELECT count(*), sum(length(sound)) FROM phrases")
            count, size = asked.fetchone()
        return count, size or 0

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of this thread's own; what is done with it is done as a whole."""
        import sqlite3

        with closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as file:
            (version,) = file.execute("PRAGMA user_version").fetchone()
            if version not in (0, _FORMAT):
                raise sqlite3.DatabaseError(f"it is of format {version}")
            if version == 0:
                for statement in _CREATE:
                    file.execute(statement)
            file.execute("PRAGMA synchronous = NORMAL")
            with file:
                yield file

    def _try(self, otherwise: _Result, do: Callable[[], _Result]) -> _Result:
        import sqlite3

        try:
            return do()
        except (sqlite3.OperationalError, OSError) as error:
            self._is_wrong(f"phrases can't be kept in {self.path}: {error}")
            return otherwise
        except sqlite3.DatabaseError as error:
            self._is_wrong(f"{self.path} is damaged ({error}): it is made again")
            try:
                self.clear()
            except OSError as failure:
                self._is_wrong(f"{self.path} is damaged and can't be removed: {failure}")
            return otherwise

    def _is_wrong(self, fault: str) -> None:
        if self.fault != fault:
            _logger.warning("%s", fault)
        self.fault = fault


def fingerprint_of(engine: str, options: Mapping[str, object]) -> str:
    """Who makes a phrase: an engine, its options, and the state of the files that these name.

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
    head = {"rate": phrase.rate, "marks": phrase.marks, "crc": zlib.crc32(pcm)}
    return json.dumps(head).encode() + b"\n" + pcm


def _unpack(sound: bytes) -> Phrase:
    """Raises ValueError."""
    head, _, pcm = sound.partition(b"\n")
    try:
        told = json.loads(head)
        rate, crc = int(told["rate"]), told["crc"]
        marks = tuple((int(frame), int(end)) for frame, end in told["marks"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a phrase: {error!r}") from error
    if rate <= 0 or zlib.crc32(pcm) != crc:
        raise ValueError("its sound is not what was kept")
    return Phrase(rate, np.frombuffer(pcm, "<i2").astype(np.int16), marks)
