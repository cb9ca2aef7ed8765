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

"""Which piece belongs to which text that is still being written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.ros.text_streams import (
    EARLY_SECONDS,
    WRITING_PAUSE_SECONDS,
    NamedStreams,
    Piece,
    PublisherStreams,
)
from k2so_tts.text.stream import TextStream

LONGEST = 1000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Writers:
    """Streams without a name, and all texts that they began."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.texts: list[TextStream] = []
        self.refuses = False
        self.streams = PublisherStreams(self._begin, self.clock)

    def _begin(self) -> TextStream:
        self.texts.append(TextStream(10.0, clock=self.clock))
        if self.refuses:
            self.texts[-1].cancel()
        return self.texts[-1]

    def write(self, *pieces: str, publisher: object = 0) -> bool:
        taken = [self.streams.piece(publisher, piece, LONGEST) for piece in pieces]
        return all(taken)

    @property
    def written(self) -> list[str]:
        return [text.text for text in self.texts]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def named(clock: Clock) -> NamedStreams:
    return NamedStreams(lambda: LONGEST, clock)


def open_stream(named: NamedStreams, name: str, beginning: str = "") -> TextStream:
    return named.open(name, beginning, TextStream(10.0))


@given(st.permutations(range(6)), st.integers(0, 6))
def test_streams_are_never_mixed(order: list[int], opened_after: int) -> None:
    """Of three streams, two pieces each, in any order of streams, before and after their goals."""
    named = NamedStreams(lambda: LONGEST)
    texts: dict[str, TextStream] = {}
    sent = dict.fromkeys("abc", 0)
    for count, number in enumerate(order):
        if count == opened_after:
            texts |= {name: open_stream(named, name, f"{name}:") for name in "abc"}
        name = "abc"[number % 3]
        named.piece(name, Piece(sent[name], f"{name}{sent[name]}"))
        sent[name] += 1
    if not texts:
        texts |= {name: open_stream(named, name, f"{name}:") for name in "abc"}
    assert {name: text.text for name, text in texts.items()} == {
        name: f"{name}:{name}0{name}1" for name in "abc"
    }
    assert (named.dropped, named.lost) == (0, 0)


def test_pieces_before_their_goal_wait_for_a_while(named: NamedStreams, clock: Clock) -> None:
    named.piece("a", Piece(0, "too early"))
    clock.now += EARLY_SECONDS
    named.piece("b", Piece(0, "in time", end=True))
    assert named.dropped == 1
    assert open_stream(named, "a").text == ""
    text = open_stream(named, "b")
    assert (text.text, text.ended) == ("in time", True)


def test_what_never_finds_its_goal_is_bounded(named: NamedStreams) -> None:
    for number in range(1000):
        named.piece("a", Piece(number, "x" * 100))
    for number in range(1000):
        named.piece(f"{number}", Piece(0, "x"))
    assert named.dropped > 1900
    assert len(named._early) <= 64


def test_late_pieces_are_dropped_and_do_not_reach_the_next_text(named: NamedStreams) -> None:
    first = open_stream(named, "a")
    named.piece("a", Piece(0, "First"))
    named.close("a")
    assert first.cancelled
    named.piece("a", Piece(1, " late"))
    second = open_stream(named, "a")
    named.piece("a", Piece(2, " later"))
    named.piece("a", Piece(0, "Second"))
    named.piece("a", Piece(1, "!"))
    assert (first.text, second.text) == ("First", "Second!")
    assert (named.dropped, named.lost) == (2, 0)


def test_the_beginning_of_the_next_text_may_come_before_its_goal(named: NamedStreams) -> None:
    open_stream(named, "a")
    named.close("a")
    named.piece("a", Piece(0, "Second"))
    named.piece("a", Piece(1, "!"))
    assert open_stream(named, "a").text == "Second!"
    assert named.dropped == 0


def test_lost_and_repeated_pieces_are_counted(named: NamedStreams) -> None:
    text = open_stream(named, "a")
    for sequence in (0, 1, 1, 4, 3, 5):
        named.piece("a", Piece(sequence, str(sequence)))
    assert text.text == "0145"
    assert named.counts == {"pieces_dropped": 2, "pieces_lost": 2}
    assert named.close("a") == 2
    assert named.close("a") == 0


def test_a_text_is_cut_at_its_longest(named: NamedStreams) -> None:
    text = open_stream(named, "a", "x" * 990)
    for number in range(5):
        named.piece("a", Piece(number, "123456"))
    assert text.text == "x" * 990 + "1234561234"
    assert named.cut == 1


def test_a_flush_speaks_what_there_is(named: NamedStreams) -> None:
    text = open_stream(named, "a", "So")
    assert text.poll() is None
    named.piece("a", Piece(0, " it begins", flush=True))
    segment = text.poll()
    assert segment is not None
    assert segment.text == "So it begins"
    assert text.poll() is None
    assert not text.finished


def test_an_empty_piece_ends_a_text_without_a_name() -> None:
    writers = Writers()
    writers.write("", "One", " two", "", "", "Three")
    assert writers.written == ["One two", "Three"]
    assert [text.ended for text in writers.texts] == [True, False]


def test_two_publishers_are_never_mixed() -> None:
    writers = Writers()
    for one, other in zip("abc", "xyz", strict=True):
        writers.write(one, publisher=1)
        writers.write(other, publisher=2)
    writers.write("", publisher=1)
    assert writers.written == ["abc", "xyz"]
    assert [text.ended for text in writers.texts] == [True, False]


@pytest.mark.parametrize("ended", [True, False])
def test_after_a_text_was_cut_off_the_next_one_is_spoken(ended: bool) -> None:
    writers = Writers()
    writers.write("One ")
    writers.texts[0].cancel()
    writers.write("two ", "three")
    if ended:
        writers.write("")
    else:
        writers.clock.now += WRITING_PAUSE_SECONDS
    writers.write("Four", "")
    assert writers.written == ["One ", "Four"]


def test_after_a_refusal_the_next_text_is_spoken() -> None:
    writers = Writers()
    writers.refuses = True
    writers.write("One ", "two", "")
    writers.refuses = False
    writers.write("Three", "")
    assert writers.written == ["", "Three"]


def test_a_text_without_a_name_is_cut_at_its_longest() -> None:
    writers = Writers()
    assert writers.write("x" * 999)
    assert not writers.write("yz")
    assert writers.written == ["x" * 999 + "y"]


def test_publishers_that_are_gone_are_forgotten() -> None:
    writers = Writers()
    for number in range(100):
        writers.write("x", publisher=number)
    assert sum(not text.ended for text in writers.texts) == 64
