"""Selects the engine that speaks a goal, and the voice, prosody and gain to speak it with."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

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


class _Voices(NamedTuple):
    """The voices that the parameters name, as the loaded engine knows them."""

    engine: Engine
    default: str
    aliases: Mapping[str, str]

    def find(self, language: str) -> str:
        """The voice for a goal's language: an alias, else the configured voice if it speaks that
        language, else what the engine finds. Raises `UnknownVoice`.
        """
        if language in self.aliases:
            return self.aliases[language]
        wanted = language.lower().replace("_", "-")
        default_language = self.default.partition("+")[0].lower().replace("_", "-")
        if not wanted or f"{default_language}-".startswith(f"{wanted}-"):
            return self.default
        return self.engine.find_voice(language)


class VoiceSelector:
    """Owns the engines (see `EngineSupervisor`) and knows the voices that goals can name.

    Args:
        settings: the values of the node's parameters.
        on_fault: as for an `EngineSupervisor`.
        on_ready: as for an `EngineSupervisor`.

    Raises:
        SettingError: the engine, the fallback, the voice or an alias is unknown.
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
        self._voices: _Voices | None = None
        """None until the engine is loaded."""
        self.configure(settings)
        cache_mib = settings["phrase_cache_mib"]
        self._phrases = PhraseCache(cache_mib) if cache_mib else None
        self.supervisor = EngineSupervisor(
            _engine_spec("engine", name, settings),
            _engine_spec("fallback_engine", fallback, settings) if fallback else None,
            phrases=self._phrases,
            accept=self._on_loaded,
            on_fault=on_fault,
            on_ready=on_ready,
        )

    def close(self) -> None:
        """Close the engines."""
        self.supervisor.close()

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Apply voice, voice_aliases, rate, pitch, volume and cut_at to goals accepted from now on.

        Voices are looked up once the engine is loaded. Raises `SettingError`; then nothing changes.
        """
        names = ("voice", "voice_aliases", "rate", "pitch", "volume", "cut_at")
        new = {name: settings[name] for name in names}
        _parse_aliases(new["voice_aliases"])
        with self._resolving:
            if self._voices is not None:
                self._voices = _resolve(self._voices.engine, new)
            self._settings = new

    def voice_for(self, language: str) -> str:
        """The engine's voice for a goal's language. Raises `UnknownVoice`.

        It is empty while the engine is not loaded: any name may be one of its voices then.
        """
        voices = self._voices
        return "" if voices is None else voices.find(language)

    def options(self, language: str, rate: float, volume: float) -> SynthesisOptions:
        """How to speak a goal. Raises `UnknownVoice`.

        Args:
            language: a voice alias, voice or language tag; empty: the configured voice.
            rate: speed, relative to the parameter `rate`.
            volume: linear gain, relative to the parameter `volume`.
        """
        rate = min(max(rate * self._settings["rate"], RATE[0]), RATE[1])
        volume = min(max(volume * self._settings["volume"], VOLUME[0]), VOLUME[1])
        prosody = Prosody(rate, self._settings["pitch"])
        return SynthesisOptions(self.voice_for(language), prosody, volume, self._settings["cut_at"])

    def begin(
        self, language: str, options: SynthesisOptions
    ) -> tuple[LoadedEngine, SynthesisOptions]:
        """The engine that speaks a goal for `language`, and how that engine is to speak it."""
        engine = self.supervisor.begin()
        return engine, self._options_for(engine, language, options)

    def fail_over(
        self, language: str, options: SynthesisOptions, failed: LoadedEngine, error: EngineError
    ) -> tuple[LoadedEngine, SynthesisOptions] | None:
        """As `begin`, for a goal in which `failed` has failed; None: no engine goes on with it."""
        engine = self.supervisor.fail_over(failed, error)
        return None if engine is None else (engine, self._options_for(engine, language, options))

    def values(self) -> dict[str, object]:
        """The engine's values in the diagnostics, by key."""
        supervisor = self.supervisor
        values: dict[str, object] = {"engine": supervisor.name, "engine_state": supervisor.state}
        if supervisor.load_seconds:
            values["engine_load_s"] = supervisor.load_seconds
            values["engine_memory_mib"] = supervisor.memory_mib
        if supervisor.fallback_name:
            values["fallback_engine"] = supervisor.fallback_name
            values["fallback_utterances"] = supervisor.fallback_utterances
        if self._phrases is not None and self._phrases.in_use:
            values["phrase_cache_hits"] = self._phrases.hits
            values["phrase_cache_misses"] = self._phrases.misses
        return values

    def assess(self, report: StatusReport) -> None:
        """Add a complaint if the fallback has to speak, or phrases can't be kept."""
        supervisor, fault = self.supervisor, self.supervisor.fault
        if self._phrases is not None and self._phrases.fault is not None:
            report.warnings.append(f"{self._phrases.fault}; phrase_cache_mib: 0 keeps none")
        if not supervisor.fallback_name:
            return
        instead = f"{supervisor.fallback_name} speaks instead"
        if isinstance(fault, EngineUnavailable | SettingError):
            report.errors.append(f"{instead}: {describe(fault)}")
        elif fault is not None:
            report.warnings.append(
                f"{instead}, until engine {supervisor.name!r}, which is tried again, speaks: "
                f"{describe(fault)}; if it lasts, see what 'k2so-tts say --engine "
                f"{supervisor.name}' says"
            )
        elif supervisor.state == LOADING:
            report.warnings.append(f"{instead} while engine {supervisor.name!r} is being loaded")

    def _options_for(
        self, engine: LoadedEngine, language: str, options: SynthesisOptions
    ) -> SynthesisOptions:
        """The options with the voice of `engine`.

        They have one already where the goal was accepted with the configured engine loaded.
        """
        if engine.name != self.supervisor.name:
            return replace(options, voice=self._fallback_voice(engine.engine, language))
        if options.voice:
            return options
        return replace(options, voice=self._voice_or_default(language))

    def _voice_or_default(self, language: str) -> str:
        """The voice for the language of a goal that was accepted before the engine was loaded."""
        voices = self._voices
        assert voices is not None, "the engine that speaks is loaded"
        try:
            return voices.find(language)
        except UnknownVoice:
            return voices.default

    def _fallback_voice(self, engine: Engine, language: str) -> str:
        """The fallback's voice for a goal: one of that name or language if it has one."""
        aliases = _parse_aliases(self._settings["voice_aliases"])
        wanted = aliases.get(language, language) or self._settings["voice"]
        tag = re.split(r"[-_+]", wanted)[0]  # de_DE-thorsten-medium
        for name in filter(None, (wanted, tag)):
            with contextlib.suppress(UnknownVoice):
                return engine.find_voice(name)
        return engine.default_voice

    def _on_loaded(self, engine: Engine) -> None:
        """Look up the configured voices. Raises `SettingError` if the engine lacks one."""
        with self._resolving:
            self._voices = _resolve(engine, self._settings)


def fallback_of(settings: Mapping[str, Any]) -> str:
    """The name of the engine that speaks while `engine` can't; empty: none."""
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


def _engine_spec(parameter: str, name: str, settings: Mapping[str, Any]) -> EngineSpec:
    options = _engine_options(parameter, name).items()
    return EngineSpec(name, {option: settings[setting.name] for option, setting in options})


def _resolve(engine: Engine, settings: Mapping[str, Any]) -> _Voices:
    """The configured voices of `engine`. Raises `SettingError` if it lacks one."""
    default = _find(engine, "voice", settings["voice"] or engine.default_voice)
    aliases = {
        alias: _find(engine, "voice_aliases", name)
        for alias, name in _parse_aliases(settings["voice_aliases"]).items()
    }
    return _Voices(engine, default, aliases)


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
