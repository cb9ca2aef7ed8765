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

"""Markdown, as far as it is about what is heard (CommonMark, with tables, tasks and footnotes)."""

from __future__ import annotations

import regex

from k2so_tts.text.markup.state import (
    ENDS,
    LINE,
    MarkupState,
    drop,
    full_stop,
    keep_group,
)
from k2so_tts.text.rewriter import Match, Pieces, rule

_SHORT_CODE = 60
"""Characters of inline code that are spoken."""


def _fence(match: Match, state: MarkupState) -> Pieces:
    """A block of code is left out, or announced, up to its closing fence."""
    fence = match[1]
    closer = rf"{LINE}[ \t]{{0,3}}{regex.escape(fence[0])}{{{len(fence)},40}}[ \t]{{0,9}}(?=\n|\Z)"
    state.skip = regex.compile(closer)
    return (f"{state.words.code_block}." if state.code == "announce" else "",)


def _inline_code(match: Match, state: MarkupState) -> Pieces:
    """Short code is spoken as it is, longer code is named."""
    return (match.span(2),) if len(match[2]) <= _SHORT_CODE else (state.words.code,)


CODE = [
    rule(
        ("[`~]", rf"{LINE}[ \t]"),
        rf"{LINE}[ \t]{{0,3}}(`{{3,20}}|~{{3,20}})[^\n`]{{0,100}}\n",
        _fence,
    ),
    rule(
        "[`~]",
        r"(`{1,3})(?!`)([^\n]{0,299}?[^`\n])\1(?!`)",
        _inline_code,
        1,
    ),
]


def _open_link(_: Match, state: MarkupState) -> Pieces:
    state.closers.append("]")
    return ()


def _close_link(_: Match, state: MarkupState) -> Pieces | None:
    if "]" not in state.closers:
        return None
    _close(state, "]")
    return ()


def _close(state: MarkupState, closer: str) -> None:
    """Close the last one that is open, and all that was opened within."""
    del state.closers[len(state.closers) - 1 - state.closers[::-1].index(closer) :]


_TARGET = (
    r"(?:\(\s?(?:<[^<>\n]{0,500}>|[^\s()<>]{0,500}(?:\([^\s()]{0,200}\)[^\s()]{0,200})?)"
    r"(?:\s(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'))?\s?\)|\[[^\[\]\n]{0,100}\])"
)
LINKS = [
    rule(
        rf"{LINE}\[",
        rf"{LINE}\[[^\[\]\n]{{1,100}}\]:[ \t]{{0,9}}\S{{1,500}}[^\n]{{0,200}}",
        drop,
        1,
    ),
    rule(r"!(?=\[)", rf"!\[([^\[\]\n]{{0,300}})\]{_TARGET}", keep_group),
    rule(
        r"\[",
        rf"\[(?!\^)(?=(?:[^\[\]\n]|\[[^\[\]\n]{{0,100}}\](?:{_TARGET})?){{1,300}}\]{_TARGET})",
        _open_link,
    ),
    rule(r"\]", rf"\]{_TARGET}", _close_link),
    rule(r"\[", r"\[\^[\w-]{1,30}\]:?", drop, 1),
    rule(r"\[", r"(?<![\p{L}\p{N}])\[\d{1,3}\](?=[\s\p{P}]|\Z)", drop, 1),
    rule(r"\[", r"(?<=\p{L})\[\d{1,3}\](?=[.,;:!?])", drop, 1),
]
"""Links are spoken as their text, images as their description; footnotes are left out."""


def _begin_line(_: Match, state: MarkupState) -> Pieces:
    state.in_block = True
    return ()


def _begin_numbered(match: Match, state: MarkupState) -> Pieces:
    state.in_block = True
    return (match.span(1),)


def _begin_row(_: Match, state: MarkupState) -> Pieces:
    state.in_block = state.in_row = True
    return ()


def _cell(match: Match, state: MarkupState) -> Pieces | None:
    if not state.in_row:
        return None
    is_last = match[1] is not None
    return () if is_last else ("," if state.last and state.last not in ENDS else "", " ")


def _end_line(match: Match, state: MarkupState) -> Pieces:
    stop = full_stop(state) if state.in_block else ""
    state.in_block = state.in_row = False
    if match[0].count("\n") > 1:
        state.closers.clear()
    return (stop, match.span())


_INDENT = rf"{LINE}[ \t]{{0,3}}"
BLOCKS = [
    rule(rf"{LINE}[ \t#]", rf"{_INDENT}#{{1,6}}[ \t]{{1,9}}", _begin_line),
    rule(
        rf"{LINE}[ \t*_=-]",
        rf"{_INDENT}(?:(?:\*[ \t]{{0,3}}){{3,99}}|(?:-[ \t]{{0,3}}){{3,99}}|"
        r"(?:_[ \t]{0,3}){3,99}|={2,99}[ \t]{0,9})(?=\n|\Z)",
        drop,
        1,
    ),
    rule(
        rf"{LINE}[ \t|:-]",
        rf"{_INDENT}\|?[ \t]{{0,9}}:?-{{2,99}}:?[ \t]{{0,9}}"
        r"(?:\|[ \t]{0,9}:?-{2,99}:?[ \t]{0,9}){0,40}\|?[ \t]{0,9}(?=\n|\Z)",
        drop,
        1,
    ),
    rule(rf"{LINE}[ \t|]", rf"{_INDENT}\|[ \t]{{0,9}}", _begin_row),
    rule(rf"{LINE}[ \t>]", rf"{_INDENT}(?:>[ \t]?){{1,9}}", drop),
    rule(
        rf"{LINE}[ \t*+•‣◦-]",
        rf"{LINE}[ \t]{{0,12}}[*+•‣◦-][ \t]{{1,9}}",
        _begin_line,
    ),
    rule(r"\[", r"(?<=[*+•‣◦-][ \t])\[[ xX]\][ \t]{1,9}", drop),
    rule(rf"{LINE}[ \t\d]", rf"{LINE}[ \t]{{0,12}}(\d{{1,3}}[.)][ \t]{{1,9}})", _begin_numbered),
    rule(r"\n", r"\n(?:[ \t]{0,20}\n){0,20}", _end_line),
]
"""Headings, rules, tables, quotes and lists: of each the text, as a sentence of its own."""

IN_BLOCK = [
    rule(r"[ \t]", r"[ \t]{1,9}#{1,6}[ \t]{0,9}(?=\n|\Z)", drop, 1),
    rule(r"[ \t|]", r"[ \t]{0,20}\|[ \t]{0,20}((?=\n|\Z))?", _cell, 1),
]
"""What closes headings and separates cells: within lines that stand alone."""


def _open_emphasis(match: Match, state: MarkupState) -> Pieces:
    if match[1] not in state.closers:
        state.closers.append(match[1])
    return ()


def _close_emphasis(match: Match, state: MarkupState) -> Pieces | None:
    """Closes what is open; a run such as `***` may close two."""
    run = match[1]
    while run and (closer := next((c for c in reversed(state.closers) if run.startswith(c)), "")):
        _close(state, closer)
        run = run[len(closer) :]
    return None if run == match[1] else (run,)


_MARK = (r"[~`\\]", r"\*(?=\S)", r"(?<=\S)\*", r"_(?![^\W_])", r"(?<![^\W_])_")
_WORD = r"[[\p{L}\p{N}*]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]]"
"""What emphasis does not begin after: letters of scripts with spaces between words."""
EMPHASIS = [
    rule(_MARK, r"(?<=\S)(\*{1,3}|_{1,3}(?![\p{L}\p{N}])|~~)", _close_emphasis, 1),
    rule(
        _MARK,
        rf"(?V1)(?<!{_WORD})(\*{{1,3}})(?=[\p{{L}}\"'“‘«(\[$€£`_~「『《（]|(?<=\*\*)\p{{N}})",
        _open_emphasis,
        1,
    ),
    rule(_MARK, r"(?<![\p{L}\p{N}_])(_{1,3})(?=[\p{L}\p{N}\"'“‘«(\[$€£`*~])", _open_emphasis, 1),
    rule(_MARK, r"(?<!~)(~~)(?=[^\s~])", _open_emphasis),
    rule(_MARK, r"\\([!-/:-@\[-`{-~])", keep_group),
]
"""Emphasis is taken for opened where it can be, so that no stream has to wait for its end."""
