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

import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.text.stream import Segment, TextStream, clean, whole_words

PATIENCE = 10.0

any_text = st.text(st.characters(codec=None), max_size=60)
prose = st.text(st.sampled_from("abcé語 ,.;:!?…\n\t\"')。、3"), max_size=400)


@given(any_text)
def test_clean_leaves_what_can_be_spoken(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned
    assert cleaned == cleaned.strip()
    assert "\0" not in cleaned
    kept = iter(text)
    assert all(char in kept for char in cleaned), "a part of the text, in its order"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Hello", "Hello"),
        ("  Grüße,\n\tWelt 😀  ", "Grüße,\n\tWelt 😀"),
        ("a\0b\x1b[2Jc\x7fd\x85", "ab[2Jcd"),
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
        ("well-known fact", 4, ""),
        ("one\ntwo\tthree", 9, "one\ntwo"),
        ("one\u3000two\u00a0three", 9, "one\u3000two"),
        ("a b", 0, ""),
    ],
)
def test_whole_words(text: str, end: int, heard: str) -> None:
    assert whole_words(text, end) == heard


@given(prose, st.data())
def test_whole_words_are_words_from_the_beginning(text: str, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(text)))
    heard = whole_words(text, end)
    assert text.startswith(heard)
    assert heard.split() == text.split()[: len(heard.split())]
    assert sum(map(str.isalnum, heard)) <= sum(map(str.isalnum, text[:end]))


def stream_of(*pieces: str) -> TextStream:
    stream = TextStream(PATIENCE)
    for piece in pieces:
        stream.feed(piece)
    return stream


def known(stream: TextStream) -> list[Segment]:
    """What can be spoken before the stream has to be waited for."""
    segments = []
    while (segment := next(iter(stream), None)) is not None:
        segments.append(segment)
    return segments


@pytest.mark.parametrize(
    ("pieces", "first"),
    [
        (["Hello, my na"], ["Hello,"]),
        (["Hello", ",", " my"], ["Hello,"]),
        (["Hello,"], []),
        (["It is 3.1", "4 or so"], []),
        (["One. Two! Thr"], ["One. Two!"]),
        (['He said "Yes." Then'], ['He said "Yes."']),
        (["line\nnext"], ["line\n"]),
        (["你好。我"], ["你好。"]),
        (["\n\n"], []),
        (["no end yet " * 22], ["no end yet " * 21 + "no end yet"]),
        (["x" * 1000], []),
        (["x" * 5000], ["x" * 4000]),
        (["\n" * 9000, "x"], ["\n" * 4000] * 2),
    ],
)
def test_a_clause_can_be_spoken_once_it_is_complete(pieces: list[str], first: list[str]) -> None:
    assert [segment.text for segment in known(stream_of(*pieces))] == first


@given(prose, st.lists(st.integers(0, 400), max_size=8))
def test_the_segments_are_the_text_wherever_the_pieces_are_cut(text: str, cuts: list[int]) -> None:
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    stream = TextStream(PATIENCE)
    segments = []
    for start, end in pairwise(ends):
        stream.feed(text[start:end])
        segments += known(stream)
    stream.end()
    segments += known(stream)
    assert "".join(segment.text for segment in segments) == text == stream.text
    assert [segment.start for segment in segments] == [
        sum(len(before.text) for before in segments[:index]) for index in range(len(segments))
    ]
    for segment in segments[:-1]:
        end = segment.start + len(segment.text)
        clause = segment.text.rstrip("\"')")[-1:] in set(",.;:!?…。、\n")
        assert clause or text[end] == " ", "cut in the middle of a word"


def test_control_characters_are_not_fed() -> None:
    assert stream_of("He\0llo", "\x07").text == "Hello"


def test_nothing_is_taken_after_the_end() -> None:
    stream = stream_of("One")
    stream.end()
    stream.end()
    stream.feed(" two")
    assert [segment and segment.text for segment in stream] == ["One"]
    assert stream.ended
    assert not stream.cancelled


def test_what_was_not_spoken_is_not_after_a_cancel() -> None:
    stream = stream_of("One, two, ", "three")
    segments = iter(stream)
    assert next(segments) == Segment(0, "One, two,")
    stream.cancel()
    assert list(segments) == []
    assert stream.cancelled
    assert stream.text == "One, two, three"


def test_a_text_that_nobody_feeds_has_ended() -> None:
    now = 100.0
    stream = TextStream(PATIENCE, clock=lambda: now)
    stream.feed("One, two")
    segments = iter(stream)
    assert next(segments) == Segment(0, "One,")
    assert next(segments) is None
    now += PATIENCE
    assert next(segments) == Segment(4, " two")
    assert stream.ended
    assert list(segments) == []


@pytest.mark.parametrize("wake", [lambda s: s.feed(" yes, "), TextStream.end, TextStream.cancel])
def test_who_waits_for_a_clause_is_woken(wake: Callable[[TextStream], None]) -> None:
    stream = stream_of("No")
    segments = iter(stream)
    assert next(segments) is None
    waiting = threading.Event()
    found: list[Segment | None] = []

    def wait() -> None:
        waiting.set()
        found.append(next(segments, None))

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(5)
    wake(stream)
    thread.join(5)
    assert not thread.is_alive()
    assert found == [None if stream.cancelled else Segment(0, stream.text.rstrip())]


def test_polling_gives_what_is_complete_and_does_not_wait() -> None:
    stream = TextStream(PATIENCE)
    assert stream.poll() is None
    stream.feed("One, two")
    assert stream.poll() == Segment(0, "One,")
    finished = [stream.finished]
    assert stream.poll() is None
    stream.end()
    finished.append(stream.finished)
    assert stream.poll() == Segment(4, " two")
    assert [*finished, stream.finished] == [False, False, True]
    assert stream.poll() is None


def test_a_polled_text_that_is_not_fed_any_more_ends() -> None:
    now = 0.0
    stream = TextStream(PATIENCE, clock=lambda: now)
    stream.feed("One, two")
    now = 4.0
    assert stream.seconds_left() == PATIENCE - 4.0
    now = PATIENCE + 1.0
    assert stream.seconds_left() == 0.0
    assert stream.poll() == Segment(0, "One,"), "what is complete is given before the text ends"
    assert not stream.ended
    assert stream.poll() == Segment(4, " two")
    assert stream.finished


def test_every_change_of_a_text_is_signalled() -> None:
    changes: list[str] = []
    stream = TextStream(PATIENCE)
    stream.on_change = lambda: changes.append(stream.text)
    stream.feed("One")
    stream.feed(", two")
    stream.end()
    stream.cancel()
    assert changes == ["One", "One, two", "One, two", "One, two"]
