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

"""How far an utterance was heard, and what was lost of it, as players report it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from k2so_tts.audio import Chunk
from k2so_tts.ros.wire_timeline import MUTED, NOWHERE

EXTRAPOLATION_SECONDS = 0.1
"""For so long the playhead is taken to move on after its last report: two intervals of reports."""


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
    """The latest frame that a player has reported; None if none has, or not since it was
    interrupted."""
    heard_before: int = 0
    """Frames that were heard before it was interrupted."""
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
    sinks: set[str] = field(default_factory=set)
    """Where players said that the sound went (see `PlayerTrack.sink`)."""
    joined_late: bool = False
    """The first player that reported it did not have its beginning."""
    recent: deque[Chunk] = field(default_factory=deque)
    """The latest chunks that were heard."""

    @property
    def why_unheard(self) -> str | None:
        """Why nobody is known to have heard all of it; None if a player told that."""
        if self.confirmed is None:
            return "spoken by the clock, as no player reported what was heard"
        if self.joined_late:
            return "its beginning was spoken by the clock, before a player came"
        if NOWHERE in self.sinks:
            return "the player had no sound device"
        return "the player was muted throughout" if self.sinks == {MUTED} else None

    @property
    def confirmed_frames(self) -> int:
        """How many frames a player has reported as heard."""
        return self.confirmed or self.heard_before

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

    def rewind(self, frame: int) -> None:
        """What was sent from this frame on counts as not sent."""
        self.confirmed = None
        self.heard_before = frame
        self.moving = False
        self.part = -1
        self.feedback_to = max(self.feedback_to, frame)
        self.unheard.clear()
        self.recent.clear()

    def is_playing(self, now: float) -> bool:
        """Whether a player has reported just now that its playhead moves."""
        return self.moving and now - self.confirmed_at <= EXTRAPOLATION_SECONDS

    def forget_heard(self, heard: int, kept: int) -> None:
        """Drop the chunks of the first `heard` frames that have had feedback, but for the last
        `kept` frames of them.
        """
        while self.unheard and self.unheard[0].end <= min(heard, self.feedback_to):
            self.recent.append(self.unheard.popleft())
        while self.recent and self.recent[0].end <= heard - kept:
            self.recent.popleft()
