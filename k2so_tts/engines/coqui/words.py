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

"""Word marks of a VITS: it computes how long each token sounds; which tokens are which word is
found here.

The library spells out numbers and may turn words into phonemes, of which espeak-ng joins some
(`of the` is one group). Asking it for each word alone would start a program each time, so words and
groups are aligned by their lengths, as Gale and Church align sentences with their translations ("A
Program for Aligning Sentences in Bilingual Corpora", Computational Linguistics 19(1), 1993).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from k2so_tts.audio import Block, Mark
from k2so_tts.engines.toolkit.chunked_decoder import to_pcm

_SOUNDS_OF_DIGIT, _SOUNDS_OF_SYMBOL = 4, 6
"""How many sounds a digit and a symbol such as $ have, about."""
_SYMBOLS = frozenset("$€£%&+=@°")
_MOST_GROUPS, _MOST_WORDS = 12, 3
"""So many groups may be one word ($1,250), and so many words one group (out of the)."""
_OTHER_STEP_COST = 1.5
"""What an alignment of other than one word with one group costs, in sounds."""


@dataclass(frozen=True)
class _Span:
    end: int
    """Characters of the text, or letters, up to its end."""
    sounds: int


def word_ends(text: str, letters: Sequence[str]) -> list[tuple[int, int]]:
    """For each word that is heard, how many characters of the text there are up to its end, and how
    many of `letters`, those that the text is spelt or pronounced with; both grow.
    """
    words = [
        _Span(match.end(), sounds)
        for match in re.finditer(r"\S+", text)
        if (sounds := _expected_sounds(match[0]))
    ]
    groups = _groups(letters)
    if not words or not groups:
        return []
    ends: list[tuple[int, int]] = []
    for some_words, some_groups in _aligned(words, groups):
        ends += _shared_out(some_words, some_groups)
    return ends


def marks_of(
    text: str, tokens: Sequence[int], letters: Mapping[int, str], ends: NDArray[np.int64]
) -> list[Mark]:
    """The marks of the words of a text.

    Args:
        text: as it was given to the library.
        tokens: those that it made of the text.
        letters: what tokens stand for, without those that are put between and around.
        ends: the samples up to the end of each token.
    """
    spelt = [at for at, token in enumerate(tokens) if token in letters]
    found = word_ends(text, [letters[tokens[at]] for at in spelt])
    return [Mark(end, int(ends[spelt[count - 1]])) for end, count in found]


def marked(
    blocks: Iterator[NDArray[np.float32]], find_marks: Callable[[], list[Mark]]
) -> Iterator[Block]:
    """Samples in -1.0 to 1.0, shape (samples,), as blocks with the marks that are reached in them.

    The first sound does not wait for the marks to be found.
    """
    made = 0
    left: list[Mark] | None = None
    for samples in blocks:
        reached: list[Mark] = []
        if made:
            left = find_marks() if left is None else left
            while left and left[0].frame <= made:
                reached.append(left.pop(0))
        made += len(samples)
        yield Block(to_pcm(samples), tuple(reached))
    if made:
        yield Block(to_pcm(np.empty(0, np.float32)), tuple(find_marks() if left is None else left))


def _expected_sounds(word: str) -> int:
    return sum(
        _SOUNDS_OF_DIGIT
        if character.isdigit()
        else _SOUNDS_OF_SYMBOL
        if character in _SYMBOLS
        else character.isalpha()
        for character in word
    )


def _groups(letters: Sequence[str]) -> list[_Span]:
    """What stands between spaces and has sounds; its end is that of the last sound."""
    groups: list[_Span] = []
    sounds = end = 0
    for at, letter in enumerate([*letters, " "]):
        if letter.isspace():
            if sounds:
                groups.append(_Span(end, sounds))
            sounds = 0
        elif unicodedata.category(letter[0])[0] in "LMN":
            sounds += unicodedata.category(letter[0]) in ("Ll", "Lu", "Lo", "Nd")
            end = at + 1
    return groups


def _steps() -> Iterator[tuple[int, int]]:
    yield from ((1, groups) for groups in range(_MOST_GROUPS + 1))
    yield from ((words, 1) for words in range(2, _MOST_WORDS + 1))
    yield 0, 1


def _aligned(
    words: Sequence[_Span], groups: Sequence[_Span]
) -> Iterator[tuple[Sequence[_Span], Sequence[_Span]]]:
    """Words and groups that belong together, by the steps that cost the least in all."""
    of_words = np.cumsum([0, *(word.sounds for word in words)])
    of_groups = np.cumsum([0, *(group.sounds for group in groups)])
    costs = np.full((len(words) + 1, len(groups) + 1), np.inf)
    costs[0, 0] = 0.0
    chosen: dict[tuple[int, int], tuple[int, int]] = {}
    for word in range(len(words) + 1):
        for group in range(len(groups) + 1):
            for step in _steps():
                before = word - step[0], group - step[1]
                if min(before) < 0:
                    continue
                expected = of_words[word] - of_words[before[0]]
                cost = costs[before] + abs(of_groups[group] - of_groups[before[1]] - expected)
                cost += 0.0 if step == (1, 1) else _OTHER_STEP_COST
                if cost < costs[word, group]:
                    costs[word, group] = cost
                    chosen[word, group] = before
    at = len(words), len(groups)
    path = [at]
    while at != (0, 0):
        at = chosen[at]
        path.append(at)
    path.reverse()
    for first, last in pairwise(path):
        yield words[first[0] : last[0]], groups[first[1] : last[1]]


def _shared_out(words: Sequence[_Span], groups: Sequence[_Span]) -> Iterator[tuple[int, int]]:
    """The ends of words that are these groups: several words share one by their lengths."""
    if not groups or not words:
        return
    end = groups[-1].end
    total, left = groups[-1].sounds, sum(word.sounds for word in words)
    for word in words:
        left -= word.sounds
        yield word.end, end - round(total * left / sum(each.sounds for each in words))
