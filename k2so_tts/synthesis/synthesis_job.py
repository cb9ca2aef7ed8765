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

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import numpy as np

from k2so_tts.audio import Block, Pcm
from k2so_tts.engines import EngineError, language_of, streams
from k2so_tts.limiter import Limiter
from k2so_tts.resampler import resampled
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.pace import MadeBlock
from k2so_tts.synthesis.phrase_cache import LONGEST_SECONDS, Phrase, key_of
from k2so_tts.synthesis.synthesis_state import SynthesisOptions, SynthesisState
from k2so_tts.synthesis.trim import KEPT_SILENCE_SECONDS, pause_of, trimmed
from k2so_tts.text.boundaries import has_sound
from k2so_tts.text.scripts import script_runs
from k2so_tts.text.segmenter import SENTENCE, Segmenter, weighted_length
from k2so_tts.text.stream import Segment, TextStream

_STREAMED_SECONDS = 0.5
"""How much sound of an engine that streams is collected before it is heard: it makes that in
milliseconds, and a busy machine may keep it waiting for the next.
"""
_CACHED_BLOCK_FRAMES = 8192
"""Frames of a cached phrase that are handed on at a time."""


class SynthesisJob:
    """A `Job` that has `loaded` speak an utterance from its character `start` on.

    It writes into the queue with the queue's `generation` and is over once that is stale. `pause`
    is the silence (s) before the first sound. With `part` it speaks that part of the text only.
    `on_end` is called with the job when it is finished, with an error if it has failed.
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
        part: Segment | None = None,
    ) -> None:
        self.loaded = loaded
        self._state = state
        self.options = options
        self._on_end = on_end
        self._start = start
        self._pause = pause
        self._generation = state.chunks.generation
        self._recorded: list[Pcm] | None = None
        """What was made before any gain, while it may be kept in the phrase cache."""
        self._gain: float | None = None
        """Makes the voice that speaks as loud as others; None before the first sound."""
        self._limiter = Limiter(state.chunks.rate)
        self._work = (
            self._speak_all() if part is None else self._speak_text(part, after_pause=False)
        )

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
        if phrases is not None and self._recorded:
            pcm = np.concatenate(self._recorded)
            phrase = Phrase(chunks.rate, pcm, chunks.marks, self._gain or 1.0)
            phrases.put(self._cache_key(), phrase)
        self._recorded = None

    def _speak_all(self) -> Iterator[float]:
        """Yields, between segments, in how many seconds to go on at the latest."""
        language = language_of(self.loaded.engine, self.options.voice)
        spoken = self._state.rewrite(language, self.options.rewriting)
        if self._replay_cached():
            return
        source = self._state.source
        if isinstance(source, str):
            rest = Segment(self._start, spoken[self._start :])
            yield from self._speak_text(rest, after_pause=False)
        else:
            yield from self._speak_stream(source)
        if not self.is_over:
            self._state.chunks.flush(self._generation)

    def _speak_stream(self, source: TextStream) -> Iterator[float]:
        """Speak a text as it is written, clause by clause."""
        state = self._state
        if self._start < state.read_to:
            known = Segment(self._start, source.spoken_text[self._start : state.read_to])
            yield from self._speak_text(known, after_pause=False)
        language = language_of(self.loaded.engine, self.options.voice)
        while not self.is_over:
            clause = source.poll(language)
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
        for part, language in self._runs(text):
            voice: str | None = self.options.voice
            if language is not None:
                voice = self.loaded.voice_in(language, self.options.voice)
            if voice is None and (yield from self._hand_over(part, str(language))):
                continue
            if voice is None:
                self._state.unreadable.add(str(language))
                voice = self.options.voice
            if streams(self.loaded.engine):
                self._speak(part, voice, is_segment=False)
                yield 0.0
            else:
                yield from self._speak_in_segments(part, voice, after_pause=after_pause)
            after_pause = after_pause and not has_sound(part.text)

    def _runs(self, text: Segment) -> Iterator[tuple[Segment, str | None]]:
        """A part of the text in its scripts, each with its language; None: that of the voice."""
        if not self.options.script_voices:
            yield text, None
            return
        for run in script_runs(text.text, language_of(self.loaded.engine, self.options.voice)):
            yield Segment(text.start + run.start, text.text[run.start : run.end]), run.language

    def _hand_over(self, part: Segment, language: str) -> Generator[float, None, bool]:
        """Have another engine speak a part, in its own thread, while this job waits.

        Returns whether one has spoken it.
        """
        found = self._state.find_reader(language)
        if found is None:
            return False
        loaded, options = found
        errors: list[EngineError | None] = []

        def on_end(_: SynthesisJob, error: EngineError | None) -> None:
            errors.append(error)
            self.loaded.worker.wake(self)

        self._recorded = None
        self._add_pause()
        options = replace(options, script_voices=False)
        loaded.worker.add(SynthesisJob(self._state, loaded, options, on_end, part=part))
        while not errors and not self.is_over:
            yield math.inf
        return self.is_over or errors[0] is None

    def _speak_in_segments(
        self, text: Segment, voice: str, *, after_pause: bool
    ) -> Iterator[float]:
        """Speak a text in segments that take no longer to make than is left to be heard."""
        pace, chunks = self.loaded.pace, self._state.chunks
        segmenter = Segmenter(text.text, language_of(self.loaded.engine, voice), self._segmentation)
        while not self.is_over:
            is_first = after_pause or not chunks.frames
            buffered_seconds = None if is_first else chunks.buffered_seconds()
            budget = pace.budget(buffered_seconds) * self.options.prosody.rate
            segment = segmenter.next(budget)
            if segment is None:
                return
            segment = replace(segment, start=text.start + segment.start)
            self._speak(segment, voice, is_segment=True)
            after_pause = after_pause and not has_sound(segment.text)
            yield 0.0

    def _speak(self, segment: Segment, voice: str, *, is_segment: bool) -> None:
        """Speak a part of the text, if there is anything to pronounce in it."""
        is_heard = has_sound(segment.text) if is_segment else bool(segment.text.strip())
        if is_heard and not self.is_over:
            self._speak_with_engine(segment, voice, is_segment=is_segment)
        if not self.is_over:
            chunks = self._state.chunks
            chunks.mark(self._generation, chunks.made, segment.start + len(segment.text))

    def _speak_with_engine(self, segment: Segment, voice: str, *, is_segment: bool) -> None:
        """Have the engine speak; what it makes of a segment is trimmed, and its pace is learnt."""
        engine, options, state = self.loaded.engine, self.options, self._state
        chunks, clock = state.chunks, state.clock
        self._add_pause()
        chunks.set_prebuffer(self._generation, self._prebuffer(segment, is_segment=is_segment))
        first_frame, began, held = chunks.made, clock(), chunks.held_seconds
        timed: list[MadeBlock] = []
        made = engine.synthesise(segment.text, voice, options.prosody)
        blocks = trimmed(made, engine.sample_rate) if is_segment else made
        try:
            for block in resampled(blocks, engine.sample_rate, chunks.rate):
                if self.is_over:
                    self.loaded.pace.learn_beginning(timed)
                    return
                at, given = clock() - began - (chunks.held_seconds - held), chunks.frames
                self._set_gain(voice)
                self._add(segment, first_frame, block)
                if is_segment:
                    timed.append(MadeBlock(at, (chunks.frames - given) / chunks.rate))
        finally:
            if isinstance(made, Generator):
                made.close()
            state.seconds += clock() - began - (chunks.held_seconds - held)
        if is_segment:
            self._pause = max(0.0, segment.pause / options.prosody.rate - KEPT_SILENCE_SECONDS)
            self.loaded.pace.learn(self._size(segment), timed)

    def _prebuffer(self, segment: Segment, *, is_segment: bool) -> float:
        """How much of the sound (s) is collected before it is heard, if nothing is left to hear."""
        if not is_segment:
            return _STREAMED_SECONDS
        buffered = self._state.chunks.buffered_seconds()
        return self.loaded.pace.prebuffer_seconds(self._size(segment), buffered)

    def _size(self, segment: Segment) -> float:
        """How long it is to speak, in letters at normal speed."""
        return weighted_length(segment.text) / self.options.prosody.rate

    def _add_pause(self) -> None:
        """The silence that belongs before what comes next."""
        if self._pause:
            frames = round(self._pause * self._state.chunks.rate)
            is_silent = streams(self.loaded.engine)  # espeak is, between words
            self._add_sound(np.zeros(frames, np.int16) if is_silent else pause_of(frames))
            self._pause = 0.0

    def _add(self, segment: Segment, first_frame: int, block: Block) -> None:
        """Add a block of the sound of a segment, which began at `first_frame`, and its marks."""
        chunks = self._state.chunks
        for mark in block.marks:
            text_end = segment.start + mark.text_end
            chunks.mark(self._generation, first_frame + mark.frame, text_end)
        self._add_sound(block.pcm)

    def _set_gain(self, voice: str) -> None:
        """Apply the gain of a voice from now on; it is known once the voice has made a sound."""
        gain = self.loaded.gain_of(voice)
        if self._gain not in (None, gain):
            self._recorded = None  # a phrase is kept with one gain
        self._gain = gain

    def _add_sound(self, pcm: Pcm) -> None:
        """Add sound before any gain: it is kept as it is, and heard as loud as it is to be."""
        self._record(pcm)
        gain = (self._gain or 1.0) * self.options.volume
        self._state.chunks.add(self._generation, self._limiter.amplify(pcm, gain))

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
        prosody = self.options.prosody
        languages = {language for _, language in self._runs(Segment(0, self._state.spoken_text))}
        voices = sorted(
            self.loaded.voice_in(language, self.options.voice) or ""
            for language in languages
            if language is not None
        )
        return key_of(
            self.loaded.fingerprint,
            self.options.voice,
            round(prosody.rate, 4),
            round(prosody.pitch, 4),
            self._segmentation,
            self._state.spoken_text,
            *voices,
        )

    @property
    def _segmentation(self) -> str:
        return self.options.segmentation if self._state.streaming else SENTENCE
