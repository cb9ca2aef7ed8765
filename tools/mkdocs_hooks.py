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

"""Hooks of the documentation site, for what GitHub shows in another way.

A link from a page to a file outside `docs/` leads to the repository. A Mermaid diagram, which
GitHub draws by itself, becomes the image that `render_diagrams.py` made of it, as the site loads
no scripts from elsewhere. What is missing or stale is a warning, and so an error of `make docs`.
"""

from __future__ import annotations

import hashlib
import logging
import posixpath
import re
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()(\.\./[^)\s#]+)")
_logger = logging.getLogger("mkdocs.hooks")


def digest(source: str) -> str:
    """What an image says of the source that it was made from."""
    return hashlib.sha256(source.encode()).hexdigest()


def image_of(page: str, number: int) -> str:
    """The image of a page's diagram; both paths are relative to `docs/`."""
    return f"images/{posixpath.splitext(page)[0].replace('/', '-')}-{number}.svg"


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Called by MkDocs with the text of each page: the same text as the site needs it."""
    del files
    name: str = page.file.src_uri
    return _with_links(_with_images(markdown, name), name, config["repo_url"].rstrip("/"))


def _with_images(markdown: str, page: str) -> str:
    numbers = count()

    def image(diagram: re.Match[str]) -> str:
        path = image_of(page, next(numbers))
        file = DOCS / path
        if not file.exists() or digest(diagram[1]) not in file.read_text(encoding="utf-8"):
            _logger.warning("%s: a diagram was changed; run tools/render_diagrams.py", page)
        link = posixpath.relpath(path, posixpath.dirname(page))
        return f"[![Diagram]({link})]({link})"

    return DIAGRAM.sub(image, markdown)


def _with_links(markdown: str, page: str, repository: str) -> str:
    folder = posixpath.dirname(f"docs/{page}")

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[1]))
        if target.startswith("docs/"):
            return found[1]
        if not (ROOT / target).exists():
            _logger.warning("%s links to %s, which does not exist", page, target)
        return f"{repository}/blob/main/{target}"

    return _LINK.sub(link, markdown)
