"""Text in, timed chunks out: an engine that runs ahead of playback in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from k2so_tts.audio import CHUNK_FRAMES, NOTHING, Block, Chunk, Chunker, Pcm, apply_gain
from k2so_tts.engines import NORMAL, Engine, EngineError, Prosody
from k2so_tts.text import Segment, TextStream, whole_words

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.05
STALL_SECONDS = 30.0
AHEAD_SECONDS = 30.0
"""How much unheard audio is made in advance: memory stays bounded for a text of any length."""


@dataclass(frozen=True)
class Manner:
    """How one utterance is to sound: the engine's voice, prosody, and a linear gain, 0.0 to 1.0."""

    voice: str
    prosody: Prosody = NORMAL
    volume: float = 1.0


class Synthesis:
    """One utterance being made. `take` gives its chunks; `heard_text` says what was heard of it.

    The work begins with `start`, in a thread that `join` waits for. `on_change` is called from it
    (and must not block) whenever `take` has something new, more text has come, or the work ends.
    `cancel` returns at once. Syntheses that share an engine share an `engine_lock`. Without
    `streaming` nothing is given before all is made, whatever the length.
    """

    def __init__(  # noqa: PLR0913 - what is optional has a name
        self,
        engine: Engine,
        text: str | TextStream,
        manner: Manner,
        *,
        chunk_frames: int = CHUNK_FRAMES,
        ahead_seconds: float = AHEAD_SECONDS,
        streaming: bool = True,
        engine_lock: threading.Lock | None = None,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate = engine.sample_rate
        self.error: EngineError | None = None
        self.frames = 0
        self.seconds = 0.0
        self.starved = False
        """All text that has come is spoken, and more is expected."""
        self._engine = engine
        self._engine_lock = engine_lock or threading.Lock()
        self._source = text
        self._manner = manner
        self._chunker = Chunker(chunk_frames)
        self._streaming = streaming
        self._ahead = max(chunk_frames, int(ahead_seconds * engine.sample_rate))
        self._on_change = on_change
        self._clock = clock
        self._changed = threading.Condition()
        self._ready: deque[Chunk] = deque()
        self._made = 0
        self._waiting = 0
        self._open = False
        self._cancelled = False
        self._done = threading.Event()
        self._marks: list[tuple[int, int]] = []
        self._thread = threading.Thread(target=self._run, name="synthesis", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self) -> Chunk | None:
        """The next chunk, or None if there is none yet (or none any more: see `done`)."""
        with self._changed:
            if not self._may_take:
                return None
            chunk = self._ready.popleft()
            self._waiting -= len(chunk.pcm)
            self._changed.notify_all()
            return chunk

    def wait(self, timeout: float) -> bool:
        """Wait until `take` gives a chunk or nothing comes any more; False after `timeout`
        seconds.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._may_take or self.done, timeout)

    @property
    def _may_take(self) -> bool:
        return bool(self._ready) and (self._streaming or self.done)

    @property
    def done(self) -> bool:
        """The engine has ended: well, by `error` or by `cancel`."""
        return self._done.is_set()

    @property
    def exhausted(self) -> bool:
        """Everything was made and taken."""
        return self.done and not self._ready

    @property
    def text(self) -> str:
        return self._source if isinstance(self._source, str) else self._source.text

    def heard_text(self, frames: int) -> str:
        """The words that have been heard in full when the first `frames` frames have been."""
        if self.done and not self.error and not self._cancelled and frames >= self.frames:
            return self.text
        with self._changed:
            index = bisect_right(self._marks, frames, key=lambda mark: mark[0])
            end = self._marks[index - 1][1] if index else 0
        return whole_words(self.text, end)

    def cancel(self) -> None:
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        if isinstance(self._source, TextStream):
            self._source.cancel()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end. False when the engine still holds it after `timeout` s."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        began = self._clock()
        try:
            self._synthesise()
        except EngineError as error:
            self.error = error
        except Exception as error:
            _logger.debug("engine failed", exc_info=True)
            self.error = EngineError(f"{type(error).__name__}: {error}")
        finally:
            self.seconds = self._clock() - began
            with self._changed:
                self._done.set()
                self._changed.notify_all()
            self._on_change()

    def _synthesise(self) -> None:
        source = self._source
        segments: Iterable[Segment | None] = (
            [Segment(0, source)] if isinstance(source, str) else source
        )
        for segment in segments:
            if self._cancelled:
                return
            was_starved, self.starved = self.starved, segment is None
            if segment is None:
                self._flush()
                continue
            if was_starved:
                self._on_change()
            if segment.text.strip():
                self._speak(segment)
        self._flush()

    def _speak(self, segment: Segment) -> None:
        while not self._engine_lock.acquire(timeout=_LOOK_SECONDS):
            if self._cancelled:
                return
        try:
            self._speak_with_engine(segment)
        finally:
            self._engine_lock.release()

    def _speak_with_engine(self, segment: Segment) -> None:
        first_frame = self._made
        blocks = self._engine.synthesise(segment.text, self._manner.voice, self._manner.prosody)
        try:
            for block in blocks:
                if self._cancelled:
                    return
                self._add(segment, first_frame, block)
        finally:
            if isinstance(blocks, Generator):
                blocks.close()
        self._mark(self._made, segment.start + len(segment.text))

    def _add(self, segment: Segment, first_frame: int, block: Block) -> None:
        for mark in block.marks:
            self._mark(first_frame + mark.frame, segment.start + mark.text_end)
        self._made += len(block.pcm)
        self._open = True
        self._hand_over(self._chunker.push(apply_gain(block.pcm, self._manner.volume)))

    def _mark(self, frame: int, text_end: int) -> None:
        with self._changed:
            latest = self._marks[-1][0] if self._marks else 0
            self._marks.append((max(frame, latest), text_end))

    def _flush(self) -> None:
        """Hand over what is left, and an empty chunk: nothing follows for now."""
        if self._open:
            self._open = False
            self._hand_over([*self._chunker.flush(), NOTHING])

    def _hand_over(self, pieces: list[Pcm]) -> None:
        for pcm in pieces:
            with self._changed:
                self._changed.wait_for(self._may_make)
                if self._cancelled:
                    return
                self._ready.append(Chunk(self.frames, pcm))
                self.frames += len(pcm)
                self._waiting += len(pcm)
                self._changed.notify_all()
            self._on_change()

    def _may_make(self) -> bool:
        return self._waiting <= self._ahead or self._cancelled or not self._streaming


def samples_of(synthesis: Synthesis) -> Iterator[Pcm]:
    """Start a synthesis, and give the samples of its chunks as they are made.

    Raises:
        EngineError: the engine failed, or gave nothing for `STALL_SECONDS`.
    """
    synthesis.start()
    try:
        made = -1
        while not synthesis.exhausted:
            if not synthesis.wait(STALL_SECONDS) and made == (made := synthesis.frames):
                raise EngineError(f"no audio for {STALL_SECONDS:g} s")
            chunk = synthesis.take()
            if chunk is not None:
                yield chunk.pcm
        if synthesis.error is not None:
            raise synthesis.error
    finally:
        synthesis.cancel()
        synthesis.join(STALL_SECONDS)
