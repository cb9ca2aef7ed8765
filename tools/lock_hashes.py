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

"""Write the hashes of pinned releases into the files in requirements/.

    .venv/kilted/bin/python tools/lock_hashes.py [FILE...]

Run it after a version was changed. For each release it lists the wheels for Linux on x86_64 and
CPython 3.10 to 3.13, or the source distribution where there is no such wheel. The hashes come from
pip's default index; with `--require-hashes` pip installs nothing that has another hash.
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
_INTERPRETERS = ("cp310", "cp311", "cp312", "cp313")
_CONTENT_TYPE = "application/vnd.pypi.simple.v1+json"
_TIMEOUT_SECONDS = 60
_PARALLEL = 8


def main() -> None:
    """Rewrite the files that are named, all of requirements/ unless any are."""
    files = [Path(name) for name in sys.argv[1:]] or sorted(REQUIREMENTS.glob("*.txt"))
    for file in files:
        lines = _without_hashes(file.read_text(encoding="utf-8"))
        with ThreadPoolExecutor(_PARALLEL) as pool:
            locked = list(pool.map(_with_hashes, lines))
        file.write_text("".join(f"{line}\n" for line in locked), encoding="utf-8")
        print(f"{file.name}: {sum('--hash' in line for line in locked)} releases")


def _without_hashes(text: str) -> list[str]:
    """The lines of a requirements file without their hashes."""
    return re.sub(r" \\\n +--hash=\S+", "", text).splitlines()


def _with_hashes(line: str) -> str:
    """A line with the hashes of the release it pins; comments are returned as they are.

    Raises:
        ValueError: the line pins no version, or the index has no file of it.
    """
    if not line or line.startswith("#"):
        return line
    requirement = Requirement(line)
    pinned = re.fullmatch("==([^*]+)", str(requirement.specifier))
    if pinned is None:
        raise ValueError(f"{line!r} pins no version")
    hashes = _hashes(requirement.name, Version(pinned[1]))
    if not hashes:
        raise ValueError(f"the index has no file for {line!r}")
    return " \\\n".join([line, *(f"    --hash=sha256:{digest}" for digest in hashes)])


def _hashes(name: str, version: Version) -> list[str]:
    """The SHA-256 digests of a release, from the index's JSON API (PEP 691)."""
    page = f"{PyPI.simple_url}/{canonicalize_name(name)}/"
    request = urllib.request.Request(page, headers={"Accept": _CONTENT_TYPE})  # noqa: S310 - pip's https
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
        files: list[dict[str, Any]] = json.load(response)["files"]
    wheels, sources = set(), set()
    for file in files:
        digest = file["hashes"]["sha256"]
        with suppress(ValueError):  # a file name from before the rules of PEP 427
            if file["filename"].endswith(".whl"):
                _, release, _, tags = parse_wheel_filename(file["filename"])
                if release == version and any(map(_is_supported, tags)):
                    wheels.add(digest)
            elif parse_sdist_filename(file["filename"])[1] == version:
                sources.add(digest)
    return sorted(wheels or sources)


def _is_supported(tag: Tag) -> bool:
    """Whether a wheel with this tag installs on Linux x86_64 with one of the interpreters."""
    if tag.platform != "any" and not re.fullmatch(r"(many)?linux\w*_x86_64", tag.platform):
        return False
    if tag.abi == "abi3":
        return tag.interpreter.startswith("cp3") and int(tag.interpreter[3:]) <= 13
    return tag.interpreter in ("py3", *_INTERPRETERS) and tag.abi in ("none", tag.interpreter)


if __name__ == "__main__":
    main()
