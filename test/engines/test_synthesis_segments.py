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

"""Texts for an engine that is given them in segments."""

from __future__ import annotations

import numpy as np
import pytest
from support.scripted_engines import (
    OPTIONS,
    PATIENCE,
    Reader,
    chunks_of,
    pcm_of,
    spoken,
)

from k2so_tts.audio import Pcm
from k2so_tts.engines import Prosody
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions
from k2so_tts.text.stream import TextStream

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
