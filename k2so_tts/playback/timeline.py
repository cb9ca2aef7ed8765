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

"""Turns the stamped chunks of an utterance into a gapless sequence of frames; conceals losses.

No thread, no clock and no device in here: stamped chunks of one utterance go in as they
arrived; what comes out is continuous.
"""

from __future__ import annotations

import numpy as np

from k2so_tts.audio import AudioFormat, Samples, clip, frames_to_ns, ns_to_frames
from k2so_tts.playback.fades import FADE_SECONDS, fade_in, fade_out

_LATE_IN_A_ROW = 3


class Timeline:
    """The timeline of one utterance that begins with a chunk stamped `start_ns` (0: no stamps).

    A stream keeps the wire contract (`exact`) when its second chunk is stamped to the frame where
    its first one ends, or whole chunks later. In such a stream a jump forward is lost audio,
    which is concealed; chunks that are repeated or too late are dropped. The stamps of other
    streams only say when a chunk was made (`exact` is False then): their chunks are simply played
    one after the other.
    """

    def __init__(self, start_ns: int, audio_format: AudioFormat) -> None:
        self.start_ns = start_ns
        self.format = audio_format
        self.exact: bool | None = None if start_ns else False
        """Whether the stamps count frames; None as long as that is unknown."""
        self.frames = 0
        """Frames placed so far, concealment included."""
        self.lost_frames = 0
        """Frames that never arrived and were concealed."""
        self.dropped_frames = 0
        """Frames that arrived twice or too late."""
        self._first_lost: int | None = None
        self._fade_frames = int(FADE_SECONDS * audio_format.rate)
        self._shortest = 0
        self._late = 0
        self._last: Samples | None = None

    @property
    def end_ns(self) -> int:
        """The stamp at which the next chunk is due."""
        return self.stamp_ns(self.frames)

    def stamp_ns(self, frame: int) -> int:
        """Return the presentation time of a frame."""
        return self.start_ns + frames_to_ns(frame, self.format.rate)

    def frame_at(self, stamp_ns: int) -> int:
        """Return the frame that a presentation time falls on; negative before the start."""
        return ns_to_frames(stamp_ns - self.start_ns, self.format.rate)

    def continues(self, stamp_ns: int) -> bool:
        """Return whether a chunk with this stamp would follow without a gap."""
        return self.exact is not False and abs(self.frame_at(stamp_ns) - self.frames) <= 1

    def lost_before(self, stamp_ns: int) -> int:
        """How many frames are known to be lost once playback has passed the first of them; 0 as
        long as all frames before `stamp_ns` are those that were sent.
        """
        first = self._first_lost
        return self.lost_frames if first is not None and stamp_ns > self.stamp_ns(first) else 0

    def cut_at(self, stamp_ns: int) -> int | None:
        """Return the frame at which an end marker cuts what was placed; None if it cuts nothing.

        Without exact stamps only a marker stamped as the start is valid: an immediate stop.
        """
        if self.exact is False and not stamp_ns == self.start_ns != 0:
            return None
        frame = max(0, self.frame_at(stamp_ns))
        return frame if frame < self.frames - 1 else None

    def place(self, stamp_ns: int, samples: Samples) -> Samples:
        """Return the frames to append for a chunk; none if it came too late.

        Both have shape (frames, channels).
        """
        ahead = self.frame_at(stamp_ns) - self.frames if self.exact is not False else 0
        if self._last is None or abs(ahead) <= 1:
            ahead = 0
            if self._last is not None and self.exact is None:
                self.exact = True
        elif self._is_untimed(ahead, samples):
            self.exact = False
            ahead = 0
        elif ahead > 0:
            self.exact = True
        if ahead < 0:
            return self._drop(-ahead, samples)
        placed = samples
        if ahead:
            placed = np.concatenate([self._conceal(ahead, samples), samples])
            self._count_lost(ahead)
        self._late = 0
        self._append(samples)
        self.frames += len(placed)
        return placed

    def conceal(self, frames: int) -> Samples:
        """Return `frames` frames, shape (frames, channels), in place of lost ones at the end."""
        self._count_lost(frames)
        self.frames += frames
        return self._conceal(frames, np.empty((0, self.format.channels), np.float32))

    def _is_untimed(self, ahead: int, samples: Samples) -> bool:
        """Whether a mismatch shows that the stamps of this stream don't count frames.

        In a stream that keeps the contract at least a whole chunk is lost or repeated, and what is
        lost right after the first chunk is a multiple of it.
        """
        if abs(ahead) < min(self._shortest, len(samples)) // 2:
            return True
        if self.exact is None and ahead > 0:
            return (ahead + 1) % self.frames > 2
        if self.exact is None and -self.frames <= ahead < 0:
            repeated = self._last is not None and np.array_equal(self._last, samples)
            return not (ahead == -self.frames and repeated)
        return ahead < 0 and self._late >= _LATE_IN_A_ROW

    def _drop(self, late: int, samples: Samples) -> Samples:
        overlap = min(late, len(samples))
        self.dropped_frames += overlap
        rest = samples[overlap:]
        if len(rest):
            self._append(rest)
            self.frames += len(rest)
        else:
            self._late += 1
        return rest

    def _count_lost(self, frames: int) -> None:
        """Count `frames` frames that are missing after those placed so far."""
        if self._first_lost is None:
            self._first_lost = self.frames
        self.lost_frames += frames

    def _append(self, samples: Samples) -> None:
        self._last = samples
        self._shortest = min(self._shortest or len(samples), len(samples))

    def _conceal(self, frames: int, following: Samples) -> Samples:
        """`frames` frames in place of lost ones: a short fade out, silence, a short fade in."""
        assert self._last is not None
        gap = np.zeros((frames, self.format.channels), np.float32)
        fade = min(frames, self._fade_frames)
        gap[:fade] += fade_out(self._last, fade)
        if len(following):
            gap[frames - fade :] += fade_in(following, fade)
        return clip(gap)
