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

"""What the rules for numbers and abbreviations know, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import regex

from k2so_tts.text.rewriter import RewriteState
from k2so_tts.text.words import Words, words_of

NO_WORD_BEFORE = r"(?<![\p{L}\p{N}_.,/+-])"
NO_WORD_AFTER = r"(?![\p{L}\p{N}_])"
DIGIT = r"(?<![\w.,])[0-9]"
"""Where a number may begin (`Rule.first`)."""


@dataclass
class NormaliseState(RewriteState):
    """The language that is spoken: its ISO 639 code, and with its region (`en-gb`)."""

    language: str = "en"
    tag: str = "en"
    words: Words = field(default_factory=lambda: words_of("en"))


def one_of(names: Sequence[str]) -> str:
    """A pattern for the longest of some names."""
    return "|".join(map(regex.escape, sorted(names, key=len, reverse=True)))


def group_of(words: Words) -> str:
    """A pattern for what separates thousands."""
    return regex.escape(words.group) if words.group != " " else "[ \u00a0\u202f]"


def number_of(words: Words) -> str:
    """A pattern for a number, as a language writes it."""
    decimal = regex.escape(words.decimal)
    return rf"(?:\d{{1,3}}(?:{group_of(words)}\d{{3}}){{1,6}}|\d{{1,15}})(?:{decimal}\d{{1,9}})?"


def plain(number: str, words: Words) -> str:
    """A number without what separates its thousands."""
    return regex.sub(r"[ \u00a0\u202f]", "", number.replace(words.group, ""))


def decimal_of(number: str, words: Words) -> Decimal:
    """The value of a number, as a language writes it."""
    return Decimal(plain(number, words).replace(words.decimal, "."))


def english_ordinal(number: int) -> str:
    """The number with its suffix, as in 1st, 2nd, 3rd, 11th."""
    suffix = (
        "th" if 11 <= number % 100 <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{suffix}"
