"""Which engine speaks: the one that was asked for, or another while that one can't."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from k2so_tts.engines import (
    NORMAL,
    Engine,
    EngineError,
    EngineUnavailable,
    create_engine,
    streams,
)
from k2so_tts.processes import resident_mib
from k2so_tts.settings import SettingError
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import PhraseCache, origin
from k2so_tts.text.segmenter import MissingSplitter, require_splitter, weighted_length

_logger = logging.getLogger(__name__)

LOADING, READY, FAILED = "loading", "ready", "failed"

WARM_UPS = (
    "On May 4th, at 9:30, Dr. K-2 spoke for 2.5 minutes, and this is how that sounded.",
    "Yes.",
    "This is how I sound when I speak.",
)
"""The first text takes many engines longer than all others, and so does the first number (coqui-tts
imports what spells it): of that only the beginning is made. From the rest their pace is learnt.
"""
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 1.0, 60.0
_JOIN_SECONDS = 2.0
_FAILURES = 2
"""As many utterances in a row that an engine fails in, and it is made and loaded anew."""


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is made from: its name and its options."""

    name: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def make(self) -> Engine:
        """Raises `EngineUnavailable` and `SettingError` as `create_engine` does."""
        return create_engine(self.name, self.options)


def load(spec: EngineSpec, engine: Engine, phrases: PhraseCache | None = None) -> LoadedEngine:
    """Load an engine, and have one that needs it say something into the void.

    One that speaks at once (it streams) has no use for `phrases`.

    Raises `EngineError`; `EngineUnavailable` when it can't run on this machine.
    """
    engine.load()
    if streams(engine):
        return LoadedEngine(engine, spec.name)
    try:
        require_splitter()
    except MissingSplitter as error:
        raise EngineUnavailable(str(error)) from error
    fingerprint = origin(spec.name, spec.options)
    talker = LoadedEngine(engine, spec.name, phrases=phrases, fingerprint=fingerprint)
    voice = engine.find_voice(engine.default_voice)
    for number, text in enumerate(WARM_UPS):
        began = time.monotonic()
        first_seconds, frames = 0.0, 0
        for block in engine.synthesise(text, voice, NORMAL):
            first_seconds = first_seconds or time.monotonic() - began
            frames += len(block.pcm)
            if number == 0:
                break
        if number > 0:
            seconds, audio = time.monotonic() - began, frames / engine.sample_rate
            talker.pace.learn(weighted_length(text), first_seconds, seconds, audio)
    return talker


class EngineSupervisor:
    """The engine that is to speak, and a fallback that does until it is loaded and when it fails.

    With a fallback the engine is loaded in a thread of the pool's own, again and again if that
    fails; without one it is loaded at once. `accept` is called with each engine that was loaded,
    and may raise. `on_fault` is called, from any thread, with what is wrong once for each time that
    something is; `on_ready` when the engine was loaded in the background, in so many seconds.

    Raises:
        EngineUnavailable: there is no such engine, the fallback can't run on this machine, or there
            is none and the engine can't.
        SettingError: an option makes no sense.
    """

    def __init__(
        self,
        spec: EngineSpec,
        fallback: EngineSpec | None = None,
        *,
        phrases: PhraseCache | None = None,
        accept: Callable[[Engine], None] = lambda _: None,
        on_fault: Callable[[str], None] = lambda _: None,
        on_ready: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.load_seconds = 0.0
        self.memory_mib = 0.0
        """By how much loading it made this process and its children grow."""
        self.fallback_utterances = 0
        self.fault: Exception | None = None
        """What is wrong with the engine, up to the next time that it speaks."""
        self._spec = spec
        self._fallback_spec = fallback
        self._phrases = phrases
        self._accept = accept
        self._on_fault = on_fault
        self._on_ready = on_ready
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._engine: Engine | None = None
        self._talker: LoadedEngine | None = None
        self._fallback: LoadedEngine | None = None
        self._failures = 0
        self._thread = threading.Thread(target=self._keep_loaded, name="engine", daemon=True)
        if fallback is None:
            self._talker = self._load()
            return
        try:
            self._engine = spec.make()
        except EngineUnavailable as error:
            _logger.debug("it is tried again in the background: %s", error)
        self._fallback = self._load_fallback(fallback)
        self._thread.start()

    @property
    def name(self) -> str:
        """Of the engine that is to speak."""
        return self._spec.name

    @property
    def fallback_name(self) -> str:
        return self._fallback_spec.name if self._fallback_spec else ""

    @property
    def state(self) -> str:
        """`LOADING`, `READY` or `FAILED`."""
        if self.fault is not None:
            return FAILED
        return READY if self._talker is not None else LOADING

    def begin(self) -> LoadedEngine:
        """Who speaks an utterance that begins now."""
        with self._changed:
            talker = self._talker or self._fallback
            assert talker is not None, "without a fallback the engine is loaded from the start"
            self.fallback_utterances += talker is self._fallback
        return talker

    def fail_over(self, failed: LoadedEngine, error: EngineError) -> LoadedEngine | None:
        """Who goes on with an utterance in which `failed` has failed; None: nobody."""
        if failed.name != self.name:
            return None
        if self._fallback is None:
            self.fault = error
            return None
        with self._changed:
            if failed is self._talker:
                self._failures += 1
                if self._failures >= _FAILURES or failed.abandoned.is_set():
                    self._talker = None
                    self._changed.notify_all()
            self.fallback_utterances += 1
        self._is_wrong(error)
        return self._fallback

    def abandon(self, talker: LoadedEngine) -> None:
        """Wait no longer for one that hangs: have another made in its place.

        Raises `EngineError` when that can't be loaded.
        """
        talker.abandoned.set()
        if talker is self._fallback and self._fallback_spec is not None:
            talker.engine.close()
            self._fallback = self._load_fallback(self._fallback_spec)
        elif self._fallback is None:
            talker.engine.close()
            self._engine = None
            self._talker = self._load()

    def spoke(self, talker: LoadedEngine) -> None:
        """An utterance was spoken to its end."""
        if talker is self._talker:
            self._failures = 0
            self.fault = None

    def close(self) -> None:
        """End the engines and the loading; one that hangs is left to itself after 2 s."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        ending = threading.Thread(target=self._close_engines, name="engine end", daemon=True)
        ending.start()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in (ending, self._thread):
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _close_engines(self) -> None:
        if self._fallback is not None:
            self._fallback.engine.close()
        if self._engine is not None:
            self._engine.close()

    def _is_wrong(self, fault: Exception) -> None:
        is_new = self.fault is None
        self.fault = fault
        if is_new:
            self._on_fault(describe(fault))

    def _load(self) -> LoadedEngine:
        before, began = resident_mib(), time.monotonic()
        try:
            engine = self._engine or self._spec.make()
            self._engine = engine
            talker = load(self._spec, engine, self._phrases)
        except EngineUnavailable as error:
            raise EngineUnavailable(f"parameter 'engine' is {self.name!r}: {error}") from error
        self._accept(engine)
        self.load_seconds = time.monotonic() - began
        self.memory_mib = max(0.0, resident_mib() - before)
        return talker

    def _load_fallback(self, spec: EngineSpec) -> LoadedEngine:
        try:
            return load(spec, spec.make(), self._phrases)
        except EngineUnavailable as error:
            raise EngineUnavailable(
                f"parameter 'fallback_engine' is {spec.name!r}: {error}; '' means none"
            ) from error

    def _keep_loaded(self) -> None:
        """Load the engine, and another in its place when that fails or it is given up."""
        pause = _FIRST_RETRY_SECONDS
        while not self._closing.is_set():
            try:
                talker = self._load()
            except Exception as error:
                _logger.debug("loading failed", exc_info=True)
                if self._closing.is_set():
                    return
                self._is_wrong(error)
                self._wait_for(lambda: False, pause)
                pause = min(2 * pause, _LAST_RETRY_SECONDS)
            else:
                pause = _FIRST_RETRY_SECONDS
                self._talker, self._failures, self.fault = talker, 0, None
                self._on_ready(self.load_seconds)
                self._wait_for(lambda: self._talker is None)
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.close()

    def _wait_for(self, is_over: Callable[[], bool], seconds: float | None = None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: is_over() or self._closing.is_set(), seconds)


def describe(fault: Exception) -> str:
    """A fault in words."""
    is_clear = isinstance(fault, EngineError | SettingError)
    return str(fault) if is_clear else f"{type(fault).__name__}: {fault}"
