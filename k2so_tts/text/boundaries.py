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

"""Where clauses and sentences end, in any script, in whole texts and in texts still being written.

What a mark means is decided from at most `CONTEXT` characters before it and after it, so that the
boundaries of a text that is still being written are the first ones of the whole text. sentencex
(MIT, https://github.com/wikimedia/sentencex) knows the abbreviations of many languages and which
words begin sentences; without it only the rules of this module apply.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from k2so_tts.text.languages import language_code

SENTENCE_MARKS = ".!?…‼⁇⁈⁉‽؟۔।॥։።፧፨။។៕。！？．｡"
COLON_MARKS = ";:—–؛፤፥፦；："
COMMA_MARKS = ",،፣၊՝、，､"
CLOSING = "\"'”’»›)]}」』）】》〉"

CONTEXT = 64
_KNOWN_MARKS = frozenset(".!?")
"""Those that sentencex judges, which knows of "Yahoo! is"."""
_WIDE_MARKS = frozenset("。！？．｡；：、，､")
"""They end something without white space after them."""
_OWN_MARKS = frozenset("؟۔।॥։።፧፨။។៕،؛፣፤፥፦၊՝")
"""They are part of no number, abbreviation or address; white space after them may be missing."""
_STOPS_ELSEWHERE = frozenset([("hy", ":"), ("el", ";")])
"""Armenian's full stop and Greek's question mark, as they are typed."""
_QUOTES = frozenset("\"'”’»›」』")
_EMOJI = "\u200d\u20e3\ufe0e\ufe0f\u2600-\u27bf\u2b50\u2b55\U0001f000-\U0001faff"
_MARKUP = "*_~`"
_PHRASE_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer: spaces stand between phrases, not words."""

_CANDIDATE = re.compile(
    rf"(?P<marks>[{re.escape(SENTENCE_MARKS + COLON_MARKS + COMMA_MARKS)}]+)"
    rf"(?P<tail>[{re.escape(CLOSING + _MARKUP)}{_EMOJI}]*)"
    rf"|(?<=\s)-+(?=\s)|\n|(?<=[{_PHRASE_SCRIPTS}]) (?=[{_PHRASE_SCRIPTS}])"
)
_HAS_EMOJI = re.compile(f"[{_EMOJI}]")
_PARAGRAPH = re.compile(r"[^\S\n]*\n(?:[^\S\n]*\n|[ \t]*(?:[-*•–]|\d{1,3}[.)])\s)")
_NUMBERED = re.compile(r"(?:^|\n)\s*(?:\d{1,3}|\w)\.$")
_TITLE = re.compile(
    r"(?:^|[\s«“„\"(])"
    r"(?:\w|[DM]r|M(?:M|me|mes|lle|lles|gr|rs|s)|Prof|Sra?|St|Mt|डॉ|श्री|प्रो)\.$"
)
_ABBREVIATION = re.compile(
    r"(?:^|\W)(?:e\. ?g|i\. ?e|eg|ie|vs?|cf|viz|approx|incl|esp|resp|ca|figs?|eq|vol|ch|pp?"
    r"|т\. ?[еп])\.$",
    re.IGNORECASE,
)
"""What never ends a sentence, besides what sentencex knows."""
_BEFORE_NUMBER = re.compile(
    r"(?:^|\W)(?:nos?|nr|art|abs|sec|kap|tel|ver|ext|apt)\.$", re.IGNORECASE
)
_ORDINAL = re.compile(r"(?:^|\s)\d{1,2}\.$")
_ORDINAL_LANGUAGES = re.compile("cs|da|de|et|fi|hr|hu|is|lb|lv|nb|nn|no|pl|sk|sl|sr|tr")
_SHORT_WORD = re.compile(r"(?:^|\W)[^\W\d_]{1,3}\.$")
_OPENING = "\"'“‘«‹([{¿¡*_„「『（【《〈"
_WITHOUT_QUOTES = str.maketrans("", "", CLOSING + _OPENING)
_ADDRESS = re.compile(r"[./:@\\_=&\d]")
_JOINED_WORD = re.compile(r"[^\W\d_]{2,}$")
_LONGEST_WORD = 16
_NEXT_WORD = re.compile(rf"[^\W\d_]{{1,{_LONGEST_WORD}}}")
_DOMAIN = re.compile("ai|app|com|de|dev|edu|gov|io|js|net|org|uk", re.IGNORECASE)
_UPPER, _LOWER, _DIGIT, _OTHER = ("Now", "Xylophones"), ("now",), ("5",), ("語",)
"""Stand for the next word while it is not known; to sentencex "Now" begins a sentence."""


class Strength(IntEnum):
    """What ends at a boundary: the greater, the better a place to cut."""

    NONE = 0
    WORD = 1
    CONJUNCTION = 2
    COMMA = 3
    COLON = 4
    SENTENCE = 5


class Boundary(NamedTuple):
    """The end of a clause or sentence, its marks included and white space not, and how strong."""

    end: int
    strength: Strength


class _Candidate(NamedTuple):
    """What looks like a boundary: marks and what closes after them, or a line break, dash or space.

    `before` and `after` are its context; `is_open`: more of what is after it may still come.
    """

    before: str
    marks: str
    tail: str
    after: str
    is_open: bool

    @property
    def following(self) -> str:
        """What is after white space and opening quotes; empty if that is not known."""
        following = self.after.lstrip().lstrip(_OPENING)
        if not following and not self.is_open:
            return "\n"
        return following


def boundaries(
    text: str, language: str, start: int = 0, stop: int | None = None, *, complete: bool = True
) -> Iterator[Boundary]:
    """The ends of clauses and sentences after `start`, but for the end of the text itself.

    Args:
        text: the text; what is before `start` is looked at as well.
        language: its language, a BCP 47 tag.
        start: where the first clause begins.
        stop: boundaries up to here are wanted; None: all.
        complete: False while the text is still being written: it stops at the first mark whose
            meaning depends on what follows. The strength of the last one may then be too low.
    """
    language = language_code(language)
    is_heard, checked = False, start
    search_end = len(text) if stop is None else stop + CONTEXT
    for match in _CANDIDATE.finditer(text, start, search_end):
        if stop is not None and match.end() > stop:
            return
        is_heard = is_heard or has_sound(text[checked : match.start()])
        checked = match.end()
        if match.end() == len(text) and match[0] != "\n":
            return
        if not is_heard:
            continue
        strength = _strength(_candidate(text, match, complete=complete), language)
        if strength is None:
            return
        if strength:
            yield Boundary(match.end() if match["marks"] else _without_space(text, match), strength)
            is_heard = False


def has_sound(text: str) -> bool:
    """There is something in it to pronounce: a letter, a digit or a symbol."""
    return any(unicodedata.category(char)[0] in "LNS" or char in "%&@#" for char in text)


def past_space(text: str, at: int) -> int:
    """Where the white space that begins at `at` ends."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def ends_with_mark(text: str) -> bool:
    """Whether a text ends with a mark that may end a clause; what closes after it may follow."""
    last = text.rstrip().rstrip(CLOSING + _MARKUP)[-1:]
    return bool(last) and last in SENTENCE_MARKS + COLON_MARKS + COMMA_MARKS


def _candidate(text: str, match: re.Match[str], *, complete: bool) -> _Candidate:
    before = text[max(0, match.start() - CONTEXT) : match.start()]
    if match.start() > CONTEXT:
        before = "x" + before  # it is not where the text begins
    after = text[match.end() : match.end() + CONTEXT]
    is_open = not complete and match.end() + CONTEXT > len(text)
    return _Candidate(before, match["marks"] or match[0], match["tail"] or "", after, is_open)


def _without_space(text: str, match: re.Match[str]) -> int:
    """Where the words before a line break, dash or space end; a dash counts as one."""
    end = match.start() if match[0].isspace() else match.end()
    while text[end - 1].isspace():
        end -= 1
    return end


def _strength(candidate: _Candidate, language: str) -> Strength | None:
    """How strong the boundary is; None if that is not known yet."""
    marks, after = candidate.marks, candidate.after
    if marks == "\n":
        return Strength.SENTENCE if _PARAGRAPH.match(marks + after) else Strength.COLON
    if marks == " ":
        return Strength.COMMA
    if _PARAGRAPH.match(after):
        return Strength.SENTENCE
    if after[0].isspace() or _HAS_EMOJI.search(candidate.tail):
        strength = _strength_before_space(candidate, language)
    else:
        strength = _strength_in_token(candidate)
    has_line_break = "\n" in after[: past_space(after, 0)]
    return max(strength or Strength.NONE, Strength.COLON) if has_line_break else strength


def _strength_before_space(candidate: _Candidate, language: str) -> Strength | None:
    """The strength of marks before white space, or of a dash."""
    marks, following, last = candidate.marks, candidate.following, candidate.marks[-1]
    if last == "-":
        return _strength_of_dash(candidate)
    strength = _strength_of(last)
    if strength is not Strength.SENTENCE:
        return Strength.SENTENCE if (language, last) in _STOPS_ELSEWHERE else strength
    if last in _WIDE_MARKS or last in _OWN_MARKS:
        return strength
    if marks == ".":
        return _strength_of_full_stop(candidate, language)
    if not following:
        return Strength.COMMA
    if last in _KNOWN_MARKS:
        is_end = _begins_sentence(candidate, language, _first_word(following))
    else:
        is_end = not following[0].islower()
    is_quoted = _QUOTES.intersection(candidate.tail)  # “Really?” he asked
    return strength if is_end and not is_quoted else Strength.COMMA


def _strength_of_dash(candidate: _Candidate) -> Strength | None:
    """A hyphen between spaces is a dash, but between numbers a minus."""
    if not candidate.before.rstrip()[-1:].isdigit():
        return Strength.COLON
    if not candidate.following:
        return None
    return Strength.NONE if candidate.following[0].isdigit() else Strength.COLON


def _strength_of_full_stop(candidate: _Candidate, language: str) -> Strength | None:
    """A full stop before white space ends a sentence, but not after an abbreviation."""
    following = candidate.following
    words = _next_words(following) if following else _UPPER + _LOWER + _DIGIT + _OTHER
    found = {_full_stop_ends(candidate, language, word) for word in words}
    if not following:
        return None if Strength.NONE in found else min(found)
    if len(found) > 1:
        if _is_cut_off(following, candidate):
            return None
        return _full_stop_ends(candidate, language, _first_word(following))
    return found.pop()


def _next_words(following: str) -> tuple[str, ...]:
    """The words that may stand for one that begins as `following` does."""
    if following[0].islower():
        return _LOWER
    if following[0].isdigit():
        return _DIGIT
    return _UPPER if following[0].isupper() or not following[0].isalpha() else _OTHER


def _full_stop_ends(candidate: _Candidate, language: str, next_word: str) -> Strength:
    """The strength of a full stop between white space and the word that is next."""
    before = candidate.before + "."
    if _NUMBERED.search(before) or _TITLE.search(before) or _ABBREVIATION.search(before):
        return Strength.NONE
    if _ORDINAL_LANGUAGES.fullmatch(language) and _ORDINAL.search(before):
        return Strength.NONE
    if next_word[0].isdigit() and _BEFORE_NUMBER.search(before):
        return Strength.NONE
    is_sentence = _begins_sentence(candidate, language, next_word)
    is_lower = next_word[0].islower()
    if is_sentence and not is_lower:
        return Strength.SENTENCE
    if not (is_lower or next_word[0].isdigit()):
        return Strength.NONE
    is_short = _SHORT_WORD.search(before) is not None
    if is_short or not all(_begins_sentence(candidate, language, word) for word in _UPPER):
        return Strength.NONE  # an abbreviation
    is_quoted = _QUOTES.intersection(candidate.tail)
    return Strength.SENTENCE if is_sentence and not is_quoted else Strength.COMMA


def _begins_sentence(candidate: _Candidate, language: str, next_word: str) -> bool:
    """Whether sentencex, given the words before the marks, begins a sentence with `next_word`."""
    before = candidate.before.translate(_WITHOUT_QUOTES) + candidate.marks
    return splitter()(language, f"{before} {next_word}")[-1].strip() == next_word


def _strength_in_token(candidate: _Candidate) -> Strength | None:
    """The strength of marks without white space after them."""
    before, last, after = candidate.before[-1:], candidate.marks[-1], candidate.after[0]
    strength = _strength_of(last)
    if last in _WIDE_MARKS:
        if before.isdigit() and after.isdigit():
            return Strength.NONE
        is_inside = candidate.tail and after.isalnum()  # 「はい。」と言った
        return Strength.COMMA if is_inside else strength
    if last in _OWN_MARKS or (_is_wide(before) and _is_wide(after)):
        return strength if after.isalpha() else Strength.NONE
    if not (before + after).isalpha():
        return Strength.NONE
    if last == "—":
        return Strength.COLON
    if last == "…" or candidate.marks.endswith(".."):
        return Strength.COMMA
    if strength is not Strength.SENTENCE or after.islower():
        return Strength.NONE
    return _strength_of_joined(candidate)


def _strength_of(mark: str) -> Strength:
    if mark in COMMA_MARKS:
        return Strength.COMMA
    return Strength.COLON if mark in COLON_MARKS else Strength.SENTENCE


def _strength_of_joined(candidate: _Candidate) -> Strength | None:
    """Sentences without white space between them, "One.Two", are no address or abbreviation."""
    token = candidate.before.split()[-1]
    word = _JOINED_WORD.search(token)
    if word is None or _ADDRESS.search(token) or len(token) >= CONTEXT:
        return Strength.NONE
    following = _NEXT_WORD.match(candidate.after)
    assert following is not None, "a letter follows"
    if _is_cut_off(candidate.after, candidate):
        return None
    rest = candidate.after[following.end() :]
    if candidate.is_open and not rest.lstrip("."):
        return None
    is_initial = following.end() == 1 and not rest[:1].isspace()  # Ph.D.
    is_name = _DOMAIN.fullmatch(following[0]) or _ADDRESS.match(rest.lstrip("."))
    return Strength.NONE if is_initial or is_name else Strength.SENTENCE


def _first_word(text: str) -> str:
    """The word that a text begins with, up to `_LONGEST_WORD` letters; a symbol is one."""
    word = _NEXT_WORD.match(text)
    return word[0] if word else text[0]


def _is_cut_off(text: str, candidate: _Candidate) -> bool:
    """Whether the word that a text after a candidate begins with may still become longer."""
    word = _NEXT_WORD.match(text)
    return candidate.is_open and word is not None and word.end() == len(text) < _LONGEST_WORD


def _is_wide(char: str) -> bool:
    return char.isalpha() and unicodedata.east_asian_width(char) == "W"


@cache
def splitter() -> Callable[[str, str], list[str]]:
    """sentencex, or what takes every mark for an end where it is not installed."""
    try:
        import sentencex
    except ImportError:
        return lambda _, text: text.rsplit(" ", 1)
    return lambda language, text: list(sentencex.segment(language, text))
