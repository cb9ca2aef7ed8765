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

"""Texts in units: sentences, bounded by how long they sound."""

from __future__ import annotations

from itertools import pairwise

import pytest

from k2so_tts.engines.piper.units import LONGEST, units


def cut(text: str, language: str = "en-us") -> list[str]:
    found = units(text, language)
    assert [start for start, _ in found[1:]] == [end for _, end in found[:-1]]
    return [text[start:end] for start, end in found]


def test_a_unit_is_a_sentence() -> None:
    assert cut("I am here. Are you? Yes!") == ["I am here. ", "Are you? ", "Yes!"]


def test_an_abbreviation_ends_none() -> None:
    text = "Mr. Brown and Mrs. Green met St. John."
    assert cut(text) == [text]


def test_nothing_is_one_unit_of_nothing() -> None:
    assert units("", "en") == []


@pytest.mark.parametrize(
    "text",
    [
        "$1,234,567.89 " * 17,
        "1234567890" * 24,
        "你好世界" * 60,
        "https://example.com/a?b=1&c=%20/" * 7,
        "A" * 600,
        "word " * 200,
        "x" * 5000,
    ],
)
def test_what_sounds_long_is_cut_short(text: str) -> None:
    made = cut(text)
    assert "".join(made) == text
    assert len(made) > 1
    assert all(len(each) <= LONGEST for each in made)


def test_a_long_sentence_is_cut_behind_a_clause() -> None:
    text = f"{'so it went on ' * 12}and on, {'and it never ended at all ' * 6}until now."
    assert cut(text)[0].endswith("on, ")


def test_without_a_clause_it_is_cut_between_words() -> None:
    made = cut("wonderful " * 100)
    assert all(before.endswith(" ") for before, _ in pairwise(made))


@pytest.mark.parametrize(
    "text",
    [
        "Say [[ həlˈoʊ. wˈɜːld! ]] now. And this.",
        f"{'word ' * 54}[[ həlˈoʊ wˈɜːld ænd mˈɔːɹ ]] end",
        f"[[ {'həlˈoʊ ' * 100}]] end",
    ],
)
def test_phonemes_are_never_cut(text: str) -> None:
    (holding,) = [each for each in cut(text) if "[[" in each]
    assert "]]" in holding
