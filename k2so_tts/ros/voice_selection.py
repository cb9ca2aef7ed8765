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

"""Selects the engine that speaks a goal, and the voice, prosody and gain to speak it with."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from k2so_tts.engines import (
    AUTO,
    NATURAL,
    Engine,
    EngineError,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    candidates,
    engine_names,
    engine_options,
    language_of,
    select_engine,
    with_path,
)
from k2so_tts.ros.diagnostics import StatusReport
from k2so_tts.ros.server_parameters import PITCH, RATE
from k2so_tts.settings import Setting, SettingError, brief
from k2so_tts.synthesis.engine_supervisor import LOADING, EngineSpec, EngineSupervisor, describe
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import PhraseCache
from k2so_tts.synthesis.synthesis import SynthesisOptions
from k2so_tts.text.languages import best_language
from k2so_tts.text.speakable import prepare, speakable_settings

UNSPECIFIED = "en"
"""The default of `language` in a goal: clients send it without asking for English."""


class _Voices(NamedTuple):
    """The voices that the parameters name, as the loaded engine knows them.

    An empty name stands for a voice that only `substitute` has: the fallback, where the engine was
    selected by `auto`.
    """

    engine: Engine
    default: str
    aliases: Mapping[str, str]
    substitute: Engine | None

    def find(self, language: str) -> str:
        """The voice for a goal's language: an alias, else the configured voice if none is asked for
        or it speaks that language, else what the engine finds. Raises `UnknownVoice`.
        """
        if language in self.aliases:
            return self.aliases[language]
        if language in ("", UNSPECIFIED):
            return self.default
        found = _find_voice(self.engine, self.substitute, language)
        known = [language_of(self.engine, voice) for voice in (self.default, found) if voice]
        return self.default if best_language(language, known) == 0 and self.default else found


class VoiceSelector:
    """Owns the engines (see `EngineSupervisor`) and knows the voices that goals can name.

    Args:
        settings: the values of the node's parameters.
        on_fault: is called, in any thread, with a sentence that says what is wrong with the engine.
        on_ready: is called, in any thread, with a sentence when it was loaded in the background.

    Raises:
        SettingError: the engine, the fallback, the voice or an alias is unknown.
        EngineUnavailable: the engine, or the fallback, is installed but can't run.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        on_fault: Callable[[str], None] = lambda _: None,
        on_ready: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._is_auto = settings["engine"] == AUTO
        name = _selected_engine(settings)
        fallback = "" if settings["fallback_engine"] == name else settings["fallback_engine"]
        instead = f", {fallback!r} does" if fallback else ""
        self._settings: dict[str, Any] = {}
        self._resolving = threading.Lock()
        self._voices: _Voices | None = None
        """None until the engine is loaded."""
        self._rewriting = speakable_settings(settings)
        self.configure(settings)
        cache_mib = settings["phrase_cache_mib"]
        self._phrases = PhraseCache(cache_mib) if cache_mib else None
        self.supervisor = EngineSupervisor(
            _engine_spec("engine", name, settings),
            _engine_spec("fallback_engine", fallback, settings) if fallback else None,
            phrases=self._phrases,
            accept=self._on_loaded,
            on_fault=lambda fault: on_fault(f"engine {name!r} can't speak{instead}: {fault}"),
            on_ready=lambda seconds: on_ready(f"engine {name!r} is ready after {seconds:.1f} s"),
        )

    def close(self) -> None:
        """Close the engines."""
        self.supervisor.close()

    def configure(self, settings: Mapping[str, Any], *, rewriting: bool = False) -> None:
        """Apply the parameters of voice and prosody, and cut_at, to goals accepted from now on.

        With `rewriting` those of `speakable.SETTINGS`, too: the lexicon is read again. Voices are
        looked up once the engine is loaded. Raises `SettingError`; then nothing changes.
        """
        new_rewriting = speakable_settings(settings) if rewriting else self._rewriting
        names = ("voice", "voice_aliases", "script_voices", "rate", "pitch", "volume", "cut_at")
        new = {name: settings[name] for name in names}
        _parse_aliases(new["voice_aliases"])
        with self._resolving:
            if self._voices is not None:
                self._voices = _resolve(self._voices.engine, self._voices.substitute, new)
            self._settings = new
            self._rewriting = new_rewriting

    def voice_for(self, language: str) -> str:
        """The engine's voice for a goal's language. Raises `UnknownVoice`.

        It is empty while the engine is not loaded, as any name may be one of its voices then, and
        where the fallback speaks in its place, as `auto` allows (see `begin`).
        """
        voices = self._voices
        return "" if voices is None else voices.find(language)

    def options(
        self, language: str, rate: float = 1.0, volume: float = 1.0, pitch: float = 1.0
    ) -> SynthesisOptions:
        """How to speak a goal. Raises `UnknownVoice`.

        Args:
            language: a voice alias, voice or language tag; empty: the configured voice.
            rate: speed, relative to the parameter `rate`.
            volume: linear gain, relative to the parameter `volume`.
            pitch: relative to the parameter `pitch`.
        """
        rate = min(max(rate * self._settings["rate"], RATE[0]), RATE[1])
        volume *= self._settings["volume"]
        prosody = Prosody(rate, min(pitch * self._settings["pitch"], PITCH[1]))
        return SynthesisOptions(
            self.voice_for(language),
            prosody,
            volume,
            self._settings["cut_at"],
            self._settings["script_voices"],
            self._rewriting,
        )

    def begin(
        self, language: str, options: SynthesisOptions
    ) -> tuple[LoadedEngine, SynthesisOptions]:
        """The engine that speaks a goal for `language`, and how that engine is to speak it."""
        prefer_fallback = not options.voice and self._is_for_fallback(language)
        engine = self.supervisor.begin(prefer_fallback=prefer_fallback)
        return engine, self._options_for(engine, language, options)

    def fail_over(
        self, language: str, options: SynthesisOptions, failed: LoadedEngine, error: EngineError
    ) -> tuple[LoadedEngine, SynthesisOptions] | None:
        """As `begin`, for a goal in which `failed` has failed; None: no engine goes on with it."""
        engine = self.supervisor.fail_over(failed, error)
        return None if engine is None else (engine, self._options_for(engine, language, options))

    def reader(
        self, options: SynthesisOptions, language: str
    ) -> tuple[LoadedEngine, SynthesisOptions] | None:
        """The fallback, and how it is to speak, for a part of a goal in a `language` (BCP 47) for
        which the engine has no voice; None if it has none either.
        """
        fallback = self.supervisor.begin(prefer_fallback=True)
        if fallback.name != self.supervisor.fallback_name or fallback.is_loading:
            return None
        voice = fallback.voice_in(language, "")
        return None if voice is None else (fallback, replace(options, voice=voice))

    def values(self) -> dict[str, object]:
        """The engine's values in the diagnostics, by key."""
        supervisor = self.supervisor
        values: dict[str, object] = {"engine": supervisor.name, "engine_state": supervisor.state}
        if supervisor.load_seconds:
            values["engine_load_s"] = supervisor.load_seconds
            values["engine_memory_mib"] = supervisor.memory_mib
        if supervisor.abandoned_engines:
            values["abandoned_engines"] = supervisor.abandoned_engines
        if supervisor.fallback_name:
            values["fallback_engine"] = supervisor.fallback_name
            values["fallback_utterances"] = supervisor.fallback_utterances
        if self._phrases is not None and self._phrases.in_use:
            values["phrase_cache_hits"] = self._phrases.hits
            values["phrase_cache_misses"] = self._phrases.misses
        return values

    def assess(self, report: StatusReport) -> None:
        """Add what limits the engine, and whether the fallback speaks or phrases can't be kept."""
        supervisor, fault = self.supervisor, self.supervisor.fault
        report.warnings += supervisor.warnings
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

    def _is_for_fallback(self, language: str) -> bool:
        """Whether only the fallback has a voice for a goal's language."""
        voices = self._voices
        if voices is None or voices.substitute is None:
            return False
        with contextlib.suppress(UnknownVoice):
            return not voices.find(language)
        return False

    def _voice_or_default(self, language: str) -> str:
        """The voice for the language of a goal that was accepted before the engine was loaded."""
        voices = self._voices
        assert voices is not None, "the engine that speaks is loaded"
        with contextlib.suppress(UnknownVoice):
            if voice := voices.find(language):
                return voice
        return voices.default or voices.engine.default_voice

    def _fallback_voice(self, engine: Engine, language: str) -> str:
        """The fallback's voice for a goal: one of that name or language if it has one."""
        aliases = _parse_aliases(self._settings["voice_aliases"])
        asked = "" if language == UNSPECIFIED else language
        wanted = aliases.get(language, asked) or self._settings["voice"]
        parts = (re.split(separators, wanted)[0] for separators in (r"[-+]", r"[-_+]"))
        for name in filter(None, (wanted, *parts)):  # de_DE-thorsten-medium, de_DE, de
            with contextlib.suppress(UnknownVoice):
                return engine.find_voice(name)
        return engine.default_voice

    def _on_loaded(self, engine: Engine, fallback: Engine | None) -> None:
        """Look up the configured voices. Raises `SettingError` if the engine lacks one."""
        with self._resolving:
            self._voices = _resolve(engine, fallback if self._is_auto else None, self._settings)
            voice = self._voices.default
        prepare(language_of(engine, voice), self._rewriting)


def engine_parameters(settings: Mapping[str, Any]) -> Iterable[Setting]:
    """The options of the engines, as parameters of the node: `<engine>.<option>`.

    Raises `SettingError` for an engine that is not installed.
    """
    in_use = [("engine", name) for name in candidates(settings["engine"])]
    in_use.append(("fallback_engine", settings["fallback_engine"]))
    parameters = [_engine_options(parameter, name) for parameter, name in in_use if name]
    return {each.name: each for options in parameters for each in options.values()}.values()


def _selected_engine(settings: Mapping[str, Any]) -> str:
    """The name of the engine that the parameter `engine` stands for."""
    prefix = f"{NATURAL}."
    options = {
        name.removeprefix(prefix): value
        for name, value in settings.items()
        if name.startswith(prefix)
    }
    return select_engine(settings["engine"], settings["voice"], options)


def _engine_options(parameter: str, name: str) -> Mapping[str, Setting]:
    if name not in engine_names():
        allowed = " | ".join([*engine_names(), AUTO] if parameter == "engine" else engine_names())
        raise SettingError(f"parameter '{parameter}' is {brief(name)}; allowed: {allowed}")
    return engine_options(name)


def _engine_spec(parameter: str, name: str, settings: Mapping[str, Any]) -> EngineSpec:
    known = _engine_options(parameter, name).items()
    options: Mapping[str, Any] = {
        option: settings.get(setting.name, setting.default) for option, setting in known
    }
    if name == NATURAL and parameter == "engine":
        options = with_path(options, settings["voice"])
    return EngineSpec(name, options)


def _resolve(engine: Engine, substitute: Engine | None, settings: Mapping[str, Any]) -> _Voices:
    """The configured voices, as in `_Voices`. Raises `SettingError` if one is unknown."""
    default = _find(engine, substitute, "voice", settings["voice"] or engine.default_voice)
    aliases = {
        alias: _find(engine, substitute, "voice_aliases", name)
        for alias, name in _parse_aliases(settings["voice_aliases"]).items()
    }
    return _Voices(engine, default, aliases, substitute)


def _find_voice(engine: Engine, substitute: Engine | None, name: str) -> str:
    """The voice of `engine`; empty if only `substitute` has one. Raises `UnknownVoice`."""
    try:
        return engine.find_voice(name)
    except UnknownVoice:
        if substitute is None:
            raise
        substitute.find_voice(name)
        return ""


def _find(engine: Engine, substitute: Engine | None, parameter: str, name: str) -> str:
    try:
        return _find_voice(engine, substitute, name)
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
