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

"""Which frames of an utterance were sent, and at which stamps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from k2so_tts.audio import frames_to_ns, ns_to_frames

DEVICE = "device"
"""What is played goes to a sound device, or into a file."""
MUTED = "muted"
"""What is played is silence: the player is muted, or its volume is 0."""
NOWHERE = "none"
"""There is no sound device, and the player keeps time only."""


class Span(NamedTuple):
    """A part of an utterance without a pause, on the wire between two end markers.

    `first` is its first frame, `start_ns` the stamp of that frame, and `due_at` (s) when it is to
    be heard by the clock: as soon as it was sent, or after the part before it.
    """

    first: int
    start_ns: int
    due_at: float


class PlayerTrack(NamedTuple):
    """What a player has of an utterance without a break: the stamp of the first chunk of it, and
    how many frames it has lost after that; and its `sink`: `DEVICE`, `MUTED` or `NOWHERE`.
    """

    start_ns: int
    lost_frames: int
    sink: str = DEVICE


@dataclass(eq=False)
class WireTimeline:
    """The frames that were sent, counted from the first one of the utterance, at `rate` Hz."""

    rate: int = 1
    sent: int = 0
    sent_at: float = math.nan
    """When something was last sent (s)."""
    ended: bool = False
    """The end of the last part was marked."""
    spans: list[Span] = field(default_factory=list)

    def begin_span(self, start_ns: int, now: float) -> None:
        """Begin a part with the next frame; it is due at the end of the part before, or now."""
        due_at = now
        if self.spans:
            before = self.spans[-1]
            due_at = max(now, before.due_at + (self.sent - before.first) / self.rate)
        self.spans.append(Span(self.sent, start_ns, due_at))
        self.ended = False

    def truncate(self, frame: int) -> None:
        """What was sent from this frame on counts as not sent; its part ends there."""
        self.sent = frame
        self.ended = True

    def postpone(self, seconds: float) -> None:
        """By the clock, all that is not heard yet is due `seconds` later."""
        self.spans = [span._replace(due_at=span.due_at + seconds) for span in self.spans]

    def stamp_ns(self, frame: int) -> int:
        """The presentation time of a frame of a part that has begun, or of its end."""
        span = self.span_of(frame)
        return span.start_ns + frames_to_ns(frame - span.first, self.rate)

    def span_of(self, frame: int) -> Span:
        """The part that a frame is in."""
        return next(span for span in reversed(self.spans) if span.first <= frame)

    def span_end(self, frame: int) -> int:
        """The frame at which the part of `frame` ends, as far as it was sent."""
        return next((span.first for span in self.spans if span.first > frame), self.sent)

    def locate(self, stamp_ns: int) -> tuple[Span, int] | None:
        """The frame with this stamp, and the part it is in; None if it is not one of those that
        were sent.
        """
        for span in reversed(self.spans):
            if stamp_ns >= span.start_ns:
                frame = span.first + ns_to_frames(stamp_ns - span.start_ns, self.rate)
                return (span, frame) if frame <= self.span_end(span.first) + 1 else None
        return None

    def due_frame(self, now: float) -> float:
        """How many frames are to be heard by `now`, by the clock."""
        if not self.spans:
            return 0.0
        begun = (span for span in reversed(self.spans) if span.due_at <= now)
        span = next(begun, self.spans[0])
        return min(span.first + (now - span.due_at) * self.rate, self.span_end(span.first))
