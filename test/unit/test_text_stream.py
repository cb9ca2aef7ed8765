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

"""Texts: cleaned, and cut at clauses while they are still being written."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2so_tts.text.speakable import SPEAKABLE, speakable
from k2so_tts.text.stream import FLUSH_SECONDS, Segment, TextStream, clean, whole_words

PATIENCE = 10.0

any_text = st.text(st.characters(codec=None), max_size=60)
prose = st.text(st.sampled_from("abcé語 ,.;:!?…\n\t\"')。、3ABगส।-*🎉"), max_size=400)


@given(any_text)
def test_clean_leaves_what_can_be_spoken(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned
    assert cleaned == cleaned.strip()
    assert "\0" not in cleaned
    kept = iter(text)
    words = (char for char in cleaned if not char.isspace())
    assert all(char in kept for char in words), "a part of the text, in its order"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Hello", "Hello"),
        ("  Grüße,\n\tWelt 😀  ", "Grüße,\n\tWelt 😀"),
        ("a\0b\x1b[2Jc\x7fd\x85", "ab[2Jcd"),
        ("one\r\ntwo\x0bthree", "one \ntwo three"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        (" \n\x07 ", ""),
        ("", ""),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "end", "heard"),
    [
        ("Hello world", 5, "Hello"),
        ("Hello world", 6, "Hello"),
        ("Hello world", 8, "Hello"),
        ("Hello world", 11, "Hello world"),
        ("Hello, world", 5, "Hello,"),
        ("Hello, world", 3, ""),
        ("He said: “Yes”.", 13, "He said: “Yes”."),
        ("It costs 3.14 now", 10, "It costs"),
        ("It costs 3.14 now", 11, "It costs"),
        ("It costs 3.14", 9, "It costs"),
        ("well-known fact", 3, ""),
        ("well-known fact", 4, "well"),
        ("one,two,three", 7, "one,two,"),
        ("one,two,three", 6, "one,"),
        ("one (two) three", 3, "one"),
        ("don't go", 3, ""),
        ("mail a@b.org", 8, "mail a@"),
        ("你好，世界", 2, "你好，"),
        ("你好，世界", 1, "你"),
        ("こんにちは。ロボットです", 6, "こんにちは。"),
        ("ロボットです", 2, ""),
        ("สวัสดีครับ", 6, "สวัสดี"),
        ("สวัสดีครับ", 2, "ส"),
        ("안녕하세요 로봇", 5, "안녕하세요"),
        ("नमस्ते दुनिया", 6, "नमस्ते"),
        ("नमस्ते दुनिया", 3, ""),
        ("cafe\u0301 au lait", 4, ""),
        ("x 👨\u200d👩\u200d👧 y", 4, "x"),
        ("字" * 9000, 8000, "字" * 8000),
        ("one\ntwo\tthree", 9, "one\ntwo"),
        ("one\u3000two\u00a0three", 9, "one\u3000two"),
        ("a b", 0, ""),
        ("one   ", 5, "one"),
    ],
)
def test_whole_words(text: str, end: int, heard: str) -> None:
    assert whole_words(text, end) == heard


@given(prose, st.data())
def test_whole_words_are_words_from_the_beginning(text: str, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(text)))
    heard = whole_words(text, end)
    assert text.startswith(heard)
    assert sum(map(str.isalnum, heard)) <= sum(map(str.isalnum, text[:end]))
    around = heard[-1:] + text[len(heard) : len(heard) + 1]
    assert sum(char in "abcé" for char in around) < 2, "a word is whole"
    if not text[end : end + 1].strip():
        assert heard == text[:end].rstrip()


def stream_of(*pieces: str) -> TextStream:
    stream = TextStream(PATIENCE)
    for piece in pieces:
        stream.feed(piece)
    return stream


def known(stream: TextStream, language: str = "en") -> list[Segment]:
    """What can be spoken before the stream has to be waited for."""
    return list(iter(lambda: stream.poll(language), None))


@pytest.mark.parametrize(
    ("pieces", "first"),
    [
        (["Hello, my na"], ["Hello, "]),
        (["Hello", ",", " my"], ["Hello, "]),
        (["Hello,"], []),
        (["It is 3.1", "4 or so"], []),
        (["One. Two! Thr"], ["One. Two! "]),
        (['He said "Yes." Then'], ['He said "Yes." ']),
        (["line\nnext"], ["line\n"]),
        (["你好。我"], ["你好。"]),
        (["\n\n"], []),
        (["no end yet " * 22], ["no end yet " * 21 + "no end "]),
        (["x" * 1000], []),
        (["x" * 5000], ["x" * 4000]),
        (["x" * 300 + " y"], ["x" * 300 + " "]),
        (["x" * 300 + ". Y"], ["x" * 300 + ". "]),
        (["字" * 700], ["字" * 480]),
        (["字" * 230 + "ab" * 10 + "字"], ["字" * 230]),
    ],
)
def test_a_clause_can_be_spoken_once_it_is_complete(pieces: list[str], first: list[str]) -> None:
    assert [segment.text for segment in known(stream_of(*pieces))] == first


@pytest.mark.parametrize(
    ("language", "text", "clause"),
    [
        ("en", "Ask Dr. ", ""),
        ("en", "Ask Dr. Smith", ""),
        ("en", "Ask the doctor. ", "Ask the doctor. "),
        ("en", "Ask the doctor.", ""),
        ("en", "He said “I am ill.” ", ""),
        ("en", "He said “I am ill.” Then ", "He said “I am ill.” "),
        ("en", "He said “I am gone.” ", "He said “I am gone.” "),
        ("en", "It was J. ", ""),
        ("en", "Why? ", "Why? "),
        ("en", "Great job!🎉 Ne", "Great job!🎉 "),
        ("en", "**Done.** Ne", "**Done.** "),
        ("en", "At 5 p.m. ", ""),
        ("en", "At 5 p.m. t", ""),
        ("en", "At 5 p.m. Th", ""),
        ("en", "At 5 p.m. Then ", "At 5 p.m. "),
        ("en", "One.", ""),
        ("en", "One.Tw", ""),
        ("en", "One.Two ", "One."),
        ("en", "example.Com ", ""),
        ("en", "see e.g. This", ""),
        ("en", "It is 3 - ", ""),
        ("en", "It is 3 - 2", ""),
        ("en", "It is 3 - o", "It is 3 - "),
        ("de", "Das ist z. B. ", ""),
        ("de_AT", "Am 3. ", ""),
        ("de", "Am 3. Oktober ist", ""),
        ("de", "Das ist vorbei. ", "Das ist vorbei. "),
        ("hi", "यह है। य", "यह है। "),
        ("ur", "کیا؟ ہ", "کیا؟ "),
        ("am", "ሰላም።እ", "ሰላም።"),
        ("th", "สวัสดีครับ ผม", "สวัสดีครับ "),
        ("zh", "你好,我", "你好,"),
    ],
)
def test_a_clause_is_spoken_once_it_is_certain_that_it_ends(
    language: str, text: str, clause: str
) -> None:
    assert "".join(segment.text for segment in known(stream_of(text), language)) == clause


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(ends)]


@settings(max_examples=100)
@given(prose, st.lists(st.integers(0, 400), max_size=8), st.sampled_from(["en", "de", "zh", "th"]))
def test_clauses_do_not_depend_on_where_the_pieces_are_cut(
    text: str, cuts: list[int], language: str
) -> None:
    """Fed character by character every clause is given by itself; else several at a time."""
    ends = []
    for pieces in (list(text), pieces_of(text, cuts)):
        stream, segments = TextStream(PATIENCE), []
        for piece in pieces:
            stream.feed(piece)
            segments += known(stream, language)
        stream.end()
        segments += known(stream, language)
        assert "".join(segment.text for segment in segments) == text == stream.text
        texts = [""] + [segment.text for segment in segments]
        assert [segment.start for segment in segments] == list(accumulate(map(len, texts)))[:-1]
        ends.append([end_of_words(text, segment) for segment in segments])
    assert set(ends[1]) <= set(ends[0])


def end_of_words(text: str, segment: Segment) -> int:
    """Where a segment ends, without white space, which belongs to either side."""
    return len(text[: segment.start + len(segment.text)].rstrip())


def test_control_characters_are_not_fed() -> None:
    assert stream_of("He\0llo", "\x07").text == "Hello"


def test_nothing_is_taken_after_the_end() -> None:
    stream = stream_of("One")
    stream.end()
    stream.end()
    stream.feed(" two")
    assert known(stream) == [Segment(0, "One")]
    assert stream.ended
    assert not stream.cancelled


def test_what_was_not_spoken_is_not_after_a_cancel() -> None:
    stream = stream_of("One, two, ", "three")
    assert stream.poll() == Segment(0, "One, two, ")
    stream.cancel()
    assert stream.poll() is None
    assert stream.finished
    assert stream.cancelled
    assert stream.text == "One, two, three"


def test_polling_gives_what_is_complete() -> None:
    stream = TextStream(PATIENCE)
    assert stream.poll() is None
    stream.feed("One, two")
    assert stream.poll() == Segment(0, "One, ")
    finished = [stream.finished]
    assert stream.poll() is None
    stream.end()
    finished.append(stream.finished)
    assert stream.poll() == Segment(5, "two")
    assert [*finished, stream.finished] == [False, False, True]
    assert stream.poll() is None


def test_a_text_that_is_not_fed_any_more_ends() -> None:
    now = 0.0
    stream = TextStream(PATIENCE, clock=lambda: now)
    stream.feed("One, two")
    now = 4.0
    assert stream.seconds_left() == PATIENCE - 4.0
    now = PATIENCE + 1.0
    assert stream.seconds_left() == 0.0
    assert stream.poll() == Segment(0, "One, "), "what is complete is given before the text ends"
    assert not stream.ended
    assert stream.poll() == Segment(5, "two")
    assert stream.finished


@pytest.mark.parametrize("text", ["check.", "Ask Dr.", "well, ", "“Yes!” ", "*Done.*", "好。"])
def test_a_clause_that_ends_with_a_mark_does_not_wait_for_the_next_piece_for_long(
    text: str,
) -> None:
    now = 0.0
    stream = TextStream(PATIENCE, 0.3, clock=lambda: now)
    stream.feed("x ")
    stream.feed(text)
    given = known(stream)
    now = 0.29
    assert known(stream) == []
    assert given or stream.seconds_left() == pytest.approx(0.01)
    now = 0.31
    assert "".join(segment.text for segment in given + known(stream)) == "x " + text
    assert not stream.ended
    assert stream.seconds_left() == pytest.approx(PATIENCE - 0.31)
    stream.feed(" On.")
    assert known(stream) == []
    assert stream.seconds_left() == pytest.approx(0.3)


def test_words_without_a_mark_wait_for_the_next_piece() -> None:
    now = 0.0
    stream = TextStream(PATIENCE, 0.3, clock=lambda: now)
    stream.feed("Let me")
    assert stream.seconds_left() == PATIENCE
    now = 5.0
    assert known(stream) == []
    assert stream.seconds_left() == PATIENCE - 5.0


def test_every_change_of_a_text_is_signalled() -> None:
    changes: list[str] = []
    stream = TextStream(PATIENCE)
    stream.on_change = lambda: changes.append(stream.text)
    stream.feed("One")
    stream.feed(", two")
    stream.end()
    stream.cancel()
    assert changes == ["One", "One, two", "One, two", "One, two"]


def test_a_stream_that_is_rewritten_is_spoken_as_the_whole_text() -> None:
    sent = "**Now** 10 km/h, and `then` it costs $5. Good!"
    stream = TextStream(PATIENCE)
    stream.feed(sent[:11])
    stream.speak_as("en-us", SPEAKABLE)
    for char in sent[11:]:
        stream.feed(char)
    stream.end()
    clauses = []
    while not stream.finished:
        clause = stream.poll()
        assert clause is not None
        clauses.append(clause.text)
    assert "".join(clauses) == speakable(sent, "en-us", SPEAKABLE).text == stream.spoken_text
    assert stream.text == sent
    assert stream.to_source(len("Now 10 kilometers per hour")) == sent.index(", and")


def test_what_is_held_back_is_spoken_once_nobody_writes() -> None:
    now = [0.0]
    stream = TextStream(PATIENCE, clock=lambda: now[0])
    stream.speak_as("en", SPEAKABLE)
    stream.feed("I see *it*.")
    assert stream.poll() is None
    assert stream.seconds_left() == pytest.approx(FLUSH_SECONDS)
    now[0] = FLUSH_SECONDS
    clause = stream.poll()
    assert clause is not None
    assert clause.text == "I see it."
    assert stream.poll() is None
    assert stream.seconds_left() == pytest.approx(PATIENCE - FLUSH_SECONDS)


def test_what_is_thought_does_not_end_a_stream() -> None:
    now = [0.0]
    stream = TextStream(PATIENCE, clock=lambda: now[0])
    stream.speak_as("en", SPEAKABLE)
    stream.feed("<think>I wonder.")
    now[0] = FLUSH_SECONDS
    assert stream.poll() is None
    stream.feed(" Yes.</think>Hello. ")
    clause = stream.poll()
    assert clause is not None
    assert clause.text == "Hello. "


def test_blank_pieces_keep_no_text_open() -> None:
    now = [0.0]
    stream = TextStream(PATIENCE, clock=lambda: now[0])
    stream.feed("Hello")
    for _ in range(20):
        now[0] += 1.0
        stream.feed(" ")
        stream.feed("")
        stream.feed("\n")
        stream.poll()
    assert stream.ended
    assert stream.timed_out


def test_empty_pieces_within_a_word_are_no_ends() -> None:
    stream = stream_of("Hel", "", "lo", "", " the", "", "re.", "", " And")
    assert stream.poll() == Segment(0, "Hello there. ")


@pytest.mark.parametrize("rewritten", [True, False])
def test_what_was_written_by_a_flush_is_spoken_at_once(rewritten: bool) -> None:
    stream = stream_of("One clause, and so")
    if rewritten:
        stream.speak_as("en", SPEAKABLE)
    stream.flush()
    assert stream.poll() == Segment(0, "One clause, and so")
    stream.feed(" on and on")
    assert stream.poll() is None
    stream.end()
    assert stream.poll() == Segment(18, " on and on")
    stream.flush()
    assert stream.poll() is None


@pytest.mark.parametrize("rewritten_first", [True, False])
def test_a_flush_is_a_place_in_the_text(rewritten_first: bool) -> None:
    """However late it is polled, a word that was written after it is not cut."""
    stream = TextStream(PATIENCE)
    if rewritten_first:
        stream.speak_as("en", SPEAKABLE)
    stream.feed("Hello there")
    stream.flush()
    stream.feed(" my wor")
    stream.speak_as("en", SPEAKABLE)
    assert stream.poll() == Segment(0, "Hello there")
    assert stream.poll() is None
    stream.feed("ld, and")
    assert stream.poll() == Segment(11, " my world, ")


def test_when_the_first_clause_was_complete() -> None:
    now = [5.0]
    stream = TextStream(PATIENCE, 0.3, clock=lambda: now[0])
    stream.feed("Well, it")
    now[0] = 5.1
    assert stream.poll() is not None
    assert stream.first_clause_at == 5.0
    other = TextStream(PATIENCE, 0.3, clock=lambda: now[0])
    other.feed("Well.")
    now[0] = 5.5
    assert other.poll() is not None
    assert other.first_clause_at == 5.5
