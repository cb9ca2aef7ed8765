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

"""The engine `coqui`: real models of the library with random weights, loaded by the real code."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from support.neural_models import (
    PIPER_MEDIUM,
    make_glow_tts,
    make_vits,
    make_vocoder,
    make_xtts,
    say_codes,
)
from support.spectra import log_spectral_distance
from transformers.pytorch_utils import Conv1D
from TTS.utils.synthesizer import Synthesizer

from k2so_tts.audio import CHUNK_FRAMES, Block, Mark, Pcm
from k2so_tts.engines import (
    NORMAL,
    EngineError,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    Voice,
    create_engine,
    streams,
)
from k2so_tts.engines.coqui.engine import CoquiEngine
from k2so_tts.engines.coqui.models import load_files
from k2so_tts.engines.coqui.quantization import Fp16Matrix, Int8Matrix, replace_matrices
from k2so_tts.engines.coqui.torch_vits import Vits, decoder_field
from k2so_tts.engines.toolkit.chunked_decoder import to_pcm
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

TEXT = "the quick brown fox jumps over the lazy dog, again and again."
WORD = "hello."
SEED = 7
PATIENCE = 60.0
SHAPES: dict[str, Callable[[Path], Any]] = {
    "one speaker": make_vits,
    "three speakers": lambda path: make_vits(path, 3),
    "decoder of a medium Piper voice": lambda path: make_vits(path, **PIPER_MEDIUM),
    "other kernels": lambda path: make_vits(
        path,
        upsample_rates_decoder=[4, 4, 4, 4],
        upsample_kernel_sizes_decoder=[8, 6, 12, 4],
        resblock_kernel_sizes_decoder=[3, 5],
        resblock_dilation_sizes_decoder=[[1, 3, 9], [2, 4, 6]],
    ),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Nothing may be downloaded: whom this process tried to reach."""
    reached: list[Any] = []

    def connect(_: socket.socket, address: Any) -> None:
        reached.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return reached


@pytest.fixture
def vits(make: Callable[..., Path]) -> Iterator[CoquiEngine]:
    with closing(load(make(make_vits))) as engine:
        yield engine


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Somebody's voice, or at least noise."""
    path = tmp_path / "somebody.wav"
    noise = np.random.default_rng(SEED).normal(0, 0.1, (2 * 44100, 2))
    soundfile.write(path, noise, 44100)
    return path


def load(model: Path, **options: Any) -> CoquiEngine:
    fixed = {"seed": SEED, "device": "cpu", "threads": 1}
    engine = create_engine("coqui", {"model": str(model), **fixed, **options})
    assert isinstance(engine, CoquiEngine)
    engine.load()
    return engine


def blocks_of(
    engine: CoquiEngine, text: str = TEXT, voice: str = "", prosody: Prosody = NORMAL
) -> list[Block]:
    return list(engine.synthesise(text, voice or engine.default_voice, prosody))


def pcm_of(blocks: list[Block]) -> Pcm:
    return np.concatenate([block.pcm for block in blocks])


def whole(model: Path, text: str, speaker: str | None = None) -> Pcm:
    """What the library itself makes of a text, in one go."""
    library = Synthesizer(tts_checkpoint=model / "model.pth", tts_config_path=model / "config.json")
    torch.manual_seed(SEED)
    return to_pcm(library.tts_model.synthesize(text, speaker=speaker)["wav"])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_blocks_of_a_vits_joined_are_the_whole(make: Callable[..., Path], shape: str) -> None:
    model = make(SHAPES[shape])
    with closing(load(model)) as engine:
        blocks = blocks_of(engine)
        expected = whole(model, TEXT, engine.default_voice if "speakers" in shape else None)
    joined = pcm_of(blocks)
    assert len([block for block in blocks if len(block.pcm)]) > 3
    assert len(joined) == len(expected)
    assert np.abs(joined.astype(int) - expected.astype(int)).max() <= 1
    assert np.abs(expected.astype(int)).max() > 100


@pytest.mark.parametrize("shape", SHAPES)
def test_no_more_is_computed_for_a_block_than_it_depends_on(
    make: Callable[..., Path], shape: str
) -> None:
    """A latent frame is changed: the frames that sound different are those within reach of it."""
    model = make(SHAPES[shape])
    library = Synthesizer(tts_checkpoint=model / "model.pth", tts_config_path=model / "config.json")
    decoder = library.tts_model.waveform_decoder.double()
    field = decoder_field(decoder)
    hop = int(np.prod([up.stride[0] for up in decoder.ups]))
    channels = library.tts_model.args.hidden_channels
    frames, changed = 80, 40
    latent = torch.randn(1, channels, frames, dtype=torch.double)
    speaker = torch.randn(1, 256, 1, dtype=torch.double)
    with torch.inference_mode():
        before = decoder(latent, g=speaker)[0, 0]
        latent[:, :, changed] += 100.0
        after = decoder(latent, g=speaker)[0, 0]
    differs = (before != after)[: frames * hop].reshape(frames, hop).any(dim=1).nonzero()
    assert differs.min() >= changed - field.right
    assert differs.max() <= changed + field.left
    assert differs.max() - differs.min() >= field.left + field.right - 1


def test_the_first_block_is_a_chunk_and_closing_stops_the_work(vits: CoquiEngine) -> None:
    assert not streams(vits)
    assert isinstance(vits._model, Vits)
    decoded = []
    decoder = vits._model.decoder
    handle = decoder.register_forward_hook(lambda *_: decoded.append(1))
    blocks = vits.synthesise(TEXT, vits.default_voice, NORMAL)
    assert len(next(blocks).pcm) == CHUNK_FRAMES
    blocks.close()  # type: ignore[attr-defined]
    assert len(decoded) == 1
    handle.remove()


def test_a_text_of_any_length_is_taken_piece_by_piece(vits: CoquiEngine) -> None:
    """What a cancel may have to wait for does not grow with the text."""
    text = "word " * 2000
    blocks = vits.synthesise(text, vits.default_voice, NORMAL)
    frames, mark = 0, None
    for block in blocks:
        frames += len(block.pcm)
        if block.marks and block.marks[-1].frame == frames:  # not one of a word within
            mark = block.marks[-1]
            break
    blocks.close()  # type: ignore[attr-defined]
    assert mark is not None
    assert mark.frame == frames
    assert 200 < mark.text_end <= 250
    assert text[mark.text_end] == " "


def test_a_vits_marks_the_ends_of_words(vits: CoquiEngine) -> None:
    blocks = blocks_of(vits)
    marks = [mark for block in blocks for mark in block.marks]
    assert [TEXT[: mark.text_end].rsplit(maxsplit=1)[-1] for mark in marks[:-1]] == TEXT.split()
    frames = [mark.frame for mark in marks]
    assert frames == sorted(frames)
    assert 0 < frames[0] < frames[-1] / 4
    assert marks[-1] == Mark(len(TEXT), len(pcm_of(blocks)))


def test_a_cancel_ends_the_work(vits: CoquiEngine) -> None:
    synthesis = Synthesis(LoadedEngine(vits), "word " * 2000, SynthesisOptions(vits.default_voice))
    synthesis.start()
    assert synthesis.wait(PATIENCE)
    synthesis.cancel()
    assert synthesis.join(PATIENCE)
    assert synthesis.error is None


def test_closing_the_engine_fails_the_text_under_way(vits: CoquiEngine) -> None:
    blocks = vits.synthesise(TEXT, vits.default_voice, NORMAL)
    next(blocks)
    thread = threading.Thread(target=vits.close)
    thread.start()
    thread.join(PATIENCE)
    with pytest.raises(EngineError, match="closed"):
        list(blocks)
    with pytest.raises(EngineError, match="closed"):
        next(vits.synthesise(TEXT, vits.default_voice, NORMAL))


def test_a_seed_makes_a_text_sound_the_same(make: Callable[..., Path], vits: CoquiEngine) -> None:
    assert np.array_equal(pcm_of(blocks_of(vits)), pcm_of(blocks_of(vits)))
    with closing(load(make(make_vits), seed=-1)) as free:
        first, second = pcm_of(blocks_of(free)), pcm_of(blocks_of(free))
    assert len(first) != len(second) or not np.array_equal(first, second)


def test_without_noise_nothing_varies(make: Callable[..., Path]) -> None:
    with closing(load(make(make_vits), seed=-1, noise_scale=0.0, noise_w=0.0)) as engine:
        first, second = pcm_of(blocks_of(engine)), pcm_of(blocks_of(engine))
    assert np.abs(first.astype(int) - second.astype(int)).max() <= 1


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_vits_speaks_faster_and_slower_by_itself(vits: CoquiEngine, rate: float) -> None:
    normal, changed = pcm_of(blocks_of(vits)), pcm_of(blocks_of(vits, prosody=Prosody(rate)))
    assert len(normal) / len(changed) == pytest.approx(rate, rel=0.3)


def test_pitch_changes_the_sound_and_not_the_length(vits: CoquiEngine) -> None:
    normal = pcm_of(blocks_of(vits))
    high = blocks_of(vits, prosody=Prosody(pitch=1.5))
    assert len(pcm_of(high)) == pytest.approx(len(normal), rel=0.05)
    assert high[-1].marks[0].frame == len(pcm_of(high))


def test_every_speaker_is_a_voice(make: Callable[..., Path]) -> None:
    with closing(load(make(SHAPES["three speakers"]))) as engine:
        assert engine.voices() == [Voice(f"speaker{number}", "en") for number in range(3)]
        assert engine.default_voice == "speaker0"
        assert engine.find_voice("en") == "speaker0"
        assert engine.find_voice("speaker2") == "speaker2"
        with pytest.raises(UnknownVoice, match="no voice or language 'nobody'"):
            engine.find_voice("nobody")
        one, other = (pcm_of(blocks_of(engine, voice=name)) for name in ("speaker0", "speaker2"))
    assert len(one) != len(other) or not np.array_equal(one, other)


def test_a_language_that_the_model_does_not_tell_can_be_set(make: Callable[..., Path]) -> None:
    with closing(load(make(make_vits), language="de_AT")) as engine:
        assert engine.voices() == [Voice("default", "de-at")]
        assert engine.find_voice("de") == "default"


def test_what_only_learning_takes_is_not_kept(make: Callable[..., Path]) -> None:
    model = make(make_vits)
    library = Synthesizer(tts_checkpoint=model / "model.pth", tts_config_path=model / "config.json")
    before = sum(weight.numel() for weight in library.tts_model.parameters())
    with closing(load(model)) as engine:
        kept: Any = engine._model
        assert kept is not None
        after = sum(
            weight.numel() for part in (kept._model, kept.decoder) for weight in part.parameters()
        )
    assert after < 0.2 * before


def test_text_without_a_known_letter_breaks_nothing(vits: CoquiEngine) -> None:
    for text in ("...", "日本", "1"):
        assert pcm_of(blocks_of(vits, text)).dtype == np.int16


def test_a_model_that_makes_spectrograms_takes_a_vocoder(
    make: Callable[..., Path], offline: list[Any]
) -> None:
    vocoder = make(make_vocoder) / "model.pth"
    with closing(load(make(make_glow_tts), vocoder_path=str(vocoder))) as engine:
        normal = pcm_of(blocks_of(engine))
        half = pcm_of(blocks_of(engine, prosody=Prosody(0.5)))
    assert engine.sample_rate == 22050
    assert np.abs(normal.astype(int)).max() > 0
    assert len(half) > 1.3 * len(normal)
    assert offline == []


def test_xtts_clones_a_voice_and_streams_it(
    make: Callable[..., Path], recording: Path, cache: Path, offline: list[Any]
) -> None:
    model = make(make_xtts)
    with closing(load(model, speaker_wav=str(recording))) as engine:
        assert engine.voices() == [Voice("somebody", "en")]
        assert engine.sample_rate == 24000
        blocks = blocks_of(engine, WORD)
    assert len(blocks) > 2
    assert np.abs(pcm_of(blocks).astype(int)).max() > 0
    (kept,) = cache.rglob("*.npz")
    stamp = kept.stat().st_mtime_ns
    with closing(load(model, speaker_wav=str(recording))) as engine:
        assert np.array_equal(pcm_of(blocks_of(engine, WORD)), pcm_of(blocks))
    assert kept.stat().st_mtime_ns == stamp
    kept.write_bytes(kept.read_bytes()[:1000])
    with closing(load(model, speaker_wav=str(recording))) as engine:
        assert np.array_equal(pcm_of(blocks_of(engine, WORD)), pcm_of(blocks))
    assert kept.stat().st_size > 1000
    assert list(cache.rglob("*.part")) == []
    assert offline == []


def test_xtts_keeps_a_voice_for_each_recording(
    make: Callable[..., Path], recording: Path, cache: Path
) -> None:
    model = make(make_xtts)
    load(model, speaker_wav=str(recording)).close()
    again = recording.with_name("copy.wav")
    again.write_bytes(recording.read_bytes())
    load(model, speaker_wav=str(again)).close()
    assert len(list(cache.rglob("*.npz"))) == 1
    both = f"{recording}:{again}"
    load(model, speaker_wav=both).close()
    assert len(list(cache.rglob("*.npz"))) == 2


def test_xtts_in_8_bits_streams_as_well(make: Callable[..., Path], recording: Path) -> None:
    options = {"speaker_wav": str(recording), "quantization": "int8"}
    with closing(load(make(make_xtts), **options)) as engine:
        blocks = blocks_of(engine, WORD)
    assert len(blocks) > 2
    assert np.abs(pcm_of(blocks).astype(int)).max() > 0


class Nothing(torch.nn.Module):  # type: ignore[misc] # torch comes without types here
    """In place of a matrix: makes zeros."""

    def __init__(self, layer: Conv1D) -> None:
        super().__init__()
        self._channels = layer.weight.shape[1]

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return given.new_zeros(*given.shape[:-1], self._channels)


@pytest.mark.parametrize(("smaller", "share"), [(Int8Matrix, 0.06), (Fp16Matrix, 0.002)])
def test_fewer_bits_change_little_of_what_the_matrices_of_xtts_do(
    make: Callable[..., Path], smaller: Callable[[Conv1D], torch.nn.Module], share: float
) -> None:
    """By the log-spectral distance of how the same codes sound. 3 and 0.06 % were measured."""

    def sound(replacement: Callable[[Conv1D], torch.nn.Module]) -> NDArray[np.float32]:
        folder = make(make_xtts)
        xtts = load_files(folder, folder / "config.json", None, None, "cpu").tts_model
        for layer in xtts.gpt.gpt.modules():
            if isinstance(layer, Conv1D):
                layer.weight.data *= 6  # they do next to nothing otherwise
        replace_matrices(xtts.gpt.gpt, replacement)
        return say_codes(xtts, 60)

    exact = sound(lambda layer: layer)
    apart = log_spectral_distance(exact, sound(smaller))
    assert 0 < apart < share * log_spectral_distance(exact, sound(Nothing))


@pytest.mark.parametrize(
    ("maker", "quantization", "message"),
    [
        (make_vits, "int8", r"'int8'; allowed for a model of the kind 'vits' .* on cpu: none$"),
        (make_xtts, "fp16", r"'fp16'; allowed for .* 'xtts' with torch on cpu: none \| int8$"),
    ],
)
def test_a_quantization_that_is_not_for_it_is_refused(
    make: Callable[..., Path], maker: Callable[[Path], Any], quantization: str, message: str
) -> None:
    with pytest.raises(EngineUnavailable, match=r"'coqui\.quantization' is " + message):
        load(make(maker), quantization=quantization)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "coqui needs a model: set coqui.model"),
        ({"model": "tts_models/en/none/none"}, "coqui.model is 'tts_models/en/none/none'"),
        (
            {"model": "tts_models/multilingual/multi-dataset/xtts_v2"},
            "only to be used under its licence .*COQUI_TOS_AGREED=1",
        ),
    ],
)
def test_what_can_not_be_loaded_is_told(
    make: Callable[..., Path], options: dict[str, Any], message: str, offline: list[Any]
) -> None:
    with pytest.raises(EngineUnavailable, match=message):
        load(**{"model": make(make_vits), **options})
    assert offline == []


def test_a_vits_clones_no_voice(make: Callable[..., Path], recording: Path) -> None:
    with pytest.raises(EngineUnavailable, match="vits models clone no voice"):
        load(make(make_vits), speaker_wav=str(recording))


def test_a_directory_without_a_model_is_told(make: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"there is no .*config\.json: set coqui\.config"):
        load(tmp_path)
    config = str(make(make_vits) / "config.json")
    with pytest.raises(EngineUnavailable, match=r"holds none of model\.pth"):
        load(tmp_path, config_path=config)
    (tmp_path / "model.pth").write_bytes(b"not a model")
    with pytest.raises(EngineUnavailable, match="coqui can't load"):
        load(tmp_path, config_path=config)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(make: Callable[..., Path]) -> None:
    with pytest.raises(EngineUnavailable, match=r"'coqui\.device' is 'cuda'"):
        load(make(make_vits), device="cuda")
