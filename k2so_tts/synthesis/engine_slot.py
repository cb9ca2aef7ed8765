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

"""One engine that is kept at hand: loaded, and loaded again in the background when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from k2so_tts.audio import EMPTY_PCM, Chunker
from k2so_tts.engines import (
    NORMAL,
    Engine,
    EngineError,
    EngineUnavailable,
    create_engine,
    language_of,
    streams,
)
from k2so_tts.engines.toolkit.loudness import integrated_loudness
from k2so_tts.settings import SettingError
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.pace import MadeBlock
from k2so_tts.synthesis.phrase_cache import PhraseCache, fingerprint_of
from k2so_tts.synthesis.trim import trimmed
from k2so_tts.text.segmenter import MissingSplitter, require_splitter, weighted_length
from k2so_tts.text.speakable import SPEAKABLE, prepare

_logger = logging.getLogger(__name__)

WARM_UPS = (
    "On May 4th, at 9:30, Dr. K-2 spoke for 2.5 minutes, and this is how that sounded.",
    "Yes.",
    "This is how I sound when I speak.",
)
"""What a newly loaded engine speaks, unheard. The first text takes many engines longer than all
others, and so does the first number (coqui-tts imports what spells it): only its beginning is made.
The engine's pace is learnt from the rest, and how loud it is from the last.
"""
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 1.0, 60.0
_WORKER_JOIN_SECONDS = 1.0
LOAD_SECONDS = 120.0
"""Loading an engine may take so long before it counts as failed; it goes on nevertheless."""


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is made from: its name and its options."""

    name: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def make(self) -> Engine:
        """A new engine. Raises `EngineUnavailable` and `SettingError` as `create_engine` does."""
        return create_engine(self.name, self.options)


def load(spec: EngineSpec, engine: Engine, phrases: PhraseCache | None = None) -> LoadedEngine:
    """Load an engine, and warm it up unless it streams; compile how texts are rewritten for it.

    An engine that streams speaks at once: it has no use for `phrases`.

    Raises `EngineError`; `EngineUnavailable` when it can't run on this machine.
    """
    engine.load()
    loaded = LoadedEngine(engine, spec.name) if streams(engine) else _warm(spec, engine, phrases)
    prepare(language_of(engine, engine.default_voice), SPEAKABLE)
    return loaded


def _warm(spec: EngineSpec, engine: Engine, phrases: PhraseCache | None) -> LoadedEngine:
    """An engine that does not stream, warmed up. Raises like `load`."""
    try:
        require_splitter()
    except MissingSplitter as error:
        raise EngineUnavailable(str(error)) from error
    fingerprint = fingerprint_of(spec.name, spec.options)
    loaded = LoadedEngine(engine, spec.name, phrases=phrases, fingerprint=fingerprint)
    warm_up(loaded)
    return loaded


def warm_up(loaded: LoadedEngine, clock: Callable[[], float] = time.monotonic) -> None:
    """Have an engine speak `WARM_UPS`; learn its pace (`clock` gives seconds) and its loudness."""
    engine = loaded.engine
    voice = engine.find_voice(engine.default_voice)
    for number, text in enumerate(WARM_UPS):
        began, chunker = clock(), Chunker()
        blocks, spoken = [], [EMPTY_PCM]
        for block in trimmed(engine.synthesise(text, voice, NORMAL), engine.sample_rate):
            frames = sum(map(len, chunker.push(block.pcm)))
            blocks.append(MadeBlock(clock() - began, frames / engine.sample_rate))
            spoken.append(block.pcm)
            if number == 0:
                break
        if number > 0:
            loaded.pace.learn(weighted_length(text), blocks)
            pcm = np.concatenate(spoken)
            loaded.measured_lufs = integrated_loudness(pcm, engine.sample_rate)


class EngineSlot:
    """Holds one engine: `loaded` is the one that speaks now, None before the first was loaded.

    `load` is called with an engine that was made from `spec`, may take long, and may raise. Loading
    in the background goes on, with growing pauses, until it succeeds; `on_loaded` and `on_failure`
    are called from its thread, which lasts no longer than that. `on_failure` is also called, from
    another thread, when loading takes more than `load_seconds`: it may hang for ever.
    """

    def __init__(
        self,
        spec: EngineSpec,
        load: Callable[[Engine], LoadedEngine],
        *,
        on_loaded: Callable[[], None] = lambda: None,
        on_failure: Callable[[Exception], None] = lambda _: None,
        load_seconds: float = LOAD_SECONDS,
    ) -> None:
        self.spec = spec
        self.loaded: LoadedEngine | None = None
        self._load_engine = load
        self._on_loaded = on_loaded
        self._on_failure = on_failure
        self._load_seconds = load_seconds
        self._changed = threading.Condition()
        self._engine: Engine | None = None
        """Made, and not loaded yet."""
        self._lost: LoadedEngine | None = None
        """To be closed before the next one is loaded."""
        self._overdue: threading.Timer | None = None
        self._is_wanted = False
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def is_ready(self) -> bool:
        """There is an engine that can speak."""
        return self.loaded is not None and not self.loaded.is_loading

    def make(self) -> None:
        """Make the engine that is loaded next. Raises what `EngineSpec.make` does."""
        self._engine = self.spec.make()

    def load(self) -> None:
        """Load an engine in the caller's thread. Raises what making and loading it raises."""
        engine = self._engine = self._engine or self.spec.make()
        self._overdue = overdue = threading.Timer(self._load_seconds, self._note_overdue, [engine])
        overdue.daemon = True
        overdue.start()
        try:
            loaded = self._load_engine(engine)
        except BaseException:
            engine.close()
            raise
        finally:
            overdue.cancel()
            self._engine = None
        self._install(loaded)

    def replace(self, lost: LoadedEngine) -> None:
        """Load another engine in place of `lost`, in the background. Returns at once.

        Until then `loaded` stands in for it, and utterances wait there; they fail, and so do later
        ones, when loading fails.
        """
        with self._changed:
            if lost is not self.loaded or lost.is_loading or self._closing:
                return
            self._lost = lost
            self.loaded = LoadedEngine(lost.engine, lost.name, is_loading=True)
        self.load_in_background()

    def load_in_background(self) -> None:
        """Load an engine in a thread of its own. Returns at once."""
        with self._changed:
            self._is_wanted = True
            if self._thread is None and not self._closing:
                name = f"loading {self.spec.name}"
                self._thread = threading.Thread(target=self._keep_loading, name=name, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the engine, and loading it. May block as long as closing an engine does."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if (overdue := self._overdue) is not None:
            overdue.cancel()
        for loaded in (self._lost, self.loaded):
            if loaded is not None:
                loaded.close(_WORKER_JOIN_SECONDS)
        if (engine := self._engine) is not None:
            engine.close()

    def join(self, timeout: float) -> bool:
        """Wait for loading to end after `close`. False if it has not after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def _keep_loading(self) -> None:
        pause = _FIRST_RETRY_SECONDS
        while self._is_still_wanted():
            if self._try_to_load():
                pause = _FIRST_RETRY_SECONDS
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._closing, pause)
            pause = min(2 * pause, _LAST_RETRY_SECONDS)

    def _try_to_load(self) -> bool:
        """Load an engine in place of the lost one. False, and utterances fail, if that fails."""
        lost, self._lost = self._lost, None
        try:
            if lost is not None:
                lost.close(_WORKER_JOIN_SECONDS)
            self.load()
        except Exception as error:
            _logger.debug("loading failed", exc_info=True)
            self._fail_waiting(error)
            return False
        self._on_loaded()
        return True

    def _note_overdue(self, engine: Engine) -> None:
        """Loading `engine` takes too long: it is a failure, unless it ends well after all."""
        if engine is self._engine:
            seconds = f"{self._load_seconds:g} s"
            self._fail_waiting(
                EngineError(f"engine {self.spec.name!r} is still being loaded after {seconds}")
            )

    def _fail_waiting(self, error: Exception) -> None:
        """Report a failure to load; utterances that wait for the engine fail, and so do later ones
        until one is loaded.
        """
        with self._changed:
            if self._closing:
                return
            waiting = self.loaded
        self._on_failure(error)
        if waiting is not None and waiting.is_loading:
            waiting.worker.close(EngineError(describe(error)))

    def _is_still_wanted(self) -> bool:
        """Whether to load an engine; if not, the thread ends."""
        with self._changed:
            if self._is_wanted and not self._closing:
                return True
            self._thread = None
            self._changed.notify_all()
            return False

    def _install(self, loaded: LoadedEngine) -> None:
        """Have an engine speak from now on, also the utterances that waited for it."""
        with self._changed:
            stand_in, self.loaded = self.loaded, loaded
            self._is_wanted = False
            is_too_late = self._closing
        if stand_in is not None:
            stand_in.worker.close(EngineError(f"engine {self.spec.name!r} was loaded"))
        if is_too_late:
            loaded.close(_WORKER_JOIN_SECONDS)


def describe(fault: Exception) -> str:
    """A fault in words."""
    is_clear = isinstance(fault, EngineError | SettingError)
    return str(fault) if is_clear else f"{type(fault).__name__}: {fault}"
