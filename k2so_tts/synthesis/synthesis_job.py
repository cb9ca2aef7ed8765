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

"""One engine speaking an utterance: the work that is done in the thread of the engine's worker."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from k2so_tts.audio import Block, Pcm
from k2so_tts.engines import NORMAL, EngineError, Prosody, streams
from k2so_tts.limiter import Limiter
from k2so_tts.resampler import resampled
from k2so_tts.synthesis.chunk_queue import ChunkQueue
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.pace import MadeBlock
from k2so_tts.synthesis.phrase_cache import LONGEST_SECONDS, Phrase, key_of
from k2so_tts.synthesis.trim import KEPT_SILENCE_SECONDS, trimmed
from k2so_tts.text.segmenter import (
    SENTENCE,
    WORD,
    Segmenter,
    ends_clause,
    speakable,
    weighted_length,
)
from k2so_tts.text.stream import IsEnd, Segment, TextStream

_CACHED_BLOCK_FRAMES = 8192
"""Frames of a cached phrase that are handed on at a time."""


@dataclass(frozen=True)
class SynthesisOptions:
    """How one utterance is to sound: the engine's voice, prosody, and a linear gain, 0.0 to 2.0.

    `segmentation` (see `segmenter.SEGMENTATIONS`) says where a text may be cut for an engine that
    needs segments.
    """

    voice: str
    prosody: Prosody = NORMAL
    volume: float = 1.0
    segmentation: str = WORD


@dataclass(eq=False)
class SynthesisState:
    """What all jobs of one utterance share: its text, and what was made of it.

    `on_change` is called when more text has come; `clock` gives seconds.
    """

    source: str | TextStream
    chunks: ChunkQueue
    streaming: bool
    on_change: Callable[[], None]
    clock: Callable[[], float]
    seconds: float = 0.0
    """What engines have taken, without the time for which the full queue held them."""
    starved: bool = False
    """All text that has come is spoken, and more is expected."""
    read_to: int = 0
    """Characters of a streamed text that were taken from it."""

    @property
    def text(self) -> str:
        """The whole text, as far as it is known."""
        return self.source if isinstance(self.source, str) else self.source.text


class SynthesisJob:
    """A `Job` that has `loaded` speak an utterance from its character `start` on.

    It writes into the queue with the queue's `generation` and is over once that is stale. `pause`
    is the silence (s) before the first sound. `on_end` is called with the job when it is finished,
    with an error if it has failed.
    """

    def __init__(
        self,
        state: SynthesisState,
        loaded: LoadedEngine,
        options: SynthesisOptions,
        on_end: Callable[[SynthesisJob, EngineError | None], None],
        *,
        start: int = 0,
        pause: float = 0.0,
    ) -> None:
        self.loaded = loaded
        self._state = state
        self._options = options
        self._on_end = on_end
        self._start = start
        self._pause = pause
        self._generation = state.chunks.generation
        self._recorded: list[Pcm] | None = None
        """What was made before any gain, while it may be kept in the phrase cache."""
        self._gain: float | None = None
        """Makes the voice as loud as others; known once the engine has given the first sound."""
        self._limiter = Limiter(state.chunks.rate)
        self._work = self._speak_all()

    @property
    def is_over(self) -> bool:
        """The utterance was cancelled, or another engine goes on with it."""
        chunks = self._state.chunks
        return chunks.cancelled or chunks.generation != self._generation

    def step(self) -> float | None:
        """Speak the next part of the text; see `Job.step`."""
        seconds = next(self._work, None)
        if seconds is None:
            self._on_end(self, None)
        return seconds

    def fail(self, error: EngineError) -> None:
        """Report the failure; see `Job.fail`."""
        self._on_end(self, error)

    def store(self) -> None:
        """Keep what was spoken in the phrase cache, if it was the whole text."""
        phrases, chunks = self.loaded.phrases, self._state.chunks
        if phrases is not None and self._recorded and not chunks.cancelled:
            pcm, gain = np.concatenate(self._recorded), self._voice_gain()
            phrase = Phrase(chunks.rate, pcm, chunks.marks, gain)
            phrases.put(self._cache_key(), phrase)
        self._recorded = None

    def _speak_all(self) -> Iterator[float]:
        """Yields, between segments, in how many seconds to go on at the latest."""
        if self._replay_cached():
            return
        source = self._state.source
        if isinstance(source, str):
            rest = Segment(self._start, source[self._start :])
            yield from self._speak_text(rest, after_pause=False)
        else:
            yield from self._speak_stream(source)
        if not self.is_over:
            self._state.chunks.flush(self._generation)

    def _speak_stream(self, source: TextStream) -> Iterator[float]:
        """Speak a text as it is written, clause by clause."""
        state = self._state
        if self._start < state.read_to:
            known = Segment(self._start, source.text[self._start : state.read_to])
            yield from self._speak_text(known, after_pause=False)
        is_end = _clause_end(self.loaded, self._options.voice)
        while not self.is_over:
            clause = source.poll(is_end)
            if clause is not None:
                state.read_to = clause.start + len(clause.text)
                after_pause, state.starved = state.starved, False
                if after_pause:
                    state.on_change()
                yield from self._speak_text(clause, after_pause=after_pause)
            elif source.finished:
                return
            else:
                state.starved = True
                state.chunks.flush(self._generation)
                self._pause = 0.0
                yield source.seconds_left()

    def _speak_text(self, text: Segment, *, after_pause: bool) -> Iterator[float]:
        """Speak a part of the text; with `after_pause` nothing before it is still to be heard."""
        if streams(self.loaded.engine):
            self._speak(text, is_segment=False)
            yield 0.0
        else:
            yield from self._speak_in_segments(text, after_pause=after_pause)

    def _speak_in_segments(self, text: Segment, *, after_pause: bool) -> Iterator[float]:
        """Speak a text in segments that take no longer to make than is left to be heard."""
        options, pace, chunks = self._options, self.loaded.pace, self._state.chunks
        language = self.loaded.language_of(options.voice)
        segmenter = Segmenter(text.text, language, self._segmentation)
        while not self.is_over:
            is_first = after_pause or not chunks.frames
            buffered_seconds = None if is_first else chunks.buffered_seconds()
            segment = segmenter.next(pace.budget(buffered_seconds) * options.prosody.rate)
            if segment is None:
                return
            self._speak(replace(segment, start=text.start + segment.start), is_segment=True)
            after_pause = after_pause and not speakable(segment.text)
            yield 0.0

    def _speak(self, segment: Segment, *, is_segment: bool) -> None:
        """Speak a part of the text, if there is anything to pronounce in it."""
        has_sound = speakable(segment.text) if is_segment else bool(segment.text.strip())
        if has_sound and not self.is_over:
            self._speak_with_engine(segment, is_segment=is_segment)
        if not self.is_over:
            chunks = self._state.chunks
            chunks.mark(self._generation, chunks.made, segment.start + len(segment.text))

    def _speak_with_engine(self, segment: Segment, *, is_segment: bool) -> None:
        """Have the engine speak; what it makes of a segment is trimmed, and its pace is learnt."""
        engine, options, state = self.loaded.engine, self._options, self._state
        chunks, clock = state.chunks, state.clock
        pace = self.loaded.pace
        length = weighted_length(segment.text) / options.prosody.rate
        self._add_pause()
        prebuffer = pace.prebuffer_seconds(length, chunks.buffered_seconds()) if is_segment else 0.0
        chunks.set_prebuffer(self._generation, prebuffer)
        first_frame, began, held = chunks.made, clock(), chunks.held_seconds
        timed: list[MadeBlock] = []
        made = engine.synthesise(segment.text, options.voice, options.prosody)
        blocks = trimmed(made, engine.sample_rate) if is_segment else made
        try:
            for block in resampled(blocks, engine.sample_rate, chunks.rate):
                if self.is_over:
                    pace.learn_beginning(timed)
                    return
                at, given = clock() - began - (chunks.held_seconds - held), chunks.frames
                self._add(segment, first_frame, block)
                timed.append(MadeBlock(at, (chunks.frames - given) / chunks.rate))
        finally:
            if isinstance(made, Generator):
                made.close()
            seconds = clock() - began - (chunks.held_seconds - held)
            state.seconds += seconds
        if is_segment:
            self._pause = max(0.0, segment.pause / options.prosody.rate - KEPT_SILENCE_SECONDS)
            pace.learn(length, timed)

    def _add_pause(self) -> None:
        """The silence that belongs before what comes next."""
        if self._pause:
            silence = np.zeros(round(self._pause * self._state.chunks.rate), np.int16)
            self._state.chunks.add(self._generation, silence)
            self._record(silence)
            self._pause = 0.0

    def _add(self, segment: Segment, first_frame: int, block: Block) -> None:
        """Add a block of the sound of a segment, which began at `first_frame`, and its marks."""
        chunks = self._state.chunks
        for mark in block.marks:
            text_end = segment.start + mark.text_end
            chunks.mark(self._generation, first_frame + mark.frame, text_end)
        self._add_sound(block.pcm)
        self._record(block.pcm)

    def _add_sound(self, pcm: Pcm) -> None:
        """Add what an engine has made, as loud as it is to be."""
        gain = self._voice_gain() * self._options.volume
        self._state.chunks.add(self._generation, self._limiter.amplify(pcm, gain))

    def _voice_gain(self) -> float:
        if self._gain is None:
            self._gain = self.loaded.gain_of(self._options.voice)
        return self._gain

    def _record(self, pcm: Pcm) -> None:
        if self._recorded is not None:
            self._recorded.append(pcm)
            if self._state.chunks.made > LONGEST_SECONDS * self._state.chunks.rate:
                self._recorded = None

    def _replay_cached(self) -> bool:
        """Add the sound of the whole text from the phrase cache. False if it is not there."""
        phrases, chunks = self.loaded.phrases, self._state.chunks
        if phrases is None or self._start or not isinstance(self._state.source, str):
            return False
        phrase = phrases.get(self._cache_key())
        if phrase is None or phrase.rate != chunks.rate:
            self._recorded = []
            return False
        self._gain = phrase.gain
        for frame, text_end in phrase.marks:
            chunks.mark(self._generation, frame, text_end)
        for start in range(0, len(phrase.pcm), _CACHED_BLOCK_FRAMES):
            if self.is_over:
                return True
            self._add_sound(phrase.pcm[start : start + _CACHED_BLOCK_FRAMES])
        chunks.flush(self._generation)
        return True

    def _cache_key(self) -> str:
        """All that the sound depends on, but for the gain."""
        prosody = self._options.prosody
        return key_of(
            self.loaded.fingerprint,
            self._options.voice,
            round(prosody.rate, 4),
            round(prosody.pitch, 4),
            self._segmentation,
            self._state.text,
        )

    @property
    def _segmentation(self) -> str:
        return self._options.segmentation if self._state.streaming else SENTENCE


def _clause_end(loaded: LoadedEngine, voice: str) -> IsEnd:
    """How to tell where a clause ends: an engine that streams is given whatever looks like one."""
    if streams(loaded.engine):
        return lambda _, __: True
    return partial(ends_clause, language=loaded.language_of(voice))
