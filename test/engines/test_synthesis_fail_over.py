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

"""Another engine goes on where one fails, hangs or is still being loaded."""

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
    Reader,
    chunks_of,
    next_chunk,
    pcm_of,
    spoken,
)

from k2so_tts.engines import EngineError
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import FailOver, Synthesis, SynthesisOptions
from k2so_tts.text.stream import TextStream


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
