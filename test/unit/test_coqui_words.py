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

"""Which tokens of a VITS of coqui-tts are which words, and when their marks are given."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.audio import Mark
from k2so_tts.engines.coqui.words import marked, marks_of, word_ends


def words(text: str, spoken: str) -> list[tuple[str, str]]:
    """Each word with the letters that are taken for it."""
    found, text_from, from_ = [], 0, 0
    for text_end, end in word_ends(text, spoken):
        found.append((text[text_from:text_end].strip(), spoken[from_:end].strip(" ,.;:!?")))
        text_from, from_ = text_end, end
    return found


@pytest.mark.parametrize(
    ("text", "spoken", "expected"),
    [
        ("One, two.", "one, two.", ["one", "two"]),
        (
            "The river of the north",  # as espeak-ng joins them
            "ðə ɹˈɪvɚɹ ʌvðə nˈɔːɹθ",
            ["ðə", "ɹˈɪvɚɹ", "ʌv", "ðə", "nˈɔːɹθ"],
        ),
        (
            "It costs $12 now",
            "ɪt kˈɔsts twˈɛlv dˈɑːlɚz nˈaʊ",
            ["ɪt", "kˈɔsts", "twˈɛlv dˈɑːlɚz", "nˈaʊ"],
        ),
        ("Dr. Smith paid", "doctor smith paid", ["doctor", "smith", "paid"]),
        ("In 2024 we went", "in twenty twenty four we went", ["in", "twenty twenty four", "we"]),
    ],
)
def test_words_have_their_letters(text: str, spoken: str, expected: list[str]) -> None:
    assert [letters for _, letters in words(text, spoken)][: len(expected)] == expected


def test_a_word_that_is_not_spoken_has_no_mark() -> None:
    assert [word for word, _ in words("well — yes 日本", "well yes")][:2] == ["well", "— yes"]
    assert word_ends("...", "") == word_ends("", "") == word_ends("日本", "") == []


@given(st.text(alphabet="ab .,1$日", max_size=40), st.text(alphabet="ab .,ˈː", max_size=40))
def test_marks_grow_whatever_is_spoken(text: str, spoken: str) -> None:
    found = word_ends(text, spoken)
    assert found == sorted(found)
    assert all(0 < end <= len(text) and 0 <= count <= len(spoken) for end, count in found)
    assert len({end for end, _ in found}) == len(found)


def test_frames_are_those_at_the_end_of_a_words_last_token() -> None:
    blank, letters = 0, {1: "a", 2: "b", 3: " "}
    tokens = [blank, 1, blank, 2, blank, 3, blank, 1, blank]
    ends = np.cumsum([1, 10, 1, 10, 1, 10, 1, 10, 1])
    assert marks_of("ab a", tokens, letters, ends) == [Mark(2, 22), Mark(4, 44)]


def test_marks_come_with_the_sound_that_reaches_them_and_not_before_the_first() -> None:
    asked: list[int] = []

    def blocks() -> Iterator[np.ndarray]:
        for number in range(4):
            asked.append(number)
            yield np.zeros(10, np.float32)

    def find() -> list[Mark]:
        assert len(asked) > 1
        return [Mark(1, 5), Mark(2, 25), Mark(3, 40)]

    found = list(marked(blocks(), find))
    assert [block.marks for block in found] == [
        (),
        (Mark(1, 5),),
        (),
        (Mark(2, 25),),
        (Mark(3, 40),),
    ]
    assert sum(len(block.pcm) for block in found) == 40
    assert list(marked(iter([]), find)) == []
