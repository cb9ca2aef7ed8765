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

"""Which engine speaks: the one that is configured, or a fallback while that one can't."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from k2so_tts.engines import Engine, EngineError, EngineUnavailable, warnings_of
from k2so_tts.processes import resident_mib
from k2so_tts.synthesis.engine_slot import WARM_UPS, EngineSlot, EngineSpec, describe, load
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import PhraseCache

__all__ = [
    "FAILED",
    "LOADING",
    "READY",
    "WARM_UPS",
    "EngineSpec",
    "EngineSupervisor",
    "describe",
    "load",
]

_logger = logging.getLogger(__name__)

LOADING, READY, FAILED = "loading", "ready", "failed"

_CLOSE_SECONDS = 2.0
_MAX_FAILURES = 2
"""An engine that fails in so many utterances in a row is replaced by a new one."""


class EngineSupervisor:
    """The configured engine, and a fallback that speaks until it is loaded and when it fails.

    With a fallback the engine is loaded in the background; without one it is loaded at once. An
    engine that is lost later is loaded again in the background, with growing pauses when that
    fails. `accept` is called with each configured engine that was loaded and the fallback, if there
    is one, and may raise. `on_fault`
    is called with what is wrong, once for each time that something goes wrong, and `on_ready` with
    the seconds that loading in the background took; both in any thread.

    Raises:
        EngineUnavailable: there is no such engine, the fallback can't run on this machine, or there
            is none and the engine can't.
        SettingError: an option is not allowed.
    """

    def __init__(
        self,
        spec: EngineSpec,
        fallback: EngineSpec | None = None,
        *,
        phrases: PhraseCache | None = None,
        accept: Callable[[Engine, Engine | None], None] = lambda *_: None,
        on_fault: Callable[[str], None] = lambda _: None,
        on_ready: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.load_seconds = 0.0
        """How long loading the configured engine took."""
        self.memory_mib = 0.0
        """By how much loading it made this process and its children grow."""
        self.fallback_utterances = 0
        self.abandoned_engines = 0
        """How many engines hung and were abandoned."""
        self.fault: Exception | None = None
        """What is wrong with the configured engine, until it speaks or is loaded again."""
        self._phrases = phrases
        self._accept = accept
        self._on_fault = on_fault
        self._on_ready = on_ready
        self._counting = threading.Lock()
        self._failures = 0
        self._is_reported = False
        self._primary = EngineSlot(
            spec, self._load_primary, on_loaded=self._on_loaded, on_failure=self._note_fault
        )
        self._fallback = EngineSlot(fallback, self._load_fallback) if fallback else None
        if self._fallback is None:
            self._primary.load()
            self._is_well()
            return
        try:
            self._primary.make()
        except EngineUnavailable as error:
            _logger.debug("it is tried again in the background: %s", error)
        self._fallback.load()
        self._primary.load_in_background()

    @property
    def name(self) -> str:
        """The name of the configured engine."""
        return self._primary.spec.name

    @property
    def fallback_name(self) -> str:
        """The name of the fallback; empty if there is none."""
        return self._fallback.spec.name if self._fallback else ""

    @property
    def state(self) -> str:
        """The configured engine is `LOADING`, `READY` or `FAILED`."""
        if self.fault is not None:
            return FAILED
        return READY if self._primary.is_ready else LOADING

    @property
    def warnings(self) -> Sequence[str]:
        """What limits the configured engine although it works."""
        loaded = self._primary.loaded
        return () if loaded is None else warnings_of(loaded.engine)

    def begin(self, *, prefer_fallback: bool = False) -> LoadedEngine:
        """The engine that speaks an utterance that begins now. Returns at once.

        If it is being loaded again and there is no fallback, the utterance waits for it there. With
        `prefer_fallback` it is the fallback if there is one, whatever the state of the other.
        """
        if self._fallback is not None and prefer_fallback:
            loaded = self._fallback.loaded
        elif self._fallback is None or self._primary.is_ready:
            loaded = self._primary.loaded
        else:
            loaded = self._fallback.loaded
            self._count_fallback()
        assert loaded is not None, "the fallback, or else the engine, is loaded from the start"
        return loaded

    def fail_over(self, failed: LoadedEngine, error: EngineError) -> LoadedEngine | None:
        """The engine that goes on with an utterance in which `failed` has failed; None: none.

        An utterance that has waited for an engine to be loaded goes on with it.
        """
        if failed.is_loading:
            slot = self._slot_of(failed)
            return slot.loaded if slot.is_ready else None
        if failed.name != self.name:
            return None
        if self._fallback is None:
            if failed is self._primary.loaded or not self._primary.is_ready:
                self.fault = error
            return None
        with self._counting:
            self._failures += failed is self._primary.loaded
            is_lost = failed.abandoned or self._failures >= _MAX_FAILURES
        if is_lost:
            self._primary.replace(failed)
        self._count_fallback()
        self._note_fault(error)
        return self._fallback.loaded

    def abandon(self, loaded: LoadedEngine) -> None:
        """Stop waiting for an engine that hangs, and load another in its place. Returns at once.

        Utterances that wait for it fail over. An engine that is being loaded is left alone.
        """
        if loaded.is_loading or loaded.abandoned:
            return
        with self._counting:
            self.abandoned_engines += 1
        slot = self._slot_of(loaded)
        if slot is self._fallback or self._fallback is None:
            slot.replace(loaded)
        loaded.abandon()  # with a fallback `fail_over` replaces it, once the failure is known

    def spoke(self, loaded: LoadedEngine) -> None:
        """Note that `loaded` has spoken an utterance to its end."""
        if loaded is self._primary.loaded:
            self._is_well()

    def close(self) -> None:
        """End the engines, and loading them. An engine that hangs is left behind after 2 s."""
        slots = [slot for slot in (self._fallback, self._primary) if slot is not None]
        deadline = time.monotonic() + _CLOSE_SECONDS
        closing = [
            threading.Thread(target=slot.close, name="closing an engine", daemon=True)
            for slot in slots
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(max(0.0, deadline - time.monotonic()))
        for slot in slots:
            slot.join(max(0.0, deadline - time.monotonic()))

    def _slot_of(self, loaded: LoadedEngine) -> EngineSlot:
        if self._fallback is not None and loaded.name == self.fallback_name:
            return self._fallback
        return self._primary

    def _count_fallback(self) -> None:
        with self._counting:
            self.fallback_utterances += 1

    def _note_fault(self, fault: Exception) -> None:
        self.fault = fault
        if not self._is_reported:
            self._is_reported = True
            self._on_fault(describe(fault))

    def _is_well(self) -> None:
        self._failures = 0
        self.fault = None
        self._is_reported = False

    def _on_loaded(self) -> None:
        self._is_well()
        self._on_ready(self.load_seconds)

    def _load_primary(self, engine: Engine) -> LoadedEngine:
        before, began = resident_mib(), time.monotonic()
        try:
            loaded = load(self._primary.spec, engine, self._phrases)
        except EngineUnavailable as error:
            raise EngineUnavailable(f"parameter 'engine' is {self.name!r}: {error}") from error
        fallback = self._fallback.loaded if self._fallback else None
        self._accept(engine, fallback.engine if fallback else None)
        self.load_seconds = time.monotonic() - began
        self.memory_mib = max(0.0, resident_mib() - before)
        return loaded

    def _load_fallback(self, engine: Engine) -> LoadedEngine:
        assert self._fallback is not None
        spec = self._fallback.spec
        try:
            return load(spec, engine, self._phrases)
        except EngineUnavailable as error:
            raise EngineUnavailable(
                f"parameter 'fallback_engine' is {spec.name!r}: {error}; '' means none"
            ) from error
