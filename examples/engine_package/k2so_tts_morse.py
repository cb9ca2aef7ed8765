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

"""An example of an engine: it speaks in Morse code. `setup.py` names it in an entry point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from k2so_tts.audio import Block, Mark, Pcm
from k2so_tts.engines import EngineError, Prosody, UnknownVoice, Voice
from k2so_tts.settings import Setting

CODE = {
    "A": ".-", "B": "-...", "C": "-.-.", "D": "-..", "E": ".", "F": "..-.", "G": "--.",
    "H": "....", "I": "..", "J": ".---", "K": "-.-", "L": ".-..", "M": "--", "N": "-.",
    "O": "---", "P": ".--.", "Q": "--.-", "R": ".-.", "S": "...", "T": "-", "U": "..-",
    "V": "...-", "W": ".--", "X": "-..-", "Y": "-.--", "Z": "--..",
    "0": "-----", "1": ".----", "2": "..---", "3": "...--", "4": "....-", "5": ".....",
    "6": "-....", "7": "--...", "8": "---..", "9": "----.",
    ".": ".-.-.-", ",": "--..--", "?": "..--..", "/": "-..-.", "-": "-....-",
}  # fmt: skip
PARIS_DOTS = 50
"""The length of the standard word PARIS, by which the speed of Morse code is measured."""
RAMP_SECONDS = 0.005
AMPLITUDE = 0.5


class MorseEngine:
    """Has one voice. Each letter is a block, so the first is heard at once, however long the text.

    `tone` is in Hz.
    """

    options: ClassVar[tuple[Setting, ...]] = (
        Setting("tone", 700.0, "The frequency of the tone, Hz.", 100.0, 4000.0),
        Setting("words_per_minute", 20.0, "Speed at a rate of 1.", 5.0, 60.0),
    )
    streams: ClassVar[bool] = True
    default_voice = "morse"

    def __init__(self, tone: float, words_per_minute: float) -> None:
        self.sample_rate = 22050
        self._tone = tone
        self._dot_seconds = 60.0 / (PARIS_DOTS * words_per_minute)
        self._closed = False

    def load(self) -> None:
        """There is nothing to load."""

    def voices(self) -> Sequence[Voice]:
        """The only voice."""
        return [Voice(self.default_voice, "en")]

    def find_voice(self, name: str) -> str:
        """The only voice, by its name or language. Raises `UnknownVoice`."""
        if name.lower() in (self.default_voice, "en"):
            return self.default_voice
        raise UnknownVoice(f"Morse code has no voice or language {name!r}")

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:  # noqa: ARG002
        """Signal `text`; characters that have no code are left out. Raises `EngineError`."""
        dot = self._dot_seconds / prosody.rate
        frames = 0
        for position, letter in enumerate(text.upper()):
            if self._closed:
                raise EngineError("the engine was closed in the middle of a text")
            if letter.isspace():
                pcm = self._silence(4 * dot)  # the letter before ends with 3
            elif letter in CODE:
                pcm = self._letter(CODE[letter], dot, self._tone * prosody.pitch)
            else:
                continue
            frames += len(pcm)
            yield Block(pcm, (Mark(position + 1, frames),))

    def close(self) -> None:
        """End a text that is being spoken."""
        self._closed = True

    def _letter(self, signs: str, dot: float, tone: float) -> Pcm:
        parts = []
        for sign in signs:
            parts += [self._beep(dot if sign == "." else 3 * dot, tone), self._silence(dot)]
        return np.concatenate([*parts, self._silence(2 * dot)])

    def _beep(self, seconds: float, tone: float) -> Pcm:
        time = np.arange(round(seconds * self.sample_rate)) / self.sample_rate
        ramp = np.clip(np.minimum(time, time[::-1]) / RAMP_SECONDS, 0.0, 1.0)
        beep: Pcm = (32767 * AMPLITUDE * ramp * np.sin(2 * np.pi * tone * time)).astype(np.int16)
        return beep

    def _silence(self, seconds: float) -> Pcm:
        return np.zeros(round(seconds * self.sample_rate), np.int16)
