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

"""Checks goals before they are accepted: every field, and whether there is room for one more."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from k2so_tts.engines import UnknownVoice
from k2so_tts.ros.actions import SpeechRequest
from k2so_tts.ros.admission import Admission, GoalRefused
from k2so_tts.ros.server_parameters import PITCH, RATE, VOLUME
from k2so_tts.settings import brief
from k2so_tts.synthesis.synthesis import SynthesisOptions

FindOptions = Callable[[str, float, float, float], SynthesisOptions]


@dataclass(frozen=True)
class Admitted:
    """How an utterance is spoken, and the key of the one that gives way to it, if one has to."""

    options: SynthesisOptions
    dropped: Hashable | None


class Reception:
    """Admits goals, and texts without one.

    Args:
        settings: the values of the node's parameters, as they are now.
        options: how to speak in a voice or language, at a rate, volume and pitch; raises
            `UnknownVoice`.
        is_open: whether a goal speaks the stream with a name.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        options: FindOptions,
        is_open: Callable[[str], bool],
    ) -> None:
        self.line = Admission()
        self._settings = settings
        self._find_options = options
        self._is_open = is_open

    def admit(self, request: SpeechRequest) -> Admitted:
        """Raises `GoalRefused`."""
        longest = self._settings["max_text_length"]
        if len(request.text) > longest:
            raise GoalRefused(
                f"text has {len(request.text)} characters; allowed: {longest} (max_text_length)"
            )
        for name, (low, high) in {"volume": VOLUME, "rate": RATE, "pitch": PITCH}.items():
            value = getattr(request, name)
            if not low <= value <= high:
                raise GoalRefused(f"{name} is {value:g}; allowed: {low} to {high}")
        if self._is_open(request.stream):
            raise GoalRefused(f"stream is {brief(request.stream)}, which another goal speaks")
        options = self._options(request)
        policy = request.policy or self._settings["queue_policy"]
        dropped = self.line.check(policy, request.priority, self._settings["max_queue"])
        return Admitted(options, dropped)

    def _options(self, request: SpeechRequest) -> SynthesisOptions:
        name, wanted = ("voice", request.voice) if request.voice else ("language", request.language)
        try:
            return self._find_options(wanted, request.rate, request.volume, request.pitch)
        except UnknownVoice as error:
            raise GoalRefused(
                f"{name} is {brief(wanted)}: {error}; see 'k2so-tts voices'"
            ) from error
