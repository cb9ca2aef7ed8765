"""What was made of an utterance: chunks to be taken, and which words end where."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable

import numpy as np

from k2so_tts.audio import (
    CHUNK_FRAMES,
    EMPTY_PCM,
    Chunk,
    Chunker,
    Pcm,
    apply_gain,
    fade_ramp,
)

_FADE_SECONDS = 0.005


class ChunkQueue:
    """One thread adds what it makes, another takes it in chunks of `chunk_frames`.

    Every write carries a `generation`: `truncate_to_last_mark` starts a new one, and writes with a
    stale one are ignored. `add` blocks while more than `ahead` frames wait to be taken. With
    `whole` nothing can be taken before the end, and nothing blocks. `on_change` is called (and must
    not block) whenever there is something new to take.
    """

    def __init__(
        self,
        rate: int,
        ahead: int,
        *,
        chunk_frames: int = CHUNK_FRAMES,
        whole: bool = False,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate = rate
        self.frames = 0
        """Handed over: taken, or there to be."""
        self.made = 0
        self.waited = 0.0
        """Seconds for which who made it was held."""
        self.generation = 0
        self.cancelled = False
        self._chunk_frames = chunk_frames
        self._ahead = max(chunk_frames, ahead)
        self._whole = whole
        self._on_change = on_change
        self._clock = clock
        self._changed = threading.Condition()
        self._chunker = Chunker(chunk_frames)
        self._full: deque[Pcm] = deque()
        self._ready: deque[Chunk] = deque()
        self._taken = 0
        self._runs_out_at = -np.inf
        self._open = False
        self._ended = False
        self._marks: list[tuple[int, int]] = []

    # Who takes

    def take(self) -> Chunk | None:
        """The next chunk, or None if there is none yet, or none any more."""
        with self._changed:
            if not self._may_take():
                return None
            chunk = self._ready.popleft()
            self._taken += len(chunk.pcm)
            self._changed.notify_all()
            return chunk

    def wait(self, timeout: float) -> bool:
        """Wait until there is something to take or the end; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._may_take() or self._ended, timeout)

    @property
    def is_empty(self) -> bool:
        return not self._ready

    @property
    def marks(self) -> tuple[tuple[int, int], ...]:
        """Frames, and how many characters are spoken when they were heard."""
        with self._changed:
            return tuple(self._marks)

    def text_end(self, frames: int) -> int:
        """How many characters are spoken in the first `frames` frames."""
        with self._changed:
            index = bisect_right(self._marks, frames, key=lambda mark: mark[0])
            return self._marks[index - 1][1] if index else 0

    def cancel(self) -> None:
        """Let who adds go on at once."""
        with self._changed:
            self.cancelled = True
            self._changed.notify_all()

    # Who makes

    def add(self, generation: int, pcm: Pcm) -> None:
        with self._changed:
            if generation != self.generation:
                return
            self.made += len(pcm)
            self._open = True
            self._full.extend(self._chunker.push(pcm))
        self._hand_over(generation)

    def mark(self, generation: int, frame: int, text_end: int) -> None:
        """The first `text_end` characters are spoken once `frame` frames were heard."""
        with self._changed:
            if generation == self.generation:
                latest = self._marks[-1][0] if self._marks else 0
                self._marks.append((max(frame, latest), text_end))

    def flush(self, generation: int) -> None:
        """Hand over what is left, and an empty chunk: nothing follows for now."""
        with self._changed:
            if generation != self.generation or not self._open:
                return
            self._open = False
            self._full += [*self._chunker.flush(), EMPTY_PCM]
        self._hand_over(generation)

    def end(self) -> None:
        """Nothing is added any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._on_change()

    def buffered_seconds(self) -> float:
        """For how many seconds what was handed over can still be heard, if all of it was heard as
        soon as it could be.
        """
        return max(0.0, float(self._runs_out_at) - self._clock())

    def truncate_to_last_mark(self) -> tuple[int, int]:
        """Forget what was not taken of the words that are not complete.

        Returns a pen for who goes on, and how many characters are spoken.
        """
        with self._changed:
            self.generation += 1
            untaken = [chunk.pcm for chunk in self._ready] + [*self._full, *self._chunker.flush()]
            self._marks = [mark for mark in self._marks if mark[0] <= self.made]
            frame, text_end = self._marks[-1] if self._marks else (0, 0)
            kept = self._fade_out(np.concatenate([EMPTY_PCM, *untaken]), frame - self._taken)
            self.made = self._taken + len(kept)
            self.frames = self._taken
            self._full.clear()
            self._ready.clear()
            for pcm in self._chunker.push(kept):
                self._put(pcm)
            self._changed.notify_all()
            return self.generation, text_end

    def _fade_out(self, pcm: Pcm, frames: int) -> Pcm:
        """The first `frames` of `pcm`, and a few more in which it fades."""
        frames = max(0, frames)
        tail = pcm[frames : frames + max(1, round(_FADE_SECONDS * self.rate))]
        return np.concatenate([pcm[:frames], apply_gain(tail, fade_ramp(len(tail))[::-1])])

    def _may_take(self) -> bool:
        return bool(self._ready) and (self._ended or not self._whole)

    def _hand_over(self, generation: int) -> None:
        while True:
            with self._changed:
                self._wait_until_wanted(generation)
                if generation != self.generation or self.cancelled or not self._full:
                    return
                self._put(self._full.popleft())
                self._changed.notify_all()
            self._on_change()

    def _put(self, pcm: Pcm) -> None:
        self._ready.append(Chunk(self.frames, pcm))
        self.frames += len(pcm)
        self._runs_out_at = max(float(self._runs_out_at), self._clock()) + len(pcm) / self.rate

    def _wait_until_wanted(self, generation: int) -> None:
        """Hold who makes it while enough waits to be taken; not counted as its time."""

        def may_make() -> bool:
            waiting = self.frames - self._taken
            return (
                waiting <= self._ahead
                or self.cancelled
                or self._whole
                or generation != self.generation
            )

        if not may_make():
            began = self._clock()
            self._changed.wait_for(may_make)
            self.waited += self._clock() - began
