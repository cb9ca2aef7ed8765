"""What happens to goals: a `SpeechQueue` in simulated time, before a simulated player."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2so_tts.audio import EMPTY_PCM, Chunk, Pcm, frames_to_ns, ns_to_frames
from k2so_tts.engines import EngineError
from k2so_tts.ros.queue_thread import QueueThread
from k2so_tts.ros.speech_queue import (
    QUEUE,
    REPLACE,
    WAIT,
    Outcome,
    QueueSettings,
    SpeechQueue,
)
from k2so_tts.ros.utterance import Utterance
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

RATE = 1000
CHUNK = 100
WORD = 250  # frames
EPOCH_NS = 1_700_000_000_000_000_000
TICK = 1e-6
ROUNDING_NS = 1
LEAD = 1.0
PROMPT = 0.01  # seconds an engine takes for a second of audio
SETTINGS = QueueSettings(max_lead=LEAD, engine_timeout=2.0, player_wait=5.0)


@dataclass(frozen=True)
class Say:
    """`frames` of audio, made in `pace` seconds per second."""

    frames: int
    pace: float = PROMPT


@dataclass(frozen=True)
class Pause:
    """No more text for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Fail:
    """The engine throws."""


@dataclass(frozen=True)
class Stall:
    """The engine never comes back; if anything follows, another one goes on with that."""


@dataclass(frozen=True)
class Hold:
    """Nothing is given before all is made: the traditional way."""


DecodeWindow = Say | Pause | Fail | Stall | Hold


class Script:
    """A `Synthesis` of parts, in simulated time. Its samples are the numbers of their frames."""

    def __init__(
        self, parts: Sequence[DecodeWindow], now: Callable[[], float], rate: int, chunk: int
    ) -> None:
        self.rate = rate
        self._chunk = chunk
        self.seconds = 0.0
        self.cancelled = False
        self._now = now
        self._start = now()
        self._events: list[tuple[float, Any]] = []
        self._chunks: list[tuple[float, Chunk]] = []
        self._taken = 0
        self._held = Hold() in parts
        self.total = 0
        self._rest: Sequence[DecodeWindow] = ()
        self._plan_all(parts, 0.0)

    def fail_over(self) -> bool:
        """Another engine goes on, if there is anything after the stall."""
        rest, self._rest = self._rest, ()
        if rest:
            self._plan_all(rest, self._now() - self._start)
        return bool(rest)

    def _plan_all(self, parts: Sequence[DecodeWindow], at: float) -> None:
        for index, part in enumerate(parts):
            if isinstance(part, Stall):
                self._rest = parts[index + 1 :]
                break
            at = self._plan(part, at)
        else:
            if not parts or not isinstance(parts[-1], Fail):
                self._flush(at)
                self._events.append((at, True))
        self._times = sorted(at for at, _ in (*self._chunks, *self._events))

    def _plan(self, part: DecodeWindow, at: float) -> float:
        if isinstance(part, Say):
            end = self.total + part.frames
            while self.total < end:
                frames = min(self._chunk, end - self.total)
                at += frames / self.rate * part.pace
                pcm = cast(Pcm, np.arange(self.total, self.total + frames))
                self._chunks.append((at, Chunk(self.total, pcm)))
                self.total += frames
        elif isinstance(part, Pause):
            self._flush(at)
            self._events += [(at, "starved"), (at + part.seconds, "fed")]
            at += part.seconds
        elif isinstance(part, Fail):
            self._events.append((at, EngineError("broken")))
        return at

    def _flush(self, at: float) -> None:
        if self.total:
            self._chunks.append((at, Chunk(self.total, EMPTY_PCM)))

    def _past(self) -> list[Any]:
        elapsed = self._now() - self._start + TICK
        return [event for at, event in self._events if at <= elapsed]

    def next_event(self) -> float:
        """When there is something new, after now."""
        index = bisect_right(self._times, self._now() - self._start + TICK)
        return self._start + self._times[index] if index < len(self._times) else math.inf

    @property
    def ends_at(self) -> float:
        return self._start + self._times[-1]

    @property
    def error(self) -> EngineError | None:
        return next((event for event in self._past() if isinstance(event, EngineError)), None)

    @property
    def done(self) -> bool:
        return self.cancelled or True in self._past() or self.error is not None

    @property
    def starved(self) -> bool:
        return self._past()[-1:] == ["starved"]

    @property
    def exhausted(self) -> bool:
        return self.done and self._taken == len(self._chunks)

    @property
    def frames(self) -> int:
        elapsed = self._now() - self._start + TICK
        return sum(len(chunk.pcm) for at, chunk in self._chunks if at <= elapsed)

    @property
    def text(self) -> str:
        return words(self.total)

    def take(self) -> Chunk | None:
        if self._taken == len(self._chunks):
            return None
        at, chunk = self._chunks[self._taken]
        if at > self._now() - self._start + TICK or (self._held and not self.done):
            return None
        self._taken += 1
        return chunk

    def cancel(self) -> None:
        self.cancelled = True

    def heard_text(self, frames: int) -> str:
        return words(frames)


def words(frames: int) -> str:
    return " ".join(f"w{number}" for number in range(frames // WORD))


@dataclass
class Piece:
    key: int
    first: int
    frames: int
    stamp_ns: int


@dataclass
class Track:
    pieces: list[Piece] = field(default_factory=list)
    ended: bool = False
    chunks: int = 0
    began: bool = False

    @property
    def total(self) -> int:
        return sum(piece.frames for piece in self.pieces)


class Player:
    """Keeps the wire contract: begins with the third chunk or the end marker, tells its
    playhead.
    """

    def __init__(self, world: World, *, tells: bool = True, name: str = "") -> None:
        self.tells = tells
        self.name = name
        self.stopped = False
        self.heard: list[tuple[int, int]] = []
        self._world = world
        self._tracks: list[Track] = []
        self._playing = False
        self._anchor = (0.0, 0)
        self._next_tell = math.inf
        self._letters: list[tuple[int, int, int, int, int]] = []

    def stop(self) -> None:
        """SIGSTOP."""
        self.update()
        self.stopped = True

    def go_on(self) -> None:
        """SIGCONT: what has come meanwhile is read now."""
        self._anchor = (self._world.now, self._anchor[1])
        self._next_tell = min(self._next_tell, self._world.now + 0.05)
        self.stopped = False
        letters, self._letters = self._letters, []
        for letter in letters:
            self.receive(*letter)

    def receive(self, key: int, first: int, frames: int, stamp_ns: int, rate: int) -> None:
        if self.stopped:
            self._letters.append((key, first, frames, stamp_ns, rate))
            return
        self.update()
        if not frames:
            self._cut(stamp_ns, rate)
        else:
            if not self._tracks or self._tracks[-1].ended:
                self._tracks.append(Track())
            track = self._tracks[-1]
            if not track.pieces or stamp_ns > track.pieces[-1].stamp_ns:
                track.pieces.append(Piece(key, first, frames, stamp_ns))
                track.chunks += 1
        self.update()

    def _cut(self, stamp_ns: int, rate: int) -> None:
        for track in self._tracks:
            for piece in track.pieces:
                kept = ns_to_frames(stamp_ns - piece.stamp_ns, rate)
                piece.frames = min(piece.frames, max(0, kept))
        if self._tracks:
            self._tracks[-1].ended = True

    def next_event(self) -> float:
        if self.stopped or not self._tracks:
            return math.inf
        return min(self._end_at(), self._next_tell) if self._playing else self._next_tell

    def _end_at(self) -> float:
        at, position = self._anchor
        return at + (self._tracks[0].total - position) / self._world.rate

    def update(self) -> None:
        """Play up to now."""
        if self.stopped:
            return
        while self._tracks and self._play(self._tracks[0]):
            pass
        if self._tracks and self._next_tell <= self._world.now + TICK:
            self._tell(self._position())

    def _play(self, track: Track) -> bool:
        """Play on; True when something else begins."""
        now = self._world.now
        if not self._playing:
            if not (track.ended or track.chunks >= 3):
                return False
            self._playing = True
            self._anchor = (now, self._anchor[1] if track.began else 0)
            if not track.began and track.total:
                track.began = True
                self._tell(0)
        position = self._position()
        if track.began:
            self._hear(track, position)
        if position < track.total:
            return False
        self._playing = False
        if track.ended:
            if track.began:
                self._tell(position)
            self._tracks.pop(0)
            self._next_tell = math.inf
        else:
            track.chunks = 0
            self._anchor = (now, position)
        return track.ended

    def _position(self) -> int:
        at, position = self._anchor
        if not self._playing:
            return position
        played = int((self._world.now - at + TICK) * self._world.rate)
        return max(position, min(position + played, self._tracks[0].total))

    def _hear(self, track: Track, position: int) -> None:
        for piece in track.pieces:
            frames = min(piece.frames, position)
            position -= frames
            if frames:
                self._world.hear(self, piece.key, piece.first, piece.first + frames)

    def _tell(self, position: int) -> None:
        self._next_tell = self._world.now + 0.05
        if not self.tells:
            return
        last = self._tracks[0].pieces[-1]
        stamp_ns = last.stamp_ns + frames_to_ns(last.frames, self._world.rate)
        for piece in self._tracks[0].pieces:
            if position < piece.frames:
                stamp_ns = piece.stamp_ns + frames_to_ns(position, self._world.rate)
                break
            position -= piece.frames
        self._world.told.append((stamp_ns, self.name))


@dataclass
class Goal:
    """What the world knows of a goal."""

    parts: tuple[DecodeWindow, ...]
    utterance: Utterance
    script: Script | None = None
    begun: bool = False
    outcome: Outcome | None = None
    text: str = ""
    reason: str | None = None
    ended_at: float = math.nan
    sent: list[tuple[float, int, Chunk]] = field(default_factory=list)
    markers: list[tuple[float, int]] = field(default_factory=list)
    span: tuple[int, int] | None = None
    replayed: int = 0
    feedback: list[tuple[float, int]] = field(default_factory=list)
    by_the_clock: bool = False
    heard_to: int = 0
    heard_at: float = math.nan

    def fail_over(self) -> bool:
        return self.script is not None and self.script.fail_over()

    @property
    def ended(self) -> bool:
        return self.outcome is not None

    @property
    def end(self) -> int:
        return self.sent[-1][2].end if self.sent else 0


class World:
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
        self.players_here: list[Player] = []
        self.subscriptions_known = True
        self.told: list[tuple[int, str]] = []
        self.faults: list[tuple[str, str | None]] = []
        self.raised: set[str] = set()
        self.abandoned = 0
        self.steps = 0
        self.queue = SpeechQueue(self, config, lambda: self.now)
        self.now += up_for
        self._due = math.inf
        self._end_ns = 0

    # What is done to it

    def goal(self, *parts: DecodeWindow) -> Goal:
        utterance = Utterance(len(self.goals), "", SynthesisOptions("any"), self.now, self.now_ns())
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

    def player(self, *, tells: bool = True, name: str = "") -> Player:
        self.players_here.append(Player(self, tells=tells, name=name))
        if tells:
            self.queue.player_seen()
        return self.players_here[-1]

    def proven_player(self) -> Player:
        """A player that was heard already."""
        player = self.player()
        self.goal(Say(200))
        self.finish_all(2)
        return player

    def leave(self) -> None:
        for player in self.players_here:
            player.update()
        self.players_here.clear()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        target = self.now + seconds
        while True:
            scripts = [goal.script for goal in self.goals if goal.script]
            pending = [script.next_event() for script in scripts if not script.cancelled]
            pending += [player.next_event() for player in self.players_here]
            event = min(pending, default=math.inf)
            if min(event, self._due) > target:
                self.now = target
                return
            self.now = max(self.now, min(event, self._due))
            for player in self.players_here:
                player.update()
            self.step()

    def finish_all(self, within: float) -> None:
        deadline = self.now + within
        while len(self.queue) and self.now < deadline:
            self.run(0.25)
        assert not len(self.queue), "a goal hangs"

    def step(self) -> None:
        """What the speaker's thread does when it is woken."""
        before = self.now
        for _ in range(20):
            self._tell()
            self._due = self.queue.step()
            self.steps += 1
            if self._due > before and not self.told:
                return
        pytest.fail("the queue is stepped without end")

    def _tell(self) -> None:
        told, self.told = self.told, []
        for stamp_ns, name in told:
            self.queue.playhead(stamp_ns, name)

    def hear(self, player: Player, key: int, first: int, end: int) -> None:
        goal = self.goals[key]
        if not player.tells:
            return
        if end > goal.heard_to:
            if not player.heard or player.heard[-1][0] != key:
                player.heard.append((key, first))
            goal.heard_to = end
            goal.heard_at = self.now

    # The port

    def now_ns(self) -> int:
        return EPOCH_NS + round(self.now * 1e9)

    def subscribers(self) -> int:
        return len(self.players_here)

    def players(self) -> int:
        return sum(player.tells for player in self.players_here)

    def player_ids(self) -> frozenset[Hashable]:
        return frozenset(player for player in self.players_here if player.tells)

    def players_subscribe(self) -> bool:
        return self.subscriptions_known

    def _goal(self, utterance: Utterance) -> Goal:
        return self.goals[cast(int, utterance.key)]

    def synthesise(self, utterance: Utterance) -> Synthesis:
        goal = self._goal(utterance)
        assert goal.script is None
        goal.script = Script(goal.parts, lambda: self.now, self.rate, self.chunk)
        return cast(Synthesis, goal.script)

    def begin(self, utterance: Utterance) -> None:
        goal = self._goal(utterance)
        assert goal.outcome is None
        assert not goal.begun
        earlier = self.goals[: self.goals.index(goal)]
        assert all(other.outcome for other in earlier), "out of order"
        goal.begun = True

    def publish(self, stamp_ns: int, pcm: Pcm, rate: int) -> None:
        goal = next(goal for goal in self.goals if goal.begun and not goal.outcome)
        first = int(pcm[0]) if len(pcm) else 0
        if not len(pcm):
            goal.markers.append((self.now, stamp_ns))
            goal.span = None
        elif first == goal.end:
            self._check_stamp(goal, stamp_ns, rate)
            goal.sent.append((self.now, stamp_ns, Chunk(first, pcm)))
            assert goal.span is not None
            start_ns, span_first = goal.span
            self._end_ns = start_ns + frames_to_ns(first + len(pcm) - span_first, rate)
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
        for player in self.players_here:
            player.receive(cast(int, goal.utterance.key), first, len(pcm), stamp_ns, rate)

    def _check_stamp(self, goal: Goal, stamp_ns: int, rate: int) -> None:
        if not goal.sent:
            assert stamp_ns >= goal.utterance.accepted_ns
            assert stamp_ns >= max(self._heard_ns(other) for other in self.goals) - ROUNDING_NS
        if goal.span is None:
            assert not goal.sent or stamp_ns >= self._end_ns
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

    def finish(self, utterance: Utterance, outcome: Outcome, text: str, reason: str | None) -> None:
        goal = self._goal(utterance)
        assert goal.outcome is None, "ended twice"
        goal.outcome, goal.text, goal.reason, goal.ended_at = outcome, text, reason, self.now
        follows_player = utterance.progress.confirmed is not None
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


def test_done_means_heard() -> None:
    world = World(rate=22_050)
    world.player()
    goal = world.goal(Say(30_000))
    world.run(30_000 / 22_050 - 0.02)
    assert not goal.ended
    world.run(0.3)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.text == words(30_000)
    assert world.faults == []


def test_feedback_comes_with_the_playhead() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(1050))
    world.finish_all(3)
    assert [start for _, start in goal.feedback] == [*range(0, 1050, CHUNK)]
    began = goal.feedback[0][0]
    assert [at - began for at, _ in goal.feedback] == pytest.approx(
        [start / RATE for _, start in goal.feedback], abs=0.002
    )


def test_no_feedback_before_a_slow_engine_lets_the_player_begin() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(500, pace=5.0))
    world.run(1.4)
    assert len(goal.sent) == 2
    assert goal.feedback == []
    world.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED
    assert [start for _, start in goal.feedback] == [0, 100, 200, 300, 400]


def test_cancel_silences_at_once_and_tells_what_was_heard() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(5000))
    world.run(1.6)
    world.cancel(goal)
    assert goal.outcome is Outcome.CANCELED
    assert goal.text == words(1500)
    assert goal.markers[-1] == (world.now, goal.sent[0][1])
    heard = goal.heard_to
    following = world.goal(Say(300))
    world.run(1)
    assert goal.heard_to == heard
    assert following.outcome is Outcome.SUCCEEDED


def test_a_queued_goal_is_cancelled_without_waiting_for_its_turn() -> None:
    world = World()
    world.player()
    first, second, third = (world.goal(Say(1000)) for _ in range(3))
    world.run(0.3)
    world.cancel(second)
    assert second.outcome is Outcome.CANCELED
    assert second.sent == []
    world.finish_all(5)
    assert [first.outcome, third.outcome] == [Outcome.SUCCEEDED] * 2


def test_cancelling_what_is_unknown_changes_nothing() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(300))
    world.queue.cancel("nobody")
    world.finish_all(2)
    world.cancel(goal)
    assert goal.outcome is Outcome.SUCCEEDED


def test_replace_cuts_everything_before() -> None:
    world = World()
    world.player()
    first, second = world.goal(Say(3000)), world.goal(Say(1000))
    world.run(0.6)
    world.set(policy=REPLACE)
    third = world.goal(Say(400))
    assert [first.outcome, second.outcome] == [Outcome.ABORTED] * 2
    assert first.text == words(500)
    assert second.sent == []
    world.finish_all(2)
    assert third.outcome is Outcome.SUCCEEDED


def test_the_last_word_about_a_cut_goal_is_not_taken_for_the_next_one() -> None:
    world = World()
    world.player()
    cut = world.goal(Say(3000))
    world.run(1.02)
    world.cancel(cut)
    goal = world.goal(Say(3000, pace=1.0))
    world.run(0.105)
    assert len(goal.sent) == 1
    world.queue.playhead(cut.sent[0][1] + frames_to_ns(1060, RATE))
    assert goal.utterance.progress.confirmed is None
    world.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED


def test_stop_ends_everything() -> None:
    world = World()
    world.player()
    goals = [world.goal(Say(1000)) for _ in range(3)]
    world.run(0.2)
    world.queue.stop("enough")
    world.step()
    assert {(goal.outcome, goal.reason) for goal in goals} == {(Outcome.ABORTED, "enough")}


def test_without_a_player_it_speaks_by_the_clock_and_says_so_once() -> None:
    world = World()
    goals = [world.goal(Say(1000)), world.goal(Say(1000))]
    world.run(0.9)
    assert goals[0].sent == []
    world.finish_all(6)
    assert [goal.outcome for goal in goals] == [Outcome.SUCCEEDED] * 2
    assert [name for name, _ in world.faults] == ["player"]
    world.player()
    world.goal(Say(300))
    world.finish_all(2)
    assert world.faults[1:] == [("player", None)]


def test_it_waits_for_a_player_that_is_on_its_way() -> None:
    world = World()
    goal = world.goal(Say(1000))
    world.run(0.5)
    player = world.player()
    world.run(0.01)
    assert goal.sent
    world.finish_all(2)
    assert player.heard == [(0, 0)]
    assert goal.outcome is Outcome.SUCCEEDED


def test_a_player_that_comes_for_the_last_moment_of_an_unheard_goal_does_not_hold_it() -> None:
    world = World()
    goal = world.goal(Say(500))
    world.run(1.2)
    world.player()
    world.finish_all(2)
    assert goal.outcome is Outcome.SUCCEEDED


def test_a_foreign_player_is_followed_by_the_clock() -> None:
    world = World()
    world.player(tells=False)
    goal = world.goal(Say(1000))
    world.finish_all(2)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.ended_at - goal.sent[0][0] == pytest.approx(1.0, abs=0.01)
    assert len(goal.feedback) == 10
    assert world.faults == []


def test_a_foreign_player_hears_a_text_with_a_pause_to_its_end() -> None:
    world = World()
    world.player(tells=False)
    goal = world.goal(Say(800), Pause(0.2), Say(500))
    world.finish_all(4)
    assert goal.ended_at - goal.sent[0][0] == pytest.approx(1.3, abs=0.01)


@pytest.mark.parametrize(
    ("tells", "after"), [(True, 0.01), (True, 0.5), (True, 0.98), (False, 0.01), (False, 0.5)]
)
def test_a_player_that_dies_aborts_the_goal_within_a_second(tells: bool, after: float) -> None:
    world = World()
    world.player(tells=tells)
    goal = world.goal(Say(1000))
    world.run(after)
    world.leave()
    world.run(1.0)
    assert goal.outcome is Outcome.ABORTED
    assert len(goal.text) <= len(words(int(RATE * after)))
    assert world.raised == {"player"}


@pytest.mark.parametrize("frames", [1000, 8000])
@pytest.mark.parametrize("after", [0.0, 0.5])
def test_a_player_that_hangs_aborts_the_goal_within_a_second(frames: int, after: float) -> None:
    world = World()
    player = world.proven_player()
    if not after:
        player.stop()
    goal = world.goal(Say(frames))
    world.run(after)
    player.stop()
    world.run(1.0)
    assert goal.outcome is Outcome.ABORTED


@pytest.mark.parametrize(
    ("late", "outcome"), [(3.1, Outcome.SUCCEEDED), (math.inf, Outcome.ABORTED)]
)
def test_a_player_that_was_never_heard_may_hear_its_first_goal_late(
    late: float, outcome: Outcome
) -> None:
    world = World()
    player = world.player()
    player.stop()
    goal = world.goal(Say(600))
    world.run(min(late, 3.9))
    assert not goal.ended
    if late < math.inf:
        player.go_on()
    world.finish_all(1)
    assert goal.outcome is outcome
    assert world.raised == (set() if late < math.inf else {"player"})


def test_what_was_not_heard_is_sent_again_to_a_player_that_is_back() -> None:
    world = World(replace(SETTINGS, player_lost=WAIT))
    world.player()
    goal = world.goal(Say(2000))
    world.run(0.53)
    world.leave()
    world.run(2)
    assert not goal.ended
    assert world.raised == {"player"}
    player = world.player()
    world.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert player.heard == [(0, 500)]  # from the last playhead on
    assert world.raised == set()


def test_a_player_that_is_back_before_it_was_missed_is_sent_what_was_not_heard() -> None:
    world = World(replace(SETTINGS, player_lost=WAIT))
    world.player()
    goal = world.goal(Say(900))
    world.run(0.5)
    world.leave()
    world.player()
    world.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.replayed


def test_a_player_that_joins_in_mid_sentence_is_not_followed() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(4000, pace=0.0))
    world.run(0.5)
    world.queue.playhead(goal.sent[-1][1], "ahead")
    assert goal.utterance.progress.confirmed is not None
    assert goal.utterance.progress.confirmed <= goal.heard_to
    world.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED


def test_of_several_players_another_is_followed_when_the_first_falls_silent() -> None:
    world = World()
    first = world.player()
    world.player(name="other")
    goal = world.goal(Say(4000))
    world.run(0.5)
    first.stop()
    world.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED
    assert world.raised == set()


def test_a_player_that_has_not_told_that_it_is_there_is_waited_for() -> None:
    world = World()
    world.players_here.append(Player(world))
    goal = world.goal(Say(500))
    world.run(0.2)
    assert goal.sent == []
    world.queue.player_seen()
    world.step()
    assert goal.sent


def test_a_bystander_that_is_known_before_the_player_is_not_taken_for_one() -> None:
    world = World(up_for=0.1)
    world.player(tells=False)
    goal = world.goal(Say(500))
    world.run(0.2)
    assert goal.sent == []
    player = world.player()
    world.finish_all(3)
    assert goal.outcome is Outcome.SUCCEEDED
    assert player.heard == [(0, 0)]


def test_a_foreign_player_is_waited_for_at_the_start_only() -> None:
    world = World(up_for=0.1)
    world.player(tells=False)
    first = world.goal(Say(500))
    world.finish_all(3)
    second = world.goal(Say(500))
    world.finish_all(3)
    waited = [goal.sent[0][0] - goal.utterance.turn_at for goal in (first, second)]
    assert waited == pytest.approx([SETTINGS.wait_for_player - 0.1, 0.0], abs=0.02)
    assert world.raised == set()


def test_a_player_whose_subscription_is_not_known_yet_is_waited_for() -> None:
    world = World()
    world.player()
    world.subscriptions_known = False
    goal = world.goal(Say(500))
    world.run(0.2)
    assert goal.sent == []
    world.subscriptions_known = True
    world.step()
    assert goal.sent


def test_who_tells_a_playhead_and_never_subscribes_is_not_waited_for_long() -> None:
    world = World()
    world.player()
    world.subscriptions_known = False
    goal = world.goal(Say(500))
    world.finish_all(3)
    assert goal.outcome is Outcome.SUCCEEDED
    waited = goal.sent[0][0] - goal.utterance.turn_at
    assert waited == pytest.approx(SETTINGS.wait_for_player, abs=0.05)
    assert world.raised == set()


def test_a_player_that_appears_too_late_to_have_heard_it_is_not_missed() -> None:
    world = World()
    world.player(tells=False)
    goal = world.goal(Say(500))
    world.run(0.1)
    world.player().stop()
    world.finish_all(3)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.ended_at - goal.sent[0][0] == pytest.approx(0.5, abs=0.05)
    assert world.raised == set()


def test_a_foreign_player_that_is_back_is_sent_what_was_not_heard() -> None:
    world = World(replace(SETTINGS, player_lost=WAIT))
    world.player(tells=False)
    goal = world.goal(Say(1000))
    world.run(0.55)
    world.leave()
    world.run(2)
    world.player(tells=False)
    world.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.ended_at - goal.sent[0][0] == pytest.approx(3.0, abs=0.15)


def test_a_crashed_player_that_discovery_still_counts_is_replaced_by_a_new_one() -> None:
    world = World(replace(SETTINGS, player_lost=WAIT))
    world.proven_player().stop()
    goal = world.goal(Say(600))
    world.run(1.5)
    assert not goal.ended
    assert goal.replayed == 0
    world.player()
    world.finish_all(3)
    assert goal.outcome is Outcome.SUCCEEDED


def test_a_player_that_was_only_suspended_goes_on() -> None:
    world = World(replace(SETTINGS, player_lost=WAIT))
    player = world.player()
    goal = world.goal(Say(3000))
    world.run(0.5)
    player.stop()
    world.run(2)
    player.go_on()
    world.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.replayed == 0


@pytest.mark.parametrize("heard_before", [0.0, 0.5])
def test_a_player_that_was_cut_off_is_not_sent_again_what_it_has(heard_before: float) -> None:
    world = World(replace(SETTINGS, player_lost=WAIT))
    player = world.player()
    if not heard_before:
        player.stop()
    goal = world.goal(Say(3000))
    world.run(heard_before)
    player.stop()
    world.run(2)
    world.queue.player_seen()  # it says that it has run dry sooner than how far it came
    world.run(0.2)
    player.go_on()
    world.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.replayed == 0


def test_a_player_that_discovery_has_forgotten_and_found_again_is_a_new_one() -> None:
    world = World(replace(SETTINGS, player_lost=WAIT))
    player = world.player()
    goal = world.goal(Say(3000))
    world.run(0.5)
    player.stop()
    world.run(1)
    world.players_here.remove(player)
    world.player(tells=False)
    world.run(1)
    world.players_here.append(player)
    world.queue.player_seen()
    world.run(0.2)
    assert goal.replayed
    player.go_on()
    world.finish_all(5)
    assert goal.outcome is Outcome.SUCCEEDED


def test_what_nobody_has_heard_is_not_heard_after_its_end() -> None:
    world = World()
    player = world.player()
    player.stop()
    aborted = world.goal(Say(600))
    world.finish_all(5)
    unheard = world.goal(Say(600))
    world.finish_all(3)
    assert (aborted.outcome, unheard.outcome) == (Outcome.ABORTED, Outcome.SUCCEEDED)
    player.go_on()
    world.run(3)
    assert player.heard == []


def test_a_server_that_stood_still_does_not_blame_the_player() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(3000))
    world.run(0.5)
    world.now += 3.0
    world.step()
    assert not goal.ended
    assert world.raised == set()
    world.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED


def test_a_player_that_is_started_anew_after_it_was_missed_is_no_fault_any_more() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(1000))
    world.run(0.5)
    world.leave()
    world.run(1.0)
    assert goal.outcome is Outcome.ABORTED
    assert world.raised == {"player"}
    world.player()
    assert world.raised == set()


def test_a_player_that_is_started_anew_before_it_was_missed_is_no_fault_any_more() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(1000))
    world.run(0.5)
    world.leave()
    world.run(0.2)
    world.player()
    world.run(1.0)
    assert goal.outcome is Outcome.ABORTED
    assert ("player", None) in world.faults
    assert world.raised == set()


def test_what_was_not_heard_is_not_sent_past_a_player_that_is_just_becoming_known() -> None:
    world = World(replace(SETTINGS, player_lost=WAIT))
    world.player()
    goal = world.goal(Say(1000))
    world.run(0.5)
    world.leave()
    world.run(1.0)
    world.subscriptions_known = False
    world.player()
    world.run(1.0)
    assert goal.replayed == 0
    world.subscriptions_known = True
    world.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.replayed


def test_after_a_clock_was_set_back_stamps_are_of_the_new_time() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(500))
    world.queue._sender._heard_until_ns = world.now_ns() + 3600 * 10**9
    utterance = replace(goal.utterance, accepted_ns=world.now_ns() + 3600 * 10**9)
    assert world.queue._sender._start_ns(utterance) == world.now_ns()
    assert world.queue._sender._start_ns(utterance) == world.now_ns()
    utterance.accepted_ns = world.now_ns() - 5
    assert world.queue._sender._start_ns(utterance) == world.now_ns()


@pytest.mark.parametrize("tells", [True, False])
def test_a_player_that_does_not_come_back_ends_the_goal(tells: bool) -> None:
    world = World(replace(SETTINGS, player_lost=WAIT))
    world.player(tells=tells)
    goal = world.goal(Say(2000))
    world.run(0.5)
    world.leave()
    world.finish_all(7)
    assert goal.outcome is Outcome.ABORTED


def test_an_engine_that_throws_ends_its_goal_only() -> None:
    world = World()
    world.player()
    bad, good = world.goal(Say(300, pace=1.0), Fail()), world.goal(Say(300))
    world.run(0.31)
    assert bad.outcome is Outcome.ABORTED
    assert bad.reason == "broken"
    assert world.raised == {"engine"}
    world.finish_all(2)
    assert good.outcome is Outcome.SUCCEEDED
    assert world.faults == [("engine", "broken"), ("engine", None)]


def test_an_engine_that_stalls_is_abandoned() -> None:
    world = World()
    world.player()
    bad, good = world.goal(Say(300), Stall()), world.goal(Say(300))
    world.run(1.9)
    assert not bad.ended
    world.finish_all(3)
    assert world.abandoned == 1
    assert bad.outcome is Outcome.ABORTED
    assert bad.script is not None
    assert bad.script.cancelled
    assert good.outcome is Outcome.SUCCEEDED


def test_another_engine_goes_on_for_one_that_stalls() -> None:
    world = World()
    world.player()
    goal, following = world.goal(Say(300), Stall(), Say(500), Stall(), Say(200)), world.goal(Say(3))
    world.run(2.4)
    assert world.abandoned == 1
    assert not goal.ended
    world.finish_all(4)
    assert world.abandoned == 2
    assert (goal.outcome, goal.text) == (Outcome.SUCCEEDED, words(1000))
    assert following.outcome is Outcome.SUCCEEDED
    assert world.faults == []


def test_an_engine_that_makes_a_long_text_whole_is_not_taken_to_stall() -> None:
    world = World()
    world.player()
    goal = world.goal(Hold(), Say(3000, pace=2.0))
    world.run(5.9)
    assert not goal.ended
    world.finish_all(6)
    assert world.abandoned == 0
    assert goal.outcome is Outcome.SUCCEEDED


def test_an_engine_that_stalls_after_a_pause_in_the_text_is_abandoned() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(300), Pause(7), Stall())
    world.run(8.9)
    assert not goal.ended
    world.finish_all(1)
    assert world.abandoned == 1


def test_a_pause_in_the_text_is_not_counted_against_the_engine() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(300), Pause(7), Say(300, pace=5.0))
    world.run(7.1)
    waiting = world.goal(Say(100))
    world.finish_all(5)
    assert [goal.outcome, waiting.outcome] == [Outcome.SUCCEEDED] * 2
    assert world.abandoned == 0


def test_the_next_goal_is_made_while_the_first_is_heard() -> None:
    world = World()
    world.player()
    first, second = world.goal(Say(1000)), world.goal(Say(1000, pace=0.5))
    world.run(0.6)
    assert second.script is not None
    assert second.script.done
    assert second.sent == []
    world.finish_all(4)
    assert second.sent[0][0] - first.ended_at == pytest.approx(0, abs=TICK)


def test_a_text_with_a_pause_is_one_goal_of_two_spans() -> None:
    world = World()
    world.player()
    goal = world.goal(Say(250), Pause(3), Say(250))
    world.run(1)
    end_ns = goal.sent[-1][1] + frames_to_ns(50, RATE)
    assert [stamp_ns for _, stamp_ns in goal.markers] == [end_ns]
    assert not goal.ended
    resumes_ns = world.now_ns()
    world.finish_all(4)
    assert goal.outcome is Outcome.SUCCEEDED
    assert goal.sent[3][1] >= resumes_ns
    assert [start for _, start in goal.feedback] == [0, 100, 200, 250, 350, 450]
    assert world.faults == []


@pytest.mark.parametrize("frames", [40, 140, 290, 900])
def test_a_pause_is_told_to_a_player_that_came_back_in_the_middle(frames: int) -> None:
    world = World(replace(SETTINGS, player_lost=WAIT), chunk=200)
    world.player()
    goal = world.goal(Say(900 + frames), Pause(6), Say(300))
    world.run(0.9)
    world.leave()
    world.run(1.0)
    world.player()
    world.run(frames / RATE + 0.1)
    assert goal.heard_to == 900 + frames
    world.finish_all(10)
    assert goal.outcome is Outcome.SUCCEEDED


def test_nothing_to_say_succeeds() -> None:
    world = World()
    world.player()
    goal = world.goal()
    world.run(0.01)
    assert goal.outcome is Outcome.SUCCEEDED
    assert not goal.sent
    assert not goal.markers


def test_ten_minutes_do_not_drift() -> None:
    world = World(rate=22_050, chunk=4096)
    goal = world.goal(Say(600 * 22_050))
    world.run(300)
    assert len(goal.utterance.progress.unheard) <= 4 + LEAD * 22_050 / 4096
    world.finish_all(310)
    _, first_ns, _ = goal.sent[0]
    _, last_ns, last = goal.sent[-1]
    assert last_ns == first_ns + frames_to_ns(last.start, 22_050)
    assert goal.markers[-1][1] == first_ns + 600 * 10**9


class BrokenWorld(World):
    """Nothing can be published."""

    def __init__(self) -> None:
        super().__init__()
        self.over = threading.Semaphore(0)

    def publish(self, *_: object) -> None:
        raise RuntimeError("the context is gone")

    def finish(self, utterance: Utterance, outcome: Outcome, text: str, reason: str | None) -> None:
        super().finish(utterance, outcome, text, reason)
        self.over.release()


def test_whatever_fails_the_speaker_ends_its_goals_and_lives_on() -> None:
    def fail(_: SpeechQueue) -> None:
        raise ZeroDivisionError

    world = BrokenWorld()
    speaker = QueueThread(world, replace(SETTINGS, wait_for_player=0.0))
    speaker.post(fail)
    for key in range(3):
        utterance = Utterance(key, "", SynthesisOptions("any"), 0.0, EPOCH_NS)
        world.goals.append(Goal((Say(300, pace=0.0),), utterance))
        speaker.post(lambda queue, utterance=utterance: queue.submit(utterance))  # type: ignore[misc]
    speaker.start()
    assert all(world.over.acquire(timeout=5) for _ in world.goals)
    assert {goal.outcome for goal in world.goals} == {Outcome.ABORTED}
    speaker.close("enough")
    assert not speaker._thread.is_alive()


def test_a_speaker_that_closes_ends_what_was_posted_before() -> None:
    world = BrokenWorld()
    speaker = QueueThread(world, SETTINGS)
    utterance = Utterance(0, "", SynthesisOptions("any"), 0.0, EPOCH_NS)
    world.goals.append(Goal((Say(300),), utterance))
    speaker.start()
    speaker.post(lambda queue: queue.submit(utterance))
    speaker.close("enough")
    assert (world.goals[0].outcome, world.goals[0].reason) == (Outcome.ABORTED, "enough")


seconds = st.floats(0.0, 2.5)
part = st.one_of(
    st.builds(Say, st.integers(1, 2500), st.sampled_from([0.0, PROMPT, 0.9, 1.5, 4.0])),
    st.builds(Pause, st.floats(0.01, 4.0)),
    st.just(Stall()),
)
parts = st.builds(
    lambda body, last: (*body, *last),
    st.lists(part, max_size=4),
    st.sampled_from([(), (), (), (Fail(),), (Stall(),)]),
)
Action = Callable[[World], None]


def _cancel(index: int) -> Action:
    def act(world: World) -> None:
        if world.goals:
            world.cancel(world.goals[index % len(world.goals)])

    return act


def _come(tells: bool, crashed: bool) -> Action:
    """A player starts in place of the one before, which left or which discovery still counts."""

    def act(world: World) -> None:
        if not crashed:
            world.leave()
        for player in world.players_here:
            player.stop()
        world.player(tells=tells)

    return act


def _hang(world: World) -> None:
    for player in world.players_here:
        player.stop()


def _go_on(world: World) -> None:
    if world.players_here and world.players_here[-1].stopped:
        world.players_here[-1].go_on()


actions = st.one_of(
    st.builds(lambda script: lambda world: world.goal(*script), parts),
    st.builds(_cancel, st.integers(0, 7)),
    st.builds(
        lambda policy: lambda world: world.set(policy=policy), st.sampled_from([QUEUE, REPLACE])
    ),
    st.builds(_come, st.sampled_from([True, True, False]), st.booleans()),
    st.sampled_from([World.leave, _hang, _go_on]),
)


@pytest.mark.timeout(300)
@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(actions, seconds), min_size=1, max_size=10),
    st.sampled_from(["none", "player", "foreign"]),
    st.sampled_from(["abort", WAIT]),
    st.sampled_from([RATE, 1103]),
)
def test_every_goal_ends_once_whatever_happens(
    story: list[tuple[Action, float]], at_first: str, player_lost: str, rate: int
) -> None:
    world = World(replace(SETTINGS, player_lost=player_lost), rate)
    if at_first != "none":
        world.player(tells=at_first == "player")
    for act, then in story:
        act(world)
        world.run(then)
    world.finish_all(within=400)
    assert all(goal.outcome for goal in world.goals)
    assert world.steps <= 100 + 300 * (world.now - 100.0) + 50 * len(story)
