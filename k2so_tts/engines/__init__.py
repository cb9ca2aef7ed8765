"""Text to PCM. An engine is one class in one file, found through the entry points of a package.

A package of anybody's adds an engine by naming its class in the entry-point group
`k2so_tts.engines`; the class is called without arguments and must be an `Engine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from k2so_tts.audio import Block

GROUP = "k2so_tts.engines"


class EngineError(Exception):
    """An engine could not speak: it died, stalled, or refused the text."""


class EngineUnavailable(EngineError):
    """An engine can't run on this machine; the message says what is missing and how to get it."""


class UnknownVoice(EngineError):
    """A voice or language that the engine does not have."""


@dataclass(frozen=True)
class Voice:
    """A voice at hand: `name` selects it; `language` is a BCP 47 tag in lower case (`en-gb`)."""

    name: str
    language: str


@dataclass(frozen=True)
class Prosody:
    """How to speak: `rate` 0.25 to 4.0 times normal speed, `pitch` 0.0 to 2.0 times normal."""

    rate: float = 1.0
    pitch: float = 1.0


class Engine(Protocol):
    """Speaks texts, one after the other, in one thread at a time.

    `load` may be slow and is called once before anything else; it raises `EngineUnavailable`.
    `sample_rate` (Hz) is known from then on.
    """

    sample_rate: int
    default_voice: str

    def load(self) -> None: ...

    def voices(self) -> Sequence[Voice]: ...

    def find_voice(self, name: str) -> str:
        """The voice for a voice name or a language tag. Raises `UnknownVoice`."""
        ...

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        """Speak `text`, block by block as it is made. Closing the iterator stops the work.

        Raises `EngineError` when the engine fails.
        """
        ...

    def close(self) -> None:
        """End everything, from any thread; a `synthesise` under way fails with `EngineError`."""
        ...


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def engine_names() -> list[str]:
    """The names under which engines are installed, sorted."""
    return sorted(_entry_points())


def create_engine(name: str) -> Engine:
    """A new engine, not loaded yet. Raises `EngineUnavailable` for a name nobody installed."""
    points = _entry_points()
    if name not in points:
        raise EngineUnavailable(f"no engine {name!r}; installed: {', '.join(sorted(points))}")
    engine: Engine = points[name].load()()
    return engine


def match_voice(voices: Sequence[Voice], name: str) -> str | None:
    """The voice whose name is `name`, else the first whose language is, or begins with, `name`."""
    wanted = name.lower().replace("_", "-")
    for voice in voices:
        if voice.name == name:
            return voice.name
    for voice in voices:
        if voice.language == wanted:
            return voice.name
    for voice in voices:
        if voice.language.startswith(wanted + "-"):
            return voice.name
    return None


NORMAL = Prosody()
