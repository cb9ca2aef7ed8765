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

"""Which parts of a text a voice of a language can't read, and in what language they seem to be."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.text.scripts import script_runs, scripts_of

LANGUAGES = ["en", "de-AT", "cmn", "ja", "ru", "sr", "hi", "ar", "ko", "cmn-latn-pinyin"]


@pytest.mark.parametrize(
    ("language", "text", "parts"),
    [
        ("en-us", "Hello there.", [("Hello there.", None)]),
        ("de", "Grüße, naïve Señores!", [("Grüße, naïve Señores!", None)]),
        ("en", "你好，世界", [("你好，世界", "cmn")]),
        ("en", "“你好，世界”", [("“你好，世界”", "cmn")]),
        (
            "en",
            "Say 你好 please. Привет, мир! And on.",
            [
                ("Say ", None),
                ("你好 ", "cmn"),
                ("please. ", None),
                ("Привет, мир! ", "ru"),
                ("And on.", None),
            ],
        ),
        ("en", "Das α, β und µ", [("Das α, β und µ", None)]),
        ("en", "日本語です。漢字", [("日本語です。漢字", "ja")]),
        ("en", "カナ, привет, 漢字", [("カナ, ", "ja"), ("привет, ", "ru"), ("漢字", "ja")]),
        ("en", "한국어", [("한국어", "ko")]),
        ("en", "Це їжак", [("Це їжак", "uk")]),
        ("en", "مرحبا بك", [("مرحبا بك", "ar")]),
        ("en", "یہ ہے", [("یہ ہے", "ur")]),
        ("en", "چطور", [("چطور", "fa")]),
        ("en", "नमस्ते दुनिया", [("नमस्ते दुनिया", "hi")]),
        ("en", "Γειά σου", [("Γειά σου", "el")]),
        ("en", "สวัสดีครับ", [("สวัสดีครับ", "th")]),
        ("en", "שלום", [("שלום", "he")]),
        ("en", "Բարեւ", [("Բարեւ", "hy")]),
        ("en", "ሰላም", [("ሰላም", "am")]),
        ("cmn", "我喜欢 Python", [("我喜欢 Python", None)]),
        ("zh", "好 This is a test 好", [("好 ", None), ("This is a test ", "en"), ("好", None)]),
        ("cmn", "日本語です", [("日本語です", "ja")]),
        ("ja", "漢字とカナ", [("漢字とカナ", None)]),
        ("ko", "한국 漢字", [("한국 漢字", None)]),
        ("uk", "Привіт", [("Привіт", None)]),
        ("sr", "Привет zdravo svima svuda", [("Привет zdravo svima svuda", None)]),
        ("mr", "नमस्ते", [("नमस्ते", None)]),
        ("cmn-latn-pinyin", "你好", [("你好", "cmn")]),
        ("en", "the 字", [("the ", None), ("字", "cmn")]),
        ("en", "12 你好 3", [("12 你好 3", "cmn")]),
        ("en", "1, 2", [("1, 2", None)]),
        ("ru", "1, 2", [("1, 2", None)]),
        ("en", "", [("", None)]),
    ],
)
def test_parts_in_other_scripts_are_told_apart(
    language: str, text: str, parts: list[tuple[str, str | None]]
) -> None:
    runs = script_runs(text, language)
    assert [(text[run.start : run.end], run.language) for run in runs] == parts


@given(
    st.text(st.sampled_from("abé語한กสक ,.;:!?\n“”3٣\u0301\u200dカпїΓ"), max_size=60),
    st.sampled_from(LANGUAGES),
)
def test_the_parts_are_the_text(text: str, language: str) -> None:
    runs = script_runs(text, language)
    assert "".join(text[run.start : run.end] for run in runs) == text
    assert all(a.language != b.language for a, b in pairwise(runs))


@pytest.mark.parametrize(
    ("language", "scripts"),
    [("en-GB", ("Latin",)), ("zh_TW", ("CJK",)), ("sr-Latn", ("Latin",)), ("xx", ("Latin",))],
)
def test_the_scripts_of_a_language(language: str, scripts: tuple[str, ...]) -> None:
    assert scripts_of(language) == scripts
