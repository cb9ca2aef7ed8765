"""Numbers, dates, units and abbreviations, written out as the language of the voice reads them.

Digits stay digits where the engine reads them well by itself. The names of units and months come
from the Unicode CLDR (Babel); a language without words here (see `words.py`) is left to the engine.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

import regex

from k2so_tts.text.rewriter import Pieces, RewriteState, Rule
from k2so_tts.text.words import Words, words_of

Match = regex.Match[str]

_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_UNITS = {
    "km/h": "speed-kilometer-per-hour",
    "kph": "speed-kilometer-per-hour",
    "mph": "speed-mile-per-hour",
    "m/s": "speed-meter-per-second",
    "km²": "area-square-kilometer",
    "m²": "area-square-meter",
    "m2": "area-square-meter",
    "cm²": "area-square-centimeter",
    "m³": "volume-cubic-meter",
    "m3": "volume-cubic-meter",
    "km": "length-kilometer",
    "cm": "length-centimeter",
    "mm": "length-millimeter",
    "µm": "length-micrometer",
    "μm": "length-micrometer",
    "nm": "length-nanometer",
    "mi": "length-mile",
    "ft": "length-foot",
    "m": "length-meter",
    "kg": "mass-kilogram",
    "mg": "mass-milligram",
    "lb": "mass-pound",
    "lbs": "mass-pound",
    "oz": "mass-ounce",
    "g": "mass-gram",
    "ml": "volume-milliliter",
    "mL": "volume-milliliter",
    "l": "volume-liter",
    "L": "volume-liter",
    "°C": "temperature-celsius",
    "°F": "temperature-fahrenheit",
    "°": "angle-degree",
    "kWh": "energy-kilowatt-hour",
    "kW": "power-kilowatt",
    "MW": "power-megawatt",
    "W": "power-watt",
    "V": "electric-volt",
    "mA": "electric-milliampere",
    "GHz": "frequency-gigahertz",
    "MHz": "frequency-megahertz",
    "kHz": "frequency-kilohertz",
    "Hz": "frequency-hertz",
    "KB": "digital-kilobyte",
    "kB": "digital-kilobyte",
    "MB": "digital-megabyte",
    "GB": "digital-gigabyte",
    "TB": "digital-terabyte",
    "Mbit": "digital-megabit",
    "Gbit": "digital-gigabit",
    "hPa": "pressure-hectopascal",
    "mbar": "pressure-millibar",
    "bar": "pressure-bar",
    "kcal": "energy-kilocalorie",
    "kJ": "energy-kilojoule",
    "ms": "duration-millisecond",
    "min": "duration-minute",
    "h": "duration-hour",
    "s": "duration-second",
}
_VULGAR = {
    "½": (1, 2),
    "⅓": (1, 3),
    "⅔": (2, 3),
    "¼": (1, 4),
    "¾": (3, 4),
    "⅕": (1, 5),
    "⅛": (1, 8),
}
_REGNAL = (
    "Charles|Edward|Elizabeth|George|Henry|James|Mary|Philip|Richard|William|Louis|Napoleon|"
    "Benedict|Francis|Gregory|Leo|Paul|Pius|John|Catherine|Frederick|Alexander|Nicholas|Peter|Ivan"
)
_NUMBERED = (
    "Act|Book|Chapter|Level|Part|Phase|Section|Stage|Type|Vol\\.|Volume|War|Bowl|Mark|Class|Grade"
)
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SEPT = {"sept": 9}


@dataclass
class NormaliseState(RewriteState):
    """The language that is spoken: its ISO 639 code, and with its region (`en-gb`)."""

    language: str = "en"
    tag: str = "en"
    words: Words = field(default_factory=lambda: words_of("en"))


@lru_cache(maxsize=16)
def normalise_rules(language: str) -> list[Rule[NormaliseState]]:
    """The rules for a language (its ISO 639 code); none where its words are not known."""
    words = words_of(language)
    if not words.to:
        return []
    number = _number_pattern(words)
    return [
        *_abbreviations(words),
        *_date_rules(words, language),
        *_phone_rules(),
        *_money_rules(words, number),
        *_unit_rules(number),
        *_number_rules(words, number),
        *(_roman_rules() if language == "en" else []),
    ]


def _rule(
    first: str,
    pattern: str,
    rewrite: Callable[[Match, NormaliseState], Pieces | None],
    lookahead: int = 1,
) -> Rule[NormaliseState]:
    return Rule(first, regex.compile(pattern), rewrite, lookahead)


def _number_pattern(words: Words) -> str:
    group = regex.escape(words.group) if words.group != " " else "[ \u00a0\u202f]"
    decimal = regex.escape(words.decimal)
    return rf"(?:\d{{1,3}}(?:{group}\d{{3}}){{1,6}}|\d{{1,15}})(?:{decimal}\d{{1,9}})?"


def _plain(number: str, words: Words) -> str:
    """A number as written in a language, without what groups its digits."""
    digits = regex.sub(r"[ \u00a0\u202f]", "", number.replace(words.group, ""))
    return digits


def _decimal(number: str, words: Words) -> Decimal:
    return Decimal(_plain(number, words).replace(words.decimal, "."))


_NO_WORD_BEFORE = r"(?<![\p{L}\p{N}_.,/+-])"
_NO_WORD_AFTER = r"(?![\p{L}\p{N}_])"


# Abbreviations


def _abbreviations(words: Words) -> list[Rule[NormaliseState]]:
    def one_of(known: Sequence[str]) -> str:
        return "|".join(map(regex.escape, sorted(known, key=len, reverse=True)))

    rules = []
    firsts = regex.escape("".join(sorted({name[0] for name in words.abbreviations})))
    rules.append(
        _rule(
            rf"(?<![\p{{L}}\p{{N}}.])[{firsts}]",
            rf"(?<![\p{{L}}\p{{N}}.])({one_of([*words.abbreviations])}){_NO_WORD_AFTER}",
            lambda match, state: _expand(match, state.words),
            3,
        )
    )
    for known, follows in ((words.before_number, r"[\d]"), (words.before_name, r"\p{Lu}\p{L}")):
        if not known:
            continue
        firsts = regex.escape("".join(sorted({name[0] for name in known})))
        rules.append(
            _rule(
                rf"(?<![\p{{L}}\p{{N}}.])[{firsts}]",
                rf"(?<![\p{{L}}\p{{N}}.])({one_of([*known])})(?=[ \u00a0]?{follows})",
                lambda match, state: (
                    (state.words.before_number.get(match[1]) or state.words.before_name[match[1]]),
                ),
                0,
            )
        )
    return rules


def _expand(match: Match, words: Words) -> Pieces:
    """What an abbreviation stands for; its point may end the sentence, too."""
    spoken = words.abbreviations[match[1]]
    following = match.string[match.end() : match.end() + 2]
    ends = match[1].endswith(".") and (not following.strip() or regex.match(r"\s\p{Lu}", following))
    ends = bool(ends) and match[1] in {"etc.", "usw.", "ecc.", "a.m.", "p.m."}
    return (spoken + ("." if ends else ""),)


# Dates and times


def _date_rules(words: Words, language: str) -> list[Rule[NormaliseState]]:
    rules = [
        _rule(
            r"\d",
            rf"{_NO_WORD_BEFORE}(\d{{4}})-(\d{{2}})-(\d{{2}})(?:[T ](?=\d\d:))?(?![\d-])",
            lambda match, state: _date(match[0], (match[1], match[2], match[3]), state),
            2,
        ),
        _rule(
            r"\d",
            rf"{_NO_WORD_BEFORE}(\d{{1,2}})([./])(\d{{1,2}})\2(\d{{4}}|\d{{2}})(?![\d./-])",
            _numeric_date,
            1,
        ),
        _rule(
            r"\d",
            rf"{_NO_WORD_BEFORE}([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?![\d:])(?: (?:Uhr|h)\b)?",
            _clock,
            5,
        ),
    ]
    if language == "en":
        names = "|".join(
            name.capitalize() for name in (*_MONTHS, "sept") if name not in {"may", "mar"}
        )
        rules.append(
            _rule(
                r"(?<![\p{L}\p{N}])[JFMASOND]",
                rf"(?<![\p{{L}}\p{{N}}])({names}|Mar(?=\.? \d))\b\.?(?= \d{{1,4}}\b)",
                lambda match, _: (_month_name(match[1]),),
                2,
            )
        )
    return rules


def _month_name(short: str) -> str:
    number = _SEPT.get(short.lower()) or _MONTHS.index(short.lower()[:3]) + 1
    return datetime.date(2000, number, 1).strftime("%B")


def _date(written: str, parts: tuple[str, str, str], state: NormaliseState) -> Pieces | None:
    from babel.dates import format_date

    try:
        date = datetime.date(*map(int, parts))
    except ValueError:
        return None
    if state.language == "en":
        suffix = (
            "th" if 11 <= date.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(date.day % 10, "th")
        )
        spoken = f"{date.strftime('%B')} {date.day}{suffix}, {_year(date.year)}"
    else:
        spoken = format_date(date, "long", locale=state.language)
    return (spoken + (" " if written[-1:] in "T " else ""),)


def _year(year: int) -> str:
    """As English says it: `1999` is nineteen ninety-nine."""
    if not 1100 <= year <= 1999:
        return str(year)
    century, rest = divmod(year, 100)
    if rest == 0:
        return f"{century} hundred"
    return f"{century} oh {rest}" if rest < 10 else f"{century} {rest}"


def _numeric_date(match: Match, state: NormaliseState) -> Pieces | None:
    first, sign, second, year = match.groups()
    if len(year) == 2:
        if sign == "." and state.language != "de":
            return None
        year = f"20{year}"
    american = sign == "/" and state.language == "en" and state.tag in {"en", "en-us"}
    day, month = (second, first) if american else (first, second)
    return _date(match[0], (year, month, day), state)


def _clock(match: Match, state: NormaliseState) -> Pieces | None:
    hour, minute, second = int(match[1]), int(match[2]), match[3]
    if second is not None:
        return None
    words = state.words
    if state.language == "en":
        if minute == 0:
            follows = match.string[match.end() : match.end() + 3].strip().lower()
            is_half_day = follows[:1] in {"a", "p"} and follows[1:2] in {"m", ".", " "}
            return (str(hour) if is_half_day or hour > 12 else f"{hour} o'clock",)
        return (f"{hour} oh {minute}" if minute < 10 else f"{hour} {minute}",)
    spoken = words.clock if minute else words.clock_full
    return (spoken.format(hour=hour, minute=minute),)


# Telephone numbers


def _phone_rules() -> list[Rule[NormaliseState]]:
    return [
        _rule(
            r"[+(\d]",
            rf"{_NO_WORD_BEFORE}(?:\+\d{{1,3}}[ ./-]?(?:\(\d{{1,4}}\)[ ./-]?)?\d{{1,5}}(?:[ ./-]\d{{2,8}}){{1,5}}"
            r"|\+\d{8,15}|\(\d{3}\) ?\d{3}-\d{4}|\d{3}-\d{3}-\d{4}|0\d{2,4}[ /-]\d{3,8}(?:[ -]\d{2,6})?)"
            r"(?![\d\p{L}])",
            _phone,
            2,
        )
    ]


def _phone(match: Match, state: NormaliseState) -> Pieces:
    groups = regex.findall(r"\d+", match[0])
    plus = f"{state.words.plus} " if match[0].startswith("+") else ""
    return (plus + ", ".join(" ".join(group) for group in groups),)


# Money


def _money_rules(words: Words, number: str) -> list[Rule[NormaliseState]]:
    scales = "|".join(map(regex.escape, sorted(words.scales, key=len, reverse=True)))
    scale = rf"(?:[ \u00a0]?({scales}){_NO_WORD_AFTER})?" if scales else "()?"
    signs = "".join(map(regex.escape, _SIGNS))
    codes = "USD|EUR|GBP|JPY|INR|CHF|MXN"
    return [
        _rule(
            rf"[{signs}]",
            rf"(?<![\p{{L}}\p{{N}}])(?:US)?([{signs}])[ \u00a0]?({number}){scale}(?![\p{{L}}\p{{N}}])",
            lambda match, state: _money(match[1], match[2], match[3], state),
            3,
        ),
        _rule(
            r"\d",
            rf"{_NO_WORD_BEFORE}({number}){scale}[ \u00a0]?([{signs}]|(?:{codes}){_NO_WORD_AFTER})",
            lambda match, state: _money(match[3], match[1], match[2], state),
            1,
        ),
        _rule(
            r"(?<![\p{L}\p{N}])[UEGJICM]",
            rf"(?<![\p{{L}}\p{{N}}])({codes})[ \u00a0]({number}){scale}(?![\p{{L}}\p{{N}}])",
            lambda match, state: _money(match[1], match[2], match[3], state),
            3,
        ),
    ]


def _money(sign: str, number: str, scale: str | None, state: NormaliseState) -> Pieces:
    words = state.words
    code = _SIGNS.get(sign, sign)
    one, several, cent, cents = words.currencies.get(code) or _currency(code, state.language)
    whole, point, fraction = _plain(number, words).partition(words.decimal)
    if scale:
        return (f"{whole}{point}{fraction} {words.scales[scale]} {several}",)
    name = one if whole == "1" else several
    if len(fraction) == 2 and cent:
        amount = int(fraction)
        if not amount:
            return (f"{whole} {name}",)
        below = f"{amount} {cent if amount == 1 else cents}"
        if state.language in {"de", "fr"}:
            below = str(amount)
        return (below if whole == "0" else f"{whole} {name}{words.before_cents}{below}",)
    return (f"{whole}{point}{fraction} {name if not fraction else several}",)


@lru_cache(maxsize=64)
def _currency(code: str, language: str) -> tuple[str, str, str, str]:
    from babel.numbers import get_currency_name

    return (
        get_currency_name(code, count=1, locale=language),
        get_currency_name(code, count=2, locale=language),
        "",
        "",
    )


# Units, fractions, ranges, versions, other numbers


def _unit_rules(number: str) -> list[Rule[NormaliseState]]:
    units = "|".join(map(regex.escape, sorted(_UNITS, key=len, reverse=True)))
    return [
        _rule(
            r"[\d−-]",
            rf"{_NO_WORD_BEFORE}([−-]?)({number})(?:[ ]?[–-][ ]?({number}))?[ \u00a0]?({units})"
            r"(?![\p{L}\p{N}_/²³])",
            _unit,
            3,
        )
    ]


def _unit(match: Match, state: NormaliseState) -> Pieces | None:
    sign, number, upper, unit = match.groups()
    words = state.words
    name = _unit_name(_UNITS[unit], str(_decimal(upper or number, words)), state.language)
    if name is None:
        return None
    spoken = _plain(number, words)
    if upper:
        spoken += f" {words.to} {_plain(upper, words)}"
    if sign:
        spoken = f"{words.minus} {spoken}"
    return (f"{spoken} {name}",)


@lru_cache(maxsize=512)
def _unit_name(unit: str, amount: str, language: str) -> str | None:
    """What a unit is called with an amount; None where the language puts it before the number."""
    from babel.units import format_unit

    text = format_unit(Decimal(amount), unit, locale=language, format="0", length="long")
    match = regex.fullmatch(r"\d+[\s\u00a0](\D+)", text)
    return match[1] if match else None


def _number_rules(words: Words, number: str) -> list[Rule[NormaliseState]]:
    vulgar = "".join(_VULGAR)
    group = regex.escape(words.group) if words.group != " " else "[ \u00a0\u202f]"
    return [
        _rule(
            rf"[\d{vulgar}]",
            rf"(?<![\p{{L}}\p{{N}}.,])(\d{{0,6}})[ \u00a0]?([{vulgar}])",
            _vulgar_fraction,
        ),
        _rule(
            r"\d",
            r"(?<![\p{L}\p{N}.,/])(?:(\d{1,4}) )?(\d{1,2})[/⁄](\d{1,2})(?![\p{L}\p{N}/⁄.,-])(?![.,]\d)",
            _fraction,
            2,
        ),
        _rule(
            r"[vV\d]",
            r"(?<![\p{L}\p{N}.])(?:([vV])(\d{1,4}(?:\.\d{1,4}){0,3})|(\d{1,4}(?:\.\d{1,4}){2,3}))(?![\p{L}\p{N}])(?!\.\d)",
            _version,
            2,
        ),
        _rule(
            r"\d",
            rf"{_NO_WORD_BEFORE}({number})[ ]?[–-][ ]?({number})(?![\p{{L}}\p{{N}}–/:-])(?![.,]\d)",
            _range,
            2,
        ),
        _rule(r"#", r"(?<![\p{L}\p{N}&#])#(?=\d{1,9}(?![\p{L}\p{N}]))", _numbered, 10),
        _rule(r"[*×]", r"(?<=\d )[*×](?= \d)|(?<=\d)[×](?=\d)", _times),
        _rule(
            r"\d",
            rf"(?<![\p{{L}}\p{{N}}.,])(?=\d{{1,3}}{group}\d{{3}})({number})(?![\p{{N}}])(?![.,]\d)",
            lambda match, state: (_plain(match[1], state.words),),
            2,
        ),
    ]


def _vulgar_fraction(match: Match, state: NormaliseState) -> Pieces | None:
    fraction = state.words.fractions.get(_VULGAR[match[2]])
    if fraction is None:
        return None
    return (_with_whole(match[1], fraction, state.words),)


def _with_whole(whole: str, fraction: str, words: Words) -> str:
    if not whole:
        return fraction
    if words.halves.startswith("{whole} and") and fraction.startswith("one "):
        fraction = "a " + fraction.removeprefix("one ")
    return words.halves.format(whole=whole, fraction=fraction)


def _fraction(match: Match, state: NormaliseState) -> Pieces | None:
    fraction = state.words.fractions.get((int(match[2]), int(match[3])))
    if fraction is None:
        return None
    return (_with_whole(match[1] or "", fraction, state.words),)


def _version(match: Match, state: NormaliseState) -> Pieces | None:
    number = match[2] or match[3]
    spoken = f" {state.words.point} ".join(number.split("."))
    return (f"{state.words.version} {spoken}" if match[1] else spoken,)


def _range(match: Match, state: NormaliseState) -> Pieces | None:
    low, high = (_decimal(number, state.words) for number in match.groups())
    if low >= high:
        return None
    return (match.span(1), f" {state.words.to} ", match.span(2))


def _numbered(_: Match, state: NormaliseState) -> Pieces:
    return (f"{state.words.number} ",)


def _times(match: Match, state: NormaliseState) -> Pieces:
    before = match.string[match.start() - 1 : match.start()]
    return (state.words.times if before == " " else f" {state.words.times} ",)


def _roman_rules() -> list[Rule[NormaliseState]]:
    numeral = r"([IVX]{1,6})(?![\p{L}\p{N}'’])"
    return [
        _rule(
            r"(?<![\p{L}\p{N}])\p{Lu}",
            rf"(?<![\p{{L}}\p{{N}}])((?:{_REGNAL})|(?:{_NUMBERED})) {numeral}",
            _roman,
            2,
        )
    ]


def _roman(match: Match, _: NormaliseState) -> Pieces | None:
    number = _roman_value(match[2])
    if number is None:
        return None
    is_ruler = regex.fullmatch(_REGNAL, match[1]) is not None
    if is_ruler and match[2] == "I" and match.string[match.end() : match.end() + 2].strip():
        following = match.string[match.end() : match.end() + 2].strip()
        if following[:1].islower():
            return None  # "when Peter I think"
    if not is_ruler:
        return (match.span(1), f" {number}")
    suffix = "th" if 11 <= number <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return (match.span(1), f" the {number}{suffix}")


def _roman_value(numeral: str) -> int | None:
    if not regex.fullmatch(r"X{0,3}(?:IX|IV|V?I{0,3})", numeral):
        return None
    total = 0
    for char, following in zip(numeral, [*numeral[1:], ""], strict=True):
        value = _ROMAN[char]
        total += -value if following and _ROMAN[following] > value else value
    return total or None
