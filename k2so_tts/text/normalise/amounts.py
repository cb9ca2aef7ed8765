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

"""Amounts of money, and numbers with units."""

from __future__ import annotations

from k2so_tts.text.normalise.state import (
    DIGIT,
    NO_WORD_AFTER,
    NO_WORD_BEFORE,
    NormaliseState,
    decimal_of,
    number_of,
    one_of,
    plain,
)
from k2so_tts.text.rewriter import Match, Pieces, Rule, rule
from k2so_tts.text.words import Words

_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_CODES = ("USD", "EUR", "GBP", "JPY", "INR", "CHF", "MXN")
_SECONDS = "s"
_UNITS = {
    "km/h": "kilometer-per-hour",
    "kph": "kilometer-per-hour",
    "mph": "mile-per-hour",
    "m/s": "meter-per-second",
    "m/s²": "meter-per-square-second",
    "m/s^2": "meter-per-square-second",
    "m/s2": "meter-per-square-second",
    "rad/s": "radian-per-second",
    "°/s": "degree-per-second",
    "deg/s": "degree-per-second",
    "rpm": "revolution-per-minute",
    "RPM": "revolution-per-minute",
    "Nm": "newton-meter",
    "N·m": "newton-meter",
    "km²": "square-kilometer",
    "km2": "square-kilometer",
    "m²": "square-meter",
    "m2": "square-meter",
    "cm²": "square-centimeter",
    "m³": "cubic-meter",
    "m3": "cubic-meter",
    "km": "kilometer",
    "cm": "centimeter",
    "mm": "millimeter",
    "µm": "micrometer",
    "μm": "micrometer",
    "nm": "nanometer",
    "mi": "mile",
    "ft": "foot",
    "m": "meter",
    "kg": "kilogram",
    "mg": "milligram",
    "lb": "pound",
    "lbs": "pound",
    "oz": "ounce",
    "g": "gram",
    "ml": "milliliter",
    "mL": "milliliter",
    "l": "liter",
    "L": "liter",
    "°C": "celsius",
    "℃": "celsius",
    "°F": "fahrenheit",
    "℉": "fahrenheit",
    "°": "degree",
    "kWh": "kilowatt-hour",
    "kW": "kilowatt",
    "MW": "megawatt",
    "W": "watt",
    "V": "volt",
    "mAh": "milliampere-hour",
    "mA": "milliampere",
    "dB": "decibel",
    "GHz": "gigahertz",
    "MHz": "megahertz",
    "kHz": "kilohertz",
    "Hz": "hertz",
    "KB": "kilobyte",
    "kB": "kilobyte",
    "MB": "megabyte",
    "GB": "gigabyte",
    "TB": "terabyte",
    "KiB": "kibibyte",
    "MiB": "mebibyte",
    "GiB": "gibibyte",
    "MB/s": "megabyte-per-second",
    "GB/s": "gigabyte-per-second",
    "kbit/s": "kilobit-per-second",
    "kbps": "kilobit-per-second",
    "Mbit/s": "megabit-per-second",
    "Mbps": "megabit-per-second",
    "Gbit/s": "gigabit-per-second",
    "Gbps": "gigabit-per-second",
    "Mbit": "megabit",
    "Gbit": "gigabit",
    "hPa": "hectopascal",
    "mbar": "millibar",
    "bar": "bar",
    "kcal": "kilocalorie",
    "kJ": "kilojoule",
    "ms": "millisecond",
    "min": "minute",
    "h": "hour",
    _SECONDS: "second",
}
"""By the sign, the name in the Unicode CLDR, or one that is made like those."""


def money_rules(words: Words) -> list[Rule[NormaliseState]]:
    """Rules for amounts with a sign or a code before or after them: €50, 12.50 $, USD 5M."""
    number = number_of(words)
    scale = rf"(?:[ \u00a0]?({one_of([*words.scales])}){NO_WORD_AFTER})?"
    signs = "".join(_SIGNS)
    codes = "|".join(_CODES)
    before = r"(?<![\p{L}\p{N}])"
    after = r"(?![\p{L}\p{N}])(?![.,]\d)"
    return [
        rule(
            (f"[{signs}]", r"(?<!\w)US(?=\$)"),
            rf"{before}([{signs}])({number})[ ]?[–-][ ]?\1?({number}){scale}{after}",
            _money_range,
            3,
        ),
        rule(
            (f"[{signs}]", r"(?<!\w)US(?=\$)"),
            rf"{before}(?:US)?([{signs}])[ \u00a0]?({number}){scale}{after}",
            lambda match, state: _money(match[1], match[2], match[3], state),
            3,
        ),
        rule(
            DIGIT,
            rf"{NO_WORD_BEFORE}({number}){scale}[ \u00a0]?([{signs}]|(?:{codes}){NO_WORD_AFTER})",
            lambda match, state: _money(match[3], match[1], match[2], state),
            1,
        ),
        rule(
            rf"(?<!\w)(?:{codes})\b",
            rf"{before}({codes})[ \u00a0]({number}){scale}{after}",
            lambda match, state: _money(match[1], match[2], match[3], state),
            3,
        ),
    ]


def _money_range(match: Match, state: NormaliseState) -> Pieces | None:
    words = state.words
    upper = _money(match[1], match[3], match[4], state)
    if upper is None or decimal_of(match[2], words) >= decimal_of(match[3], words):
        return None
    return (f"{plain(match[2], words)} {words.to} ", *upper)


def _money(sign: str, number: str, scale: str | None, state: NormaliseState) -> Pieces | None:
    words = state.words
    names = words.currencies.get(_SIGNS.get(sign, sign))
    if names is None:
        return None
    one, several, cent, cents = names
    whole, point, fraction = plain(number, words).partition(words.decimal)
    if scale:
        of = words.of_vowel if several[0] in "aeiou" else words.of_scaled
        return (f"{whole}{point}{fraction} {words.scales[scale]} {of}{several}",)
    if len(fraction) != 2 or not cent:
        return (f"{whole}{point}{fraction} {one if (whole, fraction) == ('1', '') else several}",)
    amount = f"{whole} {one if whole == '1' else several}"
    if fraction == "00":
        return (amount,)
    hundredths = int(fraction)
    below = f"{hundredths} {cent if hundredths == 1 else cents}"
    if whole == "0":
        return (below,)
    return (amount + words.before_cents + (below if words.names_cents else str(hundredths)),)


def unit_rules(words: Words) -> list[Rule[NormaliseState]]:
    """Rules for numbers with units, ranges of them included: 10 km/h, -5 °C, 10-20 kg."""
    number = number_of(words)
    pattern = (
        rf"{NO_WORD_BEFORE}([−-]?)({number})(?:[ ]?[–-][ ]?({number}))?"
        rf"([ \u00a0]?)({one_of([*_UNITS])})"
        r"(?![\p{L}\p{N}_/²³])(?!-\p{L})"
    )
    return [rule((DIGIT, r"(?<![\w.,/+-])[−-](?=[0-9])"), pattern, _unit, 3)]


def _unit(match: Match, state: NormaliseState) -> Pieces | None:
    sign, lower, upper, space, unit = match.groups()
    words = state.words
    if unit == _SECONDS and not space:
        return None  # the 1990s
    one, several = words.units[_UNITS[unit]]
    spoken = plain(lower, words)
    if upper:
        spoken += f" {words.to} {plain(upper, words)}"
    if sign:
        spoken = f"{words.minus} {spoken}"
    return (f"{spoken} {one if not upper and decimal_of(lower, words) == 1 else several}",)
