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

"""Dates and times of day."""

from __future__ import annotations

import datetime

from k2so_tts.text.normalise.state import (
    DIGIT,
    NO_WORD_BEFORE,
    NormaliseState,
    english_ordinal,
    one_of,
)
from k2so_tts.text.rewriter import Match, Pieces, Rule, rule
from k2so_tts.text.words import Words, words_of

_SECONDS = r"(?::[0-5]\d(?:\.\d{1,6})?)?Z?"
_AMERICAN = {"en", "en-us"}


def date_rules(language: str) -> list[Rule[NormaliseState]]:
    """Rules for dates (ISO 8601, and as the language writes them) and times of day."""
    rules = [
        rule(
            DIGIT,
            rf"{NO_WORD_BEFORE}(\d{{4}})-(\d{{2}})-(\d{{2}})"
            rf"(?:[T ]([01]\d|2[0-3]):([0-5]\d){_SECONDS}(?:[+-]\d\d:?\d\d)?(?![\d:])|(?![\d-]))",
            _iso_date,
            8,
        ),
        rule(
            DIGIT,
            rf"{NO_WORD_BEFORE}(\d{{1,2}})([./])(\d{{1,2}})\2(\d{{4}}|\d{{2}})(?![\d./-]\d)(?!\d)",
            _numeric_date,
            2,
        ),
        rule(
            DIGIT,
            rf"{NO_WORD_BEFORE}([01]?\d|2[0-3]):([0-5]\d){_SECONDS}(?![\d:])"
            r"(?:[ \u00a0](?:Uhr|h)(?![\p{L}\p{N}]))?",
            _clock,
            5,
        ),
    ]
    if language == "fr":
        pattern = rf"{NO_WORD_BEFORE}([01]?\d|2[0-3])[ \u00a0]?h[ \u00a0]?([0-5]\d)(?![\d\p{{L}}])"
        rules.append(rule(DIGIT, pattern, _clock, 1))
    short = one_of([*words_of(language).short_months])
    if language == "en":
        pattern = rf"(?<![\p{{L}}\p{{N}}])({short})\b\.?(?= \d{{1,4}}(?:st|nd|rd|th)?\b)"
    else:
        pattern = rf"(?<=\d\.? (?:de )?)({short})\b\.?(?= (?:de )?\d{{4}}\b)"
    rules.append(rule(rf"(?<!\w)(?:{short})\b", pattern, _month, 8))
    return rules


def _month(match: Match, state: NormaliseState) -> Pieces:
    return (state.words.months[state.words.short_months[match[1]] - 1],)


def _iso_date(match: Match, state: NormaliseState) -> Pieces | None:
    spoken = _date(int(match[1]), int(match[2]), int(match[3]), state)
    if spoken is None:
        return None
    time = f", {_time(int(match[4]), int(match[5]), state.words)}" if match[4] else ""
    return (spoken + time,)


def _numeric_date(match: Match, state: NormaliseState) -> Pieces | None:
    first, sign, second, year = match.groups()
    if len(year) == 2 and (sign == "/" or state.language != "de"):
        return None
    is_month_first = sign == "/" and state.tag in _AMERICAN
    day, month = (second, first) if is_month_first else (first, second)
    century = 2000 if len(year) == 2 else 0
    spoken = _date(century + int(year), int(month), int(day), state)
    return None if spoken is None else (spoken,)


def _date(year: int, month: int, day: int, state: NormaliseState) -> str | None:
    """A date as it is read out; None if there is none such."""
    try:
        datetime.date(year, month, day)
    except ValueError:
        return None
    words = state.words
    named = str(day)
    if state.language == "en":
        named = english_ordinal(day)
        if state.tag not in _AMERICAN:
            return f"{named} {words.months[month - 1]} {_english_year(year)}"
    elif day == 1:
        named = words.first_day
    spoken_year = _english_year(year) if state.language == "en" else year
    return words.date.format(day=named, month=words.months[month - 1], year=spoken_year)


def _english_year(year: int) -> str:
    """`1905` is nineteen oh five. Those of which engines do so by themselves stay as they are."""
    century, rest = divmod(year, 100)
    if not 11 <= century <= 19 or rest >= 10:
        return str(year)
    return f"{century} oh {rest}" if rest else f"{century} hundred"


def _clock(match: Match, state: NormaliseState) -> Pieces | None:
    """A time of day."""
    if match[0].count(":") > 1:
        return None  # a duration, or a time to the second
    hour, minute = int(match[1]), int(match[2])
    follows = match.string[match.end() : match.end() + 3].strip().lower()
    is_half_day = follows[:1] in {"a", "p"} and follows[1:2] in {"m", "."}
    if is_half_day and not minute:
        return (str(hour),)
    return (_time(hour, minute, state.words),)


def _time(hour: int, minute: int, words: Words) -> str:
    if not minute and (hour <= 12 or not words.clock_afternoon):
        return words.clock_full.format(hour=hour)
    if not minute:
        return words.clock_afternoon.format(hour=hour)
    return (words.clock_early if minute < 10 else words.clock).format(hour=hour, minute=minute)
