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

"""When words are heard, and where they stand in the text as it was sent; judged on real espeak."""

from __future__ import annotations

import pytest
from support.scripted_engines import spoken

from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions
from k2so_tts.text.stream import TextStream

TEXT = "Hello, world! It costs $12.50 (about 10 km/h). **Well** done; see [this](https://x.org)."
WORDS = ["Hello", "world", "It", "costs", "$12.50", "about", "10 km/h", "Well", "done", "see"]


@pytest.mark.parametrize("streamed", [True, False])
def test_words_are_those_of_the_text_as_it_was_sent(espeak: EspeakEngine, streamed: bool) -> None:
    source: str | TextStream = TEXT
    if streamed:
        source = TextStream(10.0)
        for char in TEXT:
            source.feed(char)
        source.end()
    synthesis = Synthesis(LoadedEngine(espeak), source, SynthesisOptions("en-us"))
    spoken(synthesis)
    words = synthesis.words
    assert [word.text for word in words] == [*WORDS, "this"]
    for word, after in zip(words, [*words[1:], None], strict=True):
        assert TEXT[word.start : word.end] in (word.text, f"**{word.text}**", "this](https://x.org")
        assert 0 <= word.frame < word.end_frame <= synthesis.frames
        assert after is None or word.end_frame <= after.frame


def test_words_come_as_they_are_made_and_only_once(espeak: EspeakEngine) -> None:
    text = TextStream(10.0)
    synthesis = Synthesis(LoadedEngine(espeak), text, SynthesisOptions("en-us"))
    assert synthesis.words == []
    text.feed("First words. ")
    text.end()
    spoken(synthesis)
    assert [word.text for word in synthesis.words] == ["First", "words"]
    assert synthesis.words is synthesis.words
