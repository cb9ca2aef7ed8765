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

"""espeak-ng: an engine that runs everywhere and speaks within milliseconds.

The library runs in a process of its own (see `worker.py`), which is started by `load` and again
when it has died. Text reaches it through a socket, never through a shell or an argument.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from k2so_tts.audio import Block, Mark
from k2so_tts.engines import Prosody, UnknownVoice, Voice, match_voice
from k2so_tts.engines.espeak import worker
from k2so_tts.engines.toolkit.worker_client import WorkerClient, worker_command
from k2so_tts.engines.toolkit.worker_protocol import MARK
from k2so_tts.settings import brief
from k2so_tts.text.languages import normal_tag

LIBRARY = "libespeak-ng.so.1"
STALL_SECONDS = 5.0
_START_SECONDS = 10.0
_LONGEST_RUN = 200
"""Characters without a pause that are spoken in one go. Of a clause espeak-ng drops without a word
what goes beyond its 1000 phonemes (N_PHONEME_LIST in its synthesize.h): 300 characters may."""
_PAUSE = re.compile(r"[.!?,;:](?!\S)|[…\n。！？、，；：]|\Z")


class EspeakEngine:
    """Speaks with espeak-ng's 100-odd languages and their variants (`de`, `en-us+f3`).

    `library` names the shared library. The worker is killed, and the text fails, when nothing comes
    for `stall_seconds`.
    """

    streams: ClassVar[bool] = True
    default_voice = "en-us"

    def __init__(self, library: str = LIBRARY, stall_seconds: float = STALL_SECONDS) -> None:
        self.sample_rate = 0
        self._worker = WorkerClient(
            "espeak-ng",
            worker_command(worker.__name__, library),
            "install it with 'apt install espeak-ng'",
            start_seconds=_START_SECONDS,
            stall_seconds=stall_seconds,
        )
        self._voices: list[Voice] = []
        self._by_language: dict[str, str] = {}
        self._identifiers: dict[str, str] = {}
        self._variants: frozenset[str] = frozenset()

    def load(self) -> None:
        """Start the process and learn its sample rate and voices.

        Raises:
            EngineUnavailable: the library or its data is missing.
        """
        self.sample_rate = int(json.loads(self._worker.start()))
        request = {"voice": self.default_voice}
        listed = next(body for kind, body in self._worker.ask(request) if kind == b"R")
        self._learn_voices(json.loads(listed))

    @property
    def pid(self) -> int | None:
        """The process that holds espeak-ng, if one is running."""
        return self._worker.pid

    def voices(self) -> Sequence[Voice]:
        """One voice for each language; none before `load`."""
        return self._voices

    def find_voice(self, name: str) -> str:
        """The voice for a language tag, with or without a variant. Raises `UnknownVoice`."""
        base, plus, variant = name.partition("+")
        listed = self._by_language.get(normal_tag(base))
        found = listed or match_voice(self._voices, base)
        if found is None:
            raise UnknownVoice(f"espeak-ng has no voice or language {brief(base)}")
        if plus and variant not in self._variants:
            raise UnknownVoice(f"espeak-ng has no voice variant {brief(variant)}")
        return found + plus + variant

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        """Speak `text`, with a mark at the end of each word. Raises `EngineError`."""
        frames = 0
        for start, piece in _pieces(text):
            first = frames
            for block in self._speak(piece, voice, prosody):
                frames += len(block.pcm)
                marks = (Mark(start + mark.text_end, first + mark.frame) for mark in block.marks)
                yield Block(block.pcm, tuple(marks))

    def _speak(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        name, plus, variant = voice.partition("+")
        request = {
            "text": text,
            "voice": self._identifiers.get(name, name) + plus + variant,
            "rate": prosody.rate,
            "pitch": prosody.pitch,
        }
        audio = bytearray()
        marks: list[Mark] = []
        for kind, body in self._worker.ask(request):
            if kind == b"A":
                audio += body
            elif kind == b"W":
                marks.append(Mark(*MARK.unpack(body)))
            elif audio or marks:
                yield Block(np.frombuffer(bytes(audio), dtype="<i2"), tuple(marks))
                audio.clear()
                marks.clear()

    def close(self) -> None:
        """End the process, from any thread; a text that is being spoken fails."""
        self._worker.close()

    def _learn_voices(self, listed: dict[str, Any]) -> None:
        best: dict[str, tuple[int, str]] = {}
        for tags, identifier in listed["voices"]:
            name = tags[0][1]
            self._identifiers.setdefault(name, identifier)
            for priority, tag in tags:
                best[tag] = min(best.get(tag, (priority, name)), (priority, name))
        self._voices = [Voice(name, name) for name in self._identifiers]
        self._by_language = {voice.name: voice.name for voice in self._voices}
        for tag, (_, name) in best.items():
            self._by_language.setdefault(tag, name)
        self._variants = frozenset(listed["variants"])


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """A text, cut at spaces where too much of it has no pause; each piece with its offset."""
    start = at = 0
    for pause in _PAUSE.finditer(text):
        while pause.end() - at > _LONGEST_RUN:
            space = text.rfind(" ", at + 1, at + _LONGEST_RUN)
            space = space if space > 0 else text.find(" ", at + _LONGEST_RUN, pause.end())
            if space < 0:
                break
            yield start, text[start:space]
            start = at = space
        at = pause.end()
    yield start, text[start:]
