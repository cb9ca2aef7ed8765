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

"""What each language declares about how signs, numbers and dates are read in it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """The words of a language, and how it writes numbers and dates.

    With an empty `to` the language has no words: what is written is left to the engine.
    """

    code: str = "code"
    """Said in place of code that is too long to be read out."""
    code_block: str = "code block"
    formula: str = "formula"
    at: str = "@"
    """In e-mail addresses."""
    to: str = ""
    """Between the ends of a range."""
    plus: str = "+"
    minus: str = "-"
    times: str = ""
    about: str = ""
    """Before a number that has a tilde."""
    point: str = ""
    """In version numbers."""
    version: str = ""
    number: str = ""
    decimal: str = "."
    group: str = ","
    """Between thousands; a space stands for any kind of space."""
    clock: str = "{hour}:{minute}"
    clock_full: str = ""
    """At the full hour."""
    clock_afternoon: str = ""
    """At the full hour from 13 on, if that is said otherwise."""
    clock_early: str = ""
    """Before the tenth minute."""
    months: tuple[str, ...] = ()
    short_months: dict[str, int] = field(default_factory=dict)
    """Abbreviated, without a point: the number of the month."""
    date: str = ""
    """With the fields `day`, `month`, `year`."""
    first_day: str = "1"
    """How the first of a month is written."""
    mixed: str = "{whole} {fraction}"
    """A mixed fraction."""
    of_scaled: str = ""
    """Between a scale and its currency."""
    of_vowel: str = ""
    """The same before a vowel."""
    before_cents: str = " "
    names_cents: bool = True
    """Whether the hundredths of an amount of money are named: 12 dollars and 50 *cents*."""
    abbreviations: dict[str, str] = field(default_factory=dict)
    ends_sentence: frozenset[str] = frozenset()
    """Abbreviations whose point may be the full stop as well."""
    before_number: dict[str, str] = field(default_factory=dict)
    """Abbreviations that are such before a number only."""
    before_name: dict[str, str] = field(default_factory=dict)
    """Abbreviations that are such before a capitalised word only."""
    fractions: dict[tuple[int, int], str] = field(default_factory=dict)
    """By numerator and denominator."""
    currencies: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    """By ISO 4217 code: one, several, one hundredth, several hundredths (empty: it has none)."""
    scales: dict[str, str] = field(default_factory=dict)
    """What may stand between an amount and its currency: thousands, millions."""
    units: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By CLDR name: one, several."""
