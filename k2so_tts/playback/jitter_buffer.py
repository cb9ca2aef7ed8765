"""When to start, and what to play next: the jitter buffer of one utterance.

No thread, no clock and no device in here. Audio goes in as chunks that follow each other
without a gap (`timeline.py` sees to that), and comes out in blocks of any size.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import numpy as np

from k2so_tts.audio import Samples

MOST_DEPTH = 8
"""Chunks up to which underruns deepen the buffer: a sender may not go much further ahead."""
FADE_SECONDS = 0.005
"""How long it takes to fall silent, or to come back, in the middle of a sound without a click."""


def fade_out(before: Samples, frames: int) -> Samples:
    """`frames` frames that go on from the end of `before` and die away.

    They are the mirror image of what was there, under half a cosine: no real frame is ever
    attenuated and nothing jumps.
    """
    return _extended(before[::-1], frames) * _rise(frames)[::-1]


def fade_in(after: Samples, frames: int) -> Samples:
    """`frames` frames that rise from silence and arrive at the beginning of `after`."""
    return _extended(after, frames)[::-1] * _rise(frames)


def _rise(frames: int) -> Samples:
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(frames) + 0.5) / max(frames, 1))
    return ramp.astype(np.float32)[:, np.newaxis]


def _extended(samples: Samples, frames: int) -> Samples:
    """The first `frames` frames; if there are fewer they go back and forth."""
    missing = max(0, frames - len(samples))
    return np.pad(samples[:frames], ((0, missing), (0, 0)), "symmetric")


class State(Enum):
    """What a buffer is doing: collecting chunks, playing them, or nothing any more."""

    BUFFERING = "buffering"
    PLAYING = "playing"
    ENDED = "ended"


class JitterBuffer:
    """The frames of one utterance, at the device's rate, that were not heard yet.

    It starts to play when it holds `depth` chunks, or the end. When it runs dry it fades out,
    counts an underrun, and collects one chunk more than last time (up to `MOST_DEPTH`) before it
    goes on. Every
    frame that goes in comes out once, in order, unless the end came before it. One that is
    `resumed` goes on with a sound that ran dry before.
    """

    def __init__(self, depth: int, fade_frames: int, *, resumed: bool = False) -> None:
        self.state = State.BUFFERING
        self.depth = depth
        self.position = 0
        """Frames that were played."""
        self.received = 0
        """Frames that were put in, less those thrown away at the end."""
        self.underruns = int(resumed)
        self.span = (0, 0, 0)
        """Of the last block: where its real frames began in it, which frame that was, how many."""
        self.paused = False
        self.enough = False
        """It begins with what it holds: no more is let in for now, or expected."""
        self._fade_frames = fade_frames
        self._pieces: deque[Samples] = deque()
        self._offset = 0
        self._chunks = 0
        self._complete = False
        self._cut = False
        self._tail: Samples | None = None
        self._interlude: Samples | None = None
        self._silent = resumed

    @property
    def complete(self) -> bool:
        """Whether the end is known."""
        return self._complete

    @property
    def ready(self) -> bool:
        """Whether it holds enough to begin, or all that will come."""
        enough = self.enough or self._chunks >= self.depth
        return self._complete or (enough and bool(self._pieces))

    @property
    def buffered(self) -> int:
        """Frames that wait to be played."""
        return self.received - self.position

    @property
    def is_dry(self) -> bool:
        """Whether it has run dry since it began to play."""
        return self._silent and self.position > 0 and not self._pieces

    def push(self, samples: Samples) -> None:
        """Append a chunk, shape (frames, channels)."""
        if self.state is State.ENDED or self._complete:
            return
        if len(samples):
            self._pieces.append(samples)
            self.received += len(samples)
        self._chunks += 1

    def end(self, at: int | None = None, *, abrupt: bool = False) -> int:
        """Nothing more will come, and what lies at or after frame `at` is thrown away.

        Returns how many frames were. An `abrupt` end, as one that throws away, gets a fade.
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
        """Replace what is buffered by the same sound at another rate (`ratio` = new / old)."""
        self._pieces = deque([pieces] if len(pieces) else [])
        self._offset = 0
        self._tail = self._interlude = None
        self._fade_frames = round(self._fade_frames * ratio)
        self.position = round(self.position * ratio)
        self.received = self.position + len(pieces)
        if self.state is State.PLAYING:
            self._interrupt()

    def pending(self) -> list[Samples]:
        """What is buffered, in order, not copied."""
        rest = list(self._pieces)
        return [rest[0][self._offset :], *rest[1:]] if rest else []

    def render(self, out: Samples) -> int:
        """Fill `out`, shape (frames, channels), with what is heard next.

        Returns how many of its frames the utterance needed: fewer than `len(out)` only if it
        ended there.
        """
        filled = 0
        self.span = (0, self.position, 0)
        while filled < len(out):
            if self._interlude is not None:
                filled += self._play_interlude(out[filled:])
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
        self.enough = False
        if self._silent:
            self._silent = False
            self._tail = self._interlude = fade_in(self._pieces[0], self._fade_frames)

    def _finish(self) -> None:
        if self._cut and self.state is State.PLAYING:
            self._interrupt()
        else:
            self.state = State.ENDED

    def _run_dry(self) -> None:
        self.underruns += 1
        self.depth += self.depth < MOST_DEPTH
        self._interrupt()

    def _interrupt(self) -> None:
        """Play on later: as soon as may be if there is something to play."""
        self.state = State.BUFFERING
        self.enough = False
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
            self._interlude = fade_out(self._tail, self._fade_frames)

    def _recent(self, played: Samples) -> Samples:
        """The last frames that were played, for a fade, when `played` was played just now."""
        recent = played[-self._fade_frames :]
        if self._tail is not None and len(recent) < self._fade_frames:
            recent = np.concatenate([self._tail, recent])[-self._fade_frames :]
        return recent

    def _play_interlude(self, out: Samples) -> int:
        assert self._interlude is not None
        frames = min(len(out), len(self._interlude))
        out[:frames] = self._interlude[:frames]
        rest = self._interlude[frames:]
        self._interlude = rest if len(rest) else None
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
