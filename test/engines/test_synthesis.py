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

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted_engines import (
    OPTIONS,
    PATIENCE,
    SOON,
    TEXT,
    ScriptedEngine,
    chunks_of,
    next_chunk,
    pcm_of,
    spoken,
    whole,
)

from k2so_tts.audio import CHUNK_FRAMES, Block, Mark, apply_gain
from k2so_tts.engines import EngineError, Prosody
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.text.stream import TextStream


@pytest.mark.parametrize("text", [TEXT, "One."])
@pytest.mark.parametrize("volume", [1.0, 0.3, 0.0])
def test_the_chunks_are_what_the_engine_makes(
    espeak: EspeakEngine, text: str, volume: float
) -> None:
    synthesis = Synthesis(LoadedEngine(espeak), text, SynthesisOptions("en-us", volume=volume))
    chunks = spoken(synthesis)
    np.testing.assert_array_equal(pcm_of(chunks), apply_gain(whole(espeak, text), volume))
    sizes = [len(chunk.pcm) for chunk in chunks]
    assert sizes[:-2] == [CHUNK_FRAMES] * (len(sizes) - 2)
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
    assert [len(chunk.pcm) for chunk in chunks] == [200, 200, 199, 300]
    assert len(changes) == 3, "for the first 0.5 s, in three chunks, for one more, and for the end"
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
