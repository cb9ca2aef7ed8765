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

"""Render the Mermaid diagrams of the docs to SVG, which the site shows in place of their sources.

    python tools/render_diagrams.py CHROMIUM MERMAID_JS

CHROMIUM is a program of that kind, MERMAID_JS the file `dist/mermaid.min.js` of npm's mermaid 11.
To be run after a diagram was changed: `make docs` compares each image with its source.
"""

from __future__ import annotations

import html
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from mkdocs_hooks import DIAGRAM, DOCS, digest, image_of

_PAGE = """\
<body><pre></pre>
<script src="file://{script}"></script>
<script>
  const show = text => document.querySelector("pre").textContent = text;
  mermaid.initialize({{startOnLoad: false, theme: "neutral", htmlLabels: false}});
  mermaid.render("diagram", {source}).then(made => show(made.svg)).catch(show);
</script>
"""
_WAIT_MS = 20_000


def main(chromium: str, mermaid: str) -> None:
    """Render every diagram of every page."""
    for page in sorted(DOCS.rglob("*.md")):
        for number, source in enumerate(DIAGRAM.findall(page.read_text(encoding="utf-8"))):
            target = DOCS / image_of(page.relative_to(DOCS).as_posix(), number)
            svg = _rendered(chromium, Path(mermaid).resolve(), source)
            target.write_text(f"<!-- {digest(source)} -->\n{svg}\n", encoding="utf-8")
            print(target)


def _rendered(chromium: str, mermaid: Path, source: str) -> str:
    """A diagram as SVG on a white background. Raises ValueError."""
    literal = "`" + source.replace("\\", "\\\\").replace("`", "\\`").replace("$", "\\$") + "`"
    with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8") as page:
        page.write(_PAGE.format(script=mermaid, source=literal))
        page.flush()
        options = ["--headless", "--no-sandbox", f"--virtual-time-budget={_WAIT_MS}", "--dump-dom"]
        made = subprocess.run(
            [chromium, *options, f"file://{page.name}"], capture_output=True, text=True, check=True
        ).stdout
    found = re.search("<pre>(.*?)</pre>", made, re.DOTALL)
    if found is None or "&lt;svg" not in found[1]:
        raise ValueError(f"not a diagram: {found and found[1]}\n{source}")
    svg = html.unescape(found[1]).strip().replace("&nbsp;", "&#160;").replace("<br>", "<br/>")
    return svg.replace('style="', 'style="background: white; ', 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
