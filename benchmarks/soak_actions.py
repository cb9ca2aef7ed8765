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

"""What the soak test does to a robot, at random: goals of both actions, streams that are written,
interruptions, cancellations, parameters and company.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from k2so_tts_msgs.action import Speak
from support.company import Company
from support.ros import ABORTED, CANCELED, SUCCEEDED, Goal, Observer
from support.soak import UNFINISHED, Report
from support.speak import SpeakClient, SpeakGoal

from k2so_tts.engines import Prosody
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.ros.executors import ask
from k2so_tts.ros.speech_queue import INTERRUPT, QUEUE, REJECT, REPLACE
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
INTERRUPTING = 0.5
"""Part of the goals of `speak` that interrupt; the others follow the round's policy."""
PRIORITIES = (0, 0, 0, 1)
STREAMED = 0.5
"""Part of the goals of `speak` whose text is a stream, which is written by and by."""
VOLUMES = (0.5, 0.75, 1.0)
"""Of the player, set between rounds: a change is heard as a ramp of 20 ms."""


@dataclass(eq=False)
class SentGoal:
    """A goal, how it should sound, and which outcomes the rules allow."""

    goal: Goal | SpeakGoal
    text: str
    voice: str
    prosody: Prosody
    volume: float
    priority: int
    may_be_refused: bool
    stream: str = ""
    """Where its text is still being written."""
    cancelled: bool = False
    may_be_aborted: bool = False
    may_be_interrupted: bool = False

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
    def heard(self) -> str:
        """What was heard of it, by its result; empty while there is none."""
        if isinstance(self.goal, Goal):
            return self.goal.text
        return self.goal.result.heard if self.goal.status is not None else ""

    @property
    def violation(self) -> str | None:
        """How its outcome breaks the rules, if it does."""
        is_allowed = {
            "succeeded": self.goal.status is not None and self._is_heard_whole,
            "canceled": self.cancelled,
            "aborted": self.may_be_aborted,
            "rejected": self.may_be_refused,
            UNFINISHED: True,
        }
        if is_allowed[self.outcome]:
            return None
        return f"a goal was {self.outcome}: {self.text!r}, heard {self.heard!r}{self._told}"

    @property
    def _told(self) -> str:
        """What else its client was told, if it is one of `speak`."""
        if isinstance(self.goal, Goal) or self.goal.status is None:
            return ""
        words = " ".join(word.word for _, word in self.goal.words)
        return f", {self.goal.result.message!r}, told {words!r}"

    @property
    def _is_heard_whole(self) -> bool:
        """Whether its result says so, and so do its words, each of which was told once."""
        if isinstance(self.goal, Goal):
            return self.heard == clean(self.text)
        words = [word for _, word in self.goal.words]
        ends = [0, *(word.text_end for word in words)]
        return (
            self.goal.result.reason == Speak.Result.FINISHED
            and self.heard == clean(self.text)
            and all(word.word == self.text[word.text_start : word.text_end] for word in words)
            and all(word.text_start >= end for word, end in zip(words, ends, strict=False))
            and not any(letter.isalnum() for letter in self.text[ends[-1] :])
        )


class RandomActions:
    """One random action after the other, drawn from `random`, on a robot that runs."""

    def __init__(
        self, observer: Observer, company: Company, engine: EspeakEngine, report: Report
    ) -> None:
        self.random = random.Random()
        self._observer = observer
        self._client = SpeakClient(observer)
        self._company = company
        self._engine = engine
        self._report = report
        self._settings: dict[str, Any] = {"rate": 1.0, "pitch": 1.0, "volume": 1.0}
        self._settings |= {"queue_policy": QUEUE, "max_queue": 32}
        self._sent: list[SentGoal] = []
        self._streams = 0

    def close(self) -> None:
        """Destroy the client."""
        self._client.close()

    def act(self) -> None:
        """Do one thing: most often send a goal, least often change the company."""
        actions = (
            self._say,
            self._speak,
            self._write,
            self._cancel,
            self._change_parameter,
            self._change_players,
            self._change_subscribers,
        )
        action = self.random.choices(actions, (5, 5, 4, 3, 3, 1, 2))[0]
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

    def end_streams(self) -> None:
        """End all texts that are still being written."""
        for sent in self.unfinished():
            self._end(sent)

    def _say(self, _: float) -> None:
        """Send a goal of `say`: a few words, sometimes several sentences."""
        fields, text = self._draw_fields(), self._draw_words(8)
        if len(self.unfinished()) < MOST_UNFINISHED:
            may_be_refused = self._foresee(0, self._settings["queue_policy"])
            goal = self._observer.send(text, **fields)
            self._remember(goal, text, fields, 0, may_be_refused)

    def _speak(self, which: float) -> None:
        """Send a goal of `speak`, of a text or of the beginning of a stream."""
        draw = self.random
        fields, priority = self._draw_fields(), draw.choice(PRIORITIES)
        is_urgent, is_streamed = draw.random() < INTERRUPTING, which < STREAMED
        text = self._draw_words(4 if is_urgent else 8)
        if len(self.unfinished()) >= MOST_UNFINISHED:
            return
        policy = INTERRUPT if is_urgent else self._settings["queue_policy"]
        may_be_refused = self._foresee(priority, policy)
        self._streams += is_streamed
        stream = f"stream {self._streams}" if is_streamed else ""
        goal = self._client.send(
            text,
            priority=priority,
            policy=Speak.Goal.INTERRUPT if is_urgent else Speak.Goal.DEFAULT,
            stream=stream,
            **fields,
        )
        self._remember(goal, text, fields, priority, may_be_refused, stream)

    def _foresee(self, priority: int, policy: str) -> bool:
        """What a goal that is about to be sent may do to the others; whether it may be refused."""
        others = self.unfinished()
        is_full = len(others) >= self._settings["max_queue"]
        for other in others:
            if other.priority <= priority:
                other.may_be_aborted |= policy == REPLACE or is_full
                other.may_be_interrupted |= policy == INTERRUPT
        is_first = all(other.priority < priority for other in others)
        return is_full or (policy == REJECT and not is_first)

    def _remember(
        self,
        goal: Goal | SpeakGoal,
        text: str,
        fields: dict[str, Any],
        priority: int,
        may_be_refused: bool,
        stream: str = "",
    ) -> None:
        settings = self._settings
        self._sent.append(
            SentGoal(
                goal,
                text,
                self._engine.find_voice(fields["language"]),
                Prosody(fields["rate"] * settings["rate"], settings["pitch"]),
                fields["volume"] * settings["volume"],
                priority,
                may_be_refused,
                stream,
            )
        )

    def _draw_fields(self) -> dict[str, Any]:
        draw = self.random
        return {
            "language": draw.choice(LANGUAGES),
            "rate": draw.choice((0.5, 0.75, 1.0, 1.25, 2.0)),
            "volume": draw.choice((0.5, 1.0)),
        }

    def _draw_words(self, about: int) -> str:
        draw = self.random
        words = draw.choices(VOCABULARY.split(), k=min(40, 1 + int(draw.expovariate(1 / about))))
        return " ".join(words)

    def _write(self, which: float) -> None:
        """Write more of a stream, a few characters at a time, and sometimes its end."""
        more, is_end = f" {self._draw_words(6)}", self.random.random() < 0.5
        writing = [sent for sent in self.unfinished() if sent.stream]
        if not writing:
            return
        sent = writing[int(which * len(writing))]
        sent.text += more
        self._client.write(sent.stream, (more[at : at + 3] for at in range(0, len(more), 3)))
        if is_end:
            self._end(sent)

    def _end(self, sent: SentGoal) -> None:
        if sent.stream:
            self._client.write(sent.stream, (), end=True)
            sent.stream = ""

    def _cancel(self, which: float) -> None:
        unfinished = self.unfinished()
        if unfinished:
            sent = unfinished[int(which * len(unfinished))]
            self._observer.wait(lambda: sent.goal.accepted is not None)
            if sent.goal.accepted:
                sent.cancelled = True
                ask(self._observer._executor, sent.goal.handle.cancel_goal_async)

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
