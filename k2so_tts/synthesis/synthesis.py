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

"""Text in, timed chunks out: an engine that runs ahead of playback."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator

from k2so_tts.audio import CHUNK_FRAMES, Chunk, Pcm
from k2so_tts.engines import EngineError
from k2so_tts.synthesis.chunk_queue import ChunkQueue
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis_job import SynthesisJob
from k2so_tts.synthesis.synthesis_state import (
    FindReader,
    SynthesisOptions,
    SynthesisState,
    no_reader,
)
from k2so_tts.synthesis.word_timeline import TimedWord, WordTimeline
from k2so_tts.text.stream import TextStream, has_unspaced, whole_words

__all__ = [
    "AHEAD_SECONDS",
    "STALL_SECONDS",
    "FailOver",
    "Synthesis",
    "SynthesisOptions",
    "describe_unreadable",
    "no_fail_over",
    "stream_pcm",
]

_logger = logging.getLogger(__name__)

_FAIL_OVER_PAUSE_SECONDS = 0.15
"""Silence between what the engine that failed has said and the next one."""
_CERTAIN_SHARE = 0.8
"""How much of what was heard by proportion between two marks counts, as speech is uneven."""
STALL_SECONDS = 30.0
"""How long `stream_pcm` waits for an engine that gives nothing."""
AHEAD_SECONDS = 30.0
"""How much unheard audio is made in advance: memory stays bounded for a text of any length."""

FailOver = Callable[[LoadedEngine, EngineError], "tuple[LoadedEngine, SynthesisOptions] | None"]
"""Names the engine that goes on, and how, when one has failed; None: none does."""


def no_fail_over(_: LoadedEngine, __: EngineError) -> None:
    """A `FailOver` without another engine: the utterance ends where the engine fails."""


class Synthesis:
    """One utterance being synthesised: `take` gives its chunks, `heard_text` what was heard of it.

    The work begins with `start`, in the worker's thread of the engine; `cancel` returns at once.
    `on_change` is called in any thread, and must not block, whenever `take` has something new, more
    text has come, another engine goes on, or the work ends. Without `streaming` no chunk can be
    taken before all are made.

    When an engine fails, the one that `fail_over` names goes on after the words that are spoken
    already, at the same `rate` (Hz). If it names none, `error` says what went wrong. What
    the engine has no voice for is spoken by the one that `find_reader` names.
    """

    def __init__(  # noqa: PLR0913 - what is optional has a name
        self,
        loaded: LoadedEngine,
        text: str | TextStream,
        options: SynthesisOptions,
        *,
        chunk_frames: int = CHUNK_FRAMES,
        ahead_seconds: float = AHEAD_SECONDS,
        streaming: bool = True,
        fail_over: FailOver = no_fail_over,
        find_reader: FindReader = no_reader,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate = loaded.engine.sample_rate
        self.error: EngineError | None = None
        self._chunks = ChunkQueue(
            self.rate,
            int(ahead_seconds * self.rate),
            chunk_frames=chunk_frames,
            whole=not streaming,
            on_change=on_change,
            clock=clock,
        )
        self._state = SynthesisState(
            text, self._chunks, streaming, on_change, clock, find_reader=find_reader
        )
        self._words = WordTimeline(self._state)
        self._fail_over = fail_over
        self._switching = threading.Lock()
        self._suspended = False
        self._done = threading.Event()
        self._job = SynthesisJob(self._state, loaded, options, self._end_job)
        self._jobs = [self._job]

    def start(self) -> None:
        """Have the engine begin, as soon as it is done with the utterances before this one."""
        if isinstance(self._state.source, TextStream):
            self._state.source.on_change = self._wake
        self._submit(self._job)

    def take(self) -> Chunk | None:
        """The next chunk, or None if there is none yet (or none any more: see `done`)."""
        return self._chunks.take()

    def wait(self, timeout: float) -> bool:
        """Wait until `take` gives a chunk or all were taken. False after `timeout` seconds."""
        return self._chunks.wait(timeout)

    @property
    def frames(self) -> int:
        """How many frames were made, as far as they can be taken."""
        return self._chunks.frames

    @property
    def seconds(self) -> float:
        """How long engines have worked, without the time for which the full queue held them."""
        return self._state.seconds

    @property
    def engine(self) -> LoadedEngine:
        """The engine that speaks, or did last."""
        return self._job.loaded

    @property
    def starved(self) -> bool:
        """Nothing can be made for now: more text is expected, or the engine is being loaded."""
        return self._state.starved or self._job.loaded.is_loading

    @property
    def done(self) -> bool:
        """The work has ended: well, by `error` or by `cancel`."""
        return self._done.is_set()

    @property
    def exhausted(self) -> bool:
        """Everything was made and taken."""
        return self.done and self._chunks.is_empty

    @property
    def text(self) -> str:
        """The text as it was sent, as far as it is known."""
        return self._state.text

    @property
    def unreadable(self) -> frozenset[str]:
        """The languages (BCP 47) of parts of the text for which there was no voice."""
        return frozenset(self._state.unreadable)

    @property
    def words(self) -> list[TimedWord]:
        """The words that are made so far."""
        self._words.extend()
        return self._words.words

    def heard_text(self, frames: int) -> str:
        """The words that have been heard in full when the first `frames` frames have been.

        Engines mark words at spaces. Inside of a Thai or Japanese sentence, which has none, what
        was heard is estimated from the time that has passed, rather too little than too much.
        """
        if self.done and not self.error and not self._chunks.cancelled and frames >= self.frames:
            return self.text
        spoken = self._state.spoken_text
        heard, following, share = self._chunks.text_progress(frames)
        if has_unspaced(spoken[heard:following]):
            heard += int(_CERTAIN_SHARE * share * (following - heard))
        return whole_words(self.text, self._state.to_source(heard))

    def cancel(self) -> None:
        """End the work without waiting for it. What waits for an engine ends at once."""
        self._chunks.cancel()
        if isinstance(self._state.source, TextStream):
            self._state.source.cancel()
        self._end_if_waiting(self._job)

    def abandon_engine(self, error: EngineError) -> bool:
        """Go on with another engine if the one that speaks was abandoned (`LoadedEngine.abandon`).

        Returns whether any engine goes on; if none does, `error` is what went wrong.
        """
        job = self._job
        if job.loaded.abandoned:
            self._end_job(job, error)
        return self.error is None

    def join(self, timeout: float) -> bool:
        """Wait for the work to end. False when an engine still holds it after `timeout` s."""
        deadline = time.monotonic() + timeout
        return all(
            job.loaded.worker.wait_for(job, max(0.0, deadline - time.monotonic()))
            for job in self._jobs  # which grows when one fails over, before that one is left
        )

    def suspend(self) -> None:
        """Leave the engine to others until `resume`, unless all is made.

        What was not taken of words that are complete is kept, the rest is made again.
        """
        with self._switching:
            if self._suspended or self.done or self._chunks.cancelled:
                return
            self._suspended = True
            left = self._job
            self._job = self._following(left.loaded, left.options, pause=0.0)
        left.loaded.worker.discard(left)

    def resume(self) -> None:
        """Have the engine go on, if it was suspended."""
        with self._switching:
            if not self._suspended:
                return
            self._suspended = False
        self._submit(self._job)

    def _submit(self, job: SynthesisJob) -> None:
        job.loaded.worker.add(job)
        if self._chunks.cancelled:  # meanwhile
            self._end_if_waiting(job)

    def _end_if_waiting(self, job: SynthesisJob) -> None:
        """End a job that is not running, which would end it by itself."""
        if job.loaded.worker.discard(job) or self._suspended:
            self._end_job(job, None)

    def _wake(self) -> None:
        """More text has come, or the text has ended."""
        job = self._job
        job.loaded.worker.wake(job)

    def _end_job(self, job: SynthesisJob, error: EngineError | None) -> None:
        """A job has ended: another engine goes on if it has failed, or the utterance is done."""
        with self._switching:
            if job is not self._job or self.done:
                return
            following = self._next_job(job, error) if error is not None else None
            was_cancelled = self._chunks.cancelled
            if following is None:
                self.error = None if was_cancelled else error
                self._done.set()
        if following is not None:
            self._submit(following)
            self._state.on_change()  # it may not be starved any more
            return
        self._chunks.end()
        if error is None and not was_cancelled:  # who has taken all of it may cancel from now on
            job.store()

    def _next_job(self, failed: SynthesisJob, error: EngineError) -> SynthesisJob | None:
        """The job that goes on where `failed` has failed, if there is an engine for it."""
        if self._chunks.cancelled:
            return None
        try:
            named = self._fail_over(failed.loaded, error)
        except Exception:
            _logger.exception("no engine could be chosen to go on")
            named = None
        if named is None:
            return None
        self._job = self._following(*named, pause=_FAIL_OVER_PAUSE_SECONDS)
        return self._job

    def _following(
        self, loaded: LoadedEngine, options: SynthesisOptions, pause: float
    ) -> SynthesisJob:
        """A job that goes on after the words that are spoken, if any, and then a pause (s)."""
        _, start = self._chunks.truncate_to_last_mark()
        pause = pause if start else 0.0
        job = SynthesisJob(self._state, loaded, options, self._end_job, start=start, pause=pause)
        self._jobs.append(job)
        return job


def describe_unreadable(engine: str, languages: Collection[str]) -> str:
    """What to tell of `Synthesis.unreadable`: languages that a named engine had no voice for."""
    named = ", ".join(sorted(languages))
    return f"a part of the last text seems to be in {named}: {engine} has no voice for it"


def stream_pcm(synthesis: Synthesis) -> Generator[Pcm, None, None]:
    """Start a synthesis, and give the samples of its chunks as they are made, shape (frames,).

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
