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

"""Where clauses and sentences end, in many scripts, in whole texts and in those being written."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2so_tts.text import boundaries as module
from k2so_tts.text.boundaries import Boundary, Strength, boundaries, ends_with_mark, has_sound

ORDINAL_LANGUAGES = "cs da de et fi hr hu is lb lv nb nn no pl sk sl sr tr"
MARKS = {
    Strength.WORD: "",
    Strength.CONJUNCTION: "",
    Strength.COMMA: "‚",
    Strength.COLON: "¦",
    Strength.SENTENCE: "|",
}
prose = st.text(
    st.sampled_from("abéAÉ語한กสက ,.;:!?…\n\t\"'»)(-–—।،。、3٣\u0301\u200d👍*_"), max_size=200
)
TOKENS = """
Dr. e.g. U.S. p.m. No. 5 3.14 the Then Bo.By Bo.By.3 end. What? “Oh!” ... – 1. ठीक। 好。 한. a.com
it,
"""
words = st.lists(st.sampled_from([*TOKENS.split(), "\n", "\n\n-"]), max_size=30).map(" ".join)
languages = st.sampled_from(["en", "de", "hi", "zh", "el", "hy", "xx"])


def marked(text: str, language: str) -> str:
    """The text with a mark at each boundary."""
    found = text
    for boundary in reversed(list(boundaries(text, language))):
        found = found[: boundary.end] + MARKS[boundary.strength] + found[boundary.end :]
    return found


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Dr. Smith paid $3.14 to Mr. Jones.| He left at 5 p.m. on Monday."),
        ("en", "See e.g. www.example.com/a.b?c=d for more.| Mail me at a.b@c.org today."),
        ("en", "It costs 1,000.5 dollars...| Maybe it does not,‚ after all.| Version 1.2.3."),
        ("en", "\"Really?| I am surprised.\"‚ he asked.| 'Yes,‚ of course I did!'"),
        ("en", "The U.S. is big,‚ and wide.| J. R. R. Tolkien wrote it all.| See No. 5 there."),
        ("en-gb", "He said “Hello there.”‚ and left.| (It was a very long day.)"),
        ("en", "He said “I am ill.”| The dog barked.| (It was so.)| Now it is not."),
        ("en", "“Really?”‚ John asked us.| “Yes,‚ I am.”| Nobody spoke (it was late) any more."),
        ("de", "Das ist z. B. ein erster Test.| Am 3. Oktober ist ein Feiertag."),
        ("de", "es ist vorbei.‚ dann gehen wir ca. zwei und 3 Nr. 5"),
        ("de", "Dr. Müller kam um 15.30 Uhr.| Das kostet 1.000,50 Euro.| Der 4. Mann ist da."),
        ("de_AT", "„Ja,‚ das stimmt!“,‚ sagte er.| Und so weiter usw. und so fort."),
        ("fr", "M. Dupont est bien là.| Mme. Durand est là aussi.| « Bonjour !‚ » dit-il."),
        ("fr", "Il y a 3,5 kg,‚ etc. et plus.| Qu'est-ce que c'est ?"),
        ("es", "¿Cómo está usted hoy?| ¡Estoy muy bien!| El Sr. García vive en EE. UU. hoy."),
        ("it", "Il sig. Rossi è qui con noi.| Ciao a tutti quanti!"),
        ("pt-br", "O Sr. Silva chegou agora.| Está tudo bem?"),
        ("ru", "Это т. е. пример для вас.| Г. Иванов пришёл домой."),
        ("ja", "これは文です。|次の文です！|「はい。」‚と言った。|終わりです"),
        ("zh", "你好，‚我叫李明。|“真的吗？”‚他问。|3.14是圆周率。"),
        ("ar", "مرحبا بك معنا.| كيف حالك اليوم؟| أنا بخير والحمد لله."),
        ("hi", "यह एक वाक्य है।| यह दूसरा है।| डॉ. शर्मा आए।"),
        ("ko", "안녕하세요.| 저는 로봇입니다."),
        ("tlh", "Hello there,‚ my friend.| How are you today?"),
        ("en", "A long heading|\n\nA paragraph of it.|\n- one thing|\n- another thing"),
        ("en", "Do all of this:|\n1. Go to the very end.|\n2. Come back to the start."),
        ("en", "... Never mind!?| !!!"),
        (
            "en",
            "Sentence one.|Sentence two.| See Ph.D. men,‚ System.out,‚ foo.Com and M.Sc. people.",
        ),
        (
            "en",
            "Great job!🎉| Next **Done.**| Then *this*!| OK 👍🏽.| Now —¦ or not;¦ no—¦yes",
        ),
        ("en", "5 p.m. tomorrow e.g. This and U.S. Army,‚ No. 5,‚ approx. Five,‚ on Jan. 3"),
        ("en", "We met at St. John vs. The Rock.| In the U.S.| The end"),
        ("ur", "یہ ہے۔| کیا ہے؟| ہاں،‚نہیں؛¦اور"),
        ("hy", "Բարեւ։| Ինչպես ես:| Լավ"),
        ("am", "ሰላም።| እንዴት ነህ፣‚ ደህና፧| አዎ"),
        ("th", "สวัสดีครับ‚ ผมชื่อหุ่นยนต์‚ ยินดีที่ได้รู้จัก"),
        ("my", "မင်္ဂလာပါ။| နေကောင်းလား၊‚ ကောင်းတယ်"),
        ("km", "សួស្តី។| អ្នកសុខសប្បាយ"),
        ("zh", "你好!|我叫李明.|他说,‚对了:3.5元"),
        ("en", "hello.| how are you?| i am fine!| what about you...‚ ok"),
        ("el", "Τι κάνεις;| Καλά."),
        (
            "en",
            "What?|Yes!|No http://x.com/?Foo=Bar a?b:C wait...‚what Wait…‚What 5 - 3 is 2 -¦ or",
        ),
    ],
)
def test_sentences_and_clauses_of_many_languages(language: str, text: str) -> None:
    """At each mark of `MARKS`, and nowhere else."""
    plain = text.translate(str.maketrans("", "", "".join(MARKS.values())))
    assert marked(plain, language) == text


@pytest.mark.parametrize(
    ("strength", "marks"),
    [
        (Strength.SENTENCE, ".!?…‼⁇⁈⁉‽؟۔।॥։።፧፨။។៕。！？．｡"),
        (Strength.COLON, ";:—–؛፤፥፦；："),
        (Strength.COMMA, ",،፣၊՝、，､"),
    ],
)
def test_every_mark_has_its_strength(strength: Strength, marks: str) -> None:
    for mark in marks:
        for closing in (
            "",
            *"\"'”’»›)]}」』）】》〉",
            *"*_~`",
            "🎉",
            "✅",
            "⭐",
            "👍🏽",
            "☀️",
            "👨\u200d👩",
        ):
            end = Boundary(3 + len(mark + closing), strength)
            found = list(boundaries(f"Abc{mark}{closing} Def", "en"))
            if mark in "!?…‼⁇⁈⁉‽" and closing in {*"\"'”’»›」』"} - {""}:
                end = Boundary(end.end, Strength.COMMA)
            assert found == [end], mark + closing
        assert ends_with_mark(f"abc{mark})”")


def test_marks_of_other_scripts_need_no_white_space() -> None:
    for mark in "؟۔।॥։።፧፨။។៕،؛፣፤፥፦၊՝。！？．｡；：、，､":
        assert [found.end for found in boundaries(f"अब{mark}अब", "en")] == [3], mark
        wide = mark in "。！？．｡；：、，､"
        assert bool(list(boundaries(f"अब{mark}12", "en"))) == wide, mark
        assert not list(boundaries(f"१२{mark}१२", "en")), mark
    for mark in ".!?;:,":
        assert not list(boundaries(f"ab{mark}ab", "en")), mark
        assert [found.end for found in boundaries(f"你好{mark}你好", "en")] == [3], mark
    for mark in "。！？":
        for closing in "」』）】》〉”":
            assert list(boundaries(f"はい{mark}{closing}と", "ja")) == [Boundary(4, Strength.COMMA)]


@pytest.mark.parametrize(
    ("language", "before", "after"),
    [
        *[("en", f"It is {word}.", "The one") for word in ("e.g", "i.e", "vs", "v", "cf", "viz")],
        *[("en", f"It is {word}.", "The one") for word in ("eg", "ie", "approx", "incl", "esp")],
        *[
            ("en", f"It is {word}.", "The one")
            for word in ("resp", "ca", "fig", "figs", "eq", "pp")
        ],
        *[("en", f"It is {word}.", "The one") for word in ("vol", "ch", "p", "Approx", "e. g")],
        *[("en", f"It is {word}.", "5 now") for word in ("no", "No", "nos", "nr", "art", "abs")],
        *[("en", f"It is {word}.", "5 now") for word in ("sec", "kap", "tel", "ver", "ext", "apt")],
        *[("xx", f"So {word}.", "The one") for word in ("Dr", "Mr", "M", "Mme", "Mmes", "Mlle")],
        *[("xx", f"So {word}.", "The one") for word in ("Mlles", "Mgr", "Mrs", "Ms", "Prof", "Sr")],
        *[
            ("xx", f"So {word}.", "The one")
            for word in ("Sra", "St", "Mt", "डॉ", "श्री", "प्रो", "MM")
        ],
        *[("xx", f"So {quote}Dr.", "The one") for quote in '«“„"('],
        ("ru", "Это т. е.", "Он"),
        *[(language, "Der 3.", "Mann") for language in ORDINAL_LANGUAGES.split()],
        ("de", "Am 12.", "Mai"),
        ("en", "so a.", "b"),
        ("en", "\n1.", "Go"),
        ("en", "\n123.", "Go"),
        ("en", "\nA.", "Go"),
        ("en", "the etc.", "and"),
        ("en", "the abc.", "and"),
    ],
)
def test_an_abbreviation_is_no_end(language: str, before: str, after: str) -> None:
    assert not [found for found in boundaries(f"{before} {after}", language) if found.end > 2]


@pytest.mark.parametrize(
    ("language", "text", "ends"),
    [
        ("en", "He is 12. Then", [(9, Strength.SENTENCE)]),
        ("de", "Das war 1999. Dann", [(13, Strength.SENTENCE)]),
        ("en", "It is abcd. and", [(11, Strength.SENTENCE)]),
        ("en", "It is “abcd.” and", [(13, Strength.COMMA)]),
        ("en", "It is “abcd.” And", [(13, Strength.SENTENCE)]),
        ("en", "It is (abcd.) and", [(13, Strength.SENTENCE)]),
        ("en", "\n1234. Go", [(6, Strength.SENTENCE)]),
        ("en", "\nAB. Go", [(4, Strength.SENTENCE)]),
        ("en", "Drs. Then", [(4, Strength.SENTENCE)]),
        ("en", "Yes.\nno", [(4, Strength.COLON)]),
        ("en", "Dr.\nNo", [(3, Strength.COLON)]),
        ("en", "Dr. \n\nNo", [(3, Strength.SENTENCE)]),
        ("en", "So,\n\nno", [(3, Strength.SENTENCE)]),
        ("en", "So  \n no", [(2, Strength.COLON)]),
        ("en", "So\n \n no", [(2, Strength.SENTENCE)]),
        ("en", "So\n* no", [(2, Strength.SENTENCE)]),
        ("en", "So\n • no", [(2, Strength.SENTENCE)]),
        ("en", "So\n12) no", [(2, Strength.SENTENCE)]),
        ("en", "So\n12.5", [(2, Strength.COLON)]),
        ("en", "So\n-5", [(2, Strength.COLON)]),
        ("en", "So - no", [(4, Strength.COLON)]),
        ("en", "So -- no", [(5, Strength.COLON)]),
        ("en", "So -no", []),
        ("en", "5 - no", [(3, Strength.COLON)]),
        ("en", "5 - 3", []),
        ("en", "5 –", []),
        ("hy", "Լավ: Այո", [(4, Strength.SENTENCE)]),
        ("el", "Τι; Ναι", [(3, Strength.SENTENCE)]),
        ("el", "Ναι: έλα", [(4, Strength.COLON)]),
        ("en", "Ab.Cd ef", [(3, Strength.SENTENCE)]),
        ("en", "Ab?Cd ef", [(3, Strength.SENTENCE)]),
        ("en", "Ab!I am", [(3, Strength.SENTENCE)]),
        ("en", "A.Cd ef", []),
        ("en", "Ab.I.", []),
        ("en", "abc(A.Cd ef", []),
        *[("en", f"Is abc. {opening}and", []) for opening in "\"'“‘«‹([{¿¡*_„「『（【《〈"],
        ("en", "Ab.cd ef", []),
        *[("en", f"Ab.{name} ef", []) for name in ("Com", "net", "ORG", "Io", "Js", "Uk", "Ai")],
        *[("en", f"a{mark}Ab.Cd ef", []) for mark in "./@\\_=&5"],
        *[("en", f"Ab.Cd{mark}ef", []) for mark in "/@\\_=&5"],
        ("en", "Ab.Cd. Ef", [(3, Strength.SENTENCE), (6, Strength.SENTENCE)]),
        ("en", "Ab—cd", [(3, Strength.COLON)]),
        ("en", "Ab–cd", []),
        ("en", "Ab…cd", [(3, Strength.COMMA)]),
        ("en", "Ab..cd", [(4, Strength.COMMA)]),
        ("en", "Ab...", []),
        ("en", "Ab... Cd", [(5, Strength.SENTENCE)]),
        ("en", "Ab... cd", [(5, Strength.COMMA)]),
        ("en", "Ab… Cd", [(3, Strength.SENTENCE)]),
        ("en", "Ab… cd", [(3, Strength.COMMA)]),
        ("en", "Yahoo! is", [(6, Strength.COMMA)]),
        ("en", "1．2 １，０", []),
        ("th", "กข คง", [(2, Strength.COMMA)]),
        ("lo", "ກຂ ຄງ", [(2, Strength.COMMA)]),
        ("my", "ကခ ဂဃ", [(2, Strength.COMMA)]),
        ("km", "កខ គឃ", [(2, Strength.COMMA)]),
        ("en", "... ab. Cd", [(7, Strength.SENTENCE)]),
        ("en", "ab. ... Cd", [(3, Strength.SENTENCE)]),
        ("en", "50% . Cd", [(5, Strength.SENTENCE)]),
    ],
)
def test_what_is_around_a_mark_decides(
    language: str, text: str, ends: list[tuple[int, Strength]]
) -> None:
    assert list(boundaries(text, language)) == ends


def test_boundaries_are_found_from_one_place_to_another() -> None:
    text = "One, two. Three, four. Five."
    ends = [4, 9, 16, 22]
    for start in range(len(text)):
        for stop in range(len(text)):
            found = [boundary.end for boundary in boundaries(text, "en", start, stop)]
            assert set(found) <= {end for end in ends if start < end <= stop}
    assert [found.end for found in boundaries(text, "en", 9, 16)] == [16]
    assert [found.end for found in boundaries(text, "en", 0, 15)] == [4, 9]


@settings(max_examples=150)
@given(st.one_of(prose, words), languages, st.data())
def test_what_is_known_of_a_text_does_not_change_with_what_follows(
    text: str, language: str, data: st.DataObject
) -> None:
    whole = [boundary.end for boundary in boundaries(text, language)]
    written = data.draw(st.integers(0, len(text)))
    known = [found.end for found in boundaries(text[:written], language, complete=False)]
    assert known == whole[: len(known)]
    decided = [end for end in whole if end < written - 2 * module.CONTEXT]
    assert len(known) >= len(decided), "what follows was enough to decide"


@given(st.one_of(prose, words), languages)
def test_every_boundary_is_between_what_has_a_sound(text: str, language: str) -> None:
    ends = [boundary.end for boundary in boundaries(text, language)]
    assert ends == sorted(set(ends))
    start = 0
    for end in ends:
        assert has_sound(text[start:end])
        assert not text[end - 1].isspace()
        start = end


@given(st.one_of(prose, words), languages, st.data())
def test_the_boundaries_after_one_do_not_depend_on_those_before(
    text: str, language: str, data: st.DataObject
) -> None:
    found = list(boundaries(text, language))
    if found:
        index = data.draw(st.integers(0, len(found) - 1))
        assert list(boundaries(text, language, found[index].end)) == found[index + 1 :]


@pytest.mark.parametrize(
    "unit", ["x", "!", ".", ". ", "!🎉", "e.g. ", "\n", " ", "a.B", "-", " - ", "“.”", "字", "3."]
)
def test_a_long_text_takes_time_in_proportion_to_its_length(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        began = time.process_time()
        for _ in boundaries(text, "en"):
            pass
        return time.process_time() - began

    seconds(1000)
    short = min(seconds(2_000) for _ in range(3))
    assert min(seconds(20_000) for _ in range(3)) < 20 * short + 0.05


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Yes.", True),
        ("Yes. ", True),
        ("“Yes!”", True),
        ("*a,*\n", True),
        ("好。」", True),
        ("Yes", False),
        ("", False),
        (" ", False),
        ("”", False),
        ("a.b", False),
    ],
)
def test_a_text_ends_with_a_mark(text: str, ends: bool) -> None:
    assert ends_with_mark(text) == ends


def test_without_sentencex_the_other_rules_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencex", None)
    module.splitter.cache_clear()
    try:
        assert (
            marked("Mr. Fox, e.g. Ed. It is 3.5. Ok.", "en")
            == "Mr. Fox,‚ e.g. Ed.| It is 3.5.| Ok."
        )
    finally:
        module.splitter.cache_clear()


def test_a_boundary_says_how_strong_it_is() -> None:
    assert list(boundaries("So, it is. Yes", "en")) == [
        Boundary(3, Strength.COMMA),
        Boundary(10, Strength.SENTENCE),
    ]
