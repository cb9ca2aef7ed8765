"""How the models of coqui-tts speak. Importing this imports torch: only `coqui.py` does, to load.

VITS is streamed inside a text: all that comes before the decoder is done once, then the decoder
turns latent frames into samples, block by block (see `blocks.py`). XTTS is streamed as the library
streams it. Any other model speaks a text as a whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch.nn.utils import parametrize
from transformers.pytorch_utils import Conv1D
from TTS.api import TTS
from TTS.utils.manage import ModelManager
from TTS.utils.synthesizer import PAD_SILENCE_SAMPLES, Synthesizer

from k2so_tts.engines import EngineError, EngineUnavailable
from k2so_tts.engines.coqui.engine import CPU, CUDA, FP16, INT8, NONE, VITS, XTTS, Speaker
from k2so_tts.engines.toolkit.chunked_decoder import ReceptiveField, decode_in_blocks
from k2so_tts.engines.toolkit.disk_cache import cached_arrays, state_of
from k2so_tts.processes import give_back_memory

Samples = NDArray[np.float32]

_CLONING_RATE = 22050
_LEARNING = ("disc", "posterior_encoder")
"""Parts of a VITS that only learning takes: two thirds of its weights."""


def choose_device(wanted: str, threads: int) -> str:
    """Where to compute: `cpu` or `cuda`. Raises `EngineUnavailable` if there is no GPU to use."""
    torch.set_num_threads(threads or os.cpu_count() or 1)
    if wanted == CPU or (wanted != CUDA and not torch.cuda.is_available()):
        return CPU
    if not torch.cuda.is_available():
        raise EngineUnavailable("parameter 'coqui.device' is 'cuda', but torch finds no GPU")
    return CUDA


def load_files(
    model: Path, config: Path, vocoder: Path | None, vocoder_config: Path | None, device: str
) -> Synthesizer:
    """Load a model from files; nothing is downloaded."""
    return Synthesizer(
        tts_checkpoint=model,
        tts_config_path=config,
        vocoder_checkpoint=vocoder,
        vocoder_config=vocoder_config,
        use_cuda=device == CUDA,
    )


def load_named(
    name: str, vocoder: Path | None, vocoder_config: Path | None, device: str
) -> Synthesizer:
    """Load a model of the library's list, downloading it the first time."""
    manager = ModelManager(progress_bar=False)
    if name not in manager.list_tts_models():
        raise EngineUnavailable(f"coqui.model is {name!r}; allowed: see 'tts --list_models'")
    kind, language, dataset, model = name.split("/")
    item = manager.models_dict[kind][language][dataset][model]
    if not manager.tos_agreed(item, manager.output_prefix / name.replace("/", "--")):
        raise EngineUnavailable(
            f"{name} is only to be used under its licence ({item.get('license', 'CPML')}): read "
            "it, and set COQUI_TOS_AGREED=1 in the environment if you agree"
        )
    paths = [str(path) if path else None for path in (vocoder, vocoder_config)]
    tts = TTS(name, vocoder_path=paths[0], vocoder_config_path=paths[1], progress_bar=False)
    return tts.to(device).synthesizer


def wrap(synthesizer: Synthesizer, options: Mapping[str, Any]) -> Model:
    """The model of a synthesizer, as one that speaks.

    Raises `EngineUnavailable` for a quantization that is not for such a model.
    """
    kind = synthesizer.tts_config["model"]
    device = next(synthesizer.tts_model.parameters()).device.type
    allowed = [NONE]
    if kind == XTTS:
        allowed.append(FP16 if device == CUDA else INT8)
    if options["quantization"] not in allowed:
        raise EngineUnavailable(
            f"parameter 'coqui.quantization' is {options['quantization']!r}; allowed for a model "
            f"of the kind {kind!r} with torch on {device}: {' | '.join(allowed)}"
        )
    kinds = {VITS: Vits, XTTS: Xtts}
    return kinds.get(kind, Model)(synthesizer, options)


class Model:
    """A model that speaks a text as a whole."""

    longest = 200
    """Characters that are spoken in one go: how long a cancel may have to wait."""

    def __init__(self, synthesizer: Synthesizer, options: Mapping[str, Any]) -> None:
        self.sample_rate = int(synthesizer.output_sample_rate)
        self._synthesizer = synthesizer
        self._model = synthesizer.tts_model
        self._seed = int(options["seed"])
        self._length_scale = getattr(self._model, "length_scale", None)

    @property
    def has_rate(self) -> bool:
        """Whether it can speak faster and slower by itself."""
        return self._length_scale is not None

    @property
    def languages(self) -> list[str]:
        return [str(name) for name in self._model.language_manager.language_names]

    @property
    def speakers(self) -> list[str]:
        manager = self._model.speaker_manager
        return [str(name) for name in manager.speaker_names] if manager is not None else []

    def clone(self, recordings: Sequence[Path]) -> Any:
        """What `Speaker.clone` is to be for the voice in some recordings.

        Raises `EngineUnavailable` for a model that can't clone.
        """
        if not self._model.config.supports_cloning:
            kind = self._model.config.model
            raise EngineUnavailable(f"coqui.speaker_wav is set, but {kind} models clone no voice")
        return [str(path) for path in recordings]

    def warm_up(self, speaker: Speaker) -> None:
        """Speak a little: the first time is slow."""
        for _ in self.speak("a.", speaker, 1.0):
            return

    def speak(self, text: str, speaker: Speaker, rate: float) -> Iterator[Samples]:
        """Samples in -1.0 to 1.0, shape (frames,), block by block as they are made."""
        self._prepare(rate)
        wav = self._synthesizer.tts(
            text,
            speaker_name=speaker.name or None,
            language_name=speaker.language or None,
            speaker_wav=speaker.clone,
            split_sentences=False,
        )
        yield np.asarray(wav[:-PAD_SILENCE_SAMPLES], np.float32)

    def _prepare(self, rate: float) -> None:
        if self._seed >= 0:
            torch.manual_seed(self._seed)
        if self._length_scale is not None:
            self._model.length_scale = self._length_scale / rate


class Vits(Model):
    """A VITS, without what only learning takes, its decoder taken out to be run in blocks."""

    longest = 250

    def __init__(self, synthesizer: Synthesizer, options: Mapping[str, Any]) -> None:
        super().__init__(synthesizer, options)
        model = self._model
        for part in _LEARNING:
            setattr(model, part, None)
        for module in list(model.modules()):
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        give_back_memory()
        if options["noise_scale"] >= 0:
            model.inference_noise_scale = options["noise_scale"]
        if options["noise_w"] >= 0:
            model.inference_noise_scale_dp = options["noise_w"]
        self.decoder = model.waveform_decoder
        self._reach = decoder_reach(self.decoder)
        self.frame_samples = int(np.prod([up.stride[0] for up in self.decoder.ups]))
        self._tap = model.waveform_decoder = _Tap()

    def speak(self, text: str, speaker: Speaker, rate: float) -> Iterator[Samples]:
        self._prepare(rate)
        language = speaker.language or None
        try:
            with torch.inference_mode():
                self._model.synthesize(
                    text, speaker=speaker.name or None, speaker_wav=speaker.clone, language=language
                )
        except IndexError:
            if len(self._model.tokenizer.text_to_ids(text, language or self.languages[0])) > 1:
                raise
            return  # the model knows none of its letters
        frames, conditions = self._tap.take()
        yield from self.decode(frames, conditions)

    def decode(self, frames: torch.Tensor, conditions: torch.Tensor | None) -> Iterator[Samples]:
        """The samples of latent frames, shape (1, channels, frames), block by block."""

        def decode(first: int, last: int) -> Samples:
            with torch.inference_mode():
                samples = self.decoder(frames[:, :, first:last], g=conditions)
            return np.asarray(samples[0, 0].float().cpu().numpy())

        yield from decode_in_blocks(frames.shape[-1], self._reach, self.frame_samples, decode)


class _Tap(torch.nn.Module):  # type: ignore[misc] # torch comes without types here
    """Stands where a decoder stood: takes what it is given, and makes nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self._taken: tuple[torch.Tensor, torch.Tensor | None] | None = None

    def forward(self, frames: torch.Tensor, g: torch.Tensor | None = None) -> torch.Tensor:
        self._taken = frames, g
        return frames.new_zeros(1, 1, 1)

    def take(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        taken, self._taken = self._taken, None
        if taken is None:
            raise EngineError("the model did not reach its decoder")
        return taken


def decoder_reach(decoder: torch.nn.Module) -> ReceptiveField:
    """How many latent frames around its own a sample of a HiFi-GAN depends on, by its layers."""
    reach = _before(ReceptiveField(), decoder.conv_post)
    for index in reversed(range(decoder.num_upsamples)):
        first = index * decoder.num_kernels
        branches = decoder.resblocks[first : first + decoder.num_kernels]
        summed = ReceptiveField()
        for branch in branches:
            convolutions = [m for m in branch.modules() if isinstance(m, torch.nn.Conv1d)]
            needed = reach
            for convolution in convolutions:
                needed = _before(needed, convolution)
            summed |= needed
        up = decoder.ups[index]
        reach = summed.before_upsampling(up.kernel_size[0], up.stride[0], up.padding[0])
    return _before(reach, decoder.conv_pre)


def _before(reach: ReceptiveField, layer: torch.nn.Conv1d) -> ReceptiveField:
    return reach.before_convolution(layer.kernel_size[0], layer.dilation[0], layer.padding[0])


class Xtts(Model):
    """An XTTS, which clones voices and streams what its language model writes.

    `quantization` is about the matrices of that language model, which is most of it.
    """

    has_rate = True

    def __init__(self, synthesizer: Synthesizer, options: Mapping[str, Any]) -> None:
        super().__init__(synthesizer, options)
        smaller = {INT8: _Int8, FP16: _Half}.get(options["quantization"])
        if smaller is not None:
            _replace_matrices(self._model.gpt.gpt, smaller)
        give_back_memory()

    @property
    def languages(self) -> list[str]:
        return [str(name) for name in self._model.config.languages]

    @property
    def speakers(self) -> list[str]:
        manager = self._model.speaker_manager
        return list(manager.speakers) if manager is not None else []

    def clone(self, recordings: Sequence[Path]) -> tuple[torch.Tensor, torch.Tensor]:
        """The conditioning of the voice in some recordings: computed once, then kept on disk."""
        config = self._model.config
        manner = [config.max_ref_len, config.gpt_cond_len, config.gpt_cond_chunk_len]
        key = hashlib.sha256(f"{self._identity()} {manner} {config.sound_norm_refs}".encode())
        for path in recordings:
            key.update(hashlib.sha256(path.read_bytes()).digest())
        arrays = cached_arrays(
            f"voices/{key.hexdigest()}.npz",
            ("latents", "embedding"),
            lambda: self._condition(recordings),
        )
        return torch.from_numpy(arrays["latents"]), torch.from_numpy(arrays["embedding"])

    def _condition(self, recordings: Sequence[Path]) -> dict[str, NDArray[Any]]:
        """As the library's `get_conditioning_latents`, which needs FFmpeg to read a file."""
        config = self._model.config
        heard = [self._read(path) for path in recordings]
        embeddings = [self._model.get_speaker_embedding(audio, _CLONING_RATE) for audio in heard]
        latents = self._model.get_gpt_cond_latents(
            torch.cat(heard, dim=-1),
            _CLONING_RATE,
            length=config.gpt_cond_len,
            chunk_length=config.gpt_cond_chunk_len,
        )
        embedding = torch.stack(embeddings).mean(dim=0)
        return {"latents": latents.cpu().numpy(), "embedding": embedding.cpu().numpy()}

    def _read(self, path: Path) -> torch.Tensor:
        """The beginning of a recording, shape (1, frames). Raises `EngineUnavailable`."""
        config = self._model.config
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise EngineUnavailable(f"coqui.speaker_wav: {error}") from error
        samples = soxr.resample(samples.mean(axis=1), rate, _CLONING_RATE)
        samples = samples[: _CLONING_RATE * config.max_ref_len].clip(-1.0, 1.0)
        if config.sound_norm_refs:
            samples *= 0.75 / max(np.abs(samples).max(), 1e-4)
        return torch.from_numpy(samples)[None].to(self._model.device)

    def _identity(self) -> str:
        """Which weights these are: where they lie, how large they are, and since when."""
        checkpoint = Path(self._synthesizer.tts_checkpoint)
        file = checkpoint / "model.pth" if checkpoint.is_dir() else checkpoint
        return f"{file.resolve()} {state_of(file)}"

    def speak(self, text: str, speaker: Speaker, rate: float) -> Iterator[Samples]:
        self._prepare(rate)
        config = self._model.config
        known = speaker.clone or self._model.speaker_manager.speakers[speaker.name].values()
        latents, embedding = known
        blocks = self._model.inference_stream(
            text,
            speaker.language or self.languages[0],
            latents,
            embedding,
            temperature=config.temperature,
            length_penalty=config.length_penalty,
            repetition_penalty=config.repetition_penalty,
            top_k=config.top_k,
            top_p=config.top_p,
            speed=rate,
        )
        try:
            for samples in blocks:
                yield samples.float().cpu().numpy()
        finally:
            blocks.close()


def _replace_matrices(
    network: torch.nn.Module, smaller: Callable[[Conv1D], torch.nn.Module]
) -> None:
    """Put others in place of the matrices of a GPT-2, one after the other."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, Conv1D):
                setattr(parent, name, smaller(layer))


class _Int8(torch.nn.Module):  # type: ignore[misc]
    """A matrix in 8 bits, scaled row by row; what it is given is put into 8 bits as it comes.

    Torch's own dynamic quantisation is for `torch.nn.Linear` only, which GPT-2 does not use.
    """

    def __init__(self, layer: Conv1D) -> None:
        super().__init__()
        weights = layer.weight.detach().T.contiguous()
        scales = weights.abs().amax(dim=1).clamp(min=1e-8).double() / 127
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        quantized = torch.quantize_per_channel(weights, scales, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantized, layer.bias.detach())

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return torch.ops.quantized.linear_dynamic(given, self._packed, reduce_range=True)


class _Half(torch.nn.Module):  # type: ignore[misc]
    """A matrix in 16 bits, as what it is given is while it is multiplied."""

    def __init__(self, layer: Conv1D) -> None:
        super().__init__()
        self._layer = layer.half()

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self._layer(given.half()).to(given.dtype)
