"""Which engine speaks, and with which voice, prosody and gain a goal is to be spoken."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from k2so_tts.engines import (
    Engine,
    EngineError,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    engine_names,
    engine_options,
)
from k2so_tts.ros.diagnostics import StatusReport
from k2so_tts.ros.server_parameters import RATE, VOLUME
from k2so_tts.settings import Setting, SettingError, brief
from k2so_tts.synthesis.engine_supervisor import LOADING, EngineSpec, EngineSupervisor, describe
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import PhraseCache
from k2so_tts.synthesis.synthesis import SynthesisOptions


class VoiceSelector:
    """Who speaks, and the voices that goals can name.

    `on_fault` and `on_ready` are those of a `EngineSupervisor`.

    Raises:
        SettingError: the engine, the fallback, the voice or an alias is not to be had.
        EngineUnavailable: the engine, or the fallback, is installed but can't run.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        on_fault: Callable[[str], None] = lambda _: None,
        on_ready: Callable[[float], None] = lambda _: None,
    ) -> None:
        name, fallback = settings["engine"], fallback_of(settings)
        self._settings: dict[str, Any] = {}
        self._resolving = threading.Lock()
        self._engine: Engine | None = None
        self._default = ""
        self._aliases: dict[str, str] = {}
        self.configure(settings)
        kept_mib = settings["phrase_cache_mib"]
        self._phrases = PhraseCache(kept_mib) if kept_mib else None
        self.supervisor = EngineSupervisor(
            _recipe("engine", name, settings),
            _recipe("fallback_engine", fallback, settings) if fallback else None,
            phrases=self._phrases,
            accept=self._accept,
            on_fault=on_fault,
            on_ready=on_ready,
        )

    def close(self) -> None:
        self.supervisor.close()

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Take over voice, voice_aliases, rate, pitch, volume and cut_at. Raises `SettingError`.

        Names are looked up once the engine is loaded.
        """
        names = ("voice", "voice_aliases", "rate", "pitch", "volume", "cut_at")
        new = {name: settings[name] for name in names}
        _parse_aliases(new["voice_aliases"])
        with self._resolving:
            if self._engine is not None:
                self._resolve(self._engine, new)
            self._settings = new

    def voice_for(self, language: str) -> str:
        """The engine's voice for a goal's language: an alias, else the configured voice if it
        speaks that language, else what the engine finds. Raises `UnknownVoice`.

        As long as the engine has not been loaded it could be any: it is the name itself.
        """
        if self._engine is None:
            return language
        if language in self._aliases:
            return self._aliases[language]
        wanted = language.lower().replace("_", "-")
        spoken = self._default.partition("+")[0].lower().replace("_", "-")
        if not wanted or f"{spoken}-".startswith(f"{wanted}-"):
            return self._default
        return self._engine.find_voice(language)

    def options(self, language: str, rate: float, volume: float) -> SynthesisOptions:
        """How to speak a goal; its voice is the one that it asks for. Raises `UnknownVoice`."""
        rate = min(max(rate * self._settings["rate"], RATE[0]), RATE[1])
        volume = min(max(volume * self._settings["volume"], VOLUME[0]), VOLUME[1])
        prosody = Prosody(rate, self._settings["pitch"])
        return SynthesisOptions(self.voice_for(language), prosody, volume, self._settings["cut_at"])

    def begin(
        self, language: str, options: SynthesisOptions
    ) -> tuple[LoadedEngine, SynthesisOptions]:
        """Who speaks a goal that asks for `language`, and how."""
        talker = self.supervisor.begin()
        return talker, self._manner_of(talker, language, options)

    def fail_over(
        self, language: str, options: SynthesisOptions, failed: LoadedEngine, error: EngineError
    ) -> tuple[LoadedEngine, SynthesisOptions] | None:
        """Who goes on with a goal in which `failed` has failed, and how; None: nobody."""
        talker = self.supervisor.fail_over(failed, error)
        return None if talker is None else (talker, self._manner_of(talker, language, options))

    def figures(self) -> dict[str, object]:
        """What diagnostics tell of the engine."""
        supervisor = self.supervisor
        figures: dict[str, object] = {"engine": supervisor.name, "engine_state": supervisor.state}
        if supervisor.load_seconds:
            figures["engine_load_s"] = supervisor.load_seconds
            figures["engine_memory_mib"] = supervisor.memory_mib
        if supervisor.fallback_name:
            figures["fallback_engine"] = supervisor.fallback_name
            figures["fallback_utterances"] = supervisor.fallback_utterances
        if self._phrases is not None and self._phrases.in_use:
            figures["phrase_cache_hits"] = self._phrases.hits
            figures["phrase_cache_misses"] = self._phrases.misses
        return figures

    def judge(self, health: StatusReport) -> None:
        """Complain if the fallback has to speak, or phrases can't be kept."""
        supervisor, fault = self.supervisor, self.supervisor.fault
        if self._phrases is not None and self._phrases.fault is not None:
            health.warnings.append(f"{self._phrases.fault}; phrase_cache_mib: 0 keeps none")
        if not supervisor.fallback_name:
            return
        instead = f"{supervisor.fallback_name} speaks instead"
        if isinstance(fault, EngineUnavailable | SettingError):
            health.errors.append(f"{instead}: {describe(fault)}")
        elif fault is not None:
            health.warnings.append(
                f"{instead}, until engine {supervisor.name!r}, which is tried again, speaks: "
                f"{describe(fault)}; if it lasts, see what 'k2so-tts say --engine "
                f"{supervisor.name}' says"
            )
        elif supervisor.state == LOADING:
            health.warnings.append(f"{instead} while engine {supervisor.name!r} is being loaded")

    def _manner_of(
        self, talker: LoadedEngine, language: str, options: SynthesisOptions
    ) -> SynthesisOptions:
        is_fallback = talker.name != self.supervisor.name
        voice = (
            self._fallback_voice(talker.engine, language) if is_fallback else self._now(language)
        )
        return replace(options, voice=voice)

    def _now(self, language: str) -> str:
        """The voice for a language that may have been accepted before the engine was there."""
        try:
            return self.voice_for(language)
        except UnknownVoice:
            return self._default

    def _fallback_voice(self, engine: Engine, language: str) -> str:
        """The fallback's voice for a goal: one of that name or language, if it can be told."""
        aliases = _parse_aliases(self._settings["voice_aliases"])
        asked = aliases.get(language, language) or self._settings["voice"]
        tag = re.split(r"[-_+]", asked)[0]  # de_DE-thorsten-medium
        for name in filter(None, (asked, tag)):
            with contextlib.suppress(UnknownVoice):
                return engine.find_voice(name)
        return engine.default_voice

    def _accept(self, engine: Engine) -> None:
        """An engine has been loaded. Raises `SettingError` when it has not the voices asked for."""
        with self._resolving:
            self._resolve(engine, self._settings)
            self._engine = engine

    def _resolve(self, engine: Engine, settings: Mapping[str, Any]) -> None:
        default = _find(engine, "voice", settings["voice"] or engine.default_voice)
        aliases = {
            alias: _find(engine, "voice_aliases", name)
            for alias, name in _parse_aliases(settings["voice_aliases"]).items()
        }
        self._default, self._aliases = default, aliases


def fallback_of(settings: Mapping[str, Any]) -> str:
    """The name of the engine that speaks when `engine` can't; empty: none."""
    fallback: str = settings["fallback_engine"]
    return "" if fallback == settings["engine"] else fallback


def engine_parameters(settings: Mapping[str, Any]) -> Iterable[Setting]:
    """The options of the engines, as parameters of the node: `<engine>.<option>`.

    Raises `SettingError` for an engine that is not installed.
    """
    for parameter, name in (
        ("engine", settings["engine"]),
        ("fallback_engine", fallback_of(settings)),
    ):
        if name:
            yield from _engine_options(parameter, name).values()


def _engine_options(parameter: str, name: str) -> Mapping[str, Setting]:
    if name not in engine_names():
        allowed = " | ".join(engine_names())
        raise SettingError(f"parameter '{parameter}' is {brief(name)}; allowed: {allowed}")
    return engine_options(name)


def _recipe(parameter: str, name: str, settings: Mapping[str, Any]) -> EngineSpec:
    options = _engine_options(parameter, name).items()
    return EngineSpec(name, {option: settings[setting.name] for option, setting in options})


def _find(engine: Engine, parameter: str, name: str) -> str:
    try:
        return engine.find_voice(name)
    except UnknownVoice as error:
        raise SettingError(
            f"parameter '{parameter}' names {brief(name)}: {error}; allowed: see 'k2so-tts voices'"
        ) from error


def _parse_aliases(text: str) -> dict[str, str]:
    aliases = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        alias, equals, voice = (piece.strip() for piece in part.partition("="))
        if not (alias and equals and voice):
            raise SettingError(
                f"parameter 'voice_aliases' holds {brief(part)}; "
                "allowed: 'alias=voice, alias=voice'"
            )
        aliases[alias] = voice
    return aliases
