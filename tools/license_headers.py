#!/usr/bin/env python3
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

"""Check that every source file begins with the licence header; `--fix` writes it where it is not.

The text is the one that ament_copyright knows as Apache-2.0 (a bare SPDX line is unknown to it),
with the SPDX line that other tools read. It comes after a line that names the interpreter.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

HEADER = """\
Copyright 2026 The k2so_tts authors
SPDX-License-Identifier: Apache-2.0

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
"""
ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".ci", "benchmarks", "examples", "k2so_tts", "launch", "test", "tools")
"""`interfaces/audio_common_msgs` is a copy of messages of others, under MIT."""
COMMENTS = {".py": "#", ".sh": "#", "": "#", ".cpp": "//", ".hpp": "//", ".txt": "#"}
"""By suffix: files without one are scripts, `.txt` is CMakeLists.txt."""


def sources() -> Iterator[Path]:
    """Every source file that is ours."""
    yield from (ROOT / "setup.py", ROOT / "env.sh")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in COMMENTS:
                yield path


def with_header(text: str, comment: str) -> str:
    """The same file with the header, once."""
    header = "".join(f"{comment} {line}".rstrip() + "\n" for line in HEADER.splitlines())
    if header in text:
        return text
    first, end, rest = text.partition("\n")
    if first.startswith("#!"):
        return f"{first}{end}{header}\n{rest}"
    return f"{header}\n{text}"


def main() -> int:
    """Returns the exit code: 1 if a header is missing and was not written."""
    fix = "--fix" in sys.argv[1:]
    missing = 0
    for path in sources():
        text = path.read_text(encoding="utf-8")
        wanted = with_header(text, COMMENTS[path.suffix])
        if wanted != text and fix:
            path.write_text(wanted, encoding="utf-8")
        elif wanted != text:
            print(f"{path.relative_to(ROOT)}: no licence header (tools/license_headers.py --fix)")
            missing += 1
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
