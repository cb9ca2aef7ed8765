"""Which engine speaks, and with which voice, prosody and gain a goal is to be spoken."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from k2so_tts.engines import (
    Engine,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    create_engine,
    engine_names,
    engine_options,
)
from k2so_tts.ros.server_parameters import RATE, VOLUME
from k2so_tts.settings import Setting, SettingError
from k2so_tts.synthesis import Manner


class Voices:
    """The engine at work and the voices that goals can name.

    Raises:
        SettingError: the engine, the voice or an alias is not to be had.
        EngineUnavailable: the engine is installed but can't run; the message says what is missing.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._name = settings["engine"]
        self._options = {
            option: settings[setting.name]
            for option, setting in _engine_options(self._name).items()
        }
        self._start_engine()
        self._settings: dict[str, Any] = {}
        self.configure(settings)

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def engine_lock(self) -> threading.Lock:
        """Held while the engine speaks: it does one thing at a time."""
        return self._engine_lock

    def replace_engine(self) -> None:
        """Leave an engine that hangs to itself, and start another."""
        self._engine.close()
        self._start_engine()

    def close(self) -> None:
        self._engine.close()

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Take over voice, voice_aliases, rate, pitch and volume. Raises `SettingError`."""
        names = ("voice", "voice_aliases", "rate", "pitch", "volume")
        new = {name: settings[name] for name in names}
        aliases = _parse_aliases(new["voice_aliases"])
        default = self._find("voice", new["voice"] or self._engine.default_voice)
        aliases = {alias: self._find("voice_aliases", name) for alias, name in aliases.items()}
        self._settings, self._aliases, self._default = new, aliases, default

    def voice_for(self, language: str) -> str:
        """The voice for a goal's language: an alias, else the configured voice if it speaks
        that language, else what the engine finds. Raises `UnknownVoice`.
        """
        if language in self._aliases:
            return self._aliases[language]
        wanted = language.lower().replace("_", "-")
        spoken = self._default.partition("+")[0].lower().replace("_", "-")
        if not wanted or f"{spoken}-".startswith(f"{wanted}-"):
            return self._default
        return self._engine.find_voice(language)

    def manner(self, language: str, rate: float, volume: float) -> Manner:
        """How to speak a goal. Raises `UnknownVoice`."""
        rate = min(max(rate * self._settings["rate"], RATE[0]), RATE[1])
        volume = min(max(volume * self._settings["volume"], VOLUME[0]), VOLUME[1])
        prosody = Prosody(rate, self._settings["pitch"])
        return Manner(self.voice_for(language), prosody, volume)

    def _start_engine(self) -> None:
        engine = create_engine(self._name, self._options)
        try:
            engine.load()
        except EngineUnavailable as error:
            raise EngineUnavailable(f"parameter 'engine' is {self._name!r}: {error}") from error
        self._engine = engine
        self._engine_lock = threading.Lock()

    def _find(self, parameter: str, name: str) -> str:
        try:
            return self._engine.find_voice(name)
        except UnknownVoice as error:
            raise SettingError(
                f"parameter '{parameter}' names {name!r}: {error}; allowed: see 'k2so-tts voices'"
            ) from error


def engine_parameters(name: str) -> Iterable[Setting]:
    """The options of an engine, as parameters of the node: `<engine>.<option>`.

    Raises `SettingError` for an engine that is not installed.
    """
    return _engine_options(name).values()


def _engine_options(name: str) -> Mapping[str, Setting]:
    if name not in engine_names():
        allowed = " | ".join(engine_names())
        raise SettingError(f"parameter 'engine' is {name!r}; allowed: {allowed}")
    return engine_options(name)


def _parse_aliases(text: str) -> dict[str, str]:
    aliases = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        alias, equals, voice = (piece.strip() for piece in part.partition("="))
        if not (alias and equals and voice):
            raise SettingError(
                f"parameter 'voice_aliases' holds {part!r}; allowed: 'alias=voice, alias=voice'"
            )
        aliases[alias] = voice
    return aliases
