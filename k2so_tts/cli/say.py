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

"""`k2so-tts say`: speak a text on this machine, without ROS."""

from __future__ import annotations

import sys
import wave
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from k2so_tts.audio import Pcm
from k2so_tts.cli import arguments
from k2so_tts.cli.libraries import require_portaudio
from k2so_tts.cli.progress import speaking_progress
from k2so_tts.engines import AUTO, Prosody
from k2so_tts.playback import PlayerSettings, play
from k2so_tts.resampler import require_soxr
from k2so_tts.synthesis.engine_supervisor import load
from k2so_tts.synthesis.synthesis import (
    Synthesis,
    SynthesisOptions,
    describe_unreadable,
    stream_pcm,
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    arguments.add_text(parser)
    parser.add_argument("--wav", metavar="FILE", help="write a WAV file instead of playing")
    arguments.add_engine(parser, default=AUTO)
    arguments.add_engine_options(parser)
    arguments.add_voice(parser)
    arguments.add_cut_at(parser)
    arguments.add_rewriting(parser)
    arguments.add_device(parser)
    arguments.add_rate(parser)
    arguments.add_volume(parser)


def run(options: Namespace) -> int:
    """Speak, and return 0 when all of the text was played or written.

    Raises:
        EngineError: the engine failed.
        SettingError: an option of the engine, or the lexicon, is invalid.
        DeviceError: there is no such device, or it was lost.
        LibraryMissingError: PortAudio is missing.
        ResamplerMissing: soxr is missing.
        OSError: the WAV file cannot be written.
    """
    text, rewriting = arguments.read_text(options), arguments.rewriting(options)
    if not options.wav:
        require_soxr()
    if not options.wav and not options.device.startswith(("null", "wav:")):
        require_portaudio()
    spec = arguments.engine_spec(options)
    with closing(spec.make()) as engine:
        loaded = load(spec, engine)
        voice = engine.find_voice(options.voice or engine.default_voice)
        prosody = Prosody(options.rate)
        synthesis_options = SynthesisOptions(
            voice, prosody, options.volume, options.cut_at, rewriting=rewriting
        )
        synthesis = Synthesis(loaded, text, synthesis_options)
        chunks = stream_pcm(synthesis)
        if options.wav:
            _write_wav(options.wav, engine.sample_rate, chunks)
        else:
            settings = PlayerSettings(device=options.device)
            with speaking_progress(text, options.rate) as on_heard:
                play(chunks, engine.sample_rate, settings, on_heard)
        if synthesis.unreadable:
            sys.stderr.write(f"{describe_unreadable(spec.name, synthesis.unreadable)}\n")
    return 0


def _write_wav(path: str, rate: int, chunks: Iterable[Pcm]) -> None:
    """Write 16-bit mono chunks at `rate` Hz. A file that cannot be completed is removed.

    Raises:
        OSError: the file cannot be written; `filename` names it.
    """
    opened = Path(path).open("wb")  # noqa: SIM115 - one that cannot be opened is left as it is
    try:
        with opened, closing(wave.open(opened, "wb")) as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            for pcm in chunks:
                file.writeframes(pcm.tobytes())
    except BaseException as error:
        if Path(path).is_file():
            Path(path).unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, path) from error
        raise
