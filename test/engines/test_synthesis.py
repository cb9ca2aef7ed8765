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

"""Text in, timed chunks out: with the real espeak-ng, and with engines of known output."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.audio import CHUNK_FRAMES, Block, Chunk, Mark, Pcm, apply_gain
from k2so_tts.engines import NORMAL, EngineError, Prosody, UnknownVoice, Voice
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import FailOver, Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.text.stream import TextStream

OPTIONS = SynthesisOptions("en-us")
TEXT = "The quick brown fox jumps over the lazy dog, again and again. " * 8
PATIENCE = 10.0
SOON = 5.0


@dataclass
class ScriptedEngine:
    """An engine of known blocks, the same ones for every text; it stops at a gate if it has one."""

    blocks: Sequence[Block] = (Block(np.ones(1000, np.int16)),)
    endless: bool = False
    error: Exception | None = None
    gate: threading.Event | None = None
    streams: bool = True
    sample_rate: int = 1000
    default_voice: str = "any"
    asked: list[tuple[str, str, Prosody]] = field(default_factory=list)
    given: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    def load(self) -> None:
        raise NotImplementedError

    def voices(self) -> Sequence[Voice]:
        return (Voice("any", "en"),)

    def find_voice(self, name: str) -> str:
        raise UnknownVoice(name)

    def close(self) -> None:
        self.endless = False

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        self.asked.append((text, voice, prosody))
        try:
            while True:
                for block in self.blocks:
                    self.given += len(block.pcm)
                    yield block
                    if self.gate is not None:
                        self.gate.wait(SOON)
                if self.error is not None:
                    raise self.error
                if not self.endless:
                    return
        finally:
            self.closed.set()


def chunks_of(synthesis: Synthesis) -> list[Chunk]:
    """Everything that comes, up to the end."""
    chunks: list[Chunk] = []
    while not synthesis.exhausted:
        assert synthesis.wait(SOON)
        while (chunk := synthesis.take()) is not None:
            chunks.append(chunk)
    return chunks


def next_chunk(synthesis: Synthesis) -> Chunk:
    assert synthesis.wait(SOON)
    chunk = synthesis.take()
    assert chunk is not None
    return chunk


def spoken(synthesis: Synthesis) -> list[Chunk]:
    synthesis.start()
    chunks = chunks_of(synthesis)
    assert synthesis.join(SOON)
    return chunks


def pcm_of(chunks: Sequence[Chunk]) -> Pcm:
    return np.concatenate([chunk.pcm for chunk in chunks])


def whole(engine: EspeakEngine, text: str) -> Pcm:
    return np.concatenate([block.pcm for block in engine.synthesise(text, "en-us", NORMAL)])


@pytest.mark.parametrize("text", [TEXT, "One."])
@pytest.mark.parametrize("volume", [1.0, 0.3, 0.0])
def test_the_chunks_are_what_the_engine_makes(
    espeak: EspeakEngine, text: str, volume: float
) -> None:
    synthesis = Synthesis(LoadedEngine(espeak), text, SynthesisOptions("en-us", volume=volume))
    chunks = spoken(synthesis)
    np.testing.assert_array_equal(pcm_of(chunks), apply_gain(whole(espeak, text), volume))
    sizes = [len(chunk.pcm) for chunk in chunks]
    short = [512, 512, 1024, 1024, 1024, 2048, 2048]
    assert sizes[:-2] == [*short, *[CHUNK_FRAMES] * len(sizes)][: len(sizes) - 2]
    assert 0 < sizes[-2] <= CHUNK_FRAMES
    assert sizes[-1] == 0, "nothing follows"
    assert [chunk.start for chunk in chunks] == [sum(sizes[:index]) for index in range(len(sizes))]
    assert synthesis.frames == sum(sizes)
    assert synthesis.heard_text(synthesis.frames) == text


def test_voice_and_prosody_reach_the_engine() -> None:
    engine = ScriptedEngine()
    spoken(Synthesis(LoadedEngine(engine), "text", SynthesisOptions("de+f3", Prosody(2.0, 0.5))))
    assert engine.asked == [("text", "de+f3", Prosody(2.0, 0.5))]
    assert engine.closed.is_set()


def test_nothing_but_space_is_not_given_to_the_engine() -> None:
    engine = ScriptedEngine()
    assert spoken(Synthesis(LoadedEngine(engine), " \n ", OPTIONS)) == []
    assert engine.asked == []


def test_an_endless_text_is_made_no_further_than_ahead() -> None:
    engine = ScriptedEngine(endless=True)
    synthesis = Synthesis(
        LoadedEngine(engine), "on and on", OPTIONS, chunk_frames=100, ahead_seconds=5.0
    )
    most = 5000 + 100 + 1000  # ahead, a chunk more, and the block it was cut from
    synthesis.start()
    taken = 0
    for _ in range(200):
        taken += len(next_chunk(synthesis).pcm)
        assert engine.given - taken <= most
    while synthesis.frames - taken <= 5000:
        assert synthesis.wait(SOON)
    assert synthesis.frames - taken == 5100
    assert not synthesis.join(0.05)
    assert engine.given - taken <= most
    synthesis.cancel()
    assert synthesis.join(SOON)
    assert engine.closed.is_set()


def test_cancel_returns_at_once_however_deep_the_engine_is() -> None:
    engine = ScriptedEngine(gate=threading.Event())
    synthesis = Synthesis(LoadedEngine(engine), "deep", OPTIONS, chunk_frames=100)
    synthesis.start()
    next_chunk(synthesis)
    synthesis.cancel()
    assert not synthesis.done
    assert engine.gate is not None
    engine.gate.set()
    assert synthesis.join(SOON)
    assert synthesis.error is None
    assert engine.closed.is_set()


def test_cancel_ends_one_that_waits_for_the_engine_at_once() -> None:
    engine = ScriptedEngine(gate=threading.Event())
    assert engine.gate is not None
    loaded = LoadedEngine(engine)
    speaking, waiting = (Synthesis(loaded, text, OPTIONS, chunk_frames=100) for text in "ab")
    speaking.start()
    next_chunk(speaking)
    waiting.start()
    waiting.cancel()
    assert waiting.done, "while the engine is busy"
    assert waiting.join(0.0)
    engine.gate.set()
    chunks_of(speaking)
    assert [text for text, _, _ in engine.asked] == ["a"]


@dataclass
class SoloEngine:
    """An engine that counts how many texts it speaks at the same time, each for a moment."""

    streams: bool
    sample_rate: int = 1000
    default_voice: str = "any"
    active: int = 0
    most: int = 0
    asked: list[str] = field(default_factory=list)
    counting: threading.Lock = field(default_factory=threading.Lock)

    def load(self) -> None:
        raise NotImplementedError

    def voices(self) -> Sequence[Voice]:
        return [Voice("any", "en")]

    def find_voice(self, name: str) -> str:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        assert (voice, prosody) == ("any", NORMAL)
        self.asked.append(text)
        with self.counting:
            self.active += 1
            self.most = max(self.most, self.active)
        try:
            for _ in range(20):
                time.sleep(0.0005)  # others would come in between
                yield Block(np.full(10, 1000, np.int16))
        finally:
            with self.counting:
                self.active -= 1


@pytest.mark.parametrize("streams", [True, False])
def test_an_engine_speaks_one_text_at_a_time_in_the_order_in_which_they_came(
    streams: bool,
) -> None:
    engine = SoloEngine(streams)
    loaded = LoadedEngine(engine)
    texts = [f"This is text {number}. It has two sentences." for number in range(4)]
    options = SynthesisOptions("any", segmentation="sentence")
    all_of_them = [Synthesis(loaded, text, options) for text in texts]
    for synthesis in all_of_them:
        synthesis.start()
    for synthesis in all_of_them:
        chunks_of(synthesis)
    assert engine.most == 1
    assert "".join(engine.asked) == "".join(texts)


def test_a_text_that_is_still_being_written_does_not_hold_the_engine() -> None:
    engine = Reader()
    loaded = LoadedEngine(engine)
    stream = TextStream(PATIENCE)
    streamed = Synthesis(loaded, stream, SynthesisOptions("any"))
    streamed.start()
    stream.feed("One, ")
    while not streamed.starved:
        streamed.wait(0.001)
    chunks_of_another = spoken(Synthesis(loaded, "Two.", SynthesisOptions("any")))
    assert len(pcm_of(chunks_of_another))
    stream.feed("three.")
    stream.end()
    chunks_of(streamed)
    assert engine.asked == ["One, ", "Two.", "three."]


def test_an_earlier_text_goes_first_whenever_it_can_go_on() -> None:
    """A later one is made while the earlier one waits for text, but does not delay it."""
    engine = Reader()
    loaded = LoadedEngine(engine)
    stream = TextStream(PATIENCE)
    options = SynthesisOptions("any", segmentation="sentence")
    first = Synthesis(loaded, stream, options)
    first.start()
    while not first.starved:
        first.wait(0.001)
    at_the_gate, gate = threading.Event(), threading.Event()

    def feed_in_between(text: str) -> None:
        if text.startswith("Later one."):
            at_the_gate.set()
            assert gate.wait(SOON)

    engine.on_text = feed_in_between
    later = Synthesis(loaded, "Later one. " + "Much, much later one is this. " * 3, options)
    later.start()
    assert at_the_gate.wait(SOON)
    stream.feed("Sooner than that. ")
    stream.end()
    gate.set()
    chunks_of(first)
    chunks_of(later)
    assert engine.asked[0].startswith("Later one.")
    assert engine.asked[1].strip() == "Sooner than that."


def test_the_thread_of_an_engine_ends_with_it() -> None:
    engine = ScriptedEngine(endless=True)
    loaded = LoadedEngine(engine, "scripted")
    assert "engine scripted" not in {thread.name for thread in threading.enumerate()}
    synthesis = Synthesis(loaded, "text", OPTIONS, chunk_frames=100, ahead_seconds=1.0)
    synthesis.start()
    next_chunk(synthesis)
    assert "engine scripted" in {thread.name for thread in threading.enumerate()}
    synthesis.cancel()
    assert loaded.close(SOON)
    assert "engine scripted" not in {thread.name for thread in threading.enumerate()}
    after = Synthesis(loaded, "text", OPTIONS)
    assert spoken(after) == []
    assert str(after.error) == "engine 'scripted' was closed"


def test_a_forgotten_engine_leaves_no_thread() -> None:
    spoken(Synthesis(LoadedEngine(ScriptedEngine(), "forgotten"), "text", OPTIONS))
    gc.collect()
    deadline = time.monotonic() + SOON
    while "engine forgotten" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("error", "message"),
    [(EngineError("it broke"), "it broke"), (ZeroDivisionError("oh"), "ZeroDivisionError: oh")],
)
def test_an_engine_error_is_reported(error: Exception, message: str) -> None:
    changes: list[None] = []
    synthesis = Synthesis(
        LoadedEngine(ScriptedEngine(error=error)),
        "text",
        OPTIONS,
        chunk_frames=300,
        on_change=lambda: changes.append(None),
    )
    chunks = spoken(synthesis)
    assert str(synthesis.error) == message
    assert synthesis.done
    assert [len(chunk.pcm) for chunk in chunks] == [37, 37, 75, 75, 75, 150, 150, 300]
    assert len(changes) == 4, "for the first 0.35 s, six chunks, for two more, and for the end"
    assert synthesis.heard_text(1000) == ""


def test_the_time_that_the_engine_took_is_measured() -> None:
    engine = ScriptedEngine()
    clock = lambda: 107.0 if engine.given else 100.0  # noqa: E731
    synthesis = Synthesis(LoadedEngine(engine), "text", OPTIONS, clock=clock)
    spoken(synthesis)
    assert synthesis.seconds == 7.0


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 400)), min_size=1, max_size=8))
def test_no_word_counts_as_heard_before_its_mark(words: list[tuple[int, int]]) -> None:
    """Each word has a length in characters and a duration in frames."""
    names = [chr(97 + index) * length for index, (length, _) in enumerate(words)]
    blocks, text_end, frame = [], -1, 0
    for length, frames in words:
        text_end, frame = text_end + 1 + length, frame + frames
        blocks.append(Block(np.ones(frames, np.int16), (Mark(text_end, frame),)))
    synthesis = Synthesis(
        LoadedEngine(ScriptedEngine(blocks)), " ".join(names), OPTIONS, chunk_frames=100
    )
    spoken(synthesis)
    ends = [sum(frames for _, frames in words[: index + 1]) for index in range(len(words))]
    for heard in sorted({0, *ends, *(end - 1 for end in ends), frame + 1}):
        expected = [name for name, end in zip(names, ends, strict=True) if end <= heard]
        assert synthesis.heard_text(heard) == " ".join(expected)


def test_marks_are_known_as_soon_as_their_frames(espeak: EspeakEngine) -> None:
    synthesis = Synthesis(LoadedEngine(espeak), TEXT, OPTIONS)
    chunks = spoken(synthesis)
    heard = [synthesis.heard_text(chunk.start) for chunk in chunks]
    assert heard == sorted(heard, key=len)
    assert all(TEXT.startswith(text) for text in heard)
    assert heard[len(heard) // 2].count(" ") == pytest.approx(TEXT.count(" ") / 2, rel=0.1)
    synthesis.cancel()
    assert synthesis.heard_text(0) == ""
    assert synthesis.heard_text(synthesis.frames) == TEXT.rstrip()


def test_a_clause_is_spoken_before_the_text_ends(espeak: EspeakEngine) -> None:
    stream = TextStream(PATIENCE)
    synthesis = Synthesis(LoadedEngine(espeak), stream, OPTIONS)
    synthesis.start()
    stream.feed("The first clause, and th")
    first = [next_chunk(synthesis)]
    while len(first[-1].pcm):
        first.append(next_chunk(synthesis))
    assert synthesis.starved
    assert not synthesis.done
    np.testing.assert_array_equal(pcm_of(first), whole(espeak, "The first clause,"))
    stream.feed("e second.")
    stream.end()
    second = chunks_of(synthesis)
    assert second[0].start == first[-1].end
    np.testing.assert_array_equal(pcm_of(second), whole(espeak, " and the second."))
    assert synthesis.heard_text(first[-1].end) == "The first clause,"
    assert synthesis.heard_text(synthesis.frames) == "The first clause, and the second."


def test_it_is_signalled_that_a_starved_text_goes_on() -> None:
    changed = threading.Event()
    stream = TextStream(PATIENCE)
    engine = ScriptedEngine()
    synthesis = Synthesis(LoadedEngine(engine), stream, OPTIONS, on_change=changed.set)
    synthesis.start()
    stream.feed("One, ")
    while len(next_chunk(synthesis).pcm):
        pass
    engine.gate = threading.Event()
    engine.blocks = [Block(np.empty(0, np.int16))]
    changed.clear()
    stream.feed("two, ")
    assert changed.wait(SOON), "before the engine has made any of it"
    assert not synthesis.starved
    synthesis.cancel()
    engine.gate.set()
    assert synthesis.join(SOON)


@dataclass
class Reader:
    """An engine that needs segments: a word is as many loud frames as it has letters, times 20,
    and there is silence around each text. It fails before the `fails_at`-th word that it meets,
    `hangs` instead until it is let go.
    """

    fails_at: int | None = None
    hangs: threading.Event | None = None
    streams: bool = False
    sample_rate: int = 1000
    default_voice: str = "any"
    blocks_of: int = 33
    silence: int = 100
    asked: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    on_text: Callable[[str], None] = lambda _: None
    is_hanging: threading.Event = field(default_factory=threading.Event)

    def load(self) -> None:
        raise NotImplementedError

    def voices(self) -> Sequence[Voice]:
        return [Voice("any", "en")]

    def find_voice(self, name: str) -> str:
        raise UnknownVoice(name)

    def close(self) -> None:
        raise NotImplementedError

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        assert voice
        self.asked.append(text)
        self.on_text(text)
        yield Block(np.zeros(self.silence, np.int16))
        for word in text.split():
            if self.fails_at == len(self.words):
                if self.hangs is not None:
                    self.is_hanging.set()
                    self.hangs.wait(SOON)
                raise EngineError("it broke")
            self.words.append(word)
            frames = round(20 * len(word) * self.sample_rate / 1000 / prosody.rate)
            for start in range(0, frames, self.blocks_of):
                yield Block(np.full(min(self.blocks_of, frames - start), 1000, np.int16))
        yield Block(np.zeros(self.silence, np.int16))


READING = "One, and two. Three four five; six seven.\n\nEight (nine) ten eleven, twelve!"


def silences(pcm: Pcm) -> list[int]:
    """The lengths of the silences in it, but for the noise of a pause."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], (np.abs(pcm) > 30).astype(int), [1]])))
    return [int(end - start) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def test_a_text_is_given_to_an_engine_in_segments() -> None:
    engine = Reader()
    synthesis = Synthesis(
        LoadedEngine(engine), READING, SynthesisOptions("any", segmentation="sentence")
    )
    pcm = pcm_of(spoken(synthesis))
    assert "".join(engine.asked) == READING
    assert engine.asked == ["One, and two. ", "Three four five; six seven.\n\n", engine.asked[2]]
    assert silences(pcm[20:-40]) == [pytest.approx(pause, abs=12) for pause in (400, 700)]
    assert pcm[20] == 1000, "no silence before the first sound"
    assert synthesis.heard_text(synthesis.frames) == READING
    assert synthesis.heard_text(265) == "One, and two."


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_pause_is_as_long_as_the_rate_says(rate: float) -> None:
    options = SynthesisOptions("any", Prosody(rate), segmentation="sentence")
    pcm = pcm_of(
        spoken(Synthesis(LoadedEngine(Reader()), "Hello to you. Goodbye to you.", options))
    )
    assert silences(pcm[20:-40]) == [pytest.approx(400 / rate, abs=12)]


def test_a_streaming_engine_is_given_the_text_whole() -> None:
    engine = Reader(streams=True)
    pcm = pcm_of(spoken(Synthesis(LoadedEngine(engine), READING, OPTIONS)))
    assert engine.asked == [READING]
    assert not pcm[:100].any()


def test_text_without_sound_is_not_given_to_the_engine() -> None:
    engine = Reader()
    synthesis = Synthesis(LoadedEngine(engine), "... !!! \n – ?", OPTIONS)
    assert spoken(synthesis) == []
    assert engine.asked == []
    assert synthesis.heard_text(0) == synthesis.text


def test_the_first_segment_is_short_for_a_slow_engine_and_all_for_a_fast_one() -> None:
    for seconds_per_size, first in ((0.03, "The quick "), (0.001, FOX)):
        engine = Reader()
        loaded = LoadedEngine(engine)
        loaded.pace.seconds_per_size = seconds_per_size
        spoken(Synthesis(loaded, FOX, OPTIONS))
        assert engine.asked[0] == first
        assert "".join(engine.asked) == FOX


FOX = "The quick brown fox jumps over the lazy dog and the cat. "


def test_a_streamed_text_is_cut_into_segments_too() -> None:
    stream = TextStream(PATIENCE)
    engine = Reader()
    synthesis = Synthesis(
        LoadedEngine(engine), stream, SynthesisOptions("any", segmentation="sentence")
    )
    synthesis.start()
    for piece in ("One, and Dr. ", "Two. Three is ", "four! Fi", "ve is long, too. Six"):
        stream.feed(piece)
        while not synthesis.starved:
            synthesis.wait(0.001)
    stream.end()
    chunks_of(synthesis)
    assert "".join(engine.asked) == stream.text
    assert engine.asked[0].startswith("One, and Dr. Two.") or engine.asked[0] == "One, "
    assert all(not text.rstrip().endswith("Dr.") for text in engine.asked)
    assert synthesis.heard_text(synthesis.frames) == stream.text


def fail_over_to(loaded: LoadedEngine | None, failures: list[str]) -> FailOver:
    def fail_over(
        _: LoadedEngine, error: EngineError
    ) -> tuple[LoadedEngine, SynthesisOptions] | None:
        failures.append(str(error))
        return None if loaded is None else (loaded, SynthesisOptions("other"))

    return fail_over


@pytest.mark.parametrize("rate", [1000, 1500])
@pytest.mark.parametrize("streamed", [False, True])
@given(
    st.lists(st.sampled_from(["a,", "bcd", "efghi.", "jk", "lmnopq;", "r!"]), min_size=1),
    st.data(),
)
def test_another_engine_goes_on_and_no_word_is_lost(
    streamed: bool, rate: int, words: list[str], data: st.DataObject
) -> None:
    text = " ".join(words)
    first = Reader(fails_at=data.draw(st.integers(0, len(words))))
    second = Reader(streams=True, sample_rate=rate)
    source: str | TextStream = text
    if streamed:
        source = TextStream(PATIENCE)
        source.feed(text)
        source.end()
    failures: list[str] = []
    synthesis = Synthesis(
        LoadedEngine(first),
        source,
        OPTIONS,
        chunk_frames=data.draw(st.sampled_from([10, 64, 4096])),
        fail_over=fail_over_to(LoadedEngine(second), failures),
    )
    chunks = spoken(synthesis)
    starts = [sum(len(chunk.pcm) for chunk in chunks[:index]) for index in range(len(chunks))]
    assert [chunk.start for chunk in chunks] == starts
    assert synthesis.error is None
    assert synthesis.heard_text(synthesis.frames) == text
    has_failed = first.fails_at is not None and first.fails_at < len(words)
    assert len(failures) == has_failed
    assert second.asked == ([text[len(text) - len(second.asked[0]) :]] if has_failed else [])
    assert len(first.words) + len(second.words) >= len(words)
    assert (first.words + second.words)[-len(second.words) or len(words) :] == second.words
    heard = [synthesis.heard_text(frames) for frames in range(0, synthesis.frames, 50)]
    assert heard == sorted(heard, key=len)
    loud = int((np.abs(pcm_of(chunks)) > 500).sum())
    assert loud >= 0.9 * sum(20 * len(word) for word in words) - 40


def test_what_was_not_taken_of_a_segment_is_not_heard_twice() -> None:
    first, second = Reader(fails_at=5), Reader(streams=True)
    text = "One, and two. Three four five six."
    synthesis = Synthesis(
        LoadedEngine(first),
        text,
        SynthesisOptions("any", segmentation="sentence"),
        fail_over=fail_over_to(LoadedEngine(second), []),
    )
    chunks = spoken(synthesis)
    assert second.asked == ["Three four five six."]
    loud = int((pcm_of(chunks) == 1000).sum())
    assert loud == pytest.approx(20 * len("".join(text.split())), abs=15)


def test_an_engine_that_hangs_is_abandoned_and_another_goes_on() -> None:
    first, second = Reader(fails_at=4, hangs=threading.Event()), Reader(streams=True)
    text = "One, and two. Three four five six."
    failures: list[str] = []
    hanging = LoadedEngine(first)
    synthesis = Synthesis(
        hanging,
        text,
        SynthesisOptions("any", segmentation="sentence"),
        chunk_frames=50,
        fail_over=fail_over_to(LoadedEngine(second), failures),
    )
    synthesis.start()
    next_chunk(synthesis)
    assert first.is_hanging.wait(SOON)
    assert synthesis.abandon_engine(EngineError("it was not abandoned"))
    assert failures == []
    hanging.abandon()
    assert synthesis.abandon_engine(EngineError("it hangs"))
    chunks = chunks_of(synthesis)
    assert second.asked == ["Three four five six."]
    assert failures == ["it hangs"]
    assert synthesis.heard_text(synthesis.frames) == text
    assert not synthesis.join(0.01)
    assert first.hangs is not None
    first.hangs.set()
    assert synthesis.join(SOON)
    assert failures == ["it hangs"]
    assert synthesis.error is None
    assert chunks_of(synthesis) == []
    assert chunks[-1].end == synthesis.frames


def test_without_a_fail_over_an_error_ends_the_utterance() -> None:
    failures: list[str] = []
    synthesis = Synthesis(
        LoadedEngine(Reader(fails_at=1)),
        "One two.",
        OPTIONS,
        fail_over=fail_over_to(None, failures),
    )
    spoken(synthesis)
    assert str(synthesis.error) == "it broke"
    assert failures == ["it broke"]
    assert not synthesis.abandon_engine(EngineError("it hangs"))
    assert failures == ["it broke"]


def test_one_that_waits_for_an_engine_that_hangs_fails_over_too() -> None:
    hangs = threading.Event()
    first, second = Reader(fails_at=0, hangs=hangs), Reader(streams=True)
    loaded = LoadedEngine(first, "reader")
    failures: list[str] = []
    fail_over = fail_over_to(LoadedEngine(second), failures)
    hanging = Synthesis(loaded, "Zero.", OPTIONS, fail_over=fail_over)
    waiting = Synthesis(loaded, "One two.", OPTIONS, fail_over=fail_over)
    hanging.start()
    assert first.is_hanging.wait(SOON)
    waiting.start()
    loaded.abandon()
    chunks_of(waiting)
    assert failures == ["engine 'reader' hangs"]
    assert second.asked == ["One two."]
    later = Synthesis(loaded, "Three.", OPTIONS, fail_over=fail_over)
    assert len(pcm_of(spoken(later)))
    assert second.asked == ["One two.", "Three."]
    hangs.set()
    chunks_of(hanging)
    assert loaded.worker.join(SOON)


def test_an_utterance_waits_for_an_engine_that_is_being_loaded() -> None:
    engine = Reader(fails_at=0, hangs=threading.Event())
    stand_in, loaded = LoadedEngine(Reader(), is_loading=True), LoadedEngine(engine)
    changed = threading.Event()
    waiting, cancelled = (
        Synthesis(
            stand_in,
            "One two.",
            OPTIONS,
            fail_over=fail_over_to(loaded, []),
            on_change=changed.set,
        )
        for _ in range(2)
    )
    for synthesis in (waiting, cancelled):
        synthesis.start()
        assert not synthesis.wait(0.01)
    starved = [waiting.starved]
    cancelled.cancel()
    assert cancelled.done
    changed.clear()
    stand_in.worker.close(EngineError("it was loaded"))
    assert changed.wait(SOON), "before the engine has made anything"
    starved.append(waiting.starved)
    assert starved == [True, False], "from now on the engine can stall"
    assert waiting.engine is loaded
    assert engine.is_hanging.wait(SOON)
    assert engine.hangs is not None
    engine.fails_at = None
    engine.hangs.set()
    assert waiting.join(SOON)
    assert waiting.done
    assert engine.asked == ["One two.", "One two."], "it has failed once"


def test_a_text_that_is_not_fed_any_more_ends() -> None:
    stream = TextStream(0.05)
    synthesis = Synthesis(LoadedEngine(ScriptedEngine()), stream, OPTIONS)
    stream.feed("One, two")
    assert len(pcm_of(spoken(synthesis))) == 2000
    assert stream.ended
    assert synthesis.heard_text(2000) == "One, two"


@pytest.mark.parametrize("pieces", [[], ["One, and"]])
def test_a_text_that_is_still_written_can_be_cancelled(pieces: list[str]) -> None:
    stream = TextStream(PATIENCE)
    synthesis = Synthesis(LoadedEngine(ScriptedEngine()), stream, OPTIONS)
    synthesis.start()
    for piece in pieces:
        stream.feed(piece)
    synthesis.cancel()
    assert synthesis.join(SOON)
    assert stream.cancelled
    assert synthesis.done


def test_what_was_never_started_can_be_cancelled() -> None:
    synthesis = Synthesis(LoadedEngine(ScriptedEngine()), "text", OPTIONS)
    synthesis.cancel()
    assert synthesis.join(0.0)
    assert synthesis.take() is None
    assert not synthesis.wait(0.0)


def test_without_streaming_nothing_is_given_before_all_is_made() -> None:
    engine = ScriptedEngine(
        [Block(np.full(100, n, np.int16)) for n in range(50)], gate=threading.Event()
    )
    assert engine.gate is not None
    synthesis = Synthesis(
        LoadedEngine(engine), "text", OPTIONS, chunk_frames=100, ahead_seconds=0.1, streaming=False
    )
    synthesis.start()
    assert not synthesis.wait(0.1)
    assert synthesis.take() is None
    engine.gate.set()
    chunks = chunks_of(synthesis)
    np.testing.assert_array_equal(pcm_of(chunks), np.repeat(np.arange(50), 100))
    assert synthesis.error is None
    assert synthesis.join(SOON)


def test_both_ways_give_the_same_samples(espeak: EspeakEngine) -> None:
    streamed, whole = (
        list(stream_pcm(Synthesis(LoadedEngine(espeak), TEXT, OPTIONS, streaming=streaming)))
        for streaming in (True, False)
    )
    assert [pcm.tobytes() for pcm in streamed] == [pcm.tobytes() for pcm in whole]


def test_a_synthesis_without_streaming_can_be_cancelled() -> None:
    engine = ScriptedEngine(endless=True)
    synthesis = Synthesis(
        LoadedEngine(engine), "on and on", OPTIONS, chunk_frames=100, streaming=False
    )
    synthesis.start()
    synthesis.cancel()
    assert synthesis.join(SOON)
    assert engine.closed.is_set() or not engine.asked


@pytest.mark.parametrize(
    ("voice", "text", "asked"),
    [
        ("en-us", "你好，世界。", [("cmn", "你好，世界。")]),
        ("en-us+f3", "Say 你好 to me.", [("en-us+f3", "Say "), ("cmn+f3", "你好 ")]),
        ("ru", "Привет, мир.", [("ru", "Привет, мир.")]),
    ],
)
def test_another_script_is_spoken_by_a_voice_that_reads_it(
    espeak: EspeakEngine, voice: str, text: str, asked: list[tuple[str, str]]
) -> None:
    synthesis = Synthesis(LoadedEngine(espeak), text, SynthesisOptions(voice))
    made = pcm_of(spoken(synthesis))
    expected = [
        block.pcm for name, part in asked for block in espeak.synthesise(part, name, NORMAL)
    ]
    np.testing.assert_array_equal(made[: sum(map(len, expected))], np.concatenate(expected))
    assert not synthesis.unreadable
    assert synthesis.heard_text(synthesis.frames) == text


def test_without_script_voices_the_voice_reads_everything(espeak: EspeakEngine) -> None:
    options = SynthesisOptions("en-us", script_voices=False)
    synthesis = Synthesis(LoadedEngine(espeak), "你好", options)
    np.testing.assert_array_equal(pcm_of(spoken(synthesis)), whole(espeak, "你好"))


@pytest.mark.parametrize("streams", [True, False])
def test_a_script_for_which_there_is_no_voice_is_spoken_all_the_same_and_reported(
    streams: bool,
) -> None:
    engine = ScriptedEngine(streams=streams)
    synthesis = Synthesis(LoadedEngine(engine), "So. 你好。Привет!", SynthesisOptions("any"))
    spoken(synthesis)
    assert "".join(text for text, _, _ in engine.asked) == "So. 你好。Привет!"
    assert {voice for _, voice, _ in engine.asked} == {"any"}
    assert synthesis.unreadable == {"cmn", "ru"}


@pytest.mark.parametrize(
    ("voice", "text"),
    [
        ("th", "สวัสดีครับผมชื่อหุ่นยนต์ยินดีที่ได้รู้จักวันนี้เราไปเดินเล่นกัน"),
        ("ja", "わたしはきょうあなたといっしょにこうえんへいきます"),
        ("cmn", "你好我是一个机器人很高兴见到你今天我们一起去公园散步吧"),
    ],
)
def test_what_was_heard_of_a_text_without_spaces_grows_with_time(
    espeak: EspeakEngine, voice: str, text: str
) -> None:
    synthesis = Synthesis(LoadedEngine(espeak), text, SynthesisOptions(voice))
    pcm = pcm_of(spoken(synthesis))
    sizes = []
    for tenths in range(10):
        heard = synthesis.heard_text(len(pcm) * tenths // 10)
        assert text.startswith(heard)
        assert len(heard) <= max(0.15, tenths / 10 + 0.1) * len(text)
        sizes.append(len(heard))
    assert sizes == sorted(sizes)
    assert sizes[0] == 0
    assert sizes[5] > len(text) // 4
    assert synthesis.heard_text(len(pcm)) == text


def test_a_script_for_which_there_is_no_voice_is_spoken_by_another_engine(
    espeak: EspeakEngine,
) -> None:
    """In its place in the text; with the rate and the gain of the utterance."""
    engine = Reader()
    text = "One two. 你好，世界。Three four."
    options = SynthesisOptions("any", volume=0.5, segmentation="sentence")
    asked = []

    def find_reader(language: str) -> tuple[LoadedEngine, SynthesisOptions]:
        asked.append(language)
        return LoadedEngine(espeak), replace(options, voice="cmn")

    synthesis = Synthesis(LoadedEngine(engine), text, options, find_reader=find_reader)
    pcm = pcm_of(spoken(synthesis))
    assert asked == ["cmn"]
    assert engine.asked == ["One two. ", "Three four."]
    chinese = [block.pcm for block in espeak.synthesise("你好，世界。", "cmn", NORMAL)]
    seconds = sum(map(len, chinese)) / espeak.sample_rate
    assert len(pcm) / engine.sample_rate > seconds
    assert not synthesis.unreadable
    assert synthesis.heard_text(len(pcm)) == text
    halves = [synthesis.heard_text(len(pcm) * tenths // 10) for tenths in range(1, 10)]
    assert any("你好" in heard and "Three" not in heard for heard in halves)
    assert synthesis.join(SOON)


def test_what_another_engine_can_not_speak_either_is_left_to_the_voice() -> None:
    failing = ScriptedEngine(error=EngineError("no"), blocks=())
    engine = Reader()
    synthesis = Synthesis(
        LoadedEngine(engine),
        "One. 你好",
        OPTIONS,
        find_reader=lambda _: (LoadedEngine(failing), OPTIONS),
    )
    spoken(synthesis)
    assert synthesis.error is None
    assert "".join(engine.asked) == "One. 你好"
    assert synthesis.unreadable == {"cmn"}


def test_a_text_that_another_engine_speaks_can_be_cancelled() -> None:
    other = ScriptedEngine(endless=True)
    loaded = LoadedEngine(Reader()), LoadedEngine(other)
    synthesis = Synthesis(loaded[0], "你好", OPTIONS, find_reader=lambda _: (loaded[1], OPTIONS))
    synthesis.start()
    next_chunk(synthesis)
    synthesis.cancel()
    assert synthesis.join(SOON)
    assert other.closed.wait(SOON)
    assert synthesis.done
