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

"""How an utterance is to sound, and what all jobs that speak it share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from k2so_tts.engines import NORMAL, Prosody
from k2so_tts.synthesis.chunk_queue import ChunkQueue
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.text.segmenter import WORD
from k2so_tts.text.speakable import SPEAKABLE, SpeakableSettings, speakable
from k2so_tts.text.spoken_text import SpokenText
from k2so_tts.text.stream import TextStream


@dataclass(frozen=True)
class SynthesisOptions:
    """How one utterance is to sound: the engine's voice, prosody, and a linear gain, 0.0 to 2.0.

    `segmentation` (see `segmenter.SEGMENTATIONS`) says where a text may be cut for an engine that
    needs segments. With `script_voices` what is written in another script than that of the voice's
    language is spoken with a voice that can read it, where the engine has one. `rewriting` says how
    the text becomes what is spoken.
    """

    voice: str
    prosody: Prosody = NORMAL
    volume: float = 1.0
    segmentation: str = WORD
    script_voices: bool = True
    rewriting: SpeakableSettings = SPEAKABLE


FindReader = Callable[[str], "tuple[LoadedEngine, SynthesisOptions] | None"]
"""Names another engine, and how it is to speak, for a part in a language (BCP 47) for which the
engine has no voice; None: there is none.
"""


def no_reader(_: str) -> None:
    """A `FindReader` without another engine."""


@dataclass(eq=False)
class SynthesisState:
    """What all jobs of one utterance share: its text, and what was made of it.

    `on_change` is called when more text has come; `clock` gives seconds; `find_reader` names an
    engine for what the voice can't read.
    """

    source: str | TextStream
    chunks: ChunkQueue
    streaming: bool
    on_change: Callable[[], None]
    clock: Callable[[], float]
    seconds: float = 0.0
    """What engines have taken, without the time for which the full queue held them."""
    starved: bool = False
    """All text that has come is spoken, and more is expected."""
    read_to: int = 0
    """Characters of what is spoken of a streamed text that were taken from it."""
    spoken: SpokenText | None = None
    """What is spoken of a text that is no stream, once a job has begun."""
    find_reader: FindReader = no_reader
    unreadable: set[str] = field(default_factory=set)
    """Languages of parts for which there was no voice."""

    @property
    def text(self) -> str:
        """The whole text as it was sent, as far as it is known."""
        return self.source if isinstance(self.source, str) else self.source.text

    def rewrite(self, language: str, settings: SpeakableSettings) -> str:
        """What is spoken of the text, as far as that is known, in the language of the voice.

        A job that goes on for another speaks the rest of what that one began with.
        """
        if isinstance(self.source, TextStream):
            self.source.speak_as(language, settings)
            return self.source.spoken_text
        if self.spoken is None:
            self.spoken = speakable(self.source, language, settings)
        return self.spoken.text

    @property
    def spoken_text(self) -> str:
        """What is spoken of the text, as far as that is known; marks count its characters."""
        if isinstance(self.source, TextStream):
            return self.source.spoken_text
        return self.source if self.spoken is None else self.spoken.text

    def to_source(self, end: int) -> int:
        """How many characters of the text as it was sent are spoken once `end` of those are that
        the marks in `chunks` count.
        """
        if isinstance(self.source, TextStream):
            return self.source.to_source(end)
        return end if self.spoken is None else self.spoken.to_source(end)
