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

"""One goal on its way from acceptance to its result: what was sent and heard of it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from k2so_tts.audio import EMPTY_PCM, Chunk
from k2so_tts.metrics import SynthesisStats
from k2so_tts.ros.endings import Reason
from k2so_tts.ros.playback_progress import EXTRAPOLATION_SECONDS, PlaybackProgress
from k2so_tts.ros.wire_timeline import NOWHERE, PlayerTrack, Span, WireTimeline
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions
from k2so_tts.text.stream import TextStream

_PAUSE_SECONDS = (0.04, 0.12)
"""How soon an utterance that is interrupted may fall silent, and how late it should: an end marker
takes some milliseconds to the player, and people notice 150 ms."""
_CUT_SECONDS = 0.06
"""When it falls silent where no word ends in that time."""
_ROUNDING_FRAMES = 1
"""Stamps are whole nanoseconds."""
REPEAT_SECONDS = 1.0
"""So much of what was heard is at hand to be repeated. Where the word that was cut began earlier,
it goes on where it was cut."""
_RESAMPLER_SECONDS = 0.1
"""More than a player's resampler holds back when a stream falls quiet (`playback.converter`)."""


@dataclass(eq=False)
class Utterance:
    """One goal, or one streamed text, on its way. Frames count from its first one."""

    key: Hashable
    text: str | TextStream
    options: SynthesisOptions
    accepted_at: float
    accepted_ns: int
    language: str = ""
    policy: str = ""
    """One of those of `QueueSettings`; empty: the one that is set there."""
    priority: int = 0
    synthesis: Synthesis | None = None
    in_turn: bool = False
    """It is being spoken: its turn has come, and it was not interrupted."""
    turn_at: float = math.nan
    first_chunk_at: float | None = None
    heard_first_at: float | None = None
    pending: Chunk | None = None
    """The next chunk, taken from the engine and not sent yet."""
    wire: WireTimeline = field(default_factory=WireTimeline)
    progress: PlaybackProgress = field(default_factory=PlaybackProgress)
    backlog: deque[Chunk] = field(default_factory=deque)
    """Chunks that are to be sent (again), after an interruption, before what the engine gives."""
    words_announced: int = 0
    """How many words were told of ahead of their time."""
    words_told: int = 0
    """How many words were told of as they became audible."""

    def attach(self, synthesis: Synthesis) -> None:
        """The engine has begun on it."""
        self.synthesis = synthesis
        self.wire.rate = synthesis.rate

    @property
    def rate(self) -> int:
        """Frames per second (Hz); meaningless before the engine has begun."""
        return self.wire.rate

    @property
    def sent(self) -> int:
        """How many frames were sent."""
        return self.wire.sent

    @property
    def is_all_sent(self) -> bool:
        """The engine has made everything, and everything was sent."""
        synthesis = self.synthesis
        assert synthesis is not None
        is_taken = synthesis.exhausted and self.pending is None and not self.backlog
        return is_taken and synthesis.error is None

    def stamp_ns(self, frame: int) -> int:
        """The presentation time of a frame that was sent."""
        return self.wire.stamp_ns(frame)

    def position(self, now: float, *, by_clock: bool) -> float:
        """How many frames have been heard by `now`, as far as one can know.

        `by_clock`: what was sent is taken to be heard at its time, as nobody reports it.
        """
        progress, wire = self.progress, self.wire
        if progress.confirmed is None:
            return wire.due_frame(now) if by_clock else float(progress.heard_before)
        elapsed = min(now - progress.confirmed_at, EXTRAPOLATION_SECONDS) if progress.moving else 0
        estimate = progress.confirmed + elapsed * self.rate
        return min(estimate, wire.span_end(progress.confirmed))

    def heard(self, now: float, *, by_clock: bool) -> int:
        """How many frames have been heard for certain."""
        confirmed = self.progress.confirmed
        return int(self.position(now, by_clock=by_clock)) if confirmed is None else confirmed

    def confirm(
        self,
        part: int,
        frame: int,
        now: float,
        track: PlayerTrack | None,
        *,
        by_clock: bool,
        takes_over: bool = False,
    ) -> None:
        """A player reports that `frame`, of the part that begins with frame `part`, is being heard.

        It is of `track`; None if the player does not say so. What was spoken `by_clock`, before the
        player was there, is not lost. `takes_over`: what was reported before came from another.
        """
        progress = self.progress
        begins = self._begin_of(track)
        track_start = part if begins is None else begins[1]
        if takes_over and track_start <= _ROUNDING_FRAMES:
            if progress.sinks == {NOWHERE}:
                progress.confirmed = None  # nobody has heard that
            progress.sinks.clear()
        if track is not None:
            progress.sinks.add(track.sink)
        if progress.confirmed is None and by_clock:
            progress.joined_late = track is None or track_start > part + _ROUNDING_FRAMES
        if track is not None and not by_clock:
            slack = round(_RESAMPLER_SECONDS * self.rate)
            progress.note_losses(part, track_start, track.lost_frames, slack)
        if self.heard_first_at is None:
            self.heard_first_at = now - frame / self.rate
        last_began_at = self.wire.spans[-1].due_at
        resumed = progress.confirmed is None or progress.confirmed_at < last_began_at
        progress.confirm(part, frame, now, resumed=resumed)

    def lacks_beginning(self, track: PlayerTrack | None) -> bool:
        """Whether a player's track lacks the beginning of the part that it is of."""
        begins = self._begin_of(track)
        return begins is not None and begins[1] > begins[0].first + _ROUNDING_FRAMES

    def _begin_of(self, track: PlayerTrack | None) -> tuple[Span, int] | None:
        """The frame with which a player's track begins, and the part it is in, if it is known."""
        return None if track is None else self.wire.locate(track.start_ns)

    def note_late_losses(self, track: PlayerTrack | None) -> None:
        """A player reports on what it still plays after this utterance was interrupted."""
        begins = self._begin_of(track)
        if track is None or begins is None or not track.lost_frames:
            return
        part, frame = begins
        if frame < self.sent:  # else it is of the utterance that follows
            self.progress.losses.frames[part.first] = track.lost_frames

    def plays(self, frame: int, *, by_clock: bool) -> bool:
        """Whether the part that a frame is in is being played, or by the clock may be."""
        progress = self.progress
        if progress.confirmed is None:
            return by_clock
        has_begun = progress.confirmed_at >= self.wire.span_of(frame).due_at
        return has_begun and (progress.moving or frame < progress.confirmed)

    def is_of_earlier(self, track: PlayerTrack | None, frame: int, now: float) -> bool:
        """Whether a playhead is a late report of an utterance that was cut: that one began earlier,
        or, where the player does not say so, it lies further ahead than could have been heard of
        this one.
        """
        if track is not None:
            return track.start_ns < self.wire.spans[0].start_ns
        elapsed = now - self.wire.spans[0].due_at
        return self.progress.confirmed is None and frame > elapsed * self.rate + 1

    def cancel(self) -> None:
        """Nothing more of it is made, nor taken of a text that is still being written."""
        if isinstance(self.text, TextStream):
            self.text.cancel()
        if self.synthesis is not None:
            self.synthesis.cancel()

    def suspend(self) -> None:
        """Leave the engine to an utterance that comes first."""
        if self.synthesis is not None:
            self.synthesis.suspend()

    def ends_soon_after(self, position: float) -> bool:
        """Whether it falls silent as soon by itself, if `position` is being heard."""
        return self.is_all_sent and self.sent - position <= _PAUSE_SECONDS[1] * self.rate

    def pause_after(self, position: float) -> tuple[int, int]:
        """Where to fall silent, if `position` is being heard, and where to go on later (frames): at
        the end of a word, or in a word that is repeated.
        """
        assert self.synthesis is not None
        if not position:
            return 0, 0
        soonest, latest = (position + seconds * self.rate for seconds in _PAUSE_SECONDS)
        ends = [word.end_frame for word in self.synthesis.words]
        at = bisect_left(ends, soonest)
        if at < len(ends) and ends[at] <= min(latest, self.sent):
            return ends[at], ends[at]
        stop = min(self.sent, int(position + _CUT_SECONDS * self.rate))
        begun = ends[at - 1] if at else 0
        is_near = stop - begun <= REPEAT_SECONDS * self.rate
        return stop, begun if is_near else stop

    def go_on_from(self, frame: int) -> None:
        """Of what was sent, nothing from this frame on will be heard: it is to be sent again."""
        progress = self.progress
        again = deque(self.unheard_from(frame))
        if self.wire.ended and again:
            again.append(Chunk(self.sent, EMPTY_PCM))
        if self.pending is not None:
            again.append(self.pending)
        self.backlog.extendleft(reversed(again))
        self.pending = None
        progress.rewind(frame)
        self.wire.truncate(frame)
        words = self.synthesis.words if self.synthesis is not None else []
        self.words_announced = bisect_left(words, frame, key=lambda word: word.frame)

    def unheard_from(self, heard: int) -> Iterator[Chunk]:
        """What was sent after the first `heard` frames, in order, as far as it is at hand."""
        for chunk in (*self.progress.recent, *self.progress.unheard):
            start = max(chunk.start, heard)
            if start < chunk.end:
                yield Chunk(start, chunk.pcm[start - chunk.start :])

    def heard_text(self, frames: int) -> str:
        """The words that were heard in full when the first `frames` frames were, and none after
        the first loss.
        """
        losses = self.progress.losses
        frames = min(frames, losses.intact_to) if losses else frames
        return self.synthesis.heard_text(frames) if self.synthesis else ""

    def heard_seconds(self, now: float) -> float:
        """How long ago its first frame was heard (s)."""
        began = self.heard_first_at
        return max(0.0, now - (self.wire.spans[0].due_at if began is None else began))

    @property
    def why_complete(self) -> tuple[Reason, str]:
        """How it ended, now that all of it was played."""
        progress = self.progress
        if progress.losses.reason is not None:
            return Reason.FRAMES_LOST, progress.losses.reason
        if not self.sent:
            return Reason.FINISHED, "there was nothing to say"
        unheard = progress.why_unheard
        return (Reason.UNHEARD, unheard) if unheard else (Reason.FINISHED, "heard to its end")

    def remarks(self, lost_pieces: int) -> list[str]:
        """What is to be known of its text, of which so many pieces were lost."""
        remarks = []
        if lost_pieces:
            remarks.append(f"{lost_pieces} pieces of its text were lost on the way")
        if isinstance(self.text, TextStream) and self.text.timed_out:
            remarks.append("its text was not ended: nothing came for stream_timeout")
        return remarks

    def spoken(self) -> SynthesisStats:
        """What was measured."""
        synthesis = self.synthesis
        seconds = synthesis.frames / self.rate if synthesis else 0.0
        done = synthesis is not None and synthesis.done and seconds > 0
        begins_at = max(self.turn_at, self._text_known_at)
        return SynthesisStats(
            first_chunk_s=_since(self.first_chunk_at, begins_at),
            perceived_latency_s=_since(self.heard_first_at, begins_at),
            duration_s=seconds,
            text_wait_s=max(0.0, self._text_known_at - self.turn_at),
            real_time_factor=synthesis.seconds / seconds if synthesis and done else None,
        )

    @property
    def _text_known_at(self) -> float:
        """When something to say was known (s, monotonic); -inf for a text that was sent whole."""
        first = self.text.first_clause_at if isinstance(self.text, TextStream) else None
        return -math.inf if first is None else first


def _since(moment: float | None, start: float) -> float | None:
    return None if moment is None else moment - start
