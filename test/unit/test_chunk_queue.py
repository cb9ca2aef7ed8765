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

"""The queue between an engine and playback: bounded, in chunks, with marks, and cut at a mark."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.audio import Pcm
from k2so_tts.synthesis.chunk_queue import ChunkQueue

RATE = 1000
CHUNK = 16
FADE = 5
SOON = 10.0


def ramp(frames: int, first: int = 1) -> Pcm:
    """Frames that can be told apart."""
    return np.arange(first, first + frames, dtype=np.int16)


def queue_of(ahead: int = 1000, *, whole: bool = False) -> ChunkQueue:
    return ChunkQueue(RATE, ahead, chunk_frames=CHUNK, whole=whole)


def taken(queue: ChunkQueue) -> list[list[int]]:
    """All chunks that can be taken now."""
    chunks = []
    while (chunk := queue.take()) is not None:
        chunks.append(chunk.pcm.tolist())
    return chunks


def joined(queue: ChunkQueue) -> list[int]:
    """All frames that can be taken now."""
    return [frame for chunk in taken(queue) for frame in chunk]


@contextmanager
def adding(queue: ChunkQueue, pcm: Pcm) -> Iterator[threading.Thread]:
    """Another thread adds, and is to be released."""
    thread = threading.Thread(target=queue.add, args=(queue.generation, pcm), daemon=True)
    thread.start()
    yield thread
    thread.join(SOON)
    assert not thread.is_alive()


def test_sound_comes_in_chunks_the_first_ones_shorter() -> None:
    queue = queue_of()
    is_empty = [queue.is_empty]
    queue.add(0, ramp(34))
    assert (queue.made, queue.frames) == (34, 32)
    assert [*is_empty, queue.is_empty] == [True, False]
    chunks = [queue.take() for _ in range(7)]
    assert [(chunk.start, len(chunk.pcm)) for chunk in chunks if chunk] == [
        (0, 2),
        (2, 2),
        (4, 4),
        (8, 4),
        (12, 4),
        (16, 8),
        (24, 8),
    ]
    assert queue.take() is None
    queue.flush(0)
    assert taken(queue) == [[33, 34], []]
    queue.flush(0)
    assert taken(queue) == [], "it was flushed already"
    queue.add(0, ramp(3))
    queue.flush(0)
    assert taken(queue) == [[1, 2], [3], []], "again the first are short"


def test_nothing_is_flushed_that_was_never_added() -> None:
    queue = queue_of()
    queue.flush(0)
    assert queue.is_empty


def test_waiting_ends_with_a_chunk_with_the_end_or_in_time() -> None:
    queue = queue_of()
    assert not queue.wait(0.0)
    queue.add(0, ramp(1))
    assert not queue.wait(0.0)
    queue.add(0, ramp(1))
    assert queue.wait(0.0)
    assert queue.take() is not None
    assert not queue.wait(0.0)
    queue.end()
    assert queue.wait(0.0)


@pytest.mark.parametrize("what", ["add", "end"])
def test_one_that_waits_is_woken(what: str) -> None:
    queue = queue_of()
    woken: list[bool] = []
    waiting = threading.Thread(target=lambda: woken.append(queue.wait(SOON)), daemon=True)
    waiting.start()
    if what == "add":
        queue.add(0, ramp(5))
    else:
        queue.end()
    waiting.join(SOON / 2)
    assert woken == [True]


def test_each_chunk_and_the_end_are_signalled() -> None:
    ready: list[int] = []
    queue = ChunkQueue(RATE, 100, chunk_frames=CHUNK, on_change=lambda: ready.append(queue.frames))
    queue.add(0, ramp(22))
    queue.flush(0)
    queue.end()
    assert ready == [2, 4, 8, 12, 16, 22, 22, 22]


def test_the_producer_is_held_while_enough_waits() -> None:
    now = 0.0
    queue = ChunkQueue(RATE, 20, chunk_frames=CHUNK, clock=lambda: now)
    with adding(queue, ramp(56)):
        while queue.frames < 24:
            queue.wait(0.001)
        assert queue.frames == 24, "a chunk more than is wanted"
        now = 2.0
        assert queue.take() is not None
        assert queue.frames == 24, "22 frames still wait"
        assert queue.take() is not None
        while queue.frames < 32:
            queue.wait(0.001)
        now = 5.0
        taken(queue)
    taken(queue)
    assert queue.frames == 48
    assert queue.held_seconds == 5.0


def test_it_holds_a_chunk_at_least() -> None:
    queue = ChunkQueue(RATE, 0, chunk_frames=CHUNK)
    queue.add(0, ramp(23))
    assert queue.frames == 16
    with adding(queue, ramp(8, 24)):
        while queue.frames < 24:
            queue.wait(0.001)
        taken(queue)


def test_cancelling_releases_the_producer_and_ignores_the_rest() -> None:
    queue = queue_of(20)
    with adding(queue, ramp(100)):
        while queue.frames < 24:
            queue.wait(0.001)
        queue.cancel()
    assert queue.cancelled
    assert queue.frames == 24
    queue.add(0, ramp(100))
    assert queue.frames == 24


def test_truncating_releases_the_producer_and_ignores_the_rest() -> None:
    queue = queue_of(20)
    with adding(queue, ramp(100)):
        while queue.frames < 24:
            queue.wait(0.001)
        assert queue.truncate_to_last_mark() == (1, 0)
    assert queue.made == FADE


def test_whole_nothing_is_given_before_the_end_and_nothing_is_held() -> None:
    queue = queue_of(20, whole=True)
    queue.add(0, ramp(100))
    assert not queue.wait(0.0)
    assert queue.take() is None
    queue.flush(0)
    queue.end()
    assert queue.wait(0.0)
    assert joined(queue) == ramp(100).tolist()


def test_marks_say_how_much_of_the_text_is_spoken() -> None:
    queue = queue_of()
    queue.mark(0, 10, 3)
    queue.mark(0, 7, 5)
    queue.mark(0, 30, 9)
    assert queue.marks == ((10, 3), (10, 5), (30, 9)), "none lies before an earlier one"
    assert [queue.text_progress(frames) for frames in (0, 9, 10, 15, 29, 30, 99)] == [
        (0, 3, 0.0),
        (0, 3, 0.9),
        (5, 9, 0.0),
        (5, 9, 0.25),
        (5, 9, 0.95),
        (9, 9, 0.0),
        (9, 9, 0.0),
    ]


def test_writes_of_a_stale_generation_are_ignored() -> None:
    queue = queue_of()
    queue.add(0, ramp(20))
    queue.truncate_to_last_mark()
    queue.add(0, ramp(20))
    queue.mark(0, 1, 1)
    queue.flush(0)
    assert (queue.made, queue.marks) == (FADE, ())
    queue.mark(1, 1, 1)
    queue.add(1, ramp(3))
    queue.flush(1)
    assert queue.marks == ((1, 1),)
    assert queue.made == FADE + 3


def test_a_text_is_cut_after_the_last_word_that_is_complete() -> None:
    queue = queue_of()
    queue.add(0, np.full(37, 1000, np.int16))
    queue.mark(0, 12, 4)
    queue.mark(0, 23, 8)
    queue.mark(0, 99, 12)
    first = queue.take()
    assert first is not None
    assert queue.truncate_to_last_mark() == (1, 8)
    assert queue.marks == ((12, 4), (23, 8))
    assert queue.made == 23 + FADE
    queue.flush(1)
    rest = np.array(joined(queue))
    assert len(rest) == 23 + FADE - 2
    assert (rest[:-FADE] == 1000).all()
    assert 0 < rest[-FADE] < 1000, "the frame before it is at full level"
    assert (np.diff(rest[-FADE:]) < 0).all()
    assert rest[-1] == 0


def test_what_was_taken_beyond_the_last_word_stays_and_a_little_fades() -> None:
    queue = queue_of()
    queue.add(0, np.full(37, 1000, np.int16))
    queue.mark(0, 3, 1)
    assert queue.take() is not None
    assert queue.take() is not None
    assert queue.truncate_to_last_mark() == (1, 1)
    assert (queue.made, queue.frames) == (4 + FADE, 8)
    assert [len(chunk) for chunk in taken(queue)] == [2, 2]
    queue.add(1, ramp(5))
    chunk = queue.take()
    assert chunk is not None
    assert chunk.start == 8


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(0, 12),
    st.lists(st.integers(0, 300), max_size=5),
)
def test_a_cut_loses_no_complete_word_and_repeats_nothing(
    blocks: list[int], takes: int, ends: list[int]
) -> None:
    queue = queue_of()
    sound = ramp(sum(blocks))
    start = 0
    for frames in blocks:
        queue.add(0, sound[start : start + frames])
        start += frames
    for number, end in enumerate(sorted(ends), 1):
        queue.mark(0, end, number)
    before = [chunk for _ in range(takes) if (chunk := queue.take()) is not None]
    heard = sum(len(chunk.pcm) for chunk in before)
    generation, text_end = queue.truncate_to_last_mark()
    assert text_end == sum(end <= len(sound) for end in ends)
    complete = max([end for end in ends if end <= len(sound)], default=0)
    queue.add(generation, ramp(40, 5000))
    queue.flush(generation)
    rest = np.concatenate([np.empty(0, np.int16), *map(np.array, taken(queue))]).astype(int)
    kept = max(complete, heard)
    expected = sound[heard:kept]
    assert rest[: len(expected)].tolist() == expected.tolist()
    assert rest[-40:].tolist() == ramp(40, 5000).tolist()
    assert len(rest) == len(expected) + min(FADE, len(sound) - kept) + 40


def test_how_long_the_sound_lasts_that_was_released() -> None:
    now = 100.0
    queue = ChunkQueue(RATE, 1000, chunk_frames=CHUNK, clock=lambda: now)
    assert queue.buffered_seconds() == 0.0
    queue.add(0, ramp(32))
    assert queue.buffered_seconds() == pytest.approx(0.032)
    now = 100.015
    assert queue.buffered_seconds() == pytest.approx(0.017)
    queue.add(0, ramp(16))
    assert queue.buffered_seconds() == pytest.approx(0.033), "it follows what is still playing"
    now = 101.0
    taken(queue)
    assert queue.buffered_seconds() == 0.0
    queue.add(0, ramp(16))
    assert queue.buffered_seconds() == pytest.approx(0.016), "it begins anew after a gap"


def test_nothing_is_given_before_enough_is_collected() -> None:
    changes: list[None] = []
    now = 100.0
    queue = ChunkQueue(
        RATE,
        1000,
        chunk_frames=CHUNK,
        on_change=lambda: changes.append(None),
        clock=lambda: now,
    )
    queue.set_prebuffer(0, 0.030)
    queue.add(0, ramp(16))
    assert not queue.wait(0.0)
    assert (queue.take(), changes) == (None, [])
    assert queue.buffered_seconds() == pytest.approx(0.016)
    now = 100.5
    queue.add(0, ramp(16, 17))
    assert len(changes) == 1
    assert queue.buffered_seconds() == pytest.approx(0.032), "it is played from now on"
    assert joined(queue) == ramp(32).tolist()
    queue.add(0, ramp(16, 33))
    assert joined(queue) == ramp(16, 33).tolist(), "in time"


def test_it_collects_anew_when_the_consumer_has_run_dry() -> None:
    now = 100.0
    queue = ChunkQueue(RATE, 1000, chunk_frames=CHUNK, clock=lambda: now)
    queue.set_prebuffer(0, 0.020)
    queue.add(0, ramp(32))
    now = 101.0
    queue.add(0, ramp(16, 33))
    assert joined(queue) == ramp(48).tolist(), "what waits to be taken shows that it is not dry"
    now = 102.0
    queue.add(0, ramp(16, 49))
    assert queue.take() is None
    queue.add(0, ramp(16, 65))
    assert joined(queue) == ramp(32, 49).tolist()


@pytest.mark.parametrize("how", ["flush", "end", "less"])
def test_what_is_collected_is_given_where_no_more_comes(how: str) -> None:
    queue = queue_of()
    queue.set_prebuffer(0, 0.5)
    queue.add(0, ramp(32))
    assert queue.take() is None
    if how == "flush":
        queue.flush(0)
    elif how == "end":
        queue.end()
    else:
        queue.set_prebuffer(0, 0.0)
        queue.add(0, ramp(16, 33))
    assert joined(queue)[:32] == ramp(32).tolist()


@pytest.mark.parametrize(
    ("seconds", "lengths"),
    [(0.0, [2, 2, 4]), (0.012, [4, 4, 4]), (0.03, [11, 11, 10]), (0.060, [16, 16, 16, 16])],
)
def test_a_player_starts_on_what_was_collected(seconds: float, lengths: list[int]) -> None:
    queue = queue_of()
    queue.set_prebuffer(0, seconds)
    queue.add(0, ramp(sum(lengths)))
    chunks = taken(queue)
    assert [len(chunk) for chunk in chunks] == lengths
    assert [frame for chunk in chunks for frame in chunk] == ramp(sum(lengths)).tolist()


def test_the_end_marker_stays_behind_what_was_collected() -> None:
    queue = queue_of()
    queue.set_prebuffer(0, 0.5)
    queue.add(0, ramp(17))
    queue.flush(0)
    assert [len(chunk) for chunk in taken(queue)] == [6, 6, 5, 0]


def test_the_end_of_an_earlier_part_stays_before_what_was_collected() -> None:
    now = 100.0
    queue = ChunkQueue(RATE, 1000, chunk_frames=CHUNK, clock=lambda: now)
    queue.add(0, ramp(2))
    queue.flush(0)
    assert queue.take() is not None, "and the end of the part waits"
    now = 101.0
    queue.set_prebuffer(0, 0.012)
    queue.add(0, ramp(12, 3))
    assert [len(chunk) for chunk in taken(queue)] == [0, 4, 4, 4]


def test_no_more_is_collected_than_may_wait() -> None:
    queue = queue_of(20)
    queue.set_prebuffer(0, 0.5)
    with adding(queue, ramp(64)):
        assert queue.wait(SOON)
        while queue.frames < 64:
            taken(queue)
            queue.wait(0.001)
        taken(queue)
