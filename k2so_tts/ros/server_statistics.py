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

"""What `speak_server` counts and measures: one utterance at a time, and over the last hundred."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from k2so_tts.metrics import SynthesisStats
from k2so_tts.ros.diagnostics import RollingMetric, StatusReport
from k2so_tts.ros.endings import Outcome
from k2so_tts.synthesis.synthesis import describe_unreadable


class ServerStatistics:
    """The outcomes of goals, and the latency and pace of those that succeeded."""

    def __init__(self) -> None:
        self.spoken_by = ""
        """The engine that spoke last; empty: none has."""
        self.warnings: tuple[str, ...] = ()
        """What of the last utterance the engine had no voice for."""
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._last: SynthesisStats | None = None
        self._latency = RollingMetric("perceived_latency_ms", 1000)
        self._first_chunk = RollingMetric("time_to_first_chunk_ms", 1000)
        self._text_wait = RollingMetric("text_wait_ms", 1000)
        self._real_time_factor = RollingMetric("real_time_factor")

    @property
    def latency_ms(self) -> float | None:
        """The perceived latency of the last utterance; None if no player reported it."""
        return self._latency.last

    def count(self, outcome: Outcome) -> None:
        """Count a goal, or a streamed text, that has ended."""
        self._outcomes[outcome] += 1

    def note_speaker(self, engine: str, unreadable: Collection[str]) -> None:
        """An engine has spoken; it had no voice for parts in these languages (BCP 47)."""
        self.spoken_by = engine
        self.warnings = (describe_unreadable(engine, unreadable),) if unreadable else ()

    def add(self, stats: SynthesisStats) -> None:
        """Take in what was measured of an utterance that was spoken to its end."""
        self._last = stats
        self._latency.add(stats.perceived_latency_s)
        self._first_chunk.add(stats.first_chunk_s)
        self._text_wait.add(stats.text_wait_s)
        self._real_time_factor.add(stats.real_time_factor)

    def values(self) -> dict[str, object]:
        """The values in the diagnostics, by key."""
        values: dict[str, object] = {"spoken_by": self.spoken_by}
        for outcome, count in self._outcomes.items():
            values[f"goals_{outcome.value}"] = count
        metrics = (self._latency, self._first_chunk, self._text_wait, self._real_time_factor)
        for metric in metrics:
            values.update(metric.values())
        if self._last is not None:
            values["duration_s"] = self._last.duration_s
        return values

    def assess(self, report: StatusReport, settings: Mapping[str, Any]) -> None:
        """Add a complaint if the last utterance was heard late, made slowly, or not readable.

        Args:
            report: what it is added to.
            settings: the values of the node's parameters, with the limits.
        """
        report.warnings += self.warnings
        if self._latency.last is not None:
            remedy = self._remedy(self._latency.last, streaming=settings["streaming"])
            report.assess_latency(self._latency.last, settings, remedy)
        factor, limit = self._real_time_factor.last, settings["warn_real_time_factor"]
        if factor is not None and factor > limit:
            report.warnings.append(
                f"the engine took {factor:.2f} s for a second of the last utterance "
                f"(warn_real_time_factor: {limit:g}), so speech will run dry: choose a faster "
                "engine or voice"
            )

    def _remedy(self, latency_ms: float, *, streaming: bool) -> str:
        """Where the latency of the last utterance comes from, and what to do about it."""
        engine_ms = self._first_chunk.last or 0.0
        if engine_ms > latency_ms / 2:
            remedy = "choose a faster engine or voice" if streaming else "set streaming to true"
            return f"{engine_ms:.0f} ms of it until the engine's first chunk; {remedy}"
        return (
            f"{latency_ms - engine_ms:.0f} ms of it after the first chunk; see buffering_ms and "
            "device_xruns of audio_player"
        )
