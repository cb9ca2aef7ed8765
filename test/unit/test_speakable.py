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

"""What is spoken of a text: test/data/speakable.yaml, streams, offsets, hostile texts."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.settings import SettingError
from k2so_tts.text.speakable import (
    FILTERS,
    SETTINGS,
    SPEAKABLE,
    SpeakableSettings,
    SpeakableStream,
    speakable,
    speakable_settings,
)

TABLE = Path(__file__).parents[1] / "data" / "speakable.yaml"
AS_SENT = SpeakableSettings(frozenset())
LANGUAGES = ("en", "de", "fr", "es", "it", "ru")


class Case(NamedTuple):
    sent: str
    spoken: str
    language: str = "en"


CASES = {
    f"{rule}: {case['sent']}": Case(**case)
    for rule, cases in yaml.safe_load(TABLE.read_text(encoding="utf-8")).items()
    for case in cases
}
per_case = pytest.mark.parametrize("case", CASES.values(), ids=[ascii(name) for name in CASES])

FRAGMENTS = (
    *("*", "**", "_", "`", "```", "~~", "\\", "\n", "\n\n", "# ", "- ", "| ", "> ", "---", "==="),
    *("[", "]", "(", ")", "[a](b)", "![a](b)", "[^1]", "[1]", "[[x]]", "[laughs]", "*waves*"),
    *("<", ">", "</", "<think>", "</think>", "<b>", "<br/>", "<break time='1s'/>", "&amp;", "&"),
    *("$", "$5", "€", "1", "2", "10", "½", "-", "–", "/", ":", ".", ",", "~", "#", "%", "million"),
    *("km", "km/h", "°C", "s", "I", "VIII", "Henry ", "Jan", "Jan. 3", "e.g.", "No. 5", "z. B. "),
    *("12:30", "14:30 Uhr", "2026-11-26", "+49 30 123", "555-1234", "1,000", "1.000", "v1.2"),
    *(
        "http://",
        "x.com/a",
        "a@b.org",
        "@",
        " ",
        "  ",
        "word",
        "a",
        "!",
        "?",
        "🎉",
        "👍🏽",
        "👨‍👩‍👧",
    ),
    *("\u200d", "\u200b", "\ufe0f", "\u202e", "e\u0301", "１", "٣", "你好", "。", "か", "สวัสดี"),
)
"""What rules look for, whole and in parts."""
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join) | st.text(max_size=40)


def streamed(pieces: list[str], language: str, how: SpeakableSettings = SPEAKABLE) -> str:
    stream = SpeakableStream(language, how)
    return "".join(map(stream.feed, pieces)) + stream.feed("", final=True)


def spoken(text: str, language: str = "en", **how: object) -> str:
    return speakable(text, language, SpeakableSettings(**how)).text  # type: ignore[arg-type]


def test_the_table_has_several_cases_for_each_rule() -> None:
    assert len(CASES) >= 300


@per_case
def test_a_text_is_spoken_as_the_table_says(case: Case) -> None:
    assert speakable(case.sent, case.language, SPEAKABLE).text == case.spoken


@per_case
def test_a_stream_is_spoken_as_the_whole_however_it_is_cut(case: Case) -> None:
    for cut in range(len(case.sent) + 1):
        pieces = [case.sent[:cut], case.sent[cut:]]
        assert streamed(pieces, case.language) == case.spoken
    assert streamed(list(case.sent), case.language) == case.spoken


@per_case
def test_offsets_lead_from_the_spoken_to_the_sent_text(case: Case) -> None:
    result = speakable(case.sent, case.language, SPEAKABLE)
    ends = [result.to_source(end) for end in range(len(result.text) + 1)]
    assert ends == sorted(ends)
    assert ends[0] == 0
    if result.text:
        assert ends[-1] == len(case.sent)


@given(texts, st.sampled_from(LANGUAGES), st.lists(st.integers(0, 200), max_size=4))
def test_any_cut_of_any_text_is_spoken_the_same(text: str, language: str, cuts: list[int]) -> None:
    whole = speakable(text, language, SPEAKABLE)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert streamed(pieces, language) == whole.text
    assert streamed(list(text), language) == whole.text


@given(texts, st.sampled_from(LANGUAGES))
def test_offsets_of_any_text_are_monotone_and_end_at_its_end(text: str, language: str) -> None:
    whole = speakable(text, language, SPEAKABLE)
    ends = [whole.to_source(end) for end in range(len(whole.text) + 1)]
    assert ends == sorted(ends)
    assert not whole.text or ends[-1] == len(text)


@given(st.text(st.characters(categories=("L", "Zs")), max_size=60))
def test_letters_are_never_lost(text: str) -> None:
    how = SpeakableSettings(frozenset(FILTERS) - {"unicode", "normalise"})
    assert speakable(text, "en", how).text == text


@given(texts)
def test_without_filters_a_text_is_spoken_as_it_was_sent(text: str) -> None:
    assert speakable(text, "en", AS_SENT).text == text
    assert streamed(list(text), "en", AS_SENT) == text


def _cpu_seconds(text: str) -> float:
    began = time.process_time()
    speakable(text, "en", SPEAKABLE)
    return time.process_time() - began


@pytest.mark.parametrize(
    "unit",
    ["*", "* ", "a*", "_a", "[", "[[", "[a](", "<", "<b ", "$a", "`", "| ", "\n", "1 ", "1-", "a@"],
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    """The processor's time, not the clock's, as other programs run at the same time."""
    _cpu_seconds(unit * 100)
    short = min(_cpu_seconds(unit * (4_000 // len(unit))) for _ in range(3))
    long = min(_cpu_seconds(unit * (40_000 // len(unit))) for _ in range(2))
    assert long < 25 * max(short, 0.002)


def test_what_is_thought_is_never_spoken_across_pieces() -> None:
    stream = SpeakableStream("en", SPEAKABLE)
    assert stream.feed("Hello <th") == "Hello "
    assert stream.feed("ink>I should be friendly. ") == ""
    assert stream.feed("A lot more. " * 50) == ""
    assert stream.feed("</th") == ""
    assert stream.feed("ink>there. ") == "there. "


def test_tags_that_are_silent_can_be_chosen() -> None:
    assert spoken("<plan>x</plan><think>y</think>Z", silent_tags=("plan",)) == "yZ"


def test_a_writer_that_pauses_may_go_on() -> None:
    stream = SpeakableStream("en", SPEAKABLE)
    assert stream.feed("It is 10 km/h") == "It is "
    assert stream.feed("", final=True) == "10 kilometers per hour"
    assert stream.feed(" or so.", final=True) == " or so."


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("markdown", "**bold**"),
        ("tags", "<b>bold</b>"),
        ("directions", "[laughs] Sure!"),
        ("links", "https://example.com/a"),
        ("latex", "so $x_a = b$ holds"),
        ("emoji", "Hello 🎉 you"),
        ("unicode", "zero\u200bwidth"),
        ("normalise", "10 km/h"),
    ],
)
def test_each_step_can_be_switched_off(step: str, text: str) -> None:
    alone = speakable(text, "en", SpeakableSettings(frozenset({step}))).text
    assert alone != text
    assert speakable(text, "en", SpeakableSettings(frozenset(FILTERS) - {step})).text == text


def test_a_block_of_code_can_be_announced() -> None:
    text = "Look:\n```\nx = 1\n```\nDone."
    assert spoken(text, code="announce") == "Look:\ncode block.\nDone."
    assert spoken(text, "de", code="announce") == "Look:\nCodeblock.\nDone."


def test_emoji_can_be_named_in_the_language_of_the_voice() -> None:
    assert spoken("Great 🎉!", emoji="name") == "Great  party popper !"
    assert spoken("Gut 👍🏽", "de", emoji="name").strip().startswith("Gut  daumen hoch")


def test_marks_count_the_text_as_it_was_sent() -> None:
    sent = "Go **10 km/h** now."
    result = speakable(sent, "en", SPEAKABLE)
    assert result.text == "Go 10 kilometers per hour now."
    for words, source in (
        ("Go", "Go"),
        ("Go 10", "Go **"),
        ("Go 10 kilometers per hour", sent[:14]),
    ):
        assert sent[: result.to_source(len(words))] == source


def values(**changed: object) -> dict[str, object]:
    return {setting.name: setting.default for setting in SETTINGS} | changed


def test_the_defaults_rewrite_everything() -> None:
    assert speakable_settings(values()) == SPEAKABLE


def test_filters_are_named_in_one_setting() -> None:
    assert speakable_settings(values(text_filters="markdown, tags")).filters == {"markdown", "tags"}
    assert speakable_settings(values(text_filters="")).filters == set()


def test_an_unknown_filter_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match="'text_filters' holds 'sparkle'; allowed: all, or some"):
        speakable_settings(values(text_filters="markdown, sparkle"))


def test_a_language_without_words_is_left_to_the_engine() -> None:
    assert spoken("10 km/h, €5, 2026-11-26", "fi") == "10 km/h, €5, 2026-11-26"
