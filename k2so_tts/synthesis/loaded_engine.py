"""An engine at work, and what everybody shares who has it speak."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from k2so_tts.engines import Engine
from k2so_tts.synthesis.pace import PaceEstimator
from k2so_tts.synthesis.phrase_cache import PhraseCache


@dataclass(frozen=True, eq=False)
class LoadedEngine:
    """An engine that is loaded. `lock` is held while it speaks: it does one thing at a time.

    `abandoned` is set when it hangs and nobody is to wait for it any more. What it says is kept in
    `phrases`, if that is worth it, as made by `fingerprint` (`phrases.origin`).
    """

    engine: Engine
    name: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    abandoned: threading.Event = field(default_factory=threading.Event)
    pace: PaceEstimator = field(default_factory=PaceEstimator)
    phrases: PhraseCache | None = None
    fingerprint: str = ""

    def language_of(self, voice: str) -> str:
        """The language (BCP 47) of one of its voices; as good as the voice's name tells it."""
        known = (other.language for other in self.engine.voices() if other.name == voice)
        return next(known, voice)
