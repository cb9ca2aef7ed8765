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

"""Formulas, emoji, and characters that look otherwise than they are encoded, or like nothing."""

from __future__ import annotations

import unicodedata

import regex

from k2so_tts.text.markup.state import MarkupState, drop, keep_group
from k2so_tts.text.rewriter import Match, Pieces, rule


def _formula(match: Match, state: MarkupState) -> Pieces | None:
    """A formula can't be read out: it is named, but for one letter or number."""
    body = (match[1] or match[2] or match[3] or match[4]).strip()
    if match[2] is None and regex.fullmatch(r"\p{L}|\d{1,9}(?:\.\d{1,9})?", body):
        return (body,)
    if match[1] is not None and not regex.search(r"[\\^_{}=]", body):
        return None
    return (state.words.formula,)


FORMULAS = [
    rule(
        r"[$*~`\\]",
        r"(?<![\p{L}\p{N}$])\$(?![\s$])([^$\n]{0,199}?[^$\s\\])\$(?![\p{L}\p{N}])"
        r"|\$\$((?s:[^$]){1,1000}?)\$\$|\\\(([^\n]{1,200}?)\\\)|\\\[((?s:.){1,1000}?)\\\]",
        _formula,
        1,
    )
]
"""LaTeX between dollars or in its brackets."""


def _emoji(match: Match, state: MarkupState) -> Pieces:
    """Left out, or named; words on both sides stay apart: `Great job!🎉Next`."""
    if state.name_emoji is not None:
        return (f" {state.name_emoji(match[1])} ",)
    text = match.string
    before, after = (
        text[max(0, match.start() - 1) : match.start()],
        text[match.end() : match.end() + 1],
    )
    if not before.strip():
        return ()
    return (" ",) if match[0].endswith(" ") or after.isalnum() else ()


_PICTURE = (
    r"(?:\p{Extended_Pictographic}(?:\p{EMod}|\uFE0F)?|\p{RI}\p{RI})"
    r"(?:[\U000E0020-\U000E007F]{1,8})?"
)
EMOJI = [
    rule(
        "[\u203c\u2049\u2139\u2190-\u21ff\u231a-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
        "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff©®™]",
        rf"(?![©®™‼⁉↔-↪ℹ](?!\uFE0F))((?:{_PICTURE}(?:\u200D{_PICTURE}){{0,7}}){{1,20}})[ ]?",
        _emoji,
        2,
    ),
    rule(r"[0-9#*](?=\uFE0F?\u20E3)", r"([0-9#*])\uFE0F?\u20E3", keep_group),
]
"""Emoji with what modifies or joins them as one (Unicode Technical Standard 51)."""


def _composed(match: Match, _: MarkupState) -> Pieces | None:
    text = unicodedata.normalize("NFC", match[0])
    return None if text == match[0] else (text,)


def _plain(match: Match, _: MarkupState) -> Pieces:
    return (unicodedata.normalize("NFKC", match[0]),)


def _digits(match: Match, _: MarkupState) -> Pieces:
    return ("".join(str(unicodedata.digit(char)) for char in match[0]),)


def _space(_: Match, __: MarkupState) -> Pieces:
    return (" ",)


_INVISIBLE = (
    r"[\u00AD\u061C\u180E\u200B\u200E\u200F\u202A-\u202E\u2060-\u2064\u2066-\u2069\uFEFF"
    r"\uFE00-\uFE0F]"
)
_VARIANTS = (
    r"[\uFB00-\uFB06\uFF05\uFF06\uFF0B\uFF10-\uFF19\uFF21-\uFF3A\uFF41-\uFF5A\U0001D400-\U0001D7FF]"
)
_MARKS = r"[\u0300-\u036F\u0653-\u0655\u1160-\u11FF\u1DC0-\u1DFF\u3099\u309A]"

UNICODE = [
    rule(_INVISIBLE, rf"{_INVISIBLE}{{1,64}}", drop),
    rule(rf"\w(?={_MARKS})", rf"\w{_MARKS}{{1,8}}", _composed, 1),
    rule(_VARIANTS, rf"{_VARIANTS}{{1,64}}", _plain),
    rule(r"(?![0-9])\d", r"(?V1)[\p{Nd}--[0-9\uFF10-\uFF19\U0001D7CE-\U0001D7FF]]{1,64}", _digits),
    rule("[\u00a0\u202f\u2009]", "[\u00a0\u202f\u2009]", _space),
]
"""Composed (NFC), without invisible characters, letters and digits as voices know them."""
