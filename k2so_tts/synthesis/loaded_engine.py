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

"""An engine that is loaded, and what all utterances share that it speaks."""

from __future__ import annotations

import weakref
from contextlib import suppress

from k2so_tts.engines import Engine, EngineError, UnknownVoice, loudness_of
from k2so_tts.synthesis.engine_worker import EngineWorker
from k2so_tts.synthesis.pace import PaceEstimator
from k2so_tts.synthesis.phrase_cache import PhraseCache

REFERENCE_LUFS = -20.7
"""How loud voices are made (ITU-R BS.1770): as loud as espeak's default voice is by itself."""
_MOST_GAIN = 4.0
"""A voice is amplified or attenuated by this much (linear) at most."""


class LoadedEngine:
    """An engine that is loaded, and the `worker` whose thread it speaks in.

    What it says is kept in `phrases`, if that is worth it, as made by `fingerprint`
    (`phrase_cache.fingerprint_of`). With `is_loading` it stands in for an engine that is still
    being loaded: utterances wait in its worker until it is closed, and `engine` is the one that is
    being replaced, of which voices and sample rate are known.

    Its owner closes it. One that is garbage collected ends the thread of its worker, but does not
    close its engine.
    """

    def __init__(
        self,
        engine: Engine,
        name: str = "",
        *,
        phrases: PhraseCache | None = None,
        fingerprint: str = "",
        is_loading: bool = False,
    ) -> None:
        self.engine = engine
        self.name = name
        self.phrases = phrases
        self.fingerprint = fingerprint
        self.is_loading = is_loading
        self.abandoned = False
        """It hangs, and nothing waits for it any more."""
        self.pace = PaceEstimator()
        self.measured_lufs: float | None = None
        """How loud the warm-up was; for voices of which the engine does not know it."""
        self.worker = EngineWorker(name, on_hold=is_loading)
        forgotten = EngineError(f"engine {name!r} is not used any more")
        weakref.finalize(self, self.worker.close, forgotten).atexit = False

    def gain_of(self, voice: str) -> float:
        """The linear gain that makes a voice as loud as others; 1.0 if its loudness is unknown."""
        known = loudness_of(self.engine, voice)
        lufs = self.measured_lufs if known is None else known
        if lufs is None:
            return 1.0
        gain: float = 10.0 ** ((REFERENCE_LUFS - lufs) / 20.0)
        return min(max(gain, 1.0 / _MOST_GAIN), _MOST_GAIN)

    def voice_in(self, language: str, like: str) -> str | None:
        """The voice for another language (BCP 47), the nearest one to the voice `like`: of the same
        variant or speaker if there is one. None if the engine does not speak the language.
        """
        base, plus, variant = like.partition("+")  # espeak: en-us+f3
        speaker, at, _ = base.partition("@")  # coqui: anna@en
        names = [f"{language}+{variant}"] if plus else []
        names += [f"{speaker}@{language}"] if at else []
        for name in [*names, language]:
            with suppress(UnknownVoice):
                return self.engine.find_voice(name)
        return None

    def abandon(self) -> None:
        """Stop waiting for an engine that hangs: the utterances in its worker fail at once.

        The thread that hangs in it, a daemon, is left behind, and ends if the engine ever returns.
        """
        self.abandoned = True
        self.worker.close(EngineError(f"engine {self.name!r} hangs"))

    def close(self, timeout: float = 0.0) -> bool:
        """End the engine, and its thread with it.

        Returns whether the thread ended within `timeout` seconds; one that was abandoned is not
        waited for.
        """
        self.worker.close(EngineError(f"engine {self.name!r} was closed"))
        if not self.is_loading:
            self.engine.close()
        return self.abandoned or self.worker.join(timeout)
