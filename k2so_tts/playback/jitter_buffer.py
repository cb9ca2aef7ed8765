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

"""The jitter buffer of one utterance: when to start, and what to play next.

No thread, no clock and no device in here. Audio goes in as chunks that follow each other
without a gap (`timeline.py` sees to that), and comes out in blocks of any size.
"""

from __future__ import annotations

import sys
from collections import deque
from enum import Enum

import numpy as np

from k2so_tts.audio import Samples
from k2so_tts.playback.fades import fade_in, fade_out

MAX_DEPTH = 8
"""The depth (chunks) up to which underruns deepen a buffer: senders may not run further ahead."""


class State(Enum):
    """What a buffer is doing: collecting chunks, playing them, or nothing because it has ended."""

    BUFFERING = "buffering"
    PLAYING = "playing"
    ENDED = "ended"


class JitterBuffer:
    """The frames of one utterance, at the device's rate, that were not rendered yet.

    It starts to play when it holds `depth` chunks, or the end. When it runs dry it fades out,
    counts an underrun, and collects one chunk more than last time (up to `MAX_DEPTH`) before it
    goes on. Every frame that goes in comes out once, in order, unless the end came before it.

    Fades take `fade_frames` frames. A buffer that is `resumed` continues an utterance that ran dry
    before, and so fades in. Of a chunk, each `chunk_frames` frames count as one.
    """

    def __init__(
        self,
        depth: int,
        fade_frames: int,
        *,
        resumed: bool = False,
        chunk_frames: int = sys.maxsize,
    ) -> None:
        self.state = State.BUFFERING
        self.depth = depth
        """Chunks that are collected before it starts, or goes on after an underrun."""
        self.position = 0
        """Frames that were rendered."""
        self.received = 0
        """Frames that were put in, less those discarded at the end."""
        self.underruns = int(resumed)
        self.span = (0, 0, 0)
        """Of the last block: the offset of its real frames, the position of the first, how many."""
        self.paused = False
        self.start_early = False
        """Start with what is there, once: no more is accepted for now, or expected."""
        self._chunk_frames = chunk_frames
        self._fade_frames = fade_frames
        self._pieces: deque[Samples] = deque()
        self._offset = 0
        self._chunks = 0
        self._complete = False
        self._cut = False
        self._tail: Samples | None = None
        self._fade: Samples | None = None
        self._silent = resumed

    @property
    def complete(self) -> bool:
        """Whether the end is known."""
        return self._complete

    @property
    def ready(self) -> bool:
        """Whether it holds enough to start, or all that will come."""
        deep_enough = self.start_early or self._chunks >= self.depth
        return self._complete or (deep_enough and bool(self._pieces))

    @property
    def buffered(self) -> int:
        """Frames that wait to be rendered."""
        return self.received - self.position

    @property
    def is_dry(self) -> bool:
        """Whether it ran dry and has received nothing since."""
        return self._silent and self.position > 0 and not self._pieces

    def push(self, samples: Samples) -> None:
        """Append a chunk, shape (frames, channels). After the end it is ignored."""
        if self.state is State.ENDED or self._complete:
            return
        if len(samples):
            self._pieces.append(samples)
            self.received += len(samples)
        self._chunks += max(1, len(samples) // self._chunk_frames)

    def end(self, at: int | None = None, *, abrupt: bool = False) -> int:
        """End the utterance here, or at frame `at`, after which everything is discarded.

        Returns the number of discarded frames. An `abrupt` end, or one that discards, is faded.
        """
        self._complete = True
        self._cut = self._cut or abrupt
        if at is None or at >= self.received:
            return 0
        self._cut = True
        excess = self.received - max(at, self.position)
        self.received -= excess
        self._drop_from_the_end(excess)
        return excess

    def convert(self, pieces: Samples, ratio: float) -> None:
        """Replace what is buffered by the same sound at another rate (`ratio` = new / old).

        `pieces` has shape (frames, channels), where the number of channels may be another one.
        """
        self._pieces = deque([pieces] if len(pieces) else [])
        self._offset = 0
        self._tail = self._fade = None
        self._chunk_frames = round(self._chunk_frames * ratio)
        self._fade_frames = round(self._fade_frames * ratio)
        self.position = round(self.position * ratio)
        self.received = self.position + len(pieces)
        if self.state is State.PLAYING:
            self._interrupt()

    def pending(self) -> list[Samples]:
        """Return what is buffered, in order, as views of shape (frames, channels)."""
        waiting = list(self._pieces)
        return [waiting[0][self._offset :], *waiting[1:]] if waiting else []

    def render(self, out: Samples) -> int:
        """Fill `out`, shape (frames, channels), with what is heard next.

        Returns how many of its frames were filled: fewer than `len(out)` only if the utterance
        ended there.
        """
        filled = 0
        self.span = (0, self.position, 0)
        while filled < len(out):
            if self._fade is not None:
                filled += self._play_fade(out[filled:])
            elif self.state is State.ENDED:
                break
            elif self._complete and not self._pieces:
                self._finish()
            elif self.state is State.PLAYING:
                if self.paused:
                    self._interrupt()
                elif self._pieces:
                    filled += self._play(out, filled)
                else:
                    self._run_dry()
            elif self.ready and not self.paused:
                self._begin()
            else:
                out[filled:] = 0.0
                filled = len(out)
        return filled

    def _begin(self) -> None:
        self.state = State.PLAYING
        if self._silent:
            self._silent = False
            self._tail = self._fade = fade_in(self._pieces[0], self._fade_frames)

    def _finish(self) -> None:
        if self._cut and self.state is State.PLAYING:
            self._interrupt()
        else:
            self.state = State.ENDED

    def _run_dry(self) -> None:
        self.underruns += 1
        self.depth += self.depth < MAX_DEPTH
        self._interrupt()

    def _interrupt(self) -> None:
        """Fall silent. What is buffered already may go on without further chunks."""
        self.state = State.BUFFERING
        self.start_early = False
        self._chunks = self.depth if self._pieces else 0
        self._fall_silent()

    def _fall_silent(self) -> None:
        self._silent = True
        if self._offset:
            piece = self._pieces[0]
            self._tail = self._recent(piece[: self._offset])
            self._pieces[0] = piece[self._offset :]
            self._offset = 0
        if self._tail is not None:
            self._fade = fade_out(self._tail, self._fade_frames)

    def _recent(self, played: Samples) -> Samples:
        """The last frames that were rendered, for a fade; `played` were the very last."""
        recent = played[-self._fade_frames :]
        if self._tail is not None and len(recent) < self._fade_frames:
            recent = np.concatenate([self._tail, recent])[-self._fade_frames :]
        return recent

    def _play_fade(self, out: Samples) -> int:
        assert self._fade is not None
        frames = min(len(out), len(self._fade))
        out[:frames] = self._fade[:frames]
        rest = self._fade[frames:]
        self._fade = rest if len(rest) else None
        return frames

    def _play(self, out: Samples, filled: int) -> int:
        piece = self._pieces[0]
        start = self._offset
        frames = min(len(out) - filled, len(piece) - start)
        out[filled : filled + frames] = piece[start : start + frames]
        if self.span[2] == 0:
            self.span = (filled, self.position, 0)
        self.span = (self.span[0], self.span[1], self.span[2] + frames)
        self.position += frames
        self._offset += frames
        if self._offset == len(piece):
            self._tail = self._recent(piece)
            self._pieces.popleft()
            self._offset = 0
        return frames

    def _drop_from_the_end(self, frames: int) -> None:
        while frames:
            piece = self._pieces.pop()
            played = 0 if self._pieces else self._offset
            kept = max(played, len(piece) - frames)
            frames -= len(piece) - kept
            if kept > played:
                self._pieces.append(piece[:kept])
            elif played:
                self._tail = self._recent(piece[:played])
                self._offset = 0
