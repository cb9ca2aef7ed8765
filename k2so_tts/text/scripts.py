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

"""Parts of a text in another script than a language is written in, and what language they are."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import NamedTuple

import regex

from k2so_tts.text.languages import language_code

_LANGUAGE_OF = {
    "Latin": "en",
    "CJK": "cmn",
    "Hangul": "ko",
    "Cyrillic": "ru",
    "Arabic": "ar",
    "Devanagari": "hi",
    "Bengali": "bn",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Oriya": "or",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Khmer": "km",
    "Myanmar": "my",
    "Greek": "el",
    "Hebrew": "he",
    "Armenian": "hy",
    "Georgian": "ka",
    "Ethiopic": "am",
}
"""The language with the most speakers that is written in a script (CLDR, likely subtags). Chinese
and Japanese share one here.
"""
_LETTERS = {
    **{script: rf"\p{{{script}}}" for script in _LANGUAGE_OF},
    "CJK": r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー",
}
_TELLTALES = (
    ("ja", regex.compile(r"[\p{Hiragana}\p{Katakana}]")),
    ("uk", regex.compile(r"[ґєіїҐЄІЇ]")),
    ("ur", regex.compile(r"[ٹڈڑںےھہ]")),
    ("fa", regex.compile(r"[پچژگ]")),
)
"""Letters that only one of the languages that share a script has."""
_SCRIPTS_OF = {
    **{language: (script,) for script, language in _LANGUAGE_OF.items()},
    "ko": ("Hangul", "CJK"),
    **dict.fromkeys(("zh", "ja", "yue", "hak", "nan", "wuu"), ("CJK",)),
    **dict.fromkeys(("be", "bg", "mk", "uk", "kk", "ky", "tt", "ba", "cv", "mn"), ("Cyrillic",)),
    **dict.fromkeys(("sr", "bs", "uz", "az"), ("Latin", "Cyrillic")),
    **dict.fromkeys(("fa", "ur", "ug", "sd", "ps"), ("Arabic",)),
    "ku": ("Latin", "Arabic"),
    **dict.fromkeys(("mr", "ne", "kok", "sa", "bho"), ("Devanagari",)),
    **dict.fromkeys(("as", "bpy"), ("Bengali",)),
    "grc": ("Greek",),
    "yi": ("Hebrew",),
    "hyw": ("Armenian",),
    "ti": ("Ethiopic",),
    "shn": ("Myanmar",),
}
"""The scripts that a language is written in; those of all others are Latin."""
_CHINESE = ("zh", "cmn", "yue", "hak", "nan", "wuu")
_LEAST_LATIN_WORDS = 3
"""Names and terms in Latin letters are read by every voice."""
_WORDS = regex.compile(
    "|".join(
        rf"(?P<{script}>[{letters}][{letters}\p{{M}}\u200c\u200d]*)"
        for script, letters in _LETTERS.items()
    )
)
_NOT_LATIN = regex.compile(r"(?V1)[\p{L}--\p{Latin}]")


class ScriptRun(NamedTuple):
    """A part of a text, and the language that it seems to be in; None: that of the voice."""

    start: int
    end: int
    language: str | None


def script_runs(text: str, language: str) -> list[ScriptRun]:
    """`text` in parts, in order: those that a voice can read, and those in another script, with the
    language that this script suggests. White space, digits and punctuation belong to the part
    before them. `language` is that of the voice (a BCP 47 tag).
    """
    own = scripts_of(language)
    if own == ("Latin",) and not _NOT_LATIN.search(text):
        return [ScriptRun(0, len(text), None)]
    starts: list[tuple[int, str | None]] = []
    for script, words in groupby(_WORDS.finditer(text), lambda match: match.lastgroup):
        found = list(words)
        spoken = _language(text, script or "", found, own, language_code(language))
        if not starts or spoken != starts[-1][1]:
            starts.append((found[0].start() if starts else 0, spoken))
    if not starts:
        return [ScriptRun(0, len(text), None)]
    return [
        ScriptRun(start, end, spoken)
        for (start, spoken), (end, _) in pairwise([*starts, (len(text), None)])
    ]


def scripts_of(language: str) -> tuple[str, ...]:
    """The scripts that a language (a BCP 47 tag) is written in, by the names of Unicode."""
    if "-latn" in language.lower():
        return ("Latin",)
    return _SCRIPTS_OF.get(language_code(language), ("Latin",))


def _language(
    text: str, script: str, words: list[regex.Match[str]], own: tuple[str, ...], voice: str
) -> str | None:
    """The language of successive words in one script; None if the voice is to read them."""
    found = text[words[0].start() : words[-1].end()]
    if script in own:
        is_japanese = voice in _CHINESE and _TELLTALES[0][1].search(found)
        return "ja" if is_japanese else None
    if script == "Latin":
        return "en" if len(words) >= _LEAST_LATIN_WORDS else None
    if script == "Greek" and all(len(word[0]) == 1 for word in words):
        return None  # as in formulas: every voice reads them
    context = text if script == "CJK" else found
    telltale = (language for language, letters in _TELLTALES if letters.search(context))
    known = (language for language in telltale if _SCRIPTS_OF[language] == (script,))
    return next(known, _LANGUAGE_OF[script])
