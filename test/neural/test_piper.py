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

"""The engine `piper`: the real package in its process, on real voices with random weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from piper import PiperVoice, SynthesisConfig
from support.neural_models import PIPER_MEDIUM, make_piper

from k2so_tts.audio import Block, Pcm
from k2so_tts.engines import (
    NORMAL,
    EngineError,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    Voice,
    create_engine,
)
from k2so_tts.engines.piper.engine import PiperEngine

TEXT = "The quick brown fox jumps over the lazy dog. It does so again and again!"
PATIENCE = 30.0


def make_medium(path: Path) -> None:
    make_piper(path, **PIPER_MEDIUM)


def make_three(path: Path) -> None:
    make_piper(path, 3)


@pytest.fixture
def medium(make: Callable[..., Path]) -> Iterator[PiperEngine]:
    with closing(load(make(make_medium))) as engine:
        yield engine


def load(voice: Path, **options: Any) -> PiperEngine:
    engine = create_engine("piper", {"voice": str(voice), **options})
    assert isinstance(engine, PiperEngine)
    engine.load()
    return engine


def blocks_of(engine: PiperEngine, voice: str = "", prosody: Prosody = NORMAL) -> list[Block]:
    return list(engine.synthesise(TEXT, voice or engine.default_voice, prosody))


def pcm_of(blocks: list[Block]) -> Pcm:
    return np.concatenate([block.pcm for block in blocks])


def same(one: Pcm, other: Pcm) -> bool:
    """Equal to one step: how a text is divided into blocks depends on how fast they are made."""
    return len(one) == len(other) and np.abs(one.astype(int) - other.astype(int)).max() <= 1


def whole(voice: Path, speaker: int | None = None) -> Pcm:
    """What the package makes of a text, sentence by sentence, each in one go."""
    config = SynthesisConfig(speaker_id=speaker, normalize_audio=False)
    made = PiperVoice.load(voice / "voice.onnx").synthesize(TEXT, config)
    return np.concatenate([sentence.audio_int16_array for sentence in made])


@pytest.mark.parametrize("maker", [make_medium, make_three])
def test_the_blocks_joined_are_the_whole(
    make: Callable[..., Path], maker: Callable[[Path], Any]
) -> None:
    voice = make(maker)
    with closing(load(voice)) as engine:
        names = [each.name for each in engine.voices() if each.name.startswith("voice")]
        blocks = blocks_of(engine, names[-1])
    joined, expected = pcm_of(blocks), whole(voice, len(names) - 1)
    assert len(blocks) > 2
    assert len(joined) == len(expected)
    assert np.abs(joined.astype(int) - expected.astype(int)).max() <= 1
    assert np.abs(expected.astype(int)).max() > 100


def test_a_graph_that_can_not_be_cut_runs_as_a_whole(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    """It ends in a layer of which nothing is known."""
    voice = make(make_medium)
    model = onnx.load(voice / "voice.onnx")
    (output,) = model.graph.output
    model.graph.node.append(onnx.helper.make_node("Sin", [output.name], ["bent"]))
    output.name = "bent"
    onnx.save(model, tmp_path / "voice.onnx")
    shutil.copy(voice / "voice.onnx.json", tmp_path)
    with closing(load(tmp_path)) as engine:
        blocks = blocks_of(engine)
    joined, expected = pcm_of(blocks), whole(tmp_path)
    assert len([block for block in blocks if len(block.pcm)]) == 2
    assert np.abs(joined.astype(int) - expected.astype(int)).max() <= 1


def test_a_mark_tells_the_end_of_the_text(medium: PiperEngine) -> None:
    blocks = blocks_of(medium)
    mark = blocks[-1].marks[-1]
    assert (mark.text_end, mark.frame) == (len(TEXT), len(pcm_of(blocks)))


def test_every_speaker_is_a_voice(make: Callable[..., Path]) -> None:
    with closing(load(make(make_three), speaker="speaker1")) as engine:
        names = [voice.name for voice in engine.voices()][:3]
        assert names == ["voice#speaker1", "voice#speaker0", "voice#speaker2"]
        assert engine.default_voice == engine.find_voice("en") == "voice#speaker1"
        assert engine.find_voice("voice#speaker2") == "voice#speaker2"
        with pytest.raises(UnknownVoice, match="'de'"):
            engine.find_voice("de")
        one, other = (pcm_of(blocks_of(engine, name)) for name in names[:2])
    assert not np.array_equal(one[:1000], other[:1000])


def test_a_directory_holds_many_voices(make: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("en_US-one-medium", "de_DE-two-medium"):
        shutil.copy(make(make_medium) / "voice.onnx", tmp_path / f"{name}.onnx")
        config = json.loads((make(make_medium) / "voice.onnx.json").read_text())
        config["language"]["code"] = name.partition("-")[0]
        (tmp_path / f"{name}.onnx.json").write_text(json.dumps(config))
    with closing(load(tmp_path)) as engine:
        assert engine.voices()[:2] == [
            Voice("de_DE-two-medium", "de-de"),
            Voice("en_US-one-medium", "en-us"),
        ]
        assert engine.find_voice("en") == "en_US-one-medium"
        german = pcm_of(blocks_of(engine, "de_DE-two-medium"))
        english = pcm_of(blocks_of(engine, "en_US-one-medium"))
    assert same(german, english)


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_rate_changes_the_length(medium: PiperEngine, rate: float) -> None:
    normal, changed = pcm_of(blocks_of(medium)), pcm_of(blocks_of(medium, prosody=Prosody(rate)))
    assert len(normal) / len(changed) == pytest.approx(rate, rel=0.4)


def test_options_replace_what_the_voice_says(make: Callable[..., Path]) -> None:
    with closing(load(make(make_medium), length_scale=4.0)) as slow:
        longer = pcm_of(blocks_of(slow))
    with closing(load(make(make_medium), noise_scale=0.7, noise_w=0.8)) as varied:
        first, second = pcm_of(blocks_of(varied)), pcm_of(blocks_of(varied))
    assert len(longer) > 1.2 * len(whole(make(make_medium)))
    assert len(first) != len(second) or not np.array_equal(first, second)


def test_pitch_keeps_the_length(medium: PiperEngine) -> None:
    high = pcm_of(blocks_of(medium, prosody=Prosody(pitch=1.5)))
    assert len(high) == pytest.approx(len(pcm_of(blocks_of(medium))), rel=0.05)


def test_a_killed_process_is_an_error_and_the_next_text_is_spoken(medium: PiperEngine) -> None:
    expected = pcm_of(blocks_of(medium))
    blocks = medium.synthesise(TEXT * 20, medium.default_voice, NORMAL)
    next(blocks)
    assert medium.pid is not None
    psutil.Process(medium.pid).kill()
    with pytest.raises(EngineError, match="piper's process died"):
        list(blocks)
    assert same(pcm_of(blocks_of(medium)), expected)


def test_a_process_that_was_started_again_outlives_the_thread_that_did(
    medium: PiperEngine,
) -> None:
    assert medium.pid is not None
    process = psutil.Process(medium.pid)
    process.kill()
    process.wait(PATIENCE)
    speaker = threading.Thread(target=blocks_of, args=[medium])
    speaker.start()
    speaker.join(PATIENCE)
    assert not speaker.is_alive()
    pid = medium.pid
    assert len(pcm_of(blocks_of(medium)))
    assert medium.pid == pid


def test_the_process_goes_with_its_owner(make: Callable[..., Path]) -> None:
    program = (
        "import sys; from k2so_tts.engines import NORMAL, create_engine\n"
        "e = create_engine('piper', {'voice': sys.argv[1]}); e.load()\n"
        "b = e.synthesise('word ' * 5000, e.default_voice, NORMAL); next(b)\n"
        "print(e.pid, flush=True); input()\n"
    )
    command = [sys.executable, "-c", program, str(make(make_medium))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        process = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    process.wait(PATIENCE)


def test_a_process_that_hangs_is_killed_and_the_next_text_is_spoken(
    make: Callable[..., Path],
) -> None:
    options = {name: option.default for name, option in _options().items()}
    engine = PiperEngine(stall_seconds=3.0, **{**options, "voice": str(make(make_medium))})
    with closing(engine):
        engine.load()
        assert engine.pid is not None
        hanging = psutil.Process(engine.pid)
        hanging.suspend()
        with pytest.raises(EngineError, match="piper stalled: nothing came for 3 s"):
            blocks_of(engine)
        assert not hanging.is_running()
        assert len(pcm_of(blocks_of(engine)))


def test_closing_leaves_no_process(make: Callable[..., Path]) -> None:
    engine = load(make(make_medium))
    assert engine.pid is not None
    process = psutil.Process(engine.pid)
    engine.close()
    assert not process.is_running()


def test_a_closed_text_leaves_the_process_free(medium: PiperEngine) -> None:
    """It stops at the next block, and answers what comes next."""
    expected = pcm_of(blocks_of(medium))
    blocks = medium.synthesise(TEXT * 20, medium.default_voice, NORMAL)
    next(blocks)
    pid = medium.pid
    blocks.close()  # type: ignore[attr-defined]
    assert same(pcm_of(blocks_of(medium)), expected)
    assert medium.pid == pid


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speaker": "nobody"}, "'piper.speaker' is 'nobody'; allowed: speaker0 | speaker1"),
    ],
)
def test_what_can_not_be_loaded_is_told(
    make: Callable[..., Path], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineUnavailable, match=message):
        load(**{"voice": make(make_three), **options})


def test_a_voice_that_is_not_whole_is_told(make: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"holds no \.onnx file"):
        load(tmp_path)
    model, config = tmp_path / "a.onnx", tmp_path / "a.onnx.json"
    model.write_bytes(b"no graph" * 100_000)
    with pytest.raises(EngineUnavailable, match=r"a Piper voice needs its a\.onnx\.json"):
        load(tmp_path)
    config.write_text("{}")
    with pytest.raises(EngineUnavailable, match="is no configuration of a Piper voice: it lacks"):
        load(tmp_path)
    shutil.copy(make(make_medium) / "voice.onnx.json", config)
    with pytest.raises(EngineUnavailable, match=r"piper can't load .*a\.onnx"):
        load(tmp_path)


def test_the_library_is_not_in_this_process(
    make: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import sys; from k2so_tts.engines import create_engine, NORMAL; "
        f"e = create_engine('piper', {{'voice': {str(make(make_medium))!r}}}); e.load(); "
        "print(sum(len(b.pcm) for b in e.synthesise('One.', e.default_voice, NORMAL)) > 0, "
        "{'piper', 'onnx', 'onnxruntime'} & set(sys.modules)); e.close()"
    )
    psutil.Popen([sys.executable, "-c", code], env={**os.environ}).wait(PATIENCE)
    assert capfd.readouterr().out == "True set()\n"


def _options() -> dict[str, Any]:
    return {option.name: option for option in PiperEngine.options}
