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

"""Files about the project: links that lead somewhere, paths that exist, facts told in one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"```.*?```", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`]*`|^    .*$", re.DOTALL | re.MULTILINE)
PATH = re.compile(
    r"`((?:k2so_tts|test|tools|benchmarks|config|launch|examples|docs)/[\w./-]+)`",
)
SOURCES = (".py", ".yaml", ".xml", ".md")
DOCUMENT = re.compile(r"\bdocs/[\w./-]+\.(?:md|png)")
MOVED = ROOT / "docs" / "reference" / "migration.md"
"""The one page that names paths that are gone."""


def anchors(page: Path) -> set[str]:
    """The names that GitHub and MkDocs give to the headings of a page."""
    text = CODE_BLOCK.sub("", page.read_text("utf-8"))
    plain = (re.sub(r"[^\w\- ]", "", line) for line in re.findall("^#+ (.+)$", text, re.MULTILINE))
    return {line.strip().lower().replace(" ", "-") for line in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link} does not exist"
        assert not anchor or anchor in anchors(path), f"{link}: no such heading"


def test_documentation_named_in_sources_exists() -> None:
    for folder in ("k2so_tts", "config", "launch", "tools", "benchmarks", "examples", "test"):
        sources = (path for path in (ROOT / folder).rglob("*") if path.suffix in SOURCES)
        for path in sources:
            for page in DOCUMENT.findall(path.read_text("utf-8")):
                assert (ROOT / page).exists(), f"{path}: {page} does not exist"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != MOVED], ids=lambda page: str(page.relative_to(ROOT))
)
def test_named_files_exist(page: Path) -> None:
    for path in PATH.findall(page.read_text("utf-8")):
        assert (ROOT / path).exists(), f"{path} does not exist"


def test_hooks_have_the_versions_of_make_lint() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    pinned = (ROOT / "requirements" / "test.txt").read_text("utf-8")
    for tool in ("ruff", "codespell"):
        versions = set(re.findall(rf"\b{tool}==([\d.]+)", hooks))
        assert versions == set(re.findall(rf"^{tool}==([\d.]+)", pinned, re.MULTILINE))


def test_the_readme_and_the_reference_describe_the_same_interface() -> None:
    readme = interface(ROOT / "README.md")
    reference = interface(ROOT / "docs" / "reference" / "ros_interface.md")
    assert {name for name in readme if "/" not in name} <= reference
    assert len(readme) > 8


def interface(page: Path) -> set[str]:
    """The names in the first column of the table of the interface."""
    table = page.read_text("utf-8").partition("| name | type |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall("`([^`]+)`", row)}
