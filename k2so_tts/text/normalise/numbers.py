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

"""Numbers: telephone numbers, fractions, versions, ranges, products."""

from __future__ import annotations

import regex

from k2so_tts.text.normalise.state import (
    DIGIT,
    NO_WORD_BEFORE,
    NormaliseState,
    decimal_of,
    group_of,
    number_of,
    plain,
)
from k2so_tts.text.rewriter import Match, Pieces, Rule, rule
from k2so_tts.text.words import Words

_VULGAR = {
    "½": (1, 2),
    "⅓": (1, 3),
    "⅔": (2, 3),
    "¼": (1, 4),
    "¾": (3, 4),
    "⅕": (1, 5),
    "⅛": (1, 8),
}

_LONGEST_VERSION = 12
"""Characters before a version in which its name is looked for."""


def phone_rules() -> list[Rule[NormaliseState]]:
    """Rules for telephone numbers: read digit by digit, in the groups they are written in."""
    pattern = (
        rf"{NO_WORD_BEFORE}(?:"
        r"\+\d{1,3}[ ./-]?(?:\(\d{1,4}\)[ ./-]?)?\d{1,5}(?:[ ./-]\d{2,8}){1,5}"
        r"|\+\d{8,15}"
        r"|\(\d{3}\) ?\d{3}-\d{4}"
        r"|(?:1-)?\d{3}-\d{3}-\d{4}"
        r"|[2-9]\d{2}-\d{3}[1-9]"
        r"|0\d{2,4}[ /-]\d{3,8}(?:[ -]\d{2,6})?"
        r"|0\d(?: \d{2}){4}"
        r")(?![\d\p{L}])(?![-.,]\d)"
    )
    return [rule((DIGIT, "[+(](?=[0-9])"), pattern, _phone, 2)]


def _phone(match: Match, state: NormaliseState) -> Pieces:
    groups = regex.findall(r"\d+", match[0])
    plus = f"{state.words.plus} " if match[0].startswith("+") else ""
    return (plus + ", ".join(" ".join(group) for group in groups),)


def number_rules(words: Words) -> list[Rule[NormaliseState]]:
    """Rules for all other numbers whose digits alone don't tell how they are read."""
    number = number_of(words)
    vulgar = "".join(_VULGAR)
    return [
        rule(
            (DIGIT, f"[{vulgar}]"),
            rf"(?<![\p{{L}}\p{{N}}.,])(\d{{0,6}})[ \u00a0]?([{vulgar}])",
            _vulgar_fraction,
            1,
        ),
        rule(
            DIGIT,
            r"(?<![\p{L}\p{N}.,/])(?:(\d{1,4}) )?(\d{1,2})[/⁄](\d{1,2})"
            r"(?![\p{L}\p{N}/⁄-])(?![.,]\d)",
            _fraction,
            2,
        ),
        rule(
            DIGIT,
            rf"(?<![\p{{L}}\p{{N}}.,])(?=\d{{1,3}}{group_of(words)}\d{{3}})({number})(?!\p{{N}})(?![.,]\d)",
            lambda match, state: (plain(match[1], state.words),),
            2,
        ),
        rule(
            (r"(?<!\w)[vV](?=[0-9])", DIGIT),
            r"(?<![\p{L}\p{N}.])(?:([vV])(\d{1,4}(?:\.\d{1,4}){0,3})|(\d{1,4}(?:\.\d{1,4}){2,3}))"
            r"(?![\p{L}\p{N}])(?!\.\d)",
            _version,
            2,
        ),
        rule(
            DIGIT,
            rf"{NO_WORD_BEFORE}({number})[ ]?[–-][ ]?({number})(?![\p{{L}}\p{{N}}–/:-])(?![.,]\d)",
            _range,
            2,
        ),
        rule(r"(?<![\w&#])#(?=[0-9])", r"#(?=\d{1,9}(?![\p{L}\p{N}]))", _numbered, 1),
        rule(r"[~≈](?=[0-9])", r"(?<![\p{L}\p{N}~])[~≈](?=\d)", _about),
        rule((r"(?<=[0-9] )[*×]", "(?<=[0-9])×"), r"(?<=\d )[*×](?= \d)|(?<=\d)×(?=\d)", _times, 1),
    ]


def _vulgar_fraction(match: Match, state: NormaliseState) -> Pieces | None:
    return _mixed(match[1], _VULGAR[match[2]], state.words)


def _fraction(match: Match, state: NormaliseState) -> Pieces | None:
    return _mixed(match[1] or "", (int(match[2]), int(match[3])), state.words)


def _mixed(whole: str, fraction: tuple[int, int], words: Words) -> Pieces | None:
    """A fraction that has a name, after a whole number if there is one."""
    name = words.fractions.get(fraction)
    if name is None:
        return None
    if not whole:
        return (name,)
    return (words.mixed.format(whole=whole, fraction=name.replace("one ", "a ")),)


def _version(match: Match, state: NormaliseState) -> Pieces:
    words = state.words
    before = match.string[max(0, match.start() - _LONGEST_VERSION) : match.start()].rstrip()
    is_named = before.casefold().endswith(words.version.casefold())
    spoken = f" {words.point} ".join((match[2] or match[3]).split("."))
    return (f"{words.version} {spoken}" if match[1] and not is_named else spoken,)


def _range(match: Match, state: NormaliseState) -> Pieces | None:
    low, high = (decimal_of(number, state.words) for number in match.groups())
    return (match.span(1), f" {state.words.to} ", match.span(2)) if low < high else None


def _numbered(_: Match, state: NormaliseState) -> Pieces:
    return (f"{state.words.number} ",)


def _about(_: Match, state: NormaliseState) -> Pieces:
    return (f"{state.words.about} ",)


def _times(match: Match, state: NormaliseState) -> Pieces:
    is_apart = match.string[match.start() - 1].isspace()
    return (state.words.times if is_apart else f" {state.words.times} ",)
