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
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from k2so_tts.audio import Chunk
from k2so_tts.metrics import SynthesisStats
from k2so_tts.ros.wire_timeline import PlayerTrack, WireTimeline
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions
from k2so_tts.text.stream import TextStream

EXTRAPOLATION_SECONDS = 0.1
"""For so long the playhead is taken to move on after its last report: two intervals of reports."""
_RESAMPLER_SECONDS = 0.1
"""More than a player's resampler holds back when a stream falls quiet (`playback.converter`)."""


@dataclass(eq=False)
class Losses:
    """Audio that was sent and not heard, as far as the player reports it."""

    frames: dict[int, int] = field(default_factory=dict)
    """Frames that never reached the player, by the first frame of the part they belong to."""
    skipped: bool = False
    """The player did not play all that is before its playhead."""
    intact_to: int = 0
    """Up to this frame everything was heard for certain."""

    def __bool__(self) -> bool:
        return bool(self.frames) or self.skipped

    @property
    def reason(self) -> str | None:
        """What was lost; None if nothing was."""
        if self.frames:
            return f"{sum(self.frames.values())} frames were lost on the way to the player"
        return "the player skipped a part of it" if self.skipped else None


@dataclass(eq=False)
class PlaybackProgress:
    """How far an utterance was heard. Frames count from its first one, times are in seconds."""

    confirmed: int | None = None
    """The latest frame that a player has reported; None if none has."""
    confirmed_at: float = math.nan
    moving: bool = False
    """The playhead has moved with its last report."""
    part: int = -1
    """The first frame of the part that the last report was of; -1 if there was none."""
    feedback_to: int = 0
    """Feedback was given for the chunks before this frame."""
    unheard: deque[Chunk] = field(default_factory=deque)
    """The chunks that were sent and are not known to be heard, or have had no feedback."""
    losses: Losses = field(default_factory=Losses)

    @property
    def confirmed_frames(self) -> int:
        """How many frames a player has reported as heard."""
        return self.confirmed or 0

    def confirm(self, part: int, frame: int, now: float, *, resumed: bool) -> None:
        """A player reports a frame of the part that begins with frame `part`; `resumed`: it may not
        have moved, as it is the first report of the latest part.
        """
        self.part = part
        self.moving = resumed or frame > self.confirmed_frames
        self.confirmed = max(frame, self.confirmed_frames)
        self.confirmed_at = now
        if not self.losses:
            self.losses.intact_to = self.confirmed

    def note_losses(self, part: int, track_start: int, lost_frames: int, slack: int) -> None:
        """A player that counts what it loses reports a frame of the part that begins with frame
        `part`. What it has of that begins with frame `track_start`, of which it has lost
        `lost_frames` so far.

        It can't count what it lost before its first chunk. Where it goes on with a part that was
        reported before, the resampler may have swallowed up to `slack` frames.
        """
        expected = part + 1 if part != self.part else self.confirmed_frames + slack
        self.losses.skipped |= track_start > max(part + 1, expected)
        if lost_frames:
            self.losses.frames[part] = lost_frames

    def is_playing(self, now: float) -> bool:
        """Whether a player has reported just now that its playhead moves."""
        return self.moving and now - self.confirmed_at <= EXTRAPOLATION_SECONDS

    def forget_heard(self, heard: int) -> None:
        """Drop the chunks of the first `heard` frames that have had feedback."""
        while self.unheard and self.unheard[0].end <= min(heard, self.feedback_to):
            self.unheard.popleft()


@dataclass(eq=False)
class Utterance:
    """One goal, or one streamed text, on its way. Frames count from its first one."""

    key: Hashable
    text: str | TextStream
    options: SynthesisOptions
    accepted_at: float
    accepted_ns: int
    language: str = ""
    synthesis: Synthesis | None = None
    turn_at: float = math.nan
    first_chunk_at: float | None = None
    heard_first_at: float | None = None
    pending: Chunk | None = None
    """The next chunk, taken from the engine and not sent yet."""
    wire: WireTimeline = field(default_factory=WireTimeline)
    progress: PlaybackProgress = field(default_factory=PlaybackProgress)

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
        return synthesis.exhausted and self.pending is None and synthesis.error is None

    def stamp_ns(self, frame: int) -> int:
        """The presentation time of a frame that was sent."""
        return self.wire.stamp_ns(frame)

    def position(self, now: float, *, by_clock: bool) -> float:
        """How many frames have been heard by `now`, as far as one can know.

        `by_clock`: what was sent is taken to be heard at its time, as nobody reports it.
        """
        progress, wire = self.progress, self.wire
        if progress.confirmed is None:
            return wire.due_frame(now) if by_clock else 0.0
        elapsed = min(now - progress.confirmed_at, EXTRAPOLATION_SECONDS) if progress.moving else 0
        estimate = progress.confirmed + elapsed * self.rate
        return min(estimate, wire.span_end(progress.confirmed))

    def heard(self, now: float, *, by_clock: bool) -> int:
        """How many frames have been heard for certain."""
        confirmed = self.progress.confirmed
        return int(self.position(now, by_clock=by_clock)) if confirmed is None else confirmed

    def confirm(
        self, part: int, frame: int, now: float, track: PlayerTrack | None, *, by_clock: bool
    ) -> None:
        """A player reports that `frame`, of the part that begins with frame `part`, is being heard.

        It is of `track`; None if the player does not say so. What was spoken `by_clock`, before the
        player was there, is not lost.
        """
        progress = self.progress
        if track is not None and not by_clock:
            begins = self.wire.locate(track.start_ns)
            track_start = part if begins is None else begins[1]
            slack = round(_RESAMPLER_SECONDS * self.rate)
            progress.note_losses(part, track_start, track.lost_frames, slack)
        if self.heard_first_at is None:
            self.heard_first_at = now - frame / self.rate
        last_began_at = self.wire.spans[-1].due_at
        resumed = progress.confirmed is None or progress.confirmed_at < last_began_at
        progress.confirm(part, frame, now, resumed=resumed)

    def unheard_from(self, heard: int) -> Iterator[Chunk]:
        """What was sent after the first `heard` frames, in order."""
        for chunk in self.progress.unheard:
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

    def spoken(self) -> SynthesisStats:
        """What was measured."""
        synthesis = self.synthesis
        seconds = synthesis.frames / self.rate if synthesis else 0.0
        done = synthesis is not None and synthesis.done and seconds > 0
        return SynthesisStats(
            first_chunk_s=_since(self.first_chunk_at, self.turn_at),
            perceived_latency_s=_since(self.heard_first_at, self.turn_at),
            duration_s=seconds,
            real_time_factor=synthesis.seconds / seconds if synthesis and done else None,
        )


def _since(moment: float | None, start: float) -> float | None:
    return None if moment is None else moment - start
