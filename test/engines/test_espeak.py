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

"""The espeak-ng engine, with the real espeak-ng."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.processes import eventually, is_gone

from k2so_tts.audio import Block, Mark, Pcm
from k2so_tts.engines import NORMAL, EngineError, EngineUnavailable, Prosody, UnknownVoice
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.text.stream import clean, whole_words

RATE = 22_050
WAV_HEADER = 44
SENTENCE = "The quick brown fox jumps over the lazy dog, again and again. "
FIVE_MINUTES = SENTENCE * 90
STALL = 0.5  # seconds


@pytest.fixture
def engine() -> Iterator[EspeakEngine]:
    engine = EspeakEngine()
    engine.load()
    yield engine
    engine.close()


@pytest.fixture
def impatient() -> Iterator[EspeakEngine]:
    engine = EspeakEngine(stall_seconds=STALL)
    engine.load()
    yield engine
    engine.close()


def join(blocks: Sequence[Block]) -> Pcm:
    return np.concatenate([block.pcm for block in blocks])


def speak(engine: EspeakEngine, text: str, voice: str = "en-us", prosody: Prosody = NORMAL) -> Pcm:
    return join(list(engine.synthesise(text, voice, prosody)))


def marks(engine: EspeakEngine, text: str, prosody: Prosody = NORMAL) -> list[Mark]:
    blocks = engine.synthesise(text, "en-us", prosody)
    return [mark for block in blocks for mark in block.marks]


def family(engine: EspeakEngine) -> list[psutil.Process]:
    """The engine's process and, when nothing is said, the child that waits for the next text."""
    assert engine.pid is not None
    process = psutil.Process(engine.pid)

    def only_one_waits() -> bool:
        children = process.children()
        return len(children) == 1 and bool(sockets(process) & sockets(children[0]))

    assert eventually(only_one_waits)
    return [process, *process.children()]


def sockets(process: psutil.Process) -> set[str]:
    """Those that a process has open: a child that was given a text has closed its parent's."""
    with contextlib.suppress(OSError):
        links = (link.readlink() for link in Path(f"/proc/{process.pid}/fd").iterdir())
        return {link.name for link in links if link.name.startswith("socket:")}
    return set()


@pytest.mark.parametrize(
    ("voice", "text"),
    [
        ("en-us", "Hello world. How are you?\nFine, thanks: 3.14 of 100%!"),
        ("en-gb", SENTENCE * 5),
        ("en-us+f3", "A word with you."),
        ("de", "Schöne Grüße aus Köln, äh, Düsseldorf."),
        ("ru", "Привет, мир."),
        ("ja", "こんにちは。"),
        ("en-us", "a"),
    ],
)
def test_it_says_what_espeak_ng_says_to_the_bit(
    engine: EspeakEngine, voice: str, text: str
) -> None:
    command = ["espeak-ng", "-v", voice, "--stdin", "--stdout"]
    wav = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
    expected = np.frombuffer(wav[WAV_HEADER:], dtype="<i2")
    np.testing.assert_array_equal(speak(engine, text, engine.find_voice(voice)), expected)
    assert engine.sample_rate == RATE


def test_every_text_is_said_alike_whatever_was_said_before(engine: EspeakEngine) -> None:
    first = speak(engine, SENTENCE)
    speak(engine, "Etwas ganz anderes?", "de", Prosody(rate=2.0, pitch=0.5))
    next(iter(engine.synthesise(FIVE_MINUTES, "fr", NORMAL)))
    np.testing.assert_array_equal(speak(engine, SENTENCE), first)


def test_a_text_is_said_alike_for_hours(engine: EspeakEngine) -> None:
    """espeak-ng leaves out words when its voice has been loaded again and again."""
    prosody = Prosody(1.5, 1.25)
    said = [speak(engine, "my größer my left house has", "sv", prosody) for _ in range(150)]
    assert len({pcm.tobytes() for pcm in said}) == 1


def test_a_long_text_streams(engine: EspeakEngine) -> None:
    _, speaker = family(engine)
    blocks = engine.synthesise(FIVE_MINUTES, "en-us", NORMAL)
    first = next(blocks)
    assert 0 < len(first.pcm) < 2 * RATE
    assert speaker.is_running(), "all was made before anything was heard"
    assert len(first.pcm) + sum(len(block.pcm) for block in blocks) > 300 * RATE


def test_closing_a_text_early_ends_its_process(engine: EspeakEngine) -> None:
    _, speaker = family(engine)
    blocks = engine.synthesise(FIVE_MINUTES, "en-us", NORMAL)
    next(blocks)
    del blocks
    assert eventually(lambda: is_gone(speaker))
    assert len(speak(engine, SENTENCE))


@pytest.mark.parametrize("rate", [1.0, 0.3, 3.0])
@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("One two, three. Four!", ["One", "One two,", "One two, three.", "One two, three. Four!"]),
        (
            "Ölig über 😀 und 漢字 äh",
            ["Ölig", "Ölig über", "Ölig über 😀", "Ölig über 😀 und", "Ölig über 😀 und 漢字"],
        ),
        ("At 3.14 or $5.00 please", ["At", "At 3.14", "At 3.14 or", "At 3.14 or $5.00"]),
    ],
)
def test_marks_say_how_much_of_the_text_was_heard(
    engine: EspeakEngine, text: str, heard: list[str], rate: float
) -> None:
    found = marks(engine, text, Prosody(rate))
    assert all(a.frame <= b.frame and a.text_end < b.text_end for a, b in pairwise(found))
    known = [whole_words(text, mark.text_end) for mark in found]
    assert list(dict.fromkeys(filter(None, known)))[: len(heard)] == heard
    total = len(speak(engine, text, prosody=Prosody(rate)))
    assert found[-1].frame <= 1.02 * total  # espeak-ng is not exact above 450 words a minute
    assert found[-1].frame > 0.8 * total
    assert found[0].frame < total / 2


def test_a_number_of_many_words_counts_as_heard_when_its_last_one_is(engine: EspeakEngine) -> None:
    frames = len(speak(engine, "3.14"))
    (mark,) = (mark for mark in marks(engine, "3.14 is pi") if mark.text_end in {4, 5})
    assert mark.frame > 0.6 * frames


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("of the", ["of the"]),
        ("I am in the house. By it I am", ["I am", "in the", "house", "By", "it", "I am"]),
        ("(of the) 1000 miles", ["of the", "1000", "miles"]),
    ],
)
def test_what_espeak_says_together_has_been_spoken_together(
    engine: EspeakEngine, text: str, spoken: list[str]
) -> None:
    ends = [0, *(mark.text_end for mark in marks(engine, text))]
    assert [text[begin:end].strip(" .()") for begin, end in pairwise(ends)] == spoken


@pytest.mark.parametrize("rate", [0.25, 0.4, 0.45, 0.5, 2.0, 4.0])
def test_rate_changes_the_duration(engine: EspeakEngine, rate: float) -> None:
    normal = len(speak(engine, SENTENCE * 2))
    changed = len(speak(engine, SENTENCE * 2, prosody=Prosody(rate)))
    assert changed == pytest.approx(normal / rate, rel=0.15)


def test_pitch_changes_the_voice_not_the_duration(engine: EspeakEngine) -> None:
    low, high = (
        speak(engine, "aaaaah", prosody=Prosody(pitch=pitch)).astype(float) for pitch in (0.5, 1.5)
    )
    assert len(low) == pytest.approx(len(high), rel=0.1)
    assert _fundamental(high) > 1.2 * _fundamental(low)


def _fundamental(pcm: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """The most common pitch in Hz, by autocorrelation of the middle."""
    middle = pcm[len(pcm) // 4 : len(pcm) // 2]
    correlation = np.correlate(middle, middle, "full")[len(middle) :]
    shortest, longest = RATE // 400, RATE // 50
    return float(RATE / (shortest + np.argmax(correlation[shortest:longest])))


@pytest.mark.parametrize(
    "name", ["xx-nope", "en-us+nope", "en;reboot", "../../etc/passwd", "\ud800"]
)
def test_an_unknown_voice_is_refused(engine: EspeakEngine, name: str) -> None:
    with pytest.raises(UnknownVoice, match="espeak-ng has no voice"):
        engine.find_voice(name)


@pytest.mark.parametrize("name", ["xx-nope", "../../etc/passwd", "\ud800", "en-us\nde"])
def test_to_speak_with_an_unknown_voice_is_an_error(engine: EspeakEngine, name: str) -> None:
    with pytest.raises(EngineError):
        speak(engine, "Hello", name)
    assert len(speak(engine, "Hello"))


def test_every_voice_speaks(engine: EspeakEngine) -> None:
    assert len(engine.voices()) > 100
    for voice in engine.voices():
        assert len(next(engine.synthesise("1", voice.name, NORMAL)).pcm), voice


@pytest.mark.parametrize(
    ("name", "voice"),
    [("de", "de"), ("EN-US", "en-us"), ("en_GB", "en-gb"), ("pt", "pt"), ("en-us+f3", "en-us+f3")],
)
def test_voices_are_found_by_name_and_language(engine: EspeakEngine, name: str, voice: str) -> None:
    assert engine.find_voice(name) == voice
    assert any(each.name == voice.partition("+")[0] for each in engine.voices())


def test_a_missing_library_is_said_with_the_way_to_get_it() -> None:
    engine = EspeakEngine(library="libespeak-ng.so.999")
    with pytest.raises(EngineUnavailable, match=r"libespeak-ng\.so\.999.*apt install espeak-ng"):
        engine.load()
    assert engine.pid is None


def test_a_library_that_is_none_is_unavailable() -> None:
    with pytest.raises(EngineUnavailable, match="apt install espeak-ng"):
        EspeakEngine(library="libc.so.6").load()


@pytest.mark.parametrize("which", [0, 1], ids=["process", "child"])
def test_a_killed_process_is_an_error_and_the_next_text_is_spoken(
    engine: EspeakEngine, which: int
) -> None:
    expected = speak(engine, SENTENCE)
    victim = family(engine)[which]
    blocks = engine.synthesise(FIVE_MINUTES, "en-us", NORMAL)
    next(blocks)
    victim.kill()
    with pytest.raises(EngineError, match="process died"):
        list(blocks)
    np.testing.assert_array_equal(speak(engine, SENTENCE), expected)


@pytest.mark.parametrize("which", [0, 1], ids=["process", "child"])
def test_a_process_killed_between_texts_is_not_noticed(engine: EspeakEngine, which: int) -> None:
    expected = speak(engine, SENTENCE)
    family(engine)[which].kill()
    process = engine._worker._process
    assert eventually(lambda: process is None or process.poll() is not None)
    np.testing.assert_array_equal(speak(engine, SENTENCE), expected)


@pytest.mark.parametrize("started", [True, False], ids=["in mid-text", "between texts"])
def test_a_process_that_hangs_is_an_error_and_the_next_text_is_spoken(
    impatient: EspeakEngine, started: bool
) -> None:
    members = family(impatient)
    blocks = impatient.synthesise(FIVE_MINUTES, "en-us", NORMAL)
    if started:
        next(blocks)
    for process in members:
        process.suspend()
    assert eventually(lambda: all(each.status() == psutil.STATUS_STOPPED for each in members))
    with pytest.raises(EngineError, match=r"stalled: nothing came for 0\.5 s"):
        list(blocks)
    assert eventually(lambda: all(map(is_gone, members)))
    assert len(speak(impatient, SENTENCE))


def test_a_listener_slower_than_the_engine_is_no_stall(impatient: EspeakEngine) -> None:
    blocks = impatient.synthesise(FIVE_MINUTES, "en-us", NORMAL)
    first = next(blocks)
    threading.Event().wait(2 * STALL)
    assert len(first.pcm) + sum(len(block.pcm) for block in blocks) > 300 * RATE


@pytest.mark.parametrize(
    "text",
    [
        "$(touch OWNED); `touch OWNED` | touch OWNED && touch OWNED\n",
        "-w OWNED -f /etc/passwd --help",
        "<speak><break time='3600s'/><audio src='OWNED'/>Hi</speak>",
        "[[h@loU]] %s %n %p \\x00",
        clean("Hel\0lo \x1b[2J wor\x07ld \ud800 and \udfff surrogates"),
        "x" * 100_000,
        "." * 100_000,
        "((((((((((" * 1000,
        "\u202e\u0301\u200d😀" * 200,
    ],
    ids=["shell", "options", "ssml", "formats", "controls", "word", "dots", "brackets", "unicode"],
)
def test_a_hostile_text_is_only_spoken(
    engine: EspeakEngine, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine.close()  # what is started again is started in the empty directory
    frames = sum(len(block.pcm) for block in engine.synthesise(text, "en-us", NORMAL))
    assert 0 < frames < 3000 * RATE
    assert list(tmp_path.iterdir()) == []
    assert len(speak(engine, "Hello"))


def test_what_is_no_text_is_refused(engine: EspeakEngine) -> None:
    with pytest.raises(EngineError, match="surrogates"):
        speak(engine, "lone \ud800")
    assert len(speak(engine, "Hello"))


def test_nothing_to_say_is_silent(engine: EspeakEngine) -> None:
    assert sum(len(block.pcm) for block in engine.synthesise(" \n", "en-us", NORMAL)) < RATE


def test_closing_leaves_no_process(engine: EspeakEngine) -> None:
    members = family(engine)
    blocks = engine.synthesise(FIVE_MINUTES, "en-us", NORMAL)
    next(blocks)
    members += [child for child in members[0].children() if child not in members]
    engine.close()
    engine.close()
    assert not members[0].is_running()
    assert eventually(lambda: all(map(is_gone, members)))


def test_closing_ends_a_text_that_another_thread_speaks(engine: EspeakEngine) -> None:
    members = family(engine)
    blocks = engine.synthesise(FIVE_MINUTES * 10, "en-us", NORMAL)
    next(blocks)
    failed: list[EngineError] = []

    def speak_on() -> None:
        try:
            list(blocks)
        except EngineError as error:
            failed.append(error)

    thread = threading.Thread(target=speak_on)
    thread.start()
    engine.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(failed) == 1
    assert eventually(lambda: all(map(is_gone, members)))


def test_the_process_goes_with_its_owner() -> None:
    program = (
        "from k2so_tts.engines.espeak.engine import EspeakEngine\n"
        "from k2so_tts.engines import NORMAL\n"
        "e = EspeakEngine(); e.load(); b = e.synthesise('word ' * 50000, 'de', NORMAL); next(b)\n"
        "print(e.pid, flush=True); input()\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        process = psutil.Process(int(owner.stdout.readline()))
        members = [process, *process.children()]
        owner.kill()
    assert len(members) > 1
    assert eventually(lambda: all(map(is_gone, members)))


@pytest.mark.parametrize(
    "text",
    [
        " ".join(f"w{number}" for number in range(150)),
        " ".join(f"{number / 7:.3f}" for number in range(150)),
        "and so on " * 200,
    ],
)
def test_no_word_is_lost_of_a_text_without_pauses(espeak: EspeakEngine, text: str) -> None:
    """espeak-ng speaks so much of a clause, and drops the rest of it."""
    words = text.split()
    pieces = [" ".join(words[start : start + 20]) for start in range(0, len(words), 20)]
    whole = sum(len(block.pcm) for block in espeak.synthesise(text, "en-us", NORMAL))
    parts = sum(
        len(block.pcm) for piece in pieces for block in espeak.synthesise(piece, "en-us", NORMAL)
    )
    assert whole > 0.85 * parts
    marks = [mark for block in espeak.synthesise(text, "en-us", NORMAL) for mark in block.marks]
    ends = [mark.text_end for mark in marks]
    assert ends == sorted(ends)
    assert ends[-1] >= len(text.rstrip()) - 1
    assert len(set(ends)) >= len(words) // 2
