"""Text in, timed chunks out: an engine that runs ahead of playback in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from k2so_tts.audio import CHUNK_FRAMES, Block, Chunk, Pcm, apply_gain
from k2so_tts.engines import NORMAL, EngineError, Prosody, streams
from k2so_tts.synthesis.chunk_queue import ChunkQueue
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import LONGEST_SECONDS, Phrase, key_of
from k2so_tts.synthesis.trim import KEPT_SILENCE_SECONDS, resampled, trimmed
from k2so_tts.text.segmenter import (
    SENTENCE,
    WORD,
    Segmenter,
    ends_clause,
    speakable,
    weighted_length,
)
from k2so_tts.text.stream import IsEnd, Segment, TextStream, whole_words

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.05
_RELIEF_PAUSE_SECONDS = 0.15
_RECALLED_FRAMES = 8192
STALL_SECONDS = 30.0
AHEAD_SECONDS = 30.0
"""How much unheard audio is made in advance: memory stays bounded for a text of any length."""


@dataclass(frozen=True)
class SynthesisOptions:
    """How one utterance is to sound: the engine's voice, prosody, and a linear gain, 0.0 to 1.0.

    `segmentation` (see `segmenter.SEGMENTATIONS`) says where a text may be cut for an engine that
    needs segments.
    """

    voice: str
    prosody: Prosody = NORMAL
    volume: float = 1.0
    segmentation: str = WORD


FailOver = Callable[[LoadedEngine, EngineError], "tuple[LoadedEngine, SynthesisOptions] | None"]
"""Who goes on, and how, when somebody has failed; None: nobody."""


def nobody(_: LoadedEngine, __: EngineError) -> None:
    """A `FailOver`: the utterance ends where an engine fails."""


@dataclass(eq=False)
class _Turn:
    """Somebody speaking, from `start` in the text on; `pause` (s) is due before what comes next."""

    talker: LoadedEngine
    options: SynthesisOptions
    generation: int
    start: int = 0
    pause: float = 0.0
    made: list[Pcm] | None = None
    """What was made of it before any gain, as long as it may be kept."""


class Synthesis:
    """One utterance being made. `take` gives its chunks; `heard_text` says what was heard of it.

    The work begins with `start`, in a thread that `join` waits for. `on_change` is called from it
    (and must not block) whenever `take` has something new, more text has come, or the work ends.
    `cancel` returns at once. Without `streaming` nothing is given before all is made, whatever the
    length.

    When an engine fails, whom `fail_over` names goes on from the words that were not spoken yet, at
    the same `rate` (Hz). With nobody, `error` is what went wrong.
    """

    def __init__(  # noqa: PLR0913 - what is optional has a name
        self,
        talker: LoadedEngine,
        text: str | TextStream,
        options: SynthesisOptions,
        *,
        chunk_frames: int = CHUNK_FRAMES,
        ahead_seconds: float = AHEAD_SECONDS,
        streaming: bool = True,
        fail_over: FailOver = nobody,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate = talker.engine.sample_rate
        self.error: EngineError | None = None
        self.seconds = 0.0
        """What engines have taken, without the time in which they had to wait."""
        self.starved = False
        """All text that has come is spoken, and more is expected."""
        self._tape = ChunkQueue(
            self.rate,
            int(ahead_seconds * self.rate),
            chunk_frames=chunk_frames,
            whole=not streaming,
            on_change=on_change,
            clock=clock,
        )
        self._turn = _Turn(talker, options, self._tape.generation)
        self._source = text
        self._streaming = streaming
        self._relief = fail_over
        self._on_change = on_change
        self._clock = clock
        self._turning = threading.Lock()
        self._done = threading.Event()
        self._read_to = 0
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._begin(self._turn)

    def take(self) -> Chunk | None:
        """The next chunk, or None if there is none yet (or none any more: see `done`)."""
        return self._tape.take()

    def wait(self, timeout: float) -> bool:
        """Wait until `take` gives a chunk or nothing comes any more; False after `timeout`
        seconds.
        """
        return self._tape.wait(timeout)

    @property
    def frames(self) -> int:
        """How many were made, as far as they can be taken."""
        return self._tape.frames

    @property
    def talker(self) -> LoadedEngine:
        """Who speaks, or did last."""
        return self._turn.talker

    @property
    def done(self) -> bool:
        """The engine has ended: well, by `error` or by `cancel`."""
        return self._done.is_set()

    @property
    def exhausted(self) -> bool:
        """Everything was made and taken."""
        return self.done and self._tape.is_empty

    @property
    def text(self) -> str:
        return self._source if isinstance(self._source, str) else self._source.text

    def heard_text(self, frames: int) -> str:
        """The words that have been heard in full when the first `frames` frames have been."""
        if self.done and not self.error and not self._tape.cancelled and frames >= self.frames:
            return self.text
        return whole_words(self.text, self._tape.text_end(frames))

    def cancel(self) -> None:
        self._tape.cancel()
        if isinstance(self._source, TextStream):
            self._source.cancel()

    def abandon_engine(self, error: EngineError) -> bool:
        """Wait no longer for an engine that hangs. False if nobody goes on in its place."""
        following = self._fail_over(self._turn, error)
        if following is not None:
            self._begin(following)
        return following is not None

    def join(self, timeout: float) -> bool:
        """Wait for the work to end. False when an engine still holds it after `timeout` s."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    # From here on in the threads that make it.

    def _begin(self, turn: _Turn) -> None:
        thread = threading.Thread(target=self._run, args=[turn], name="synthesis", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, turn: _Turn) -> None:
        while (error := self._try(turn)) is not None:
            following = self._fail_over(turn, error)
            if following is None:
                break
            turn = following
        with self._turning:
            if turn is not self._turn:
                return
            self.error = error
            self._done.set()
        self._tape.end()
        if error is None:
            self._keep(turn)

    def _try(self, turn: _Turn) -> EngineError | None:
        try:
            self._synthesise(turn)
        except EngineError as error:
            return error
        except Exception as error:
            _logger.debug("engine failed", exc_info=True)
            return EngineError(f"{type(error).__name__}: {error}")
        return None

    def _fail_over(self, turn: _Turn, error: EngineError) -> _Turn | None:
        """Who goes on in place of `turn`; None: nobody, or somebody does already."""
        with self._turning:
            if turn is not self._turn or self.done or self._tape.cancelled:
                return None
            fail_over = self._relief(turn.talker, error)
            if fail_over is not None:
                generation, start = self._tape.truncate_to_last_mark()
                pause = _RELIEF_PAUSE_SECONDS if start else 0.0
                self._turn = _Turn(*fail_over, generation, start, pause)
            return self._turn if fail_over is not None else None

    def _is_over(self, turn: _Turn) -> bool:
        return self._tape.cancelled or turn is not self._turn

    def _recall(self, turn: _Turn) -> bool:
        """Whether the whole text was said before; then it is said in the same way."""
        phrases = turn.talker.phrases
        if phrases is None or turn.start or not isinstance(self._source, str):
            return False
        phrase = phrases.get(self._key(turn))
        if phrase is None or phrase.rate != self.rate:
            turn.made = []
            return False
        for frame, text_end in phrase.marks:
            self._tape.mark(turn.generation, frame, text_end)
        for start in range(0, len(phrase.pcm), _RECALLED_FRAMES):
            if self._is_over(turn):
                return True
            pcm = phrase.pcm[start : start + _RECALLED_FRAMES]
            self._tape.add(turn.generation, apply_gain(pcm, turn.options.volume))
        self._tape.flush(turn.generation)
        return True

    def _keep(self, turn: _Turn) -> None:
        phrases = turn.talker.phrases
        if phrases is not None and turn.made and not self._tape.cancelled:
            phrase = Phrase(self.rate, np.concatenate(turn.made), self._tape.marks)
            phrases.put(self._key(turn), phrase)

    def _key(self, turn: _Turn) -> str:
        prosody = turn.options.prosody
        how = (
            turn.options.voice,
            round(prosody.rate, 4),
            round(prosody.pitch, 4),
            self._segmentation(turn),
        )
        return key_of(turn.talker.fingerprint, *how, self.text)

    def _segmentation(self, turn: _Turn) -> str:
        return turn.options.segmentation if self._streaming else SENTENCE

    def _record(self, turn: _Turn, pcm: Pcm) -> None:
        if turn.made is not None:
            turn.made.append(pcm)
            if self._tape.made > LONGEST_SECONDS * self.rate:
                turn.made = None

    def _synthesise(self, turn: _Turn) -> None:
        if self._recall(turn):
            return
        for segment in self._texts(turn):
            if self._is_over(turn):
                return
            was_starved, self.starved = self.starved, segment is None
            if segment is None:
                self._tape.flush(turn.generation)
                turn.pause = 0.0
                continue
            if was_starved:
                self._on_change()
            if streams(turn.talker.engine):
                self._speak(turn, segment, heard_alone=False)
            else:
                self._speak_in_segments(turn, segment, is_first=was_starved)
            if self._is_over(turn):
                return
        self._tape.flush(turn.generation)

    def _texts(self, turn: _Turn) -> Iterator[Segment | None]:
        """What there is to speak; None: more is expected."""
        source = self._source
        if isinstance(source, str):
            yield Segment(turn.start, source[turn.start :])
            return
        if turn.start < self._read_to:
            yield Segment(turn.start, source.text[turn.start : self._read_to])
        for segment in source.clauses(_clause_ends(turn)):
            if segment is not None:
                self._read_to = segment.start + len(segment.text)
            yield segment

    def _speak_in_segments(self, turn: _Turn, text: Segment, *, is_first: bool) -> None:
        """Speak a text in segments whose making takes no longer than is left to be heard."""
        talker, options = turn.talker, turn.options
        language = talker.language_of(options.voice)
        segmenter = Segmenter(text.text, language, self._segmentation(turn))
        while True:
            buffered_seconds = (
                None if is_first or not self._tape.frames else self._tape.buffered_seconds()
            )
            budget = talker.pace.budget(buffered_seconds) * options.prosody.rate
            segment = segmenter.next(budget)
            if segment is None or self._is_over(turn):
                return
            self._speak(turn, replace(segment, start=text.start + segment.start), heard_alone=True)
            is_first = is_first and not speakable(segment.text)

    def _speak(self, turn: _Turn, segment: Segment, *, heard_alone: bool) -> None:
        talker = turn.talker
        has_sound = speakable(segment.text) if heard_alone else bool(segment.text.strip())
        while has_sound and not talker.lock.acquire(timeout=_LOOK_SECONDS):
            if self._is_over(turn):
                return
            if talker.abandoned.is_set():
                raise EngineError(f"engine {talker.name!r} hangs")
        if has_sound:
            try:
                self._speak_with_engine(turn, segment, heard_alone=heard_alone)
            finally:
                talker.lock.release()
        if not self._is_over(turn):
            self._tape.mark(turn.generation, self._tape.made, segment.start + len(segment.text))

    def _speak_with_engine(self, turn: _Turn, segment: Segment, *, heard_alone: bool) -> None:
        engine, options, tape = turn.talker.engine, turn.options, self._tape
        if turn.pause:
            silence = np.zeros(round(turn.pause * self.rate), np.int16)
            tape.add(turn.generation, silence)
            self._record(turn, silence)
            turn.pause = 0.0
        first_frame, began, waited = tape.made, self._clock(), tape.waited
        first_seconds = 0.0
        made = engine.synthesise(segment.text, options.voice, options.prosody)
        blocks = trimmed(made, engine.sample_rate) if heard_alone else made
        try:
            for block in resampled(blocks, engine.sample_rate, self.rate):
                if self._is_over(turn):
                    return
                if heard_alone and tape.made == first_frame:
                    first_seconds = self._clock() - began
                self._add(turn, segment, first_frame, block)
        finally:
            if isinstance(made, Generator):
                made.close()
            seconds = self._clock() - began - (tape.waited - waited)
            self.seconds += seconds
        if heard_alone:
            turn.pause = max(0.0, segment.pause / options.prosody.rate - KEPT_SILENCE_SECONDS)
            size = weighted_length(segment.text) / options.prosody.rate
            frames = tape.made - first_frame
            turn.talker.pace.learn(size, first_seconds, seconds, frames / self.rate)

    def _add(self, turn: _Turn, segment: Segment, first_frame: int, block: Block) -> None:
        for mark in block.marks:
            text_end = segment.start + mark.text_end
            self._tape.mark(turn.generation, first_frame + mark.frame, text_end)
        self._tape.add(turn.generation, apply_gain(block.pcm, turn.options.volume))
        self._record(turn, block.pcm)


def _clause_ends(turn: _Turn) -> IsEnd:
    """How to tell where a clause ends: an engine that streams is given whatever looks like one."""
    if streams(turn.talker.engine):
        return lambda _, __: True
    return partial(ends_clause, language=turn.talker.language_of(turn.options.voice))


def samples_of(synthesis: Synthesis) -> Generator[Pcm, None, None]:
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
