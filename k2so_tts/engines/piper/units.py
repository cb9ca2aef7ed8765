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

"""Texts in the units that a voice speaks in one go: sentences, bounded by how long they sound."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate

from k2so_tts.text.boundaries import boundaries, past_space
from k2so_tts.text.segmenter import sentence_ends

LONGEST = 280
"""Size of a unit at most, in letters: espeak-ng silently drops what exceeds its buffer for the
phonemes of a clause (1000), and the text encoder takes about 2.3 ids for a letter."""

_DIGIT_SIZE, _SYMBOL_SIZE, _CAPITAL_SIZE, _WIDE_SIZE = 6, 5, 2, 14
"""A digit is a word and more (`1,000`), a capital may be spelled, and espeak-ng may call an
ideograph "Chinese letter"."""
_RAW_PHONEMES = re.compile(r"\[\[.*?\]\]", re.DOTALL)
_SPACE = re.compile(r"\s+")


def units(text: str, language: str) -> list[tuple[int, int]]:
    """Where the units of a text start and end; joined they are the text.

    A sentence that sounds too long is cut at a clause if one ends in its second half, else between
    words. Nothing is cut inside of `[[ phonemes ]]`. `language` is a BCP 47 tag.
    """
    raw = [match.span() for match in _RAW_PHONEMES.finditer(text)]

    def is_inside(at: int) -> bool:
        return any(start < at < end for start, end in raw)

    made: list[tuple[int, int]] = []
    start = 0
    for end in sentence_ends(text, language):
        if not is_inside(end):
            made += _bounded(text, start, end, raw, language)
            start = end
    return made


def _bounded(
    text: str, start: int, end: int, raw: list[tuple[int, int]], language: str
) -> list[tuple[int, int]]:
    """A sentence as one unit, or more if it sounds too long."""
    made = []
    while (fitting := _fitting(text[start:end])) < end - start:
        at = start + fitting
        clauses = (past_space(text, found.end) for found in boundaries(text, language, start, at))
        spaces = (match.end() for match in _SPACE.finditer(text, start + fitting // 2, at))
        allowed = [
            [
                place
                for place in found
                if start + fitting // 2 < place <= at
                and not any(first < place < last for first, last in raw)
            ]
            for found in (clauses, spaces)
        ]
        cut = next((found[-1] for found in allowed if found), None) or _end_of_raw(at, raw)
        made.append((start, cut))
        start = cut
    if start < end:
        made.append((start, end))
    return made


def _end_of_raw(at: int, raw: list[tuple[int, int]]) -> int:
    return next((last for first, last in raw if first < at < last), at)


def _fitting(text: str) -> int:
    """How many characters of a text fit into a unit; one at least."""
    sizes = list(accumulate(map(_size, text)))
    return max(1, next((at for at, size in enumerate(sizes) if size > LONGEST), len(text)))


def _size(char: str) -> int:
    """How long a character sounds, in letters."""
    category = unicodedata.category(char)
    if category[0] == "N":
        return _DIGIT_SIZE
    if unicodedata.east_asian_width(char) in "WF":
        return _WIDE_SIZE
    if category[0] == "S" or char in "/\\@&%#*_":
        return _SYMBOL_SIZE
    return _CAPITAL_SIZE if category == "Lu" else 1
