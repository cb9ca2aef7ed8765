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

"""The bounded queue between an engine and playback: chunks of sound, and where words end in it."""

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
    START_CHUNKS,
    Chunk,
    Chunker,
    Pcm,
    apply_gain,
    fade_ramp,
)

_FADE_SECONDS = 0.005


class ChunkQueue:
    """A producer adds sound in blocks, a consumer takes it in chunks of `chunk_frames` frames.

    Every write carries a `generation`: `truncate_to_last_mark` starts a new one, and writes with a
    stale generation are ignored. `add` blocks while more than `ahead` frames wait to be taken. With
    `whole` nothing can be taken before the end, and nothing blocks. `on_change` is called whenever
    there is something new to take, and must not block. `rate` is in Hz, `clock` gives seconds.

    Nothing can be taken before `set_prebuffer` seconds of sound have been added, or a `flush`; and
    so again after the consumer has run dry. What was collected then comes in `START_CHUNKS` chunks,
    or in more if it is longer: a player starts on so many, and should hold as much as it can.
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
        """Frames that were taken or can be."""
        self.made = 0
        """Frames that were added."""
        self.held_seconds = 0.0
        """For how long `add` has blocked the producer."""
        self.generation = 0
        """What a write has to carry to count."""
        self.cancelled = False
        self._ahead = max(chunk_frames, ahead)
        self._whole = whole
        self._on_change = on_change
        self._clock = clock
        self._changed = threading.Condition()
        self._chunk_frames = chunk_frames
        self._chunker = Chunker(chunk_frames)
        self._unreleased: deque[Pcm] = deque()
        self._ready: deque[Chunk] = deque()
        self._taken = 0
        self._runs_out_at = -np.inf
        self._prebuffer = 0.0
        self._collecting = True
        self._open = False
        self._ended = False
        self._marks: list[tuple[int, int]] = []

    # The consumer's side

    def take(self) -> Chunk | None:
        """The next chunk; None if none is ready, or all were taken."""
        with self._changed:
            if not self._may_take():
                return None
            chunk = self._ready.popleft()
            self._taken += len(chunk.pcm)
            self._changed.notify_all()
            return chunk

    def wait(self, timeout: float) -> bool:
        """Wait until a chunk can be taken or the end was reached. False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._may_take() or self._ended, timeout)

    @property
    def is_empty(self) -> bool:
        """No chunk waits to be taken."""
        return not self._ready

    @property
    def marks(self) -> tuple[tuple[int, int], ...]:
        """Pairs of a frame and the number of characters that are spoken before it."""
        with self._changed:
            return tuple(self._marks)

    def marks_after(self, mark: tuple[int, int]) -> tuple[int, list[tuple[int, int]]]:
        """The generation, and the marks that come after this one."""
        with self._changed:
            return self.generation, self._marks[bisect_right(self._marks, mark) :]

    def text_progress(self, frames: int) -> tuple[int, int, float]:
        """How many characters are spoken in the first `frames` frames, how many will be at the next
        mark, and how much of the sound between these marks is in those frames (0.0 to 1.0).
        """
        with self._changed:
            index = bisect_right(self._marks, frames, key=lambda mark: mark[0])
            before = self._marks[index - 1] if index else (0, 0)
            if index == len(self._marks):
                return before[1], before[1], 0.0
            after = self._marks[index]
            return before[1], after[1], (frames - before[0]) / (after[0] - before[0])

    def cancel(self) -> None:
        """Release the producer at once, and ignore what it still adds."""
        with self._changed:
            self.cancelled = True
            self._changed.notify_all()

    # The producer's side

    def add(self, generation: int, pcm: Pcm) -> None:
        """Append sound, shape (frames,). Blocks while enough waits to be taken."""
        with self._changed:
            if generation != self.generation:
                return
            self.made += len(pcm)
            self._open = True
            self._unreleased.extend(self._chunker.push(pcm))
        self._release(generation)

    def set_prebuffer(self, generation: int, seconds: float) -> None:
        """From now on collect so much sound before the first chunk can be taken."""
        with self._changed:
            if generation == self.generation:
                self._prebuffer = min(seconds, self._ahead / self.rate)

    def mark(self, generation: int, frame: int, text_end: int) -> None:
        """Note that the first `text_end` characters are spoken before frame `frame`."""
        with self._changed:
            if generation == self.generation:
                latest = self._marks[-1][0] if self._marks else 0
                self._marks.append((max(frame, latest), text_end))

    def flush(self, generation: int) -> None:
        """Release what is less than a chunk, and an empty chunk: nothing follows for now."""
        with self._changed:
            if generation != self.generation or not self._open:
                return
            self._open = False
            self._unreleased += [*self._chunker.flush(), EMPTY_PCM]
            self._prebuffer = 0.0
        self._release(generation)

    def end(self) -> None:
        """Note that nothing will be added any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._on_change()

    def buffered_seconds(self) -> float:
        """For how many seconds the sound released so far lasts from now on, if it is played as soon
        as it can be taken.
        """
        if self._collecting:
            return self._waiting / self.rate
        return max(0.0, float(self._runs_out_at) - self._clock())

    def truncate_to_last_mark(self) -> tuple[int, int]:
        """Discard what was not taken of words that are not complete, fading out what is cut.

        Returns the generation for further writes, and how many characters are spoken.
        """
        with self._changed:
            self.generation += 1
            untaken = [chunk.pcm for chunk in self._ready] + [
                *self._unreleased,
                *self._chunker.flush(),
            ]
            self._marks = [mark for mark in self._marks if mark[0] <= self.made]
            frame, text_end = self._marks[-1] if self._marks else (0, 0)
            kept = self._fade_out(np.concatenate([EMPTY_PCM, *untaken]), frame - self._taken)
            self.made = self._taken + len(kept)
            self.frames = self._taken
            self._unreleased.clear()
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
        return bool(self._ready) and (self._ended or not (self._whole or self._collecting))

    @property
    def _waiting(self) -> int:
        """Frames that were put and not taken."""
        return self.frames - self._taken

    def _release(self, generation: int) -> None:
        while True:
            with self._changed:
                self._wait_for_room(generation)
                if generation != self.generation or self.cancelled or not self._unreleased:
                    return
                self._put(self._unreleased.popleft())
                self._changed.notify_all()
                is_collecting = self._collecting
            if not is_collecting:
                self._on_change()

    def _put(self, pcm: Pcm) -> None:
        now = self._clock()
        if not self._waiting and now > self._runs_out_at:
            self._collecting = True
        self._ready.append(Chunk(self.frames, pcm))
        self.frames += len(pcm)
        if not self._collecting:
            self._runs_out_at = max(float(self._runs_out_at), now) + len(pcm) / self.rate
        elif self._waiting >= self._prebuffer * self.rate:
            self._collecting = False
            self._runs_out_at = now + self._waiting / self.rate
            self._join_collected()

    def _join_collected(self) -> None:
        """Cut what was collected in chunks that are longer than the first ones of an utterance.

        The end of an earlier part, an empty chunk, may still be waiting before it, and its own end
        behind it.
        """
        ready = list(self._ready)
        collected = [chunk for chunk in ready if len(chunk.pcm)]
        if len(collected) <= START_CHUNKS:
            return
        pcm = np.concatenate([chunk.pcm for chunk in collected])
        length = min(self._chunk_frames, -(-len(pcm) // START_CHUNKS))
        start = collected[0].start
        joined = [Chunk(start + at, pcm[at : at + length]) for at in range(0, len(pcm), length)]
        before, after = ready.index(collected[0]), ready.index(collected[-1]) + 1
        self._ready = deque([*ready[:before], *joined, *ready[after:]])

    def _wait_for_room(self, generation: int) -> None:
        """Block the producer while enough waits to be taken."""

        def has_room() -> bool:
            return (
                self._waiting <= self._ahead
                or self.cancelled
                or self._whole
                or generation != self.generation
            )

        if not has_room():
            began = self._clock()
            self._changed.wait_for(has_room)
            self.held_seconds += self._clock() - began
