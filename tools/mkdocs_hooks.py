"""Hooks of the documentation site: links from a page to a file of the repository outside `docs/`.

Such a link (`../../config/k2so_tts.yaml`) works on GitHub as it is. On the site it has to lead to
the repository; one to a file that does not exist is a warning, and so an error of `make docs`.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<=\]\()(\.\./[^)\s#]+)")
_ROOT = Path(__file__).resolve().parents[1]
_logger = logging.getLogger("mkdocs.hooks")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Called by MkDocs with the text of each page: the same text with links as the site needs."""
    del files
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def on_the_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if target.startswith("docs/"):
            return link[1]
        if not (_ROOT / target).exists():
            _logger.warning("%s links to %s, which does not exist", page.file.src_uri, target)
        return f"{config['repo_url'].rstrip('/')}/blob/main/{target}"

    return _LINK.sub(on_the_site, markdown)
