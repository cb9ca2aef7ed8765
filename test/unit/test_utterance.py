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

"""How far an utterance was heard, and what was lost of it."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from k2so_tts.audio import Chunk
from k2so_tts.metrics import SynthesisStats
from k2so_tts.ros.playback_progress import Losses, PlaybackProgress
from k2so_tts.ros.utterance import Utterance
from k2so_tts.ros.wire_timeline import PlayerTrack
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

RATE = 1000


class Made:
    """A synthesis that has made a second of audio in half a second."""

    rate = RATE
    frames = 1000
    seconds = 0.5
    done = True

    def heard_text(self, frames: int) -> str:
        return f"{frames} frames"


@pytest.fixture
def utterance() -> Utterance:
    """One of 1000 frames that was sent at 10 s."""
    utterance = Utterance("key", "text", SynthesisOptions("any"), 9.0, 0)
    utterance.attach(cast(Synthesis, Made()))
    utterance.turn_at = 9.5
    utterance.wire.begin_span(0, 10.0)
    utterance.wire.sent = 1000
    return utterance


def confirm(utterance: Utterance, frame: int, now: float, lost: int = 0, start: int = 0) -> None:
    track = PlayerTrack(utterance.stamp_ns(start), lost)
    utterance.confirm(0, frame, now, track, by_clock=False)


def position(utterance: Utterance, now: float) -> float:
    return utterance.position(now, by_clock=False)


def test_between_reports_the_playhead_moves_on_for_a_while(utterance: Utterance) -> None:
    assert position(utterance, 10.5) == 0.0
    assert utterance.position(10.5, by_clock=True) == pytest.approx(500)
    confirm(utterance, 0, 10.2)
    assert position(utterance, 10.25) == pytest.approx(50)
    assert position(utterance, 10.9) == pytest.approx(100)
    assert utterance.heard(10.9, by_clock=False) == 0
    confirm(utterance, 960, 10.3)
    assert position(utterance, 11.0) == 1000, "but not past what was sent"


def test_a_playhead_that_stands_still_is_not_moved_on(utterance: Utterance) -> None:
    confirm(utterance, 100, 10.1)
    confirm(utterance, 100, 10.2)
    assert position(utterance, 10.25) == 100
    assert not utterance.progress.is_playing(10.2)
    confirm(utterance, 90, 10.25)
    assert utterance.heard(10.3, by_clock=True) == 100, "nor back"


def test_it_plays_for_as_long_as_the_playhead_is_moved_on(utterance: Utterance) -> None:
    confirm(utterance, 0, 16.0)
    assert utterance.progress.is_playing(16.0625)
    assert not utterance.progress.is_playing(16.125)
    assert not PlaybackProgress().moving


@pytest.mark.parametrize(("start", "skipped"), [(0, False), (1, False), (2, True)])
def test_a_player_has_a_part_from_its_first_frame_on(
    utterance: Utterance, start: int, skipped: bool
) -> None:
    confirm(utterance, 500, 10.5, start=start)
    assert utterance.progress.losses.skipped is skipped


@pytest.mark.parametrize(("start", "skipped"), [(400, False), (401, True)])
def test_a_player_goes_on_with_a_part_where_it_was(
    utterance: Utterance, start: int, skipped: bool
) -> None:
    confirm(utterance, 300, 10.3)
    confirm(utterance, 500, 10.5, start=start)
    assert utterance.progress.losses.skipped is skipped


def test_what_came_before_a_loss_was_heard(utterance: Utterance) -> None:
    confirm(utterance, 0, 10.0)
    confirm(utterance, 50, 10.05)
    confirm(utterance, 100, 10.1, 7)
    confirm(utterance, 150, 10.15, 9)
    assert utterance.progress.losses.frames == {0: 9}
    assert utterance.heard_text(150) == "50 frames"
    assert utterance.heard_text(20) == "20 frames"


def test_a_player_that_came_late_has_lost_nothing(utterance: Utterance) -> None:
    track = PlayerTrack(utterance.stamp_ns(400), 3)
    utterance.confirm(0, 500, 10.5, track, by_clock=True)
    assert not utterance.progress.losses
    assert utterance.heard_text(500) == "500 frames"


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        (Losses(), None),
        (Losses({0: 3, 400: 4}), "7 frames were lost on the way to the player"),
        (Losses({0: 3}, skipped=True), "3 frames were lost on the way to the player"),
        (Losses(skipped=True), "the player skipped a part of it"),
    ],
)
def test_a_loss_has_a_reason(losses: Losses, reason: str | None) -> None:
    assert losses.reason == reason
    assert bool(losses) is (reason is not None)


def test_chunks_are_kept_until_they_were_heard_and_had_feedback() -> None:
    progress = PlaybackProgress()
    chunks = [Chunk(start, np.zeros(100, np.int16)) for start in (0, 100, 200)]
    progress.unheard.extend(chunks)
    progress.feedback_to = 200
    progress.forget_heard(99, kept=0)
    assert list(progress.unheard) == chunks
    progress.forget_heard(100, kept=0)
    assert list(progress.unheard) == chunks[1:]
    progress.forget_heard(300, kept=0)
    assert list(progress.unheard) == chunks[2:]


def test_what_is_unheard_begins_with_the_next_frame(utterance: Utterance) -> None:
    pcm = np.arange(300, dtype=np.int16)
    utterance.progress.unheard.extend([Chunk(0, pcm[:100]), Chunk(100, pcm[100:])])
    (rest,) = utterance.unheard_from(100)
    assert (rest.start, len(rest.pcm)) == (100, 200)
    first, second = utterance.unheard_from(40)
    assert (first.start, second.start) == (40, 100)
    assert np.array_equal(first.pcm, pcm[40:100])


def test_what_was_measured(utterance: Utterance) -> None:
    utterance.first_chunk_at = 10.0
    confirm(utterance, 100, 10.5)
    confirm(utterance, 200, 10.6)
    assert utterance.heard_first_at == pytest.approx(10.4)
    utterance.heard_first_at = 10.25
    assert utterance.spoken() == SynthesisStats(0.5, 0.75, 1.0, 0.0, 0.5)
    cast(Made, utterance.synthesis).done = False
    assert utterance.spoken().real_time_factor is None


def test_nothing_was_measured_of_what_never_had_its_turn() -> None:
    waiting = Utterance("key", "text", SynthesisOptions("any"), 9.0, 0)
    assert waiting.spoken() == SynthesisStats(None, None, 0.0, 0.0, None)
    assert waiting.heard_text(5) == ""
    assert waiting.language == ""
