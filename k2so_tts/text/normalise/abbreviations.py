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

"""Abbreviations, and Roman numerals after names."""

from __future__ import annotations

import regex

from k2so_tts.text.normalise.state import (
    NO_WORD_AFTER,
    NormaliseState,
    english_ordinal,
    one_of,
)
from k2so_tts.text.rewriter import Match, Pieces, Rule, rule
from k2so_tts.text.words import Words

_REGNAL = (
    "Charles|Edward|Elizabeth|George|Henry|James|Mary|Philip|Richard|William|Louis|Napoleon|"
    "Benedict|Francis|Gregory|Leo|Paul|Pius|John|Catherine|Frederick|Alexander|Nicholas|Peter|Ivan"
)
_NUMBERED = (
    "Act|Book|Chapter|Level|Part|Phase|Section|Stage|Type|Vol\\.|Volume|War|Bowl|Mark|Class|Grade"
)
_ROMAN = {"I": 1, "V": 5, "X": 10}


def abbreviation_rules(words: Words) -> list[Rule[NormaliseState]]:
    """Rules for what is an abbreviation anywhere, before a number, or before a name."""
    kinds = (
        (words.abbreviations, NO_WORD_AFTER, _expand, 3),
        (words.before_number, r"(?=[ \u00a0]?\d)", _expand_before_number, 0),
        (words.before_name, r"(?=[ \u00a0]\p{Lu}\p{L})", _expand_before_name, 0),
    )
    rules = []
    for known, follows, rewrite, lookahead in kinds:
        if known:
            # Only what precedes a space is sure to be there when `first` is asked.
            starts = one_of(sorted({name.partition(" ")[0] for name in known}))
            pattern = rf"(?<![\p{{L}}\p{{N}}.])({one_of([*known])}){follows}"
            rules.append(rule(rf"(?<![\w.])(?:{starts})", pattern, rewrite, lookahead))
    return rules


def _expand(match: Match, state: NormaliseState) -> Pieces:
    """What an abbreviation stands for; its point may end the sentence, too."""
    spoken = state.words.abbreviations[match[1]]
    following = match.string[match.end() : match.end() + 2]
    is_last = not following.strip() or regex.match(r"\s\p{Lu}", following) is not None
    return (spoken + ("." if is_last and match[1] in state.words.ends_sentence else ""),)


def _expand_before_number(match: Match, state: NormaliseState) -> Pieces:
    is_apart = match.string[match.end() : match.end() + 1].isspace()
    return (state.words.before_number[match[1]] + ("" if is_apart else " "),)


def _expand_before_name(match: Match, state: NormaliseState) -> Pieces:
    return (state.words.before_name[match[1]],)


def roman_rules(language: str) -> list[Rule[NormaliseState]]:
    """Rules for rulers (`Henry VIII`) and what is numbered (`World War II`): English in full; in
    French and Spanish, where the number itself is said, after any word.
    """
    if language in {"fr", "es"}:
        pattern = r"(?<=\p{L}\p{Ll}+ )([IVX]{2,6})(?![\p{L}\p{N}'’])"
        rules = [rule(r"(?<!\w)[IVX]{2}", pattern, _cardinal, 1)]
        if language == "fr":
            pattern = r"(?<![\p{L}\p{N}])([IVX]{1,6})(?=(?:e|ème) siècle)"
            rules.append(rule(r"(?<!\w)[IVX]{1,6}[eè]", pattern, _cardinal, 12))
        return rules
    if language != "en":
        return []
    named = rf"(?<![\p{{L}}\p{{N}}])({_REGNAL}|{_NUMBERED})"
    pattern = rf"{named} ([IVX]{{1,6}})(?![\p{{L}}\p{{N}}'’])"
    return [rule(rf"(?<!\w)(?:{_REGNAL}|{_NUMBERED})", pattern, _roman, 2)]


def _cardinal(match: Match, state: NormaliseState) -> Pieces | None:
    """The number as such: in Spanish, which has ordinals up to ten, a greater one."""
    number = _roman_value(match[1])
    if number is None or (state.language == "es" and number <= 10):
        return None
    return (str(number),)


def _roman(match: Match, _: NormaliseState) -> Pieces | None:
    number = _roman_value(match[2])
    if number is None:
        return None
    if regex.fullmatch(_REGNAL, match[1]) is None:
        return (match.span(1), f" {number}")
    following = match.string[match.end() : match.end() + 2].strip()
    if match[2] == "I" and following[:1].islower():
        return None  # "when Peter I think"
    return (match.span(1), f" the {english_ordinal(number)}")


def _roman_value(numeral: str) -> int | None:
    if not regex.fullmatch(r"X{0,3}(?:IX|IV|V?I{0,3})", numeral):
        return None
    values = [_ROMAN[char] for char in numeral]
    following = [*values[1:], 0]
    pairs = zip(values, following, strict=True)
    return sum(-value if value < after else value for value, after in pairs) or None
