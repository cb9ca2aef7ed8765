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

"""Voices are equally loud: the gain of each, and where it is applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from k2so_tts.audio import Block, Pcm
from k2so_tts.bench.texts import PARAGRAPH
from k2so_tts.engines import NORMAL, Prosody, UnknownVoice, Voice, create_engine, match_voice
from k2so_tts.engines.toolkit.loudness import integrated_loudness
from k2so_tts.limiter import CEILING
from k2so_tts.synthesis.engine_supervisor import EngineSpec, load
from k2so_tts.synthesis.loaded_engine import REFERENCE_LUFS, LoadedEngine
from k2so_tts.synthesis.phrase_cache import PhraseCache
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm

RATE = 22_050
TEXT = "A text that is as long as a sentence."


class Tone:
    """Speaks in tones: `soft` and `loud`, of which it knows how loud they are, and `other`."""

    streams = False
    default_voice = "other"
    sample_rate = RATE
    peaks: ClassVar[Mapping[str, float]] = {
        "soft": 0.05,
        "loud": 0.4,
        "other": 0.08,
        "faint": 0.01,
        "full": 1.0,
        "silent": 0.0,
        "spiky": 0.03,
        "russian": 0.4,
    }
    spike = 16_000
    """The samples that stick out of the voice `spiky`, one in a thousand."""

    def __init__(self) -> None:
        self.spoken: list[str] = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def voices(self) -> Sequence[Voice]:
        return [Voice(name, "ru" if name == "russian" else "en") for name in self.peaks]

    def find_voice(self, name: str) -> str:
        if (found := match_voice(self.voices(), name)) is None:
            raise UnknownVoice(name)
        return found

    def loudness(self, voice: str) -> float | None:
        """Known of a voice that has spoken, as with Piper."""
        known = voice in self.spoken and voice in ("soft", "loud", "faint", "russian")
        return lufs(self.tone(voice)) if known else None

    def tone(self, voice: str) -> Pcm:
        sine = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
        pcm = np.asarray(np.rint(sine * self.peaks[voice] * 32767), np.int16)
        if voice == "spiky":
            pcm[::1000] = pcm[-1] = self.spike
        return pcm

    def synthesise(self, _: str, voice: str, __: Prosody) -> Iterator[Block]:
        self.spoken.append(voice)
        pcm = self.tone(voice)
        for start in range(0, len(pcm), 4096):
            yield Block(pcm[start : start + 4096])


def lufs(pcm: Pcm) -> float:
    found = integrated_loudness(pcm, RATE)
    assert found is not None
    return found


def loaded(phrases: PhraseCache | None = None) -> LoadedEngine:
    return load(EngineSpec("espeak"), Tone(), phrases)


def spoken(engine: LoadedEngine, voice: str, volume: float = 1.0, text: str = TEXT) -> Pcm:
    options = SynthesisOptions(voice, volume=volume, segmentation="sentence")
    return np.concatenate(list(stream_pcm(Synthesis(engine, text, options))))


@pytest.mark.parametrize("voice", ["soft", "loud", "other"])
def test_voices_are_equally_loud_when_they_are_heard(voice: str) -> None:
    assert lufs(spoken(loaded(), voice)) == pytest.approx(REFERENCE_LUFS, abs=0.3)


def test_a_voice_is_amplified_by_12_db_at_most() -> None:
    engine = loaded()
    pcm = spoken(engine, "faint")
    assert engine.gain_of("faint") == 4.0
    assert lufs(pcm) == pytest.approx(lufs(Tone().tone("faint")) + 12.04, abs=0.3)


def test_one_of_unknown_loudness_is_taken_to_be_as_loud_as_the_default_voice() -> None:
    engine = loaded()
    assert engine.gain_of("silent") == engine.gain_of("other") > 1.0
    assert LoadedEngine(Tone()).gain_of("other") == 1.0


def test_the_volume_of_a_goal_is_relative_to_that() -> None:
    half = lufs(spoken(loaded(), "loud", 0.5))
    assert half == pytest.approx(REFERENCE_LUFS - 6.02, abs=0.3)


def test_what_is_amplified_never_clips() -> None:
    engine = LoadedEngine(Tone())
    assert engine.gain_of("full") == 1.0
    assert np.abs(spoken(engine, "full", 1.0).astype(int)).max() == 32767
    assert np.abs(spoken(engine, "full", 2.0).astype(int)).max() <= CEILING * 32768 + 1


def test_voices_within_a_text_are_equally_loud(tmp_path: Path) -> None:
    """And what they say together is not kept as a phrase, which has one gain."""
    engine = loaded(PhraseCache(directory=tmp_path))
    pcm = spoken(engine, "soft", text="Several words. Несколько слов.")
    assert isinstance(engine.engine, Tone)
    assert engine.engine.spoken[-2:] == ["soft", "russian"]
    for half in np.array_split(pcm, 2):
        assert lufs(half) == pytest.approx(REFERENCE_LUFS, abs=0.3)
    assert engine.phrases is not None
    assert engine.phrases.kept()[0] == 0


def test_a_phrase_said_again_is_as_loud_as_the_first_time(tmp_path: Path) -> None:
    """Also before the engine, started anew, knows how loud the voice is."""
    first = spoken(loaded(PhraseCache(directory=tmp_path)), "loud")
    phrases = PhraseCache(directory=tmp_path)
    again = loaded(phrases)
    assert again.gain_of("loud") == again.gain_of("other")
    assert (spoken(again, "loud") == first).all()
    assert phrases.hits == 1
    quiet = spoken(again, "loud", 0.5)
    np.testing.assert_allclose(quiet, first * 0.5, atol=1)


def test_a_phrase_said_again_is_limited_as_the_first_time(tmp_path: Path) -> None:
    engine = loaded(PhraseCache(directory=tmp_path))
    text = f"{TEXT} {TEXT}"
    first = spoken(engine, "spiky", text=text)
    assert engine.gain_of("spiky") > 1.7
    assert 0.8 * 32768 < np.abs(first.astype(int)).max() <= CEILING * 32768 + 1
    assert (spoken(engine, "spiky", text=text) == first).all()
    assert engine.phrases is not None
    assert engine.phrases.hits == 1


def test_the_samples_of_espeak_are_never_changed() -> None:
    engine = load(EngineSpec("espeak"), create_engine("espeak"))
    try:
        assert engine.gain_of("de") == 1.0
        options = SynthesisOptions("en-us")
        heard = np.concatenate(list(stream_pcm(Synthesis(engine, PARAGRAPH, options))))
        made = [block.pcm for block in engine.engine.synthesise(PARAGRAPH, "en-us", NORMAL)]
        assert np.array_equal(heard, np.concatenate(made))
        assert lufs(heard) == pytest.approx(REFERENCE_LUFS, abs=1.0)
    finally:
        engine.close()
