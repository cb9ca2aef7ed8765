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

"""Texts as phoneme ids, and which id ends which word.

Piper's own package turns text into phonemes, which depend on the words around (`of the` is one
group of them) and may be many for one word (`$12`). Which phoneme belongs to which word is found by
aligning those of the sentence with those of each word spoken alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MOST_IDS = 600
"""In one run of the text encoder, whose memory and time grow with the square of it: 250 letters of
English, 14 s of speech."""

_PAD, _BEGIN, _END = "_", "^", "$"
_WORD = re.compile(
    r"\[\[.*?\]\]\S*|[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff][^\w\s]*|"
    r"(?:(?!\[\[)[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])+",
    re.DOTALL,
)
"""`[[ phonemes ]]`, an ideograph or kana, or what stands between spaces."""
_STRESSES = ("ˈ", "ˌ")
_CLAUSE_ENDS = (",", ":", ";", ".", "!", "?")
_TRUSTED_SHARE = 0.5
"""Of phonemes that have to be the same for an alignment to be believed."""


class Phonemizer(Protocol):
    """What is used of `piper.PiperVoice`."""

    def phonemize(self, text: str) -> list[list[str]]:
        """The phonemes of a text, sentence by sentence."""
        ...

    def phonemes_to_ids(self, phonemes: list[str]) -> list[int]:
        """Phonemes as the voice knows them, with padding between, and marks at both ends."""
        ...


@dataclass(frozen=True)
class WordEnd:
    """The first `text_end` characters are spoken when the first `ids` ids are."""

    text_end: int
    ids: int


def phonemes_of(voice: Phonemizer, sentence: str) -> list[str]:
    """The phonemes of one sentence.

    Piper's phonemizer takes the point of an abbreviation for the end of a sentence; what it takes
    apart is joined again, without that point.
    """
    joined: list[str] = []
    for phonemes in voice.phonemize(sentence):
        if joined and phonemes:
            if joined[-1] == ".":
                joined.pop()
            if joined and joined[-1] != " ":
                joined.append(" ")
        joined += phonemes
    return joined


def runs(phonemes: list[str], most: int = MOST_IDS) -> Iterator[tuple[int, list[str]]]:
    """Phonemes in runs of at most `most` ids, each with where it starts: cut behind a clause if
    there is one in the second half, else between words. One phoneme has up to two ids.
    """
    longest = most // 2 - 2
    start = 0
    while len(phonemes) - start > longest:
        end = start + longest
        spaces = [at for at in range(start + longest // 2, end) if phonemes[at] == " "]
        clauses = [at for at in spaces if phonemes[at - 1] in _CLAUSE_ENDS]
        end = (clauses or spaces or [end - 1])[-1] + 1
        yield start, phonemes[start:end]
        start = end
    if start < len(phonemes):
        yield start, phonemes[start:]


def encode(
    voice: Phonemizer, id_map: Mapping[str, Sequence[int]], phonemes: list[str]
) -> tuple[list[int], list[int]]:
    """The ids of phonemes; and for each phoneme how many ids there are up to its end, without the
    padding that follows: behind a word that is a part of the pause.
    """
    ids = voice.phonemes_to_ids(phonemes)
    padding = len(id_map.get(_PAD, ()))
    counts = [len(id_map[each]) + padding if each in id_map else 0 for each in phonemes]
    before = len(id_map.get(_BEGIN, ()))
    ends = [before + count for count in accumulate(counts)]
    if ends and ends[-1] + padding + len(id_map.get(_END, ())) != len(
        ids
    ):  # it has ids of another kind
        ends = [round(len(ids) * (at + 1) / len(phonemes)) for at in range(len(phonemes))]
    return ids, ends


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text start and end."""
    return [match.span() for match in _WORD.finditer(text)]


def word_ends(voice: Phonemizer, sentence: str, phonemes: list[str]) -> list[tuple[int, int]]:
    """For each word that is heard, how many characters of the sentence there are up to its end,
    and how many of `phonemes`; both grow.
    """
    spans = word_spans(sentence)
    sounds = [at for at, phoneme in enumerate(phonemes) if _is_sound(phoneme)]
    if not spans or not sounds:
        return []
    spoken = [_spoken_alone(voice, sentence[start:end]) for start, end in spans]
    owners = [word for word, alone in enumerate(spoken) for _ in alone]
    alone = [phoneme for phonemes_of_word in spoken for phoneme in phonemes_of_word]
    aligned = _align([phonemes[at] for at in sounds], alone)
    pairs = list(zip(sounds, aligned, strict=True))
    same = sum(other >= 0 and phonemes[at] == alone[other] for at, other in pairs)
    if same < _TRUSTED_SHARE * len(sounds):
        return _proportional(spans, sounds, len(sentence))
    last: dict[int, int] = {}
    word = 0
    for at, other in pairs:
        word = owners[other] if other >= 0 else word
        last[word] = _with_modifiers(phonemes, at + 1)
    return [(spans[word][1], end) for word, end in last.items()]


def _is_sound(phoneme: str) -> bool:
    """It is a sound itself, no stress, length, punctuation or space."""
    return unicodedata.category(phoneme[0]) in ("Ll", "Lu", "Lo", "Nd")


def _with_modifiers(phonemes: list[str], end: int) -> int:
    """`end`, or where what lengthens or colours the sound before it ends."""
    while end < len(phonemes) and (
        unicodedata.category(phonemes[end][0]) in ("Lm", "Mn") and phonemes[end] not in _STRESSES
    ):
        end += 1
    return end


def _spoken_alone(voice: Phonemizer, word: str) -> list[str]:
    return [each for part in voice.phonemize(word) for each in part if _is_sound(each)]


def _proportional(
    spans: list[tuple[int, int]], sounds: list[int], length: int
) -> list[tuple[int, int]]:
    """Word ends where they would be if every character took as long."""
    ends = [(end, sounds[max(0, round(end / length * len(sounds)) - 1)] + 1) for _, end in spans]
    return list({phonemes: (end, phonemes) for end, phonemes in ends}.values())


def _align(one: list[str], other: list[str]) -> NDArray[np.int64]:
    """For each of `one`, the index of the element of `other` that it is or has become; -1 if there
    is none. The alignment is the one with the fewest changes (Needleman and Wunsch, 1970).
    """
    numbers = {each: number for number, each in enumerate({*one, *other})}
    row = np.array([numbers[each] for each in one])
    column = np.array([numbers[each] for each in other])
    steps = np.arange(len(column) + 1)
    costs = np.empty((len(row) + 1, len(column) + 1), np.int32)
    costs[0] = steps
    for at, number in enumerate(row):
        changed = np.empty(len(column) + 1, np.int32)
        changed[0] = at + 1
        differs = column != number
        changed[1:] = np.minimum(costs[at, :-1] + differs, costs[at, 1:] + 1)
        costs[at + 1] = np.minimum.accumulate(changed - steps) + steps
    return _trace(costs, row, column)


def _trace(
    costs: NDArray[np.int32], row: NDArray[np.int64], column: NDArray[np.int64]
) -> NDArray[np.int64]:
    matched = np.full(len(row), -1)
    at, to = len(row), len(column)
    while at and to:
        if costs[at, to] == costs[at - 1, to - 1] + (row[at - 1] != column[to - 1]):
            at, to = at - 1, to - 1
            matched[at] = to
        elif costs[at, to] == costs[at - 1, to] + 1:
            at -= 1
        else:
            to -= 1
    return matched
