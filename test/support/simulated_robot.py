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

"""A robot in simulated time: players and engines around a real `SpeechQueue`."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from k2so_tts.audio import Chunk, Pcm, frames_to_ns, ns_to_frames
from k2so_tts.ros.endings import Ending, Outcome
from k2so_tts.ros.speech_queue import INTERRUPT, QueueSettings, SpeechQueue
from k2so_tts.ros.utterance import Utterance
from k2so_tts.ros.wire_timeline import PlayerTrack
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions
from k2so_tts.synthesis.word_timeline import TimedWord
from support.scripted_synthesis import TICK, Part, Say, ScriptedSynthesis, words

RATE = 1000
CHUNK = 100
EPOCH_NS = 1_700_000_000_000_000_000
ROUNDING_NS = 1
ROUNDING_FRAMES = 2
"""Stamps are rounded: a gap that is no longer than this may not show."""
LEAD = 1.0
SETTINGS = QueueSettings(max_lead=LEAD, engine_timeout=2.0, player_wait=5.0)


CONCEALED = -1
"""The key of a piece that stands in for frames that were lost."""


@dataclass
class Piece:
    """Some frames of the utterance with this key, from its frame `first` on."""

    key: int
    first: int
    frames: int
    stamp_ns: int


@dataclass
class Track:
    """What the player has received between two end markers."""

    pieces: list[Piece] = field(default_factory=list)
    ended: bool = False
    chunks: int = 0
    began: bool = False

    @property
    def total(self) -> int:
        return sum(piece.frames for piece in self.pieces)

    def conceal_until(self, stamp_ns: int, rate: int) -> None:
        """Fill the gap before this stamp, as far as there is one."""
        end_ns = self.pieces[-1].stamp_ns + frames_to_ns(self.pieces[-1].frames, rate)
        missing = ns_to_frames(stamp_ns - end_ns, rate)
        if missing > 1:
            self.pieces.append(Piece(CONCEALED, 0, missing, end_ns))

    def lost_before(self, position: int) -> int:
        """How many frames were lost once the first lost one has been passed."""
        start, lost = 0, 0
        for piece in self.pieces:
            if piece.key == CONCEALED and (lost or position > start):
                lost += piece.frames
            start += piece.frames
        return lost


class WirePlayer:
    """Keeps the wire contract: begins with the third chunk or the end marker, reports its
    playhead.
    """

    def __init__(
        self, robot: SimulatedRobot, *, reports: bool = True, counts: bool = True, name: str = ""
    ) -> None:
        self.reports = reports
        self.counts = counts
        self.loses: frozenset[int] = frozenset()
        """The chunks, by their first frames, that never reach it."""
        self.loses_beginnings = True
        """Whether it may lose the first chunk of a part."""
        self.name = name
        self.stopped = False
        self.heard: list[tuple[int, int]] = []
        self._robot = robot
        self._tracks: list[Track] = []
        self._playing = False
        self._anchor = (0.0, 0)
        self._next_report = math.inf
        self._mailbox: list[tuple[int, int, int, int, int]] = []

    def stop(self) -> None:
        """SIGSTOP."""
        self.update()
        self.stopped = True

    def resume(self) -> None:
        """SIGCONT: what has come meanwhile is read now."""
        self._anchor = (self._robot.now, self._anchor[1])
        self._next_report = min(self._next_report, self._robot.now + 0.05)
        self.stopped = False
        mailbox, self._mailbox = self._mailbox, []
        for message in mailbox:
            self.receive(*message)

    def receive(self, key: int, first: int, frames: int, stamp_ns: int, rate: int) -> None:
        if self.stopped:
            self._mailbox.append((key, first, frames, stamp_ns, rate))
            return
        self.update()
        if not frames:
            self._cut(stamp_ns, rate)
        elif not self._loses(first, frames):
            if not self._is_open:
                self._tracks.append(Track())
            track = self._tracks[-1]
            if not track.pieces or stamp_ns > track.pieces[-1].stamp_ns:
                if track.pieces:
                    track.conceal_until(stamp_ns, rate)
                track.pieces.append(Piece(key, first, frames, stamp_ns))
                track.chunks += 1
        self.update()

    @property
    def _is_open(self) -> bool:
        return bool(self._tracks) and not self._tracks[-1].ended

    def _loses(self, first: int, frames: int) -> bool:
        may_lose = self.loses_beginnings or self._is_open
        return may_lose and first in self.loses and frames > ROUNDING_FRAMES

    def _cut(self, stamp_ns: int, rate: int) -> None:
        for track in self._tracks:
            for piece in track.pieces:
                kept = ns_to_frames(stamp_ns - piece.stamp_ns, rate)
                piece.frames = min(piece.frames, max(0, kept))
        if self._is_open:
            if self.loses:
                self._tracks[-1].conceal_until(stamp_ns, rate)
            self._tracks[-1].ended = True

    def next_event(self) -> float:
        if self.stopped or not self._tracks:
            return math.inf
        return min(self._end_at(), self._next_report) if self._playing else self._next_report

    def _end_at(self) -> float:
        at, position = self._anchor
        return at + (self._tracks[0].total - position) / self._robot.rate

    def update(self) -> None:
        """Play up to now."""
        if self.stopped:
            return
        while self._tracks and self._play(self._tracks[0]):
            pass
        if self._tracks and self._next_report <= self._robot.now + TICK:
            self._report(self._position())

    def _play(self, track: Track) -> bool:
        """Play on; True when something else begins."""
        now = self._robot.now
        if not self._playing:
            if not (track.ended or track.chunks >= 3):
                return False
            self._playing = True
            self._anchor = (now, self._anchor[1] if track.began else 0)
            if not track.began and track.total:
                track.began = True
                self._report(0)
        position = self._position()
        if track.began:
            self._hear(track, position)
        if position < track.total:
            return False
        self._playing = False
        if track.ended:
            if track.began:
                self._report(position)
            self._tracks.pop(0)
            self._next_report = math.inf
        else:
            track.chunks = 0
            self._anchor = (now, position)
        return track.ended

    def _position(self) -> int:
        at, position = self._anchor
        if not self._playing:
            return position
        played = int((self._robot.now - at + TICK) * self._robot.rate)
        return max(position, min(position + played, self._tracks[0].total))

    def _hear(self, track: Track, position: int) -> None:
        for piece in track.pieces:
            frames = min(piece.frames, position)
            position -= frames
            if frames and piece.key != CONCEALED:
                self._robot.hear(self, piece.key, piece.first, piece.first + frames)

    def _report(self, position: int) -> None:
        self._next_report = self._robot.now + 0.05
        if not self.reports:
            return
        reported = position
        last = self._tracks[0].pieces[-1]
        stamp_ns = last.stamp_ns + frames_to_ns(last.frames, self._robot.rate)
        for piece in self._tracks[0].pieces:
            if position < piece.frames:
                stamp_ns = piece.stamp_ns + frames_to_ns(position, self._robot.rate)
                break
            position -= piece.frames
        track = self._tracks[0]
        of = None
        if self.counts:
            of = PlayerTrack(track.pieces[0].stamp_ns, track.lost_before(reported))
        self._robot.reported.append((stamp_ns, self.name, of))


@dataclass
class Goal:
    """What the robot knows of a goal."""

    parts: tuple[Part, ...]
    utterance: Utterance
    script: ScriptedSynthesis | None = None
    begun: bool = False
    ending: Ending | None = None
    outcome: Outcome | None = None
    text: str = ""
    reason: str | None = None
    words: list[tuple[float, TimedWord, float]] = field(default_factory=list)
    upcoming: list[tuple[float, TimedWord]] = field(default_factory=list)
    ended_at: float = math.nan
    sent: list[tuple[float, int, Chunk]] = field(default_factory=list)
    markers: list[tuple[float, int]] = field(default_factory=list)
    spans: int = 0
    end_ns: int = 0
    """The stamp of the end of what was sent."""
    span: tuple[int, int] | None = None
    replayed: int = 0
    feedback: list[tuple[float, int]] = field(default_factory=list)
    by_the_clock: bool = False
    heard_to: int = 0
    intact_to: int = 0
    heard_at: float = math.nan

    def fail_over(self) -> bool:
        return self.script is not None and self.script.fail_over()

    def begin_span(self, first: int) -> None:
        """A part begins, with what was sent before if that was interrupted."""
        self.spans += 1
        self.sent = [sent for sent in self.sent if sent[2].start < first]
        self.end_ns = 0
        if self.sent:
            at, stamp_ns, chunk = self.sent[-1]
            self.sent[-1] = (at, stamp_ns, Chunk(chunk.start, chunk.pcm[: first - chunk.start]))
            self.end_ns = stamp_ns + frames_to_ns(self.end - chunk.start, self.utterance.rate)

    @property
    def ended(self) -> bool:
        return self.outcome is not None

    @property
    def end(self) -> int:
        return self.sent[-1][2].end if self.sent else 0


class SimulatedRobot:
    """Simulated time, players and engines, and a `SpeechQueue` among them (its delegate).

    Everything that must hold at any moment is asserted here.
    """

    def __init__(
        self,
        config: QueueSettings = SETTINGS,
        rate: int = RATE,
        chunk: int = CHUNK,
        up_for: float = 60.0,
    ) -> None:
        self.now = 100.0
        self.rate = rate
        self.chunk = chunk
        self.goals: list[Goal] = []
        self.hears_words = True
        self.connected: list[WirePlayer] = []
        self.subscriptions_known = True
        self.had_players: list[WirePlayer] = []
        """Every player that was ever connected."""
        self.reported: list[tuple[int, str, PlayerTrack | None]] = []
        self.faults: list[tuple[str, str | None]] = []
        self.raised: set[str] = set()
        self.abandoned = 0
        self.steps = 0
        self.queue = SpeechQueue(self, config, lambda: self.now)
        self.now += up_for
        self._due = math.inf

    # What is done to it

    def goal(self, *parts: Part, policy: str = "", priority: int = 0) -> Goal:
        utterance = Utterance(
            len(self.goals),
            "",
            SynthesisOptions("any"),
            self.now,
            self.now_ns(),
            policy=policy,
            priority=priority,
        )
        goal = Goal(parts, utterance)
        self.goals.append(goal)
        self.queue.submit(utterance)
        self.step()
        return goal

    def cancel(self, goal: Goal) -> None:
        self.queue.cancel(goal.utterance.key)
        self.step()

    def set(self, **changes: Any) -> None:
        self.queue.settings = replace(self.queue.settings, **changes)
        self.step()

    def player(self, *, reports: bool = True, counts: bool = True, name: str = "") -> WirePlayer:
        """Connect a player that reports its playhead, and counts what it loses, or does not."""
        self.connected.append(WirePlayer(self, reports=reports, counts=counts, name=name))
        self.had_players.append(self.connected[-1])
        if reports:
            self.queue.player_seen()
        return self.connected[-1]

    def player_heard_before(self) -> WirePlayer:
        """A player that was heard already."""
        player = self.player()
        self.goal(Say(200))
        self.finish_all(2)
        return player

    def goal_for_a_silent_player(self) -> Goal:
        """A goal of 2 s that was sent to a player whose reports a test makes."""
        self.player().stop()
        goal = self.goal(Say(2000))
        self.run(0.1)
        return goal

    def leave(self) -> None:
        for player in self.connected:
            player.update()
        self.connected.clear()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        target = self.now + seconds
        while True:
            scripts = [goal.script for goal in self.goals if goal.script]
            pending = [script.next_event() for script in scripts if not script.cancelled]
            pending += [player.next_event() for player in self.connected]
            event = min(pending, default=math.inf)
            if min(event, self._due) > target:
                self.now = target
                return
            self.now = max(self.now, min(event, self._due))
            for player in self.connected:
                player.update()
            self.step()

    def finish_all(self, within: float) -> None:
        deadline = self.now + within
        while len(self.queue) and self.now < deadline:
            self.run(0.25)
        assert not len(self.queue), "a goal hangs"

    def step(self) -> None:
        """What the queue's thread does when it is woken."""
        before = self.now
        for _ in range(20):
            self._report()
            self._due = self.queue.step()
            self.steps += 1
            if self._due > before and not self.reported:
                return
        pytest.fail("the queue is stepped without end")

    def _report(self) -> None:
        reported, self.reported = self.reported, []
        for report in reported:
            self.queue.playhead(*report)

    def hear(self, player: WirePlayer, key: int, first: int, end: int) -> None:
        goal = self.goals[key]
        if not player.reports:
            return
        if end > goal.heard_to:
            if not player.heard or player.heard[-1][0] != key:
                player.heard.append((key, first))
            goal.heard_to = end
            goal.heard_at = self.now
        if first <= goal.intact_to + ROUNDING_FRAMES:
            goal.intact_to = max(goal.intact_to, end)

    # Its delegate

    def now_ns(self) -> int:
        return EPOCH_NS + round(self.now * 1e9)

    def subscribers(self) -> int:
        return len(self.connected)

    def players(self) -> int:
        return sum(player.reports for player in self.connected)

    def player_ids(self) -> frozenset[Hashable]:
        return frozenset(player for player in self.connected if player.reports)

    def players_subscribe(self) -> bool:
        return self.subscriptions_known

    def _goal(self, utterance: Utterance) -> Goal:
        return self.goals[cast(int, utterance.key)]

    def _policy(self, utterance: Utterance) -> str:
        return utterance.policy or self.queue.settings.policy

    def synthesise(self, utterance: Utterance) -> Synthesis:
        goal = self._goal(utterance)
        assert goal.script is None
        goal.script = ScriptedSynthesis(goal.parts, lambda: self.now, self.rate, self.chunk)
        return cast(Synthesis, goal.script)

    def begin(self, utterance: Utterance) -> None:
        goal = self._goal(utterance)
        assert goal.outcome is None
        assert not goal.begun
        priority = utterance.priority + (self._policy(utterance) == INTERRUPT)
        for other in self.goals:
            is_earlier = other.utterance.accepted_at < utterance.accepted_at
            first = other.utterance.priority >= priority if is_earlier else False
            first |= other.utterance.priority > utterance.priority
            assert other.outcome or not first, "out of order"
        goal.begun = True

    def publish(self, stamp_ns: int, pcm: Pcm, rate: int) -> None:
        goal = self._goal(self.queue._queue[0])
        assert goal.begun
        assert not goal.outcome
        first = int(pcm[0]) if len(pcm) else 0
        if len(goal.utterance.wire.spans) > goal.spans:
            goal.begin_span(first)
        if not len(pcm):
            goal.markers.append((self.now, stamp_ns))
            goal.span = None
        elif first == goal.end:
            self._check_stamp(goal, stamp_ns, rate)
            goal.sent.append((self.now, stamp_ns, Chunk(first, pcm)))
            assert goal.span is not None
            start_ns, span_first = goal.span
            goal.end_ns = start_ns + frames_to_ns(first + len(pcm) - span_first, rate)
            goal.by_the_clock |= not self.players()
            if goal.heard_to and not goal.by_the_clock:
                lead = (
                    goal.end - max(goal.heard_to, goal.utterance.progress.confirmed or 0)
                ) / rate
                assert lead <= LEAD + 0.1 + 2 / rate
        else:
            stamps = {chunk.start: stamp for _, stamp, chunk in goal.sent}
            start = max(start for start in stamps if start <= first)
            assert abs(stamp_ns - stamps[start] - frames_to_ns(first - start, rate)) <= 1
            goal.replayed += 1
        for player in self.connected:
            player.receive(cast(int, goal.utterance.key), first, len(pcm), stamp_ns, rate)

    def _check_stamp(self, goal: Goal, stamp_ns: int, rate: int) -> None:
        if not goal.sent:
            assert stamp_ns >= goal.utterance.accepted_ns
            assert stamp_ns >= max(self._heard_ns(other) for other in self.goals) - ROUNDING_NS
        if goal.span is None:
            assert not goal.sent or stamp_ns >= goal.end_ns
            goal.span = (stamp_ns, goal.end)
        start_ns, first = goal.span
        assert stamp_ns == start_ns + frames_to_ns(goal.end - first, rate)

    @staticmethod
    def _heard_ns(goal: Goal) -> int:
        """Up to which stamp a goal was heard."""
        for _, stamp_ns, chunk in reversed(goal.sent):
            if chunk.start < goal.heard_to:
                frames = min(goal.heard_to - chunk.start, len(chunk.pcm))
                return stamp_ns + frames_to_ns(frames, goal.utterance.rate)
        return 0

    def audible(self, utterance: Utterance, chunk: Chunk) -> None:
        goal = self._goal(utterance)
        assert goal.outcome is None
        assert any(sent is chunk or sent.start == chunk.start for _, _, sent in goal.sent)
        assert not goal.feedback or goal.feedback[-1][1] < chunk.start
        if utterance.progress.confirmed is not None:
            assert (
                chunk.start
                <= max(goal.heard_to, utterance.progress.confirmed) + 0.1 * self.rate + 1
            )
        goal.feedback.append((self.now, chunk.start))

    def wants_words(self, _: Utterance) -> bool:
        return self.hears_words

    def audible_word(self, utterance: Utterance, word: TimedWord, elapsed_s: float) -> None:
        self._goal(utterance).words.append((self.now, word, elapsed_s))

    def upcoming_word(self, utterance: Utterance, word: TimedWord, in_s: float) -> None:
        self._goal(utterance).upcoming.append((self.now + in_s, word))

    def finish(self, utterance: Utterance, ending: Ending) -> None:
        goal = self._goal(utterance)
        assert goal.outcome is None, "ended twice"
        outcome, text = ending.outcome, ending.heard
        goal.ending, goal.outcome, goal.text = ending, outcome, text
        goal.reason, goal.ended_at = ending.message, self.now
        follows_player = utterance.progress.confirmed is not None
        has_one_player = len(self.had_players) == 1 and self.had_players[0].counts
        if follows_player and has_one_player and not goal.by_the_clock:
            assert len(text) <= len(words(goal.intact_to))
            assert outcome is not Outcome.SUCCEEDED or goal.intact_to == goal.end
        if outcome is Outcome.SUCCEEDED:
            assert goal.script is not None
            assert text == goal.script.text
            assert goal.end == goal.script.total
            if follows_player and goal.end:
                assert goal.heard_to == goal.end
                assert self.now - max(goal.heard_at, goal.script.ends_at) <= 0.05 + TICK
            elif goal.end:
                assert self.now - goal.sent[0][0] >= goal.end / self.rate - TICK
        elif follows_player:
            assert len(text) <= len(words(goal.heard_to))
        if not goal.begun:
            assert not goal.sent
            assert text == ""

    def fault(self, name: str, message: str | None) -> None:
        if message is None:
            if name in self.raised:
                self.raised.remove(name)
                self.faults.append((name, None))
        elif name not in self.raised:
            self.raised.add(name)
            self.faults.append((name, message))

    def abandon_engine(self, utterance: Utterance, reason: str) -> bool:
        assert "stalled" in reason
        self.abandoned += 1
        return self._goal(utterance).fail_over()
