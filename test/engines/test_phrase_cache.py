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

"""Phrases that were said before: kept on disk, and said again at once."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from support.fallible import RATE, Control, FallibleEngine

from k2so_tts.audio import Pcm, apply_gain
from k2so_tts.engines import Prosody
from k2so_tts.synthesis import phrase_cache
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import (
    LONGEST_SECONDS,
    Phrase,
    PhraseCache,
    fingerprint_of,
    key_of,
)
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.text.lexicon import Lexicon
from k2so_tts.text.speakable import SpeakableSettings

TEXT = "This is said again and again. It always sounds the same."
TIMEOUT = 60.0
NOBODY = 65534
"""The user id that owns nothing."""


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


@pytest.fixture
def env(control: Control) -> dict[str, str]:
    paths = os.pathsep.join([*control.paths, os.environ["PYTHONPATH"]])
    return {**os.environ, "PYTHONPATH": paths}


def phrase(seconds: float = 1.0, seed: int = 0) -> Phrase:
    rng = np.random.default_rng(seed)
    pcm = rng.integers(-9999, 9999, int(seconds * RATE), dtype=np.int16)
    return Phrase(RATE, pcm, ((100, 4), (len(pcm), 9)))


def is_same(one: Phrase | None, other: Phrase) -> bool:
    assert one is not None
    return (
        one.rate == other.rate and one.marks == other.marks and bool((one.pcm == other.pcm).all())
    )


def spoken(
    control: Control, options: SynthesisOptions, phrases: PhraseCache, text: str = TEXT
) -> Pcm:
    """What is heard of it."""
    engine = FallibleEngine(control.folder)
    loaded = LoadedEngine(engine, "fallible", phrases=phrases, fingerprint="an engine")
    return np.concatenate(list(stream_pcm(Synthesis(loaded, text, options))))


def texts(control: Control) -> list[str]:
    return [line for line in control.log if line.startswith(("hum: ", "brumm: "))]


def test_what_is_kept_is_what_was_put(phrases: PhraseCache) -> None:
    assert phrases.get("a") is None
    phrases.put("a", phrase())
    phrases.put("b", phrase(seed=1))
    phrases.put("a", phrase(seed=2))
    assert is_same(PhraseCache().get("a"), phrase(seed=2))
    assert is_same(phrases.get("b"), phrase(seed=1))
    assert (phrases.hits, phrases.misses, phrases.fault) == (1, 1, None)
    assert phrases.kept()[0] == 2


def test_a_changed_pronunciation_is_not_found_among_the_phrases(
    control: Control, phrases: PhraseCache
) -> None:
    for word in ("ross", "roz", "ross"):
        rewriting = SpeakableSettings(lexicon=Lexicon({"": {"ROS": word}}))
        spoken(control, SynthesisOptions("hum", rewriting=rewriting), phrases, "ROS here.")
    assert texts(control) == ["hum: ross here.", "hum: roz here."]


def test_those_go_that_were_not_used_for_longest(tmp_path: Path) -> None:
    small = PhraseCache(1, tmp_path)
    for number in range(12):
        small.put(str(number), phrase(2.0, number))
        assert small.get("0") is not None
    there = [number for number in range(12) if small.get(str(number)) is not None]
    assert there == [0, *range(13 - len(there), 12)]
    assert 9 < len(there) < 12
    assert small.kept()[1] <= 2**20
    assert small.path.stat().st_size < 1.2 * 2**20
    small.put("huge", phrase(30.0))
    assert small.get("huge") is None
    assert small.kept()[0] == len(there)


def test_said_again_it_is_not_made_again_and_sounds_the_same(
    control: Control, phrases: PhraseCache
) -> None:
    first = spoken(control, SynthesisOptions("hum"), phrases)
    made = len(texts(control))
    assert (spoken(control, SynthesisOptions("hum"), phrases) == first).all()
    assert len(texts(control)) == made
    quiet = spoken(control, SynthesisOptions("hum", volume=0.3), phrases)
    assert (quiet == apply_gain(first, 0.3)).all()
    assert len(texts(control)) == made
    assert (phrases.hits, phrases.misses) == (2, 1)


@pytest.mark.parametrize(
    "options",
    [
        SynthesisOptions("brumm"),
        SynthesisOptions("hum", Prosody(rate=1.1)),
        SynthesisOptions("hum", Prosody(pitch=1.1)),
        SynthesisOptions("hum", segmentation="sentence"),
    ],
)
def test_what_would_sound_different_is_made(
    control: Control, phrases: PhraseCache, options: SynthesisOptions
) -> None:
    spoken(control, SynthesisOptions("hum"), phrases)
    spoken(control, options, phrases)
    assert (phrases.hits, phrases.misses) == (0, 2)
    assert phrases.kept()[0] == 2


def test_words_end_where_they_did(control: Control, phrases: PhraseCache) -> None:
    loaded = LoadedEngine(FallibleEngine(control.folder), phrases=phrases)
    heard = []
    for _ in range(2):
        synthesis = Synthesis(loaded, TEXT, SynthesisOptions("hum"))
        frames = sum(len(pcm) for pcm in stream_pcm(synthesis))
        heard.append([synthesis.heard_text(frame) for frame in range(0, frames, 500)])
    assert phrases.hits == 1
    assert heard[0] == heard[1]


def test_a_text_that_was_cut_off_or_failed_is_not_kept(
    control: Control, phrases: PhraseCache
) -> None:
    loaded = LoadedEngine(FallibleEngine(control.folder), phrases=phrases)
    cut = Synthesis(loaded, TEXT * 5, SynthesisOptions("hum"), ahead_seconds=1.0)
    with closing(stream_pcm(cut)) as chunks:
        next(chunks)
    control.set("fault", "raise:again")
    failing = Synthesis(loaded, TEXT, SynthesisOptions("hum"))
    failing.start()
    assert failing.join(TIMEOUT)
    assert failing.error is not None
    assert phrases.kept()[0] == 0


def test_what_takes_very_long_to_say_is_not_kept(control: Control, phrases: PhraseCache) -> None:
    text = "again " * round(LONGEST_SECONDS / 6 / 480 * RATE * 1.1)
    assert len(spoken(control, SynthesisOptions("hum"), phrases, text)) > LONGEST_SECONDS * RATE
    assert phrases.kept()[0] == 0


def test_another_file_behind_an_option_is_another_voice(tmp_path: Path) -> None:
    voice = tmp_path / "voice.onnx"
    voice.write_bytes(b"one")
    one = fingerprint_of("piper", {"voice": str(voice), "threads": 0})
    assert one == fingerprint_of("piper", {"threads": 0, "voice": str(voice)})
    voice.write_bytes(b"another")
    assert one != fingerprint_of("piper", {"voice": str(voice), "threads": 0})
    assert key_of(one, "a", 1.0) != key_of(one, "a", 1.1)


# What can be wrong with a file


def damage_the_head(path: Path) -> None:
    path.write_bytes(b"not a database" + path.read_bytes()[14:])


def damage_the_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = random.Random(1).randbytes(len(data) - 4096)
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def put_another_format(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")


def put_nonsense(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("UPDATE phrases SET sound = ?", [b'{"rate": 1, "marks": 3, "crc": 0}\nab'])


def put_a_number(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("UPDATE phrases SET sound = 7")


def change_the_sound(path: Path) -> None:
    with sqlite3.connect(path) as file:
        (sound,) = file.execute("SELECT sound FROM phrases").fetchone()
        file.execute("UPDATE phrases SET sound = ?", [sound[:-1] + b"x"])


@pytest.mark.parametrize(
    "damage",
    [
        damage_the_head,
        damage_the_middle,
        cut_off,
        put_nonsense,
        put_a_number,
        change_the_sound,
    ],
)
def test_a_damaged_file_is_reported_once_and_made_again(
    phrases: PhraseCache, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    phrases.put("a", phrase())
    damage(phrases.path)
    assert phrases.get("a") is None
    assert len(caplog.records) == 1
    assert "made again" in caplog.text
    phrases.put("a", phrase())
    assert is_same(phrases.get("a"), phrase())
    assert phrases.fault is None


def test_a_file_of_another_format_is_left_alone(phrases: PhraseCache) -> None:
    phrases.put("a", phrase())
    put_another_format(phrases.path)
    for _ in range(2):
        assert phrases.get("a") is None
        phrases.put("a", phrase())
    assert phrases.fault is not None
    assert "it is of format 99, not 2, and left alone" in phrases.fault
    with sqlite3.connect(phrases.path) as file:
        assert file.execute("SELECT count(*) FROM phrases").fetchone() == (1,)


def test_the_files_of_other_versions_are_left_alone_until_all_is_cleared(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in ("phrases.sqlite", "phrases-1.sqlite-wal")]
    for path in theirs:
        path.write_bytes(b"what another version has kept")
    phrases = PhraseCache(directory=tmp_path)
    phrases.put("a", phrase())
    assert is_same(phrases.get("a"), phrase())
    assert all(path.exists() for path in theirs)
    phrases.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def read_only() -> Iterator[PhraseCache]:
    """A cache with the phrase "a", in a directory in which nothing can be written."""
    directory = Path(tempfile.mkdtemp())  # tmp_path is for its owner alone
    try:
        phrases = PhraseCache(directory=directory)
        phrases.put("a", phrase())
        phrases.path.chmod(0o444)
        directory.chmod(0o555)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(NOBODY)
        try:
            with pytest.raises(PermissionError):
                (directory / "file").touch()
            yield PhraseCache(directory=directory)
        finally:
            if is_root:
                os.seteuid(0)
    finally:
        directory.chmod(0o755)
        shutil.rmtree(directory)


def test_on_a_read_only_disk_what_is_there_is_said_again(read_only: PhraseCache) -> None:
    assert is_same(read_only.get("a"), phrase())
    assert read_only.get("b") is None
    assert (read_only.hits, read_only.misses, read_only.fault) == (1, 1, None)
    assert read_only.kept()[0] == 1
    read_only.put("b", phrase())
    assert read_only.fault is not None
    assert "phrases can't be kept" in read_only.fault
    assert is_same(read_only.get("a"), phrase())


def test_reading_does_not_wait_for_a_process_that_writes(
    phrases: PhraseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phrase_cache, "_RECORD_USE_SECONDS", 0.0)
    monkeypatch.setattr(phrase_cache, "_BUSY_SECONDS", 60.0)
    phrases.put("a", phrase())
    with closing(sqlite3.connect(phrases.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE phrases SET used_ns = 0")
        began = time.monotonic()
        assert is_same(phrases.get("a"), phrase())
        assert time.monotonic() - began < 30.0
        writer.execute("COMMIT")
        assert phrases.fault is None
        assert is_same(phrases.get("a"), phrase())
        (used_ns,) = writer.execute("SELECT used_ns FROM phrases").fetchone()
    assert used_ns > 0, "written down later"


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    phrases = PhraseCache(directory=tmp_path / "file")
    phrases.put("a", phrase())
    assert phrases.get("a") is None
    assert phrases.fault is not None
    assert str(phrases.path) in phrases.fault


def test_a_full_disk_takes_nothing_from_what_was_kept(phrases: PhraseCache) -> None:
    phrases.put("a", phrase())
    write = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "import numpy as np; from k2so_tts.synthesis.phrase_cache import Phrase, PhraseCache\n"
        "p = PhraseCache()\n"
        "p.put('b', Phrase(24000, np.ones(2**20, np.int16), ())); print(p.fault)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", write], capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    assert "phrases can't be kept" in output.stdout
    assert is_same(phrases.get("a"), phrase())
    assert phrases.get("b") is None
    assert phrases.fault is None


def test_processes_may_make_the_file_at_once(phrases: PhraseCache) -> None:
    write = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from k2so_tts.synthesis import phrase_cache\n"
        "from k2so_tts.synthesis.phrase_cache import Phrase, PhraseCache\n"
        "phrase_cache._BUSY_SECONDS = 60.0\n"  # the disk may be slow
        "for round in sys.stdin:\n"
        "    p = PhraseCache(directory=Path(sys.argv[1]) / round.strip())\n"
        "    p.put(sys.argv[2], Phrase(24000, np.ones(50_000, np.int16), ()))\n"
        "    print(p.fault, flush=True)\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", write, str(phrases.path.parent), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "abcd"
    ]
    try:
        for number in range(100):
            for writer in writers:
                assert writer.stdin is not None
                writer.stdin.write(f"{number}\n")
                writer.stdin.flush()
            for writer in writers:
                assert writer.stdout is not None
                assert writer.stdout.readline() == "None\n"
            assert PhraseCache(directory=phrases.path.parent / str(number)).kept()[0] == 4
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate(timeout=TIMEOUT)


def test_processes_share_it_and_one_may_be_killed(phrases: PhraseCache) -> None:
    write = (
        "import itertools, sys, numpy as np\n"
        "from k2so_tts.synthesis import phrase_cache\n"
        "from k2so_tts.synthesis.phrase_cache import Phrase, PhraseCache\n"
        "phrase_cache._BUSY_SECONDS = 60.0\n"  # the disk may be slow
        "p = PhraseCache(); print('ready', flush=True)\n"
        "for n in itertools.count():\n"
        "    p.put(f'{sys.argv[1]}{n % 7}', Phrase(24000, np.full(50_000, n, np.int16), ()))\n"
        "    p.get(f'{n % 7}')\n"
        "    assert p.fault is None, p.fault\n"
        "    print(n, flush=True)\n"
    )
    for _ in range(5):
        writers = [
            subprocess.Popen([sys.executable, "-c", write, name], stdout=subprocess.PIPE, text=True)
            for name in ("", "x")
        ]
        try:
            for writer in writers:
                assert writer.stdout is not None
                for _ in range(10):
                    assert writer.stdout.readline()
        finally:
            for writer in writers:
                writer.kill()
                writer.communicate(timeout=TIMEOUT)
    for number in range(7):
        kept = phrases.get(str(number))
        assert kept is None or len(set(kept.pcm)) == 1
    assert phrases.fault is None
    assert phrases.hits


def test_a_phrase_is_plain_data(phrases: PhraseCache) -> None:
    phrases.put("a", phrase(0.001))
    with sqlite3.connect(phrases.path) as file:
        (sound,) = file.execute("SELECT sound FROM phrases").fetchone()
    head, _, pcm = sound.partition(b"\n")
    assert json.loads(head)["rate"] == RATE
    assert (np.frombuffer(pcm, "<i2") == phrase(0.001).pcm).all()
