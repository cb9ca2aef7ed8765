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

"""Texts cut into segments: sentences of many languages, clauses, and how much fits where."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2so_tts.text.boundaries import has_sound
from k2so_tts.text.segmenter import (
    CLAUSE,
    LONGEST,
    SEGMENTATIONS,
    SENTENCE,
    WORD,
    MissingSplitter,
    Segmenter,
    pause_after,
    require_splitter,
    sentence_ends,
    weighted_length,
)
from k2so_tts.text.stream import Segment

prose = st.text(st.sampled_from("aбé語한 ,.;:!?…\n\t\"'»)(-–。、3८ا\u0301\u200d👍"), max_size=700)
FOX = (
    "The quick brown fox jumps over the lazy dog while the cat, who is asleep, dreams of mice "
    "and fish; then it wakes up and the story begins again. Dr. No arrives."
)


def cut(text: str, language: str, where: str, room: float, growth: float = 1.0) -> list[Segment]:
    cutter = Segmenter(text, language, where)
    segments = []
    while (segment := cutter.next(room)) is not None:
        segments.append(segment)
        room *= growth
    return segments


def texts(segments: list[Segment]) -> list[str]:
    return [segment.text.strip() for segment in segments]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Dr. Smith paid $3.14 to Mr. Jones. |He left at 5 p.m. on Monday."),
        ("en", "See e.g. www.example.com/a.b?c=d for more. |Mail me at a.b@c.org today."),
        ("en", "It costs 1,000.5 dollars... |Maybe it does not, after all. |Version 1.2.3."),
        ("en", "\"Really? I am surprised.\" he asked. |'Yes, of course I did!'"),
        ("en", "The U.S. is big, and wide. |J. R. R. Tolkien wrote it all. |See No. 5 there."),
        ("en-gb", "He said “Hello there.” and left. |(It was a very long day.)"),
        ("en", "He said “I am ill.” |The dog barked. |(It was so.) |Now it is not."),
        ("en", "“Really?” John asked us. |“Yes, I am.” |Nobody spoke (it was late) any more."),
        ("de", "Das ist z. B. ein erster Test. |Am 3. Oktober ist ein Feiertag."),
        ("de", "Dr. Müller kam um 15.30 Uhr. |Das kostet 1.000,50 Euro. |Der 4. Mann ist da."),
        ("de_AT", "„Ja, das stimmt!“, sagte er. |Und so weiter usw. und so fort."),
        ("fr", "M. Dupont est bien là. |Mme. Durand est là aussi. |« Bonjour ! » dit-il."),
        ("fr", "Il y a 3,5 kg, etc. et plus. |Qu'est-ce que c'est ?"),
        ("es", "¿Cómo está usted hoy? |¡Estoy muy bien! |El Sr. García vive en EE. UU. hoy."),
        ("it", "Il sig. Rossi è qui con noi. |Ciao a tutti quanti!"),
        ("pt-br", "O Sr. Silva chegou agora. |Está tudo bem?"),
        ("ru", "Это т. е. пример для вас. |Г. Иванов пришёл домой."),
        ("ja", "これは文です。|次の文です！|「はい。」と言った。|終わりです"),
        ("zh", "你好，我叫李明。|“真的吗？”他问。|3.14是圆周率。"),
        ("ar", "مرحبا بك معنا. |كيف حالك اليوم؟ |أنا بخير والحمد لله."),
        ("hi", "यह एक वाक्य है। |यह दूसरा है। |डॉ. शर्मा आए।"),
        ("ko", "안녕하세요. |저는 로봇입니다."),
        ("tlh", "Hello there, my friend. |How are you today?"),
        ("en", "A long heading\n\n|A paragraph of it.\n|- one thing\n|- another thing"),
        ("en", "Do all of this:\n|1. Go to the very end.\n|2. Come back to the start."),
        ("en", "... |Never mind!? |!!!"),
    ],
)
def test_sentences_are_told_apart(language: str, text: str) -> None:
    """At each |, and nowhere else, but for what has no sound."""
    sentences = [part for part in text.split("|") if has_sound(part)]
    segments = cut(text.replace("|", ""), language, SENTENCE, LONGEST)
    assert [segment.text.strip(" .!") for segment in segments] == [
        sentence.strip(" .!") for sentence in sentences
    ]


@settings(max_examples=200)
@given(prose, st.sampled_from(SEGMENTATIONS), st.floats(1, 300), st.sampled_from([0.7, 1.0, 1.6]))
def test_the_segments_are_the_text_and_bounded(
    text: str, where: str, room: float, growth: float
) -> None:
    segments = cut(text, "en", where, room, growth)
    assert "".join(segment.text for segment in segments) == text
    ends = [0, *(segment.start + len(segment.text) for segment in segments)]
    assert [segment.start for segment in segments] == ends[:-1]
    assert all(segment.text for segment in segments)
    assert all(weighted_length(segment.text) <= LONGEST for segment in segments)
    for segment, following in pairwise(segments):
        assert (
            has_sound(segment.text)
            or not has_sound(segment.text + following.text)
            or (weighted_length(segment.text) > LONGEST // 2)
        ), "what has no sound belongs to what has"


@pytest.mark.parametrize("text", ["x" * 10_000, "語" * 5_000, "!" * 10_000, "ab, " * 2_000])
@pytest.mark.parametrize("where", SEGMENTATIONS)
def test_a_text_without_an_end_is_cut_all_the_same(text: str, where: str) -> None:
    segments = cut(text, "en", where, 50)
    assert "".join(segment.text for segment in segments) == text
    assert all(weighted_length(segment.text) <= LONGEST for segment in segments)
    assert len(segments) <= 20 + 12 * len(text) / LONGEST * (3 if "語" in text else 1)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (
            WORD,
            [
                ("The quick ", 0.0),
                ("brown fox jumps ", 0.0),
                ("over the lazy dog ", 0.0),
                ("while the cat, who is asleep, ", 0.15),
                ("dreams of mice and fish; then it wakes up and the story begins again. ", 0.4),
                ("Dr. No arrives.", 0.4),
            ],
        ),
        (
            CLAUSE,
            [
                ("The quick brown fox jumps over the lazy dog while the cat, ", 0.15),
                ("who is asleep, ", 0.15),
                ("dreams of mice and fish; ", 0.25),
                ("then it wakes up and the story begins again. ", 0.4),
                ("Dr. No arrives.", 0.4),
            ],
        ),
        (SENTENCE, [(FOX[:-15], 0.4), ("Dr. No arrives.", 0.4)]),
    ],
)
def test_a_long_sentence_is_cut_early(where: str, expected: list[tuple[str, float]]) -> None:
    segments = cut(FOX, "en", where, 12, 1.6)
    assert [(segment.text, segment.pause) for segment in segments] == expected


@pytest.mark.parametrize(
    ("language", "text", "first"),
    [
        ("en", "We waited there and we saw nothing at all.", "We waited there "),
        ("en", "Yes, Dr. Alexander Humperdinck is at home today.", "Yes, Dr. Alexander "),
        ("en", "It is 3.14159 or maybe more than that.", "It is 3.14159 "),
        ("de", "Guten Tag, ich bin ein Roboter und helfe Ihnen.", "Guten Tag, "),
        ("ja", "こんにちは、私はロボットで、あなたを手伝います。", "こんにちは、"),
        (
            "ja",
            "あなたの仕事を手伝うためにここにいます。",
            "あなたの仕事を手伝うためにここにいます。",
        ),
    ],
)
def test_words_and_numbers_stay_whole(language: str, text: str, first: str) -> None:
    assert cut(text, language, WORD, 18)[0].text == first


def test_short_sentences_are_spoken_together_where_there_is_time() -> None:
    text = "Yes. I do. Of course I want to come with you."
    assert texts(cut(text, "en", WORD, 12))[:2] == ["Yes. I do.", "Of course"]
    assert texts(cut(text, "en", WORD, 4))[0] == "Yes."
    assert texts(cut("Yes.\n\nI do.", "en", WORD, 100)) == ["Yes.", "I do."]


@pytest.mark.parametrize("where", SEGMENTATIONS)
def test_a_segment_has_240_letters_at_most(where: str) -> None:
    for text, sizes in (
        ("x" * 241, [240, 1]),
        ("語" * 81, [80, 1]),
        ("ab " * 81, [237, 6]),
        ("ab. " * 3, [12]),
    ):
        assert [len(segment.text) for segment in cut(text, "en", where, 1000)] == sizes


@pytest.mark.parametrize(
    ("text", "room", "first"),
    [
        ("One two three four five six.", 22, "One two three four "),
        ("One two three four five six.", 23, "One two three four five six."),
        ("Yes. Of course I do.", 19, "Yes. "),
        ("Yes. Of course I do.", 20, "Yes. Of course I do."),
        ("So it was. Of course.", 22, "So it was. Of course."),
        ("Yes indeed. Of course.", 22, "Yes indeed. "),
        ("Ah. Oh. Yes. I do.", 18, "Ah. Oh. Yes. "),
        ("It rains, and he waits.", 12, "It rains, "),
        ("It is so; he waits, as we do now.", 20, "It is so; "),
        ("It is so, he waits; as we do now.", 20, "It is so, he waits; "),
        ("He waits there because it rains.", 24, "He waits there "),
        ("He waited a long, hard time.", 19, "He waited a long, "),
        ("A robot can fetch a spoon of tea.", 23, "A robot can fetch "),
        ("e\u0301" * 130, 1000, "e\u0301" * 120),
        ("x" + "e\u0301" * 130, 1000, "x" + "e\u0301" * 119),
        ("x" * 239 + "👨\u200d👩", 1000, "x" * 239),
        ("x" * 237 + "👨\u200d👩", 1000, "x" * 237),
        ("x" * 236 + "👨\u200d👩", 1000, "x" * 236),
        ("x" * 239 + "☀\ufe0fx", 1000, "x" * 239),
        ("One two three fours.", 16, "One two three fours."),
        ("\u0301" * 250, 1000, "\u0301" * 240),
        ("語 aaa bbb ccc ddd.", 10, "語 aaa "),
        ("Many twelve robo okay.", 17, "Many twelve "),
        ("Many twelv robo okayy.", 17, "Many twelv robo "),
        ("Ohhhh, robot is here now and waits.", 18, "Ohhhh, robot "),
        ("Robotic, he is here now and waits.", 18, "Robotic, "),
        ("Robots  are  here  today.", 14, "Robots  "),
        ("A robot  is  certainly happy.", 14, "A robot  "),
        ("Twelve robots robotically", 16, "Twelve robots "),
    ],
)
def test_the_first_segment_is_what_fits(text: str, room: float, first: str) -> None:
    assert cut(text, "en", WORD, room)[0].text == first


def test_a_clause_is_not_cut_between_words_but_where_it_is_longer_than_a_segment() -> None:
    text = "The quick brown fox jumps over it. Next he sleeps."
    assert cut(text, "en", CLAUSE, 14)[0] == Segment(0, text[:35], 0.4)
    assert cut(text[:35], "en", CLAUSE, 14) == [Segment(0, text[:35], 0.4)]
    assert cut("He sleeps here in the house.", "en", CLAUSE, 14)[0].text[-6:] == "house."
    assert len(cut("word " * 60, "en", CLAUSE, 1000)[0].text) == 235


def test_the_segmentations_are_the_values_of_the_parameter() -> None:
    assert SEGMENTATIONS == ("word", "clause", "sentence")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "and or but because if so for"),
        ("de", "und oder aber weil bei"),
        ("fr", "et ou mais parce quand"),
        ("es", "y o pero aunque"),
        ("it", "e o ma perché se"),
        ("pt-BR", "e ou mas para se"),
        ("nl", "en of maar voor"),
    ],
)
def test_a_sentence_is_rather_cut_before_a_conjunction(language: str, words: str) -> None:
    for word in words.split():
        segment = cut(f"Roboti at {word.upper()} robotics robot robot.", language, WORD, 14)[0]
        assert segment.text == "Roboti at "


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("One. Two! ", [5, 10]),
        ("One. ...", [8]),
        ("One. Two. (...)", [5, 15]),
        ("One, two.", [9]),
        ("One. 2", [5, 6]),
        ("One. T.", [5, 7]),
        ("One\n\n...", [8]),
        ("A\n\nB", [3, 4]),
        ("...", [3]),
        ("", [0]),
    ],
)
def test_sentences_end_with_the_white_space_after_them(text: str, ends: list[int]) -> None:
    assert list(sentence_ends(text, "en")) == ends


def test_sentences_are_found_from_a_place_on() -> None:
    assert list(sentence_ends("One. Two. Three.", "en", 5)) == [10, 16]
    assert Segmenter("One. Two.", "en", SENTENCE, 5).next(100) == Segment(5, "Two.", 0.4)


@pytest.mark.parametrize(
    ("text", "length"), [("abc", 3), ("語", 3), ("a語！", 7), ("", 0), ("é", 1), ("ｱ", 1)]
)
def test_an_ideograph_counts_as_three_letters(text: str, length: int) -> None:
    assert weighted_length(text) == length


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("One, ", 0.15),
        ("one; ", 0.25),
        ("this: ", 0.25),
        ("ah – ", 0.25),
        ("ah - ", 0.25),
        ("”", 0.0),
        ("One. ", 0.4),
        ("“One!” ", 0.4),
        ("一。", 0.4),
        ("item\n", 0.3),
        ("One.\n", 0.4),
        ("One.\n\n", 0.7),
        ("word ", 0.0),
        ("", 0.0),
    ],
)
def test_a_pause_is_that_of_the_punctuation(text: str, pause: float) -> None:
    assert pause_after(text) == pause


def test_without_the_splitter_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_splitter()
    monkeypatch.setitem(sys.modules, "sentencex", None)
    with pytest.raises(
        MissingSplitter, match=r"^sentences can't be told apart: .* 'pip install sentencex'$"
    ):
        require_splitter()
