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

"""What the soak test does to a robot: goals, cancellations, parameters and company, at random."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from support.company import Company
from support.ros import ABORTED, CANCELED, SUCCEEDED, Goal, Observer
from support.soak import UNFINISHED, Report

from k2so_tts.engines import Prosody
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.ros.speech_queue import QUEUE, REJECT, REPLACE
from k2so_tts.text.stream import clean

SERVER, PLAYER = "/speak_server", "/audio_player"
MOST_UNFINISHED = 4
MOST_COMPANY = 2

OUTCOMES = {SUCCEEDED: "succeeded", CANCELED: "canceled", ABORTED: "aborted"}
LANGUAGES = ("en-us", "en-gb", "de", "fr-fr", "es", "it", "pl", "sv", "pt")
VOCABULARY = (
    "I am the robot of this house and you are standing in front of my left wheel . , ! ? 42 "
    "Straße über größer coração señor łódź garçon 3.14 please wait until the door has opened"
)
SERVER_CHANGES: dict[str, Sequence[Any]] = {
    "max_queue": (2, 32),
    "rate": (0.75, 1.0, 1.5),
    "pitch": (0.75, 1.0, 1.25),
    "volume": (0.5, 0.75, 1.0),
    "streaming": (True, False),
    "warn_latency_ms": (500.0, 1000.0),
}
PLAYER_CHANGES: dict[str, Sequence[Any]] = {
    "prebuffer_chunks": (3, 4, 6),
    "max_buffer": (15.0, 30.0),
    "publishers": ("in_turn", "mix"),
    "warn_underruns": (1, 2),
    "warn_latency_ms": (500.0, 1000.0),
}
"""At least three chunks of prebuffer: two leave 149 ms of sound behind the resampler, and this
device asks for 300 ms at once, so that it would always run dry."""
POLICIES = (QUEUE, QUEUE, REPLACE, REJECT)
"""One of these for each round."""
VOLUMES = (0.5, 0.75, 1.0)
"""Of the player, set between rounds: a change is heard as a ramp of 20 ms."""


@dataclass(eq=False)
class SentGoal:
    """A goal, how it should sound, and which outcomes the rules allow."""

    goal: Goal
    text: str
    voice: str
    prosody: Prosody
    volume: float
    may_be_refused: bool
    cancelled: bool = False
    replaced: bool = False

    @property
    def ended(self) -> bool:
        """Whether it has a terminal state, or was rejected."""
        return self.goal.status is not None or self.goal.accepted is False

    @property
    def outcome(self) -> str:
        """Its terminal state in words, `rejected` or `UNFINISHED`."""
        if self.goal.accepted is False:
            return "rejected"
        return OUTCOMES.get(self.goal.status or 0, UNFINISHED)

    @property
    def violation(self) -> str | None:
        """How its outcome breaks the rules, if it does."""
        allowed = {
            "succeeded": self.goal.text == clean(self.text),
            "canceled": self.cancelled,
            "aborted": self.replaced,
            "rejected": self.may_be_refused,
            UNFINISHED: True,
        }
        if allowed[self.outcome]:
            return None
        return f"a goal was {self.outcome}: {self.text[:40]!r}, heard {self.goal.text[:40]!r}"


class RandomActions:
    """One random action after the other, drawn from `random`, on a robot that runs."""

    def __init__(
        self, observer: Observer, company: Company, engine: EspeakEngine, report: Report
    ) -> None:
        self.random = random.Random()
        self._observer = observer
        self._company = company
        self._engine = engine
        self._report = report
        self._settings: dict[str, Any] = {"rate": 1.0, "pitch": 1.0, "volume": 1.0}
        self._settings |= {"queue_policy": QUEUE, "max_queue": 32}
        self._sent: list[SentGoal] = []

    def act(self) -> None:
        """Do one thing: most often send a goal, least often change the company."""
        actions = (
            self._speak,
            self._cancel,
            self._change_parameter,
            self._change_players,
            self._change_subscribers,
        )
        action = self.random.choices(actions, (10, 3, 3, 1, 2))[0]
        action(self.random.random())

    def set_parameter(self, node: str, name: str, value: Any) -> None:
        """Set a parameter of a node; a refusal is reported."""
        result = self._observer.set_parameter(node, name, value)
        if not result.successful:
            self._report.surprises.append(f"{node} refused {name}={value!r}: {result.reason}")
        if node == SERVER:
            self._settings[name] = value

    def unfinished(self) -> list[SentGoal]:
        """The goals that have not ended."""
        return [sent for sent in self._sent if not sent.ended]

    def take_sent(self) -> list[SentGoal]:
        """All goals sent since the last call."""
        taken, self._sent = self._sent, []
        return taken

    def _speak(self, _: float) -> None:
        """Send a goal of a few words, sometimes of several sentences."""
        draw, settings = self.random, self._settings
        words = draw.choices(VOCABULARY.split(), k=min(40, 1 + int(draw.expovariate(1 / 8))))
        text = " ".join(words)
        language = draw.choice(LANGUAGES)
        rate, volume = draw.choice((0.5, 0.75, 1.0, 1.25, 2.0)), draw.choice((0.5, 1.0))
        unfinished = self.unfinished()
        if len(unfinished) >= MOST_UNFINISHED:
            return
        policy = settings["queue_policy"]
        for other in unfinished:
            other.replaced |= policy == REPLACE
        full = policy == QUEUE and len(unfinished) >= settings["max_queue"]
        self._sent.append(
            SentGoal(
                self._observer.send(text, language, volume, rate),
                text,
                self._engine.find_voice(language),
                Prosody(rate * settings["rate"], settings["pitch"]),
                volume * settings["volume"],
                may_be_refused=full or (policy == REJECT and bool(unfinished)),
            )
        )

    def _cancel(self, which: float) -> None:
        unfinished = self.unfinished()
        if unfinished:
            sent = unfinished[int(which * len(unfinished))]
            self._observer.wait(lambda: sent.goal.accepted is not None)
            if sent.goal.accepted:
                sent.cancelled = True
                self._observer.cancel(sent.goal)

    def _change_parameter(self, which: float) -> None:
        node, changes = (SERVER, SERVER_CHANGES) if which < 0.5 else (PLAYER, PLAYER_CHANGES)
        name = self.random.choice(tuple(changes))
        self.set_parameter(node, name, self.random.choice(changes[name]))

    def _change_players(self, which: float) -> None:
        company = self._company
        device = self.random.choice(("null", "wav"))
        if company.players and (which < 0.5 or len(company.players) == MOST_COMPANY):
            company.leave(signal.SIGKILL if which < 0.15 else signal.SIGINT)
        else:
            company.join(device)

    def _change_subscribers(self, which: float) -> None:
        if self._company.bystanders and which < 0.5:
            self._company.unsubscribe()
        else:
            self._company.subscribe()
