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

"""The engine `coqui` with runtime onnx: a VITS converted by the real code, on random weights."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from support.neural_models import make_vits, make_xtts, noise_of_torch
from support.spectra import log_spectral_distance
from TTS.utils.synthesizer import Synthesizer

from k2so_tts.audio import CHUNK_FRAMES, Pcm
from k2so_tts.engines import NORMAL, EngineUnavailable, Prosody, create_engine
from k2so_tts.engines.coqui.engine import CoquiEngine
from k2so_tts.engines.coqui.vits_onnx import OnnxVits
from k2so_tts.engines.toolkit.chunked_decoder import to_pcm
from k2so_tts.settings import SettingError

TEXT = "the quick brown fox jumps over the lazy dog, again and again."
TEXTS = (TEXT, "Dr. Smith paid $3.50 at 10:30 pm; (why?)", "Grüße, 日本!", "...", "")
SEED = 7
PATIENCE = 120.0
INT8_DB = 3.0
"""Log-spectral distance of the small models in int8 from themselves; measured 1.6 dB. Noise of
the same level as their sound is 13 dB away."""


def make_phonemes(path: Path) -> None:
    make_vits(path, phonemes=True)


def make_three(path: Path) -> None:
    make_vits(path, 3)


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One cache for all: what is converted once is there for the next test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(session_cache))
    return session_cache


def load(model: Path, **options: Any) -> CoquiEngine:
    fixed = {"model": str(model), "runtime": "onnx", "seed": SEED, "device": "cpu", "threads": 1}
    engine = create_engine("coqui", {**fixed, **options})
    assert isinstance(engine, CoquiEngine)
    engine.load()
    return engine


def speak(engine: CoquiEngine, voice: str = "", prosody: Prosody = NORMAL) -> Pcm:
    blocks = engine.synthesise(TEXT, voice or engine.default_voice, prosody)
    return np.concatenate([block.pcm for block in blocks])


def whole(model: Path, speaker: str | None) -> Pcm:
    """What the library itself makes of a text with torch, in one go."""
    library = Synthesizer(tts_checkpoint=model / "model.pth", tts_config_path=model / "config.json")
    torch.manual_seed(SEED)
    return to_pcm(library.tts_model.synthesize(TEXT, speaker=speaker)["wav"])


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("maker", [make_phonemes, make_three])
def test_it_sounds_as_torch_does(
    make: Callable[..., Path], maker: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the noise that torch would have drawn, which is an input of the graphs."""
    monkeypatch.setattr(OnnxVits, "_noise", noise_of_torch)
    model = make(maker)
    with closing(load(model)) as engine:
        voice = engine.voices()[-1].name
        torch.manual_seed(SEED)
        heard = speak(engine, voice)
    expected = whole(model, voice if len(engine.voices()) > 1 else None)
    assert len(heard) == len(expected)
    assert np.abs(heard.astype(int) - expected.astype(int)).max() <= 2
    assert np.abs(expected.astype(int)).max() > 100


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("maker", [make_phonemes, make_three])
def test_it_marks_words_as_torch_does(
    make: Callable[..., Path], maker: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxVits, "_noise", noise_of_torch)
    model = make(maker)
    found = []
    for runtime in ("onnx", "torch"):
        with closing(load(model, runtime=runtime)) as engine:
            torch.manual_seed(SEED)
            blocks = engine.synthesise(TEXT, engine.default_voice, NORMAL)
            found.append([mark for block in blocks for mark in block.marks])
    assert found[0] == found[1]
    assert len(found[0]) == len(TEXT.split()) + 1


@pytest.mark.timeout(PATIENCE)
def test_int8_sounds_nearly_the_same(make: Callable[..., Path]) -> None:
    model = make(make_phonemes)
    with closing(load(model)) as exact, closing(load(model, quantization="int8")) as small:
        expected, heard = speak(exact), speak(small)
    assert len(heard) == len(expected)
    assert not np.array_equal(heard, expected)
    assert log_spectral_distance(expected, heard) < INT8_DB
    noise = np.random.default_rng(SEED).normal(0, expected.std(), len(expected))
    assert log_spectral_distance(expected, noise) > 2 * INT8_DB


@pytest.mark.timeout(PATIENCE)
def test_once_converted_it_takes_no_torch_and_makes_the_same_tokens(
    make: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """In a process of its own, as modules stay imported."""
    model = make(make_phonemes)
    load(model).close()
    code = f"""
import json, sys
from k2so_tts.engines import create_engine
engine = create_engine("coqui", {{"model": {str(model)!r}, "runtime": "onnx"}})
engine.load()
spelling = sys.modules["inflect"].engine.number_to_words.__code__.co_names
tokens = [engine._model._tokenizer(text, "en") for text in {TEXTS!r}]
imported = sorted({{"torch", "TTS", "onnx"}} & set(sys.modules))
print(json.dumps([tokens, imported, "TypeCheckMemo" in spelling]))
"""
    assert psutil.Popen([sys.executable, "-c", code]).wait(PATIENCE) == 0
    tokens, imported, is_checked = json.loads(capfd.readouterr().out)
    library = Synthesizer(tts_checkpoint=model / "model.pth", tts_config_path=model / "config.json")
    tokenizer = library.tts_model.tokenizer
    assert tokens == [tokenizer.text_to_ids(text, language="en") for text in TEXTS]
    assert len(tokens[1]) > 50
    assert imported == []
    assert not is_checked


@pytest.mark.timeout(PATIENCE)
def test_it_streams_and_is_faster_and_slower_by_itself(make: Callable[..., Path]) -> None:
    with closing(load(make(make_three))) as engine:
        blocks = engine.synthesise(TEXT, engine.default_voice, NORMAL)
        assert len(next(blocks).pcm) == CHUNK_FRAMES
        blocks.close()  # type: ignore[attr-defined]
        normal, slow = speak(engine), speak(engine, prosody=Prosody(0.5))
        assert np.array_equal(speak(engine), normal)
        assert not list(engine.synthesise("日本", engine.default_voice, NORMAL))[-1].pcm.size
        assert [voice.name for voice in engine.voices()] == ["speaker0", "speaker1", "speaker2"]
    assert len(slow) / len(normal) == pytest.approx(2.0, rel=0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"quantization": "fp16"},
            r"'coqui\.quantization' is 'fp16'; allowed with coqui\.runtime 'onnx': none \| int8",
        ),
        (
            {"device": "cuda"},
            r"'coqui\.device' is 'cuda'; allowed with coqui\.runtime 'onnx': auto \| cpu",
        ),
    ],
)
def test_what_does_not_go_together_is_told(
    make: Callable[..., Path], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        load(make(make_three), **options)


def test_other_models_take_torch(make: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"'coqui\.runtime' is 'onnx'; .* 'xtts': torch"):
        load(make(make_xtts))
    with pytest.raises(EngineUnavailable, match=r"'coqui\.model' is 'tts_models/a/b/c'; allowed"):
        load(Path("tts_models/a/b/c"))
    (tmp_path / "config.json").write_text('{"model": "vits"}')
    (tmp_path / "model.pth").write_bytes(b"not a model")
    with pytest.raises(EngineUnavailable, match=r"coqui can't convert '.*': \S"):
        load(tmp_path)


def test_closing_ends_the_conversion() -> None:
    engine = create_engine("coqui", {"runtime": "onnx"})
    assert isinstance(engine, CoquiEngine)
    failed = []

    def convert() -> None:
        with pytest.raises(EngineUnavailable) as error:
            engine._run_program([sys.executable, "-c", "import time; time.sleep(1000)"])
        failed.append(str(error.value))

    thread = threading.Thread(target=convert)
    thread.start()
    ends = time.monotonic() + PATIENCE
    while engine._program._program is None and time.monotonic() < ends:
        time.sleep(0.01)
    engine.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(failed) == 1
    program = engine._program._program
    assert program is not None
    assert program.poll() is not None
