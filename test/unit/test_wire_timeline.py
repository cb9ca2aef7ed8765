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

"""Frames, stamps and parts of an utterance on the wire."""

from __future__ import annotations

import pytest

from k2so_tts.ros.wire_timeline import Span, WireTimeline

RATE = 1000
START_NS = 5_000_000_000
MS = 1_000_000


@pytest.fixture
def wire() -> WireTimeline:
    """Two parts: 400 frames, and after a pause of 0.6 s 300 frames."""
    wire = WireTimeline(RATE)
    wire.begin_span(START_NS, 10.0)
    wire.sent = 400
    wire.ended = True
    wire.begin_span(START_NS + 1000 * MS, 11.0)
    wire.sent = 700
    return wire


def test_a_part_begins_with_the_next_frame(wire: WireTimeline) -> None:
    assert wire.spans == [Span(0, START_NS, 10.0), Span(400, START_NS + 1000 * MS, 11.0)]
    assert not wire.ended


def test_a_part_that_is_sent_early_is_due_after_the_one_before(wire: WireTimeline) -> None:
    wire.begin_span(START_NS + 2000 * MS, 11.1)
    assert wire.spans[-1] == Span(700, START_NS + 2000 * MS, 11.3)


@pytest.mark.parametrize(
    ("frame", "stamp_ms", "part", "end"),
    [(0, 0, 0, 400), (399, 399, 0, 400), (400, 1000, 400, 700), (700, 1300, 400, 700)],
)
def test_every_frame_has_a_stamp_and_a_part(
    wire: WireTimeline, frame: int, stamp_ms: int, part: int, end: int
) -> None:
    assert wire.stamp_ns(frame) == START_NS + stamp_ms * MS
    assert wire.span_of(frame).first == part
    assert wire.span_end(frame) == end


@pytest.mark.parametrize(
    ("stamp_ms", "part", "frame"),
    [(0, 0, 0), (399, 0, 399), (400, 0, 400), (401, 0, 401), (1000, 1, 400), (1301, 1, 701)],
)
def test_a_stamp_leads_to_its_frame(
    wire: WireTimeline, stamp_ms: int, part: int, frame: int
) -> None:
    assert wire.locate(START_NS + stamp_ms * MS) == (wire.spans[part], frame)


@pytest.mark.parametrize("stamp_ms", [-1, 402, 999, 1302])
def test_other_stamps_lead_nowhere(wire: WireTimeline, stamp_ms: int) -> None:
    assert wire.locate(START_NS + stamp_ms * MS) is None


@pytest.mark.parametrize(
    ("now", "frame"),
    [(10.0, 0), (10.25, 250), (10.9, 400), (11.0, 400), (11.25, 650), (12.0, 700)],
)
def test_by_the_clock_frames_are_due_at_their_time(
    wire: WireTimeline, now: float, frame: float
) -> None:
    assert wire.due_frame(now) == pytest.approx(frame)
    wire.postpone(2.0)
    assert wire.due_frame(now + 2.0) == pytest.approx(frame)


def test_nothing_is_due_before_anything_was_sent() -> None:
    assert WireTimeline().due_frame(1e9) == 0.0
    assert WireTimeline().rate == 1
