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

"""Tags: what a language model thinks, SSML, HTML and other XML, entities, stage directions."""

from __future__ import annotations

import html
from collections.abc import Sequence

import regex

from k2so_tts.text.markup.state import ENDS, MarkupState, drop, full_stop
from k2so_tts.text.rewriter import Match, Pieces, Rule, rule

SILENT_TAGS = ("think", "thinking", "thought", "reasoning", "reflection", "scratchpad")
"""Tags whose content language models write for themselves."""
_TAG = "<(?=[/!A-Za-z])"
_INVISIBLE_TAGS = ("script", "style")

_WEAK_SECONDS, _STRONG_SECONDS = 0.05, 0.35
"""Pauses from which on a comma, and a full stop, stand for them."""
_STRENGTHS = {"none": 0.0, "x-weak": 0.0, "weak": 0.2, "medium": 0.2}
_SPELT = {"characters", "spell-out", "digits", "telephone", "verbatim"}


def silent_tags(names: Sequence[str]) -> list[Rule[MarkupState]]:
    """Rules that leave out elements with their content, even if they are never closed."""
    either = "|".join(map(regex.escape, (*names, *_INVISIBLE_TAGS)))
    return [
        rule(_TAG, rf"(?i)</(?:{either})\s{{0,9}}>", drop),
        rule(_TAG, rf"(?i)<({either})(?:\s[^<>]{{0,200}})?>", _skip_content),
    ]


def _skip_content(match: Match, state: MarkupState) -> Pieces:
    if not match[0].endswith("/>"):
        state.skip = regex.compile(rf"(?i)</{regex.escape(match[1])}\s{{0,9}}>")
    return ()


def _break(match: Match, state: MarkupState) -> Pieces:
    """The pause of SSML's `<break>`, as the punctuation that has one of about that length."""
    attributes = match[1] or ""
    time = regex.search(r"time\s*=\s*[\"'](\d*\.?\d+)(ms|s)", attributes)
    strength = regex.search(r"strength\s*=\s*[\"']([a-z-]+)", attributes)
    seconds = _STRONG_SECONDS
    if time:
        seconds = float(time[1]) / (1000 if time[2] == "ms" else 1)
    elif strength:
        seconds = _STRENGTHS.get(strength[1], _STRONG_SECONDS)
    if seconds < _WEAK_SECONDS or not state.last or state.last in ENDS:
        return (" ",) if match[0].endswith(" ") else ()
    is_apart = match.string[max(0, match.start() - 1) : match.start()].isspace()
    strong = "…" if is_apart else "."  # espeak reads out a point between spaces
    return (("," if seconds < _STRONG_SECONDS else strong) + " ",)


def _say_as(match: Match, _: MarkupState) -> Pieces:
    if match[1].lower() in _SPELT:
        return (" ".join(char for char in match[2] if not char.isspace()),)
    return (match.span(2),)


def _substitute(match: Match, _: MarkupState) -> Pieces:
    return (html.unescape(match[1] or match[2] or ""),)


def _entity(match: Match, _: MarkupState) -> Pieces | None:
    text = html.unescape(match[0])
    return None if text == match[0] else (text.replace("\u00a0", " "),)


def _new_line(_: Match, state: MarkupState) -> Pieces:
    """What a block element begins or ends is a sentence of its own."""
    return (full_stop(state) + "\n",)


_ATTRIBUTES = (
    r"""(?:\s{1,9}[\w:-]{1,40}\s?=\s?(?:"[^"<>]{0,300}"|'[^'<>]{0,300}'|[^\s"'<>=]{1,300}))"""
)
_BLOCK = "p|div|br|li|ul|ol|tr|h[1-6]|s|speak|paragraph|blockquote|hr|table"
_INLINE = "a|abbr|b|big|code|del|em|emphasis|font|i|ins|kbd|mark|small|span|strong|sub|sup|tt|u"

TAGS = [
    rule(_TAG, rf"(?i)<break({_ATTRIBUTES}{{0,3}})\s?/?>(?:</break>)?[ ]?", _break, 1),
    rule(
        _TAG,
        r"(?i)<sub\s+alias\s?=\s?(?:\"([^\"<>]{0,200})\"|'([^'<>]{0,200})')\s?>[^<>]{0,200}</sub>",
        _substitute,
    ),
    rule(
        _TAG,
        rf"(?i)<say-as\s+interpret-as\s?=\s?[\"']([\w-]{{1,20}})[\"']{_ATTRIBUTES}{{0,2}}\s?>"
        r"([^<>]{0,200})</say-as>",
        _say_as,
    ),
    rule(_TAG, rf"(?i)</?(?:{_BLOCK}){_ATTRIBUTES}{{0,9}}\s?/?>", _new_line),
    rule(_TAG, r"<!--(?s:.){0,500}?-->", drop),
    rule(_TAG, rf"(?i)</?(?:{_INLINE}){_ATTRIBUTES}{{0,9}}\s?/?>", drop),
    rule(
        _TAG,
        rf"(?:(?<![\p{{L}}\p{{N}}])<|</)[A-Za-z][\w:.-]{{0,40}}{_ATTRIBUTES}{{0,9}}\s?/?>",
        drop,
    ),
]
"""SSML that matters for what is said; all other tags are dropped, and their content is spoken."""

ENTITIES = [rule("&(?=[#A-Za-z])", r"&(?:[A-Za-z]{2,10}|#\d{1,7}|#x[0-9A-Fa-f]{1,6});", _entity)]


_DONE = regex.compile(
    "laugh|chuckl|giggl|sigh|gasp|cough|whisper|clears|paus|smil|grin|sniff|yawn|cries|crying|sob|"
    "groan|snort|gulp|exhal|inhal|breath|cheer|applau|shrug|nods|winks|blinks|beeps|waves"
)


def _between_sentences(state: MarkupState) -> bool:
    return not state.last or state.last in '.!?…"”»)'


def _in_brackets(match: Match, state: MarkupState) -> Pieces | None:
    """What is done, not said: `[laughs]` anywhere, anything else between sentences."""
    is_direction = _between_sentences(state) or _DONE.match(match[1])
    return () if is_direction else None


def _in_asterisks(_: Match, state: MarkupState) -> Pieces | None:
    """What stands by itself between sentences is done, not said: `*waves*`."""
    return () if _between_sentences(state) else None


DIRECTIONS = [
    rule(
        r"\[",
        r"\[(\p{Ll}[\p{Ll} ',-]{2,40})\](?![(\[:])(?:(?<=(?<!\S)\[[^\]]{3,41}\])[ ])?",
        _in_brackets,
        1,
    ),
    rule(
        r"\*",
        r"(?<!\S)\*(\p{Ll}[\p{L} ',-]{1,59}[\p{L}',-])\*(?![*\p{L}\p{N}])[ ]?",
        _in_asterisks,
        1,
    ),
]
"""Stage directions in brackets or asterisks."""
