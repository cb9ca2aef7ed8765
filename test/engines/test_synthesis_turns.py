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

"""Utterances that share an engine, and the thread of its own that it has."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from support.scripted_engines import (
    OPTIONS,
    PATIENCE,
    SOON,
    Reader,
    ScriptedEngine,
    chunks_of,
    next_chunk,
    pcm_of,
    spoken,
)

from k2so_tts.audio import Block
from k2so_tts.engines import NORMAL, Prosody, Voice
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions
from k2so_tts.text.stream import TextStream


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


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("taken", [0, 1, 5, 12])
def test_one_that_is_suspended_leaves_the_engine_to_another_and_goes_on(
    espeak: EspeakEngine, streamed: bool, taken: int
) -> None:
    """The engine is held by the full queue of a text that nobody hears meanwhile."""
    loaded, voice = LoadedEngine(espeak), SynthesisOptions("en-us")
    text = " ".join(f"word {number}," for number in range(40))
    source: str | TextStream = text
    if streamed:
        source = TextStream(PATIENCE)
        source.feed(text)
        source.end()
    alone = sum(len(chunk.pcm) for chunk in spoken(Synthesis(loaded, text, voice)))
    long = Synthesis(loaded, source, voice, ahead_seconds=2.0)
    long.start()
    chunks = [next_chunk(long) for _ in range(taken)]
    assert long.wait(SOON)
    long.suspend()
    long.suspend()
    assert len(pcm_of(spoken(Synthesis(loaded, "Urgent!", voice)))) > 0
    assert not long.done
    long.resume()
    long.resume()
    chunks += chunks_of(long)
    assert long.error is None
    assert long.heard_text(long.frames) == text
    starts = [chunk.start for chunk in chunks]
    assert starts == [sum(len(chunk.pcm) for chunk in chunks[:at]) for at in range(len(chunks))]
    assert abs(long.frames - alone) < espeak.sample_rate
    assert text.startswith(long.words[0].text)
    ends = [word.end for word in long.words]
    assert ends == sorted(set(ends))
    assert sum(word.text.count("word") for word in long.words) == 40


def test_an_engine_that_marks_no_words_repeats_no_more_than_a_segment() -> None:
    engine = Reader()
    words = [f"word{number}" for number in range(40)]
    synthesis = Synthesis(
        LoadedEngine(engine), " ".join(words), OPTIONS, chunk_frames=100, ahead_seconds=0.5
    )
    synthesis.start()
    chunks = [next_chunk(synthesis) for _ in range(12)]
    synthesis.suspend()
    made = list(engine.asked)
    synthesis.resume()
    chunks += chunks_of(synthesis)
    assert set(words) <= set(engine.words)
    repeated = len(engine.words) - len(words)
    assert repeated <= max(len(text.split()) for text in made)


def test_one_that_is_suspended_can_be_cancelled() -> None:
    loaded = LoadedEngine(Reader())
    synthesis = Synthesis(loaded, "one two three four", OPTIONS, chunk_frames=50, ahead_seconds=0.1)
    synthesis.start()
    next_chunk(synthesis)
    synthesis.suspend()
    synthesis.cancel()
    assert synthesis.done
    assert synthesis.join(SOON)
    synthesis.resume()
    assert len(pcm_of(spoken(Synthesis(loaded, "next", OPTIONS)))) > 0


def test_one_that_is_all_made_is_not_suspended() -> None:
    synthesis = Synthesis(LoadedEngine(Reader()), "one two", OPTIONS)
    synthesis.start()
    assert synthesis.join(SOON)
    synthesis.suspend()
    assert synthesis.done
    assert synthesis.heard_text(synthesis.frames) == "one two"
