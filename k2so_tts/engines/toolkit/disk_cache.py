"""What was computed once and is kept on disk: it can be thrown away at any time."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from k2so_tts.settings import brief

Arrays = Mapping[str, NDArray[Any]]
Opened = TypeVar("Opened")

_logger = logging.getLogger(__name__)


def cache_directory() -> Path:
    """Where this package keeps what it can make again: below `XDG_CACHE_HOME`, or `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "k2so_tts"


def state_of(path: Path) -> list[Any]:
    """Size (bytes) and time of change (ns) of a file, or of the files in a directory: what was made
    from it is as good as long as these are the same. Empty if there is none.
    """
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    except OSError:
        return []


def cached_arrays(name: str, keys: Iterable[str], compute: Callable[[], Arrays]) -> Arrays:
    """The arrays `keys` that `compute` gives, or gave once: they are kept in the file `name` of the
    cache.

    A file that is damaged, or not one of ours, is made again; nothing in it is executed. A file
    appears as a whole or not at all. Where nothing can be written, nothing is kept.
    """
    path = cache_directory() / name
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except FileNotFoundError:
        pass
    except Exception as error:  # noqa: BLE001 - numpy and zipfile raise what a file makes them
        _logger.warning("%s is damaged (%s): it is made again", path, brief(error))
    arrays = compute()
    try:
        _write(path, arrays)
    except OSError as error:
        _logger.warning("%s can't be kept: %s", path, error)
    return arrays


def cached_directory(
    name: str, make: Callable[[Path], None], read: Callable[[Path], Opened]
) -> Opened:
    """What `read` gives of the directory `name` of the cache, which `make` fills if there is none.

    One that can't be read is made again. A directory appears as a whole or not at all.
    Raises `OSError` where nothing can be written.
    """
    path = cache_directory() / name
    if path.is_dir():
        try:
            return read(path)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it
            _logger.warning("%s is damaged (%s): it is made again", path, brief(error))
            shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, suffix=".part") as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        make(made)
        with contextlib.suppress(OSError):  # somebody else was faster
            made.rename(path)
    return read(path)


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
