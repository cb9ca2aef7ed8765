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

"""The process that holds Piper: its licence (GPL-3), its crashes and its hangs stay in here.

Started by `engine.py` as `python -m k2so_tts.engines.piper.worker OPTIONS FD`. Piper's own package
turns text into phonemes; onnxruntime runs the voice, in parts where its graph could be cut.

Requests and records are those of `worker_protocol.py`: `R` ready, `V` what is known of a voice
(JSON), `A` audio (int16), `W` a word mark.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from piper import PiperVoice
from piper.config import PiperConfig

from k2so_tts.audio import EMPTY_PCM, Pcm
from k2so_tts.engines.piper.phonemes import encode, phonemes_of, runs, word_ends
from k2so_tts.engines.piper.prepared import LAYOUT
from k2so_tts.engines.piper.streaming import Scales, StreamedVoice, WholeVoice
from k2so_tts.engines.toolkit.chunked_decoder import to_pcm
from k2so_tts.engines.toolkit.loudness import integrated_loudness
from k2so_tts.engines.toolkit.worker_protocol import (
    MARK,
    next_connection,
    read_request,
    record,
    report_error,
)
from k2so_tts.processes import give_back_memory, keep_freed_memory

_logger = logging.getLogger(__name__)

_MOST_VOICES = 2
"""In memory at a time: a voice takes 65 to 120 MB, and opening it again 0.1 s."""
_KEPT_BYTES = 64 * 2**20
"""Of freed memory: what is computed at a time takes up to so much."""
_SAMPLE_TEXT = "1 2 3 4 5 6 7 8 9 10"
"""Can be spoken in every language, and is measured to know how loud a voice is."""
_LOUDNESS = "loudness-{}.json"


class Voice:
    """A voice that speaks, opened from its `.onnx.json` and its parts in a directory; or from its
    `.onnx`, if there are none.
    """

    def __init__(self, path: Path, parts: Path, threads: int) -> None:
        config = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
        self._phonemizer = PiperVoice(session=None, config=PiperConfig.from_dict(config))
        self._id_map = self._phonemizer.config.phoneme_id_map
        is_cut = (parts / LAYOUT).exists()
        self._voice = StreamedVoice(parts, threads) if is_cut else WholeVoice(path, threads)
        self._rate = int(config["audio"]["sample_rate"])
        self._parts = parts
        self._loudness: dict[int, float | None] = {}

    def loudness(self, speaker: int) -> float | None:
        """How loud a speaker is, in LUFS; None: silent. Measured once, and kept in a file."""
        if speaker not in self._loudness:
            self._loudness[speaker] = self._measured_once(speaker)
        return self._loudness[speaker]

    def listen_to(self, options: onnxruntime.RunOptions) -> None:
        """End what is computed from now on when `options.terminate` is set."""
        self._voice.run_options = options

    def speak(self, request: Mapping[str, Any]) -> Iterator[bytes]:
        """The records that answer a request, block by block: word marks, then audio."""
        frames = 0
        sizes = self._voice.block_sizes(self._rate, time.monotonic)
        scales = self._scales(request)
        for start, end in request["units"]:
            sentence = request["text"][start:end]
            phonemes = phonemes_of(self._phonemizer, sentence)
            words = _Words(self._phonemizer, sentence, phonemes)
            for first, part in runs(phonemes):
                ids, id_ends = encode(self._phonemizer, self._id_map, part)
                spoken = self._voice.speak(ids, request["speaker"], scales, sizes)
                words.follow(first, [int(spoken.id_ends[at - 1]) for at in id_ends])
                made = 0
                for block in spoken.blocks:
                    # the first sound does not wait for the words to be found
                    marks = words.until(made, start, frames) if made else b""
                    made += len(block)
                    yield marks + record(b"A", to_pcm(block).tobytes())
                yield words.until(made, start, frames)
                frames += made

    def _scales(self, request: Mapping[str, Any]) -> Scales:
        """As asked for, else the voice's own."""
        config = self._phonemizer.config
        own = (config.noise_scale, config.length_scale, config.noise_w_scale)
        noise, length, noise_w = (
            value if asked is None else asked
            for value, asked in zip(own, request["scales"], strict=True)
        )
        return Scales(noise, length / request["rate"], noise_w)

    def _measured_once(self, speaker: int) -> float | None:
        kept = self._parts / _LOUDNESS.format(speaker)
        with contextlib.suppress(OSError, ValueError):
            return float(json.loads(kept.read_text(encoding="utf-8")))
        measured = integrated_loudness(self._sample(_SAMPLE_TEXT, speaker), self._rate)
        if measured is not None:
            with contextlib.suppress(OSError):
                kept.write_text(json.dumps(measured), encoding="utf-8")
        return measured

    def _sample(self, text: str, speaker: int) -> Pcm:
        """A text without noise, so that it is the same each time."""
        scales = Scales(0.0, self._phonemizer.config.length_scale, 0.0)
        sizes = self._voice.block_sizes(self._rate, time.monotonic)
        blocks: list[Pcm] = []
        for _, part in runs(phonemes_of(self._phonemizer, text)):
            ids, _ = encode(self._phonemizer, self._id_map, part)
            spoken = self._voice.speak(ids, speaker, scales, sizes)
            blocks += map(to_pcm, spoken.blocks)
        return np.concatenate([EMPTY_PCM, *blocks])


class _Words:
    """The ends of the words of a sentence, as they are reached."""

    def __init__(self, phonemizer: PiperVoice, sentence: str, phonemes: list[str]) -> None:
        self._find = partial(word_ends, phonemizer, sentence, phonemes)
        self._left: list[tuple[int, int]] | None = None
        self._first = 0
        self._phoneme_ends: list[int] = []

    def follow(self, first: int, phoneme_ends: list[int]) -> None:
        """Phonemes from `first` on are spoken now, and end at these frames."""
        self._first = first
        self._phoneme_ends = phoneme_ends

    def until(self, made: int, characters: int, frames: int) -> bytes:
        """Records of the words that end in the first `made` frames of what is spoken now, which
        has so many characters and frames before it.
        """
        if self._left is None:
            self._left = self._find()
        marks = b""
        while self._left and (at := self._left[0][1] - self._first) <= len(self._phoneme_ends):
            frame = self._phoneme_ends[at - 1]
            if frame > made:
                break
            marks += record(b"W", MARK.pack(characters + self._left[0][0], frames + frame))
            del self._left[0]
        return marks


class _Voices:
    """The voices in memory, those used last at the end."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._open: dict[str, Voice] = {}

    def of(self, request: Mapping[str, Any]) -> Voice:
        """The voice that a request is for. Raises what is wrong with it."""
        parts = request["parts"]
        voice = self._open.pop(parts, None)
        if voice is None:
            while len(self._open) >= _MOST_VOICES:
                del self._open[next(iter(self._open))]
                give_back_memory()
            voice = Voice(Path(request["voice"]), Path(parts), self._threads)
        self._open[parts] = voice
        return voice


def _terminate_when_closed(
    connection: socket.socket, options: onnxruntime.RunOptions
) -> threading.Thread:
    """End what is computed, between two nodes of a graph, once nobody listens any more."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            connection.recv(1)
        options.terminate = True

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def _answer(voices: _Voices, connection: socket.socket) -> None:
    """Answer one request. Whoever asked may go away at any time: that is no error."""
    try:
        request = read_request(connection)
    except (OSError, EOFError, ValueError):
        return
    options = onnxruntime.RunOptions()
    watcher = _terminate_when_closed(connection, options)
    try:
        voice = voices.of(request)
        voice.listen_to(options)
        facts = {"loudness": voice.loudness(request["speaker"])}
        connection.sendall(record(b"V", json.dumps(facts).encode()))
        for records in voice.speak(request):
            connection.sendall(records)
        connection.sendall(record(b"."))
    except Exception as error:
        if not options.terminate:
            _logger.debug("piper failed", exc_info=True)
            report_error(connection, f"{type(error).__name__}: {error}")
    finally:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        watcher.join()


def main(options: dict[str, Any], control: socket.socket) -> None:
    """Answer the connections that come through `control`, one after the other, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory(_KEPT_BYTES)
    voices = _Voices(options["threads"])
    control.sendall(record(b"R"))
    while (connection := next_connection(control)) is not None:
        with connection:
            _answer(voices, connection)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
