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

"""What was computed once and is kept on disk. It can be deleted at any time."""

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

__all__ = ["cache_directory", "cached_arrays", "cached_directory", "state_of"]

Arrays = Mapping[str, NDArray[Any]]
_Opened = TypeVar("_Opened")

_PART = ".part"
"""The end of the names of what is still being made."""

_logger = logging.getLogger(__name__)


def cache_directory() -> Path:
    """Where this package keeps what it can make again: in `XDG_CACHE_HOME`, or in `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "k2so_tts"


def state_of(path: Path) -> list[Any]:
    """Size (bytes) and time of change (ns) of a file, or of the files in a directory.

    What was made from them is valid as long as these are the same. Empty if there is no file.
    """
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    except OSError:
        return []


def cached_arrays(name: str, keys: Iterable[str], compute: Callable[[], Arrays]) -> Arrays:
    """The arrays `keys` of the file `name` in the cache, which `compute` gives if there is none.

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
    name: str,
    make: Callable[[Path], None],
    read: Callable[[Path], _Opened],
    *,
    keep: int | None = None,
) -> _Opened:
    """What `read` gives of the directory `name` in the cache, which `make` fills if there is none.

    One that can't be read is made again. A directory appears as a whole or not at all. With `keep`
    only so many of the directories beside it remain, those that were used last.

    Raises `OSError` where nothing can be written, and what `make` and `read` raise.
    """
    path = cache_directory() / name
    if path.is_dir():
        try:
            opened = read(path)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it
            _logger.warning("%s is damaged (%s): it is made again", path, brief(error))
            shutil.rmtree(path)
        else:
            with contextlib.suppress(OSError):
                os.utime(path)
            return opened
    _make_directory(path, make)
    if keep is not None:
        _keep_latest(path.parent, keep)
    return read(path)


def _make_directory(path: Path, make: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, suffix=_PART) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        make(made)
        try:
            made.rename(path)
        except OSError:
            if not path.is_dir():  # else another process was faster
                raise


def _keep_latest(parent: Path, count: int) -> None:
    """Remove all directories but the `count` that were changed last."""
    made = [path for path in parent.iterdir() if path.suffix != _PART and path.is_dir()]
    made.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in made[count:]:
        _logger.info("%s is removed: %d newer ones are kept", path, count)
        shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=_PART)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
