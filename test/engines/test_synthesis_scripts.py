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

"""Texts in more than one script, and what was heard of one without spaces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.scripted_engines import (
    OPTIONS,
    SOON,
    Reader,
    ScriptedEngine,
    next_chunk,
    pcm_of,
    spoken,
    whole,
)

from k2so_tts.engines import NORMAL, EngineError
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions


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
