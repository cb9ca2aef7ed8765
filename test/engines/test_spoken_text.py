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

"""What is spoken of a text, by its sound, and what is told to be heard of it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import yaml

from k2so_tts.audio import Pcm
from k2so_tts.engines import NORMAL
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.text.lexicon import Lexicon
from k2so_tts.text.speakable import SpeakableSettings
from k2so_tts.text.stream import TextStream

TABLE = Path(__file__).parents[1] / "data" / "speakable.yaml"
VOICES = {"en": "en-us", "de": "de", "fr": "fr-fr", "es": "es", "it": "it"}
CASES = [
    (case["sent"], case["spoken"], VOICES[case.get("language", "en")])
    for cases in yaml.safe_load(TABLE.read_text(encoding="utf-8")).values()
    for case in cases
    if case.get("language", "en") in VOICES
]
PATIENCE = 60.0
SENT = (
    "# Plan\n\n**Go** 10 km/h to [the door](http://x.y/z), <think>why?</think>then wait 5 min. 🎉 "
    "It costs $12.50, e.g. on 2026-11-26, *not* later!\n\n- one\n- two\n"
)


def whole(engine: EspeakEngine, text: str, voice: str) -> Pcm:
    pcm = [block.pcm for block in engine.synthesise(text, voice, NORMAL)] if text.strip() else []
    return np.concatenate([np.zeros(0, np.int16), *pcm])


@pytest.mark.parametrize(("sent", "spoken", "voice"), random.Random(16).sample(CASES, 60))
def test_what_was_sent_sounds_as_what_is_spoken(
    espeak: EspeakEngine, sent: str, spoken: str, voice: str
) -> None:
    made = list(stream_pcm(Synthesis(LoadedEngine(espeak), sent, SynthesisOptions(voice))))
    heard = np.concatenate([np.zeros(0, np.int16), *made])
    assert np.array_equal(heard, whole(espeak, spoken, voice))


@pytest.mark.parametrize("is_streamed", [False, True])
def test_what_was_heard_at_any_moment_is_a_beginning_of_what_was_sent(
    espeak: EspeakEngine, *, is_streamed: bool
) -> None:
    source: str | TextStream = SENT
    if is_streamed:
        source = TextStream(PATIENCE)
    synthesis = Synthesis(LoadedEngine(espeak), source, SynthesisOptions("en-us"))
    if isinstance(source, TextStream):
        for start in range(0, len(SENT), 7):
            source.feed(SENT[start : start + 7])
        source.end()
    frames = sum(len(pcm) for pcm in stream_pcm(synthesis))
    heard = [synthesis.heard_text(frame) for frame in range(0, frames, 500)]
    assert all(SENT.startswith(text) for text in heard)
    assert heard == sorted(heard, key=len)
    assert heard[0] == ""
    assert len(set(heard)) > 15
    assert "# Plan\n\n**Go** 10 km/h" in set(heard)
    assert synthesis.heard_text(frames) in (SENT, SENT.rstrip())


def test_the_pronunciation_list_is_heard(espeak: EspeakEngine) -> None:
    lexicon = Lexicon({"": {"K-2SO": "kay two ess oh"}})
    options = SynthesisOptions("en-us", rewriting=SpeakableSettings(lexicon=lexicon))
    made = list(stream_pcm(Synthesis(LoadedEngine(espeak), "I am K-2SO.", options)))
    assert np.array_equal(np.concatenate(made), whole(espeak, "I am kay two ess oh.", "en-us"))
