"""An engine at work, and what everybody shares who has it speak."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from k2so_tts.engines import Engine
from k2so_tts.engines.phrases import Phrases
from k2so_tts.segments import Pace


@dataclass(frozen=True, eq=False)
class Talker:
    """An engine that is loaded. `lock` is held while it speaks: it does one thing at a time.

    `left` is set when it hangs and nobody is to wait for it any more. What it says is kept in
    `phrases`, if that is worth it, as made by `made_by` (`phrases.origin`).
    """

    engine: Engine
    name: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    left: threading.Event = field(default_factory=threading.Event)
    pace: Pace = field(default_factory=Pace)
    phrases: Phrases | None = None
    made_by: str = ""

    def language_of(self, voice: str) -> str:
        """The language (BCP 47) of one of its voices; as good as the voice's name tells it."""
        known = (other.language for other in self.engine.voices() if other.name == voice)
        return next(known, voice)
