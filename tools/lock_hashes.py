"""Write the hashes of what the files in requirements/ pin into them.

    .venv/kilted/bin/python tools/lock_hashes.py [FILE...]

To be run after a version was changed. Named are, of each release, the wheels for Linux on x86_64
and CPython 3.10 to 3.13, and the source where there is no wheel. They come from the index that pip
asks by default; pip itself takes nothing that has another hash (`--require-hashes`).
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import (
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version
from pip._internal.models.index import PyPI

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
_PYTHONS = ("cp310", "cp311", "cp312", "cp313")
_CONTENT = "application/vnd.pypi.simple.v1+json"
_TIMEOUT_SECONDS = 60
_AT_ONCE = 8


def main() -> None:
    files = [Path(name) for name in sys.argv[1:]] or sorted(REQUIREMENTS.glob("*.txt"))
    for file in files:
        lines = _unlocked(file.read_text(encoding="utf-8"))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            locked = list(pool.map(_locked, lines))
        file.write_text("".join(f"{line}\n" for line in locked), encoding="utf-8")
        print(f"{file.name}: {sum('--hash' in line for line in locked)} releases")


def _unlocked(text: str) -> list[str]:
    """The lines of a file, without hashes."""
    return re.sub(r" \\\n +--hash=\S+", "", text).splitlines()


def _locked(line: str) -> str:
    """A line of a file, with hashes if it pins something. Raises ValueError."""
    if not line or line.startswith("#"):
        return line
    requirement = Requirement(line)
    pinned = re.fullmatch("==([^*]+)", str(requirement.specifier))
    if pinned is None:
        raise ValueError(f"{line!r} pins no version")
    hashes = _hashes(requirement.name, Version(pinned[1]))
    if not hashes:
        raise ValueError(f"there is nothing to install of {line!r}")
    return " \\\n".join([line, *(f"    --hash=sha256:{digest}" for digest in hashes)])


def _hashes(name: str, version: Version) -> list[str]:
    page = f"{PyPI.simple_url}/{canonicalize_name(name)}/"
    asked = urllib.request.Request(page, headers={"Accept": _CONTENT})  # noqa: S310 - pip's https
    with urllib.request.urlopen(asked, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
        files: list[dict[str, Any]] = json.load(answer)["files"]
    wheels, sources = set(), set()
    for file in files:
        digest = file["hashes"]["sha256"]
        with suppress(ValueError):  # names of long ago
            if file["filename"].endswith(".whl"):
                _, of, _, tags = parse_wheel_filename(file["filename"])
                if of == version and any(map(_fits, tags)):
                    wheels.add(digest)
            elif parse_sdist_filename(file["filename"])[1] == version:
                sources.add(digest)
    return sorted(wheels or sources)


def _fits(tag: Tag) -> bool:
    """Whether a wheel with this tag is for one of the Pythons on one of the machines."""
    if tag.platform != "any" and not re.fullmatch(r"(many)?linux\w*_x86_64", tag.platform):
        return False
    if tag.abi == "abi3":
        return tag.interpreter.startswith("cp3") and int(tag.interpreter[3:]) <= 13
    return tag.interpreter in ("py3", *_PYTHONS) and tag.abi in ("none", tag.interpreter)


if __name__ == "__main__":
    main()
