"""What happens to a goal, from its turn to its one terminal state.

No ROS, no thread and no clock of its own in here: `speak_server.py` feeds a `SpeechQueue` with what
happens, lets it `step`, and does what it asks through a `SpeechQueueDelegate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from k2so_tts.audio import EMPTY_PCM, Chunk, Pcm
from k2so_tts.ros.utterance import Span, Utterance
from k2so_tts.synthesis.synthesis import Synthesis

QUEUE, REPLACE, REJECT = "queue", "replace", "reject"
ABORT, WAIT = "abort", "wait"

PLAYER_SILENCE_SECONDS = 0.7
"""A player tells its playhead 20 times a second; after this long without a word it is lost."""
_NEWCOMER_SECONDS = 4.0
"""The same for a player that has told no playhead yet: what is sent while it and this node are just
finding each other may come late. Fast DDS looks after 3 s whether something has to be repeated."""
_FOLLOW_SECONDS = 0.3
"""Of several players the one that is heard first is followed until it has been silent for so long:
one that joins in mid-sentence is ahead by all that was sent and not yet heard."""
_STANDSTILL_SECONDS = 0.2
"""A step that is so much overdue: this process stood still, and has not heard others meanwhile."""
_EXTRAPOLATE_SECONDS = 0.1
_SET_BACK_NS = 1_000_000_000
"""A moment that has passed and is so far ahead was told by a clock that was set back since."""
_PAUSE_SECONDS = 0.15
"""This long before a streamed text runs out of audio the player is told not to wait for more."""
_LEAST_LEAD_CHUNKS = 4
"""Sent ahead whatever `max_lead` is: a player starts on three."""


class Outcome(Enum):
    """The terminal states of a goal."""

    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    CANCELED = "canceled"


@dataclass(frozen=True)
class QueueSettings:
    """Times in seconds. `policy` is one of queue, replace and reject; `player_lost` abort or
    wait. No more than `max_lead` seconds and `max_unheard_chunks` chunks are sent ahead of what is
    heard.
    """

    policy: str = QUEUE
    max_lead: float = 2.0
    max_unheard_chunks: int = 192
    wait_for_player: float = 1.0
    player_lost: str = ABORT
    player_wait: float = 30.0
    engine_timeout: float = 10.0


class SpeechQueueDelegate(Protocol):
    """What a `SpeechQueue` needs from the world."""

    def now_ns(self) -> int:
        """The time that stamps are made of."""
        ...

    def subscribers(self) -> int:
        """How many subscribe to the audio."""
        ...

    def players(self) -> int:
        """How many tell a playhead."""
        ...

    def player_ids(self) -> frozenset[Hashable]:
        """Who tells a playhead: another one each time that a player starts."""
        ...

    def players_subscribe(self) -> bool:
        """The player that has told something last, or else any, is known to listen: nothing is sent
        past one that is just becoming known.
        """
        ...

    def synthesise(self, utterance: Utterance) -> Synthesis:
        """Start the engine on a speech."""
        ...

    def begin(self, utterance: Utterance) -> None:
        """The turn of a speech has come."""

    def publish(self, stamp_ns: int, pcm: Pcm, rate: int) -> None:
        """Send a chunk, or the end marker (no frames)."""

    def audible(self, utterance: Utterance, chunk: Chunk) -> None:
        """A chunk begins to be heard."""

    def finish(self, utterance: Utterance, outcome: Outcome, text: str, reason: str | None) -> None:
        """The one end of a speech: `text` was heard; `reason` says why it was not all."""

    def fault(self, name: str, message: str | None) -> None:
        """Something is wrong (once), or all right again (None)."""

    def abandon_engine(self, utterance: Utterance, reason: str) -> bool:
        """The engine has stalled and is not to be used any more. Whether another goes on with the
        speech.
        """
        ...


class SpeechQueue:
    """Speeches in order: one is on the wire and heard, the next is synthesised already.

    All methods belong to one thread. `step` does what is due and returns when the next thing is.
    """

    def __init__(
        self, port: SpeechQueueDelegate, settings: QueueSettings, clock: Callable[[], float]
    ) -> None:
        self.settings = settings
        self._port = port
        self._clock = clock
        self._began_at = clock()
        self._queue: list[Utterance] = []
        self._last_end_ns = 0
        self._player = ""
        self._player_heard_at = -math.inf
        self._player_seen = False
        self._player_seen_at = -math.inf
        self._proven: frozenset[Hashable] = frozenset()
        """The players that were there when a goal was last heard."""
        self._due = math.inf

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, utterance: Utterance) -> None:
        if self.settings.policy == REPLACE:
            for earlier in list(self._queue):
                self._end(earlier, Outcome.ABORTED, "replaced by a new goal")
        self._queue.append(utterance)

    def cancel(self, key: Hashable) -> None:
        """End a speech as CANCELED, whether it is heard or still waits."""
        for utterance in [utterance for utterance in self._queue if utterance.key == key]:
            self._end(utterance, Outcome.CANCELED, None)

    def stop(self, reason: str) -> None:
        """End everything as ABORTED."""
        for utterance in list(self._queue):
            self._end(utterance, Outcome.ABORTED, reason)

    def player_seen(self) -> None:
        """A player has told that it is there."""
        self._player_seen = True
        self._player_seen_at = self._clock()
        self._port.fault("player", None)

    def playhead(self, stamp_ns: int, player: str = "", lost_frames: int | None = None) -> None:
        """A player tells that the frame with this stamp is leaving its device now, and how many
        frames of the utterance were lost before it (None: it does not count them).
        """
        now = self._clock()
        self._player_seen = True
        if player != self._player and self._follows_another(now):
            return
        self._player = player
        self._player_heard_at = now
        if not self._queue:
            return
        utterance = self._queue[0]
        frame = utterance.frame_at(stamp_ns)
        if frame is None or self._is_stale(utterance, frame, now):
            return
        self._note_losses(utterance, frame, lost_frames)
        if utterance.heard_first_at is None:
            utterance.heard_first_at = now - (frame / utterance.rate)
            self._proven = self._port.player_ids()
            utterance.players |= self._proven
        resumed = utterance.confirmed is None or utterance.confirmed_at < utterance.spans[-1].due_at
        utterance.moving = resumed or frame > (utterance.confirmed or 0)
        utterance.confirmed = max(frame, utterance.confirmed or 0)
        utterance.confirmed_at = now
        if not utterance.losses:
            utterance.intact_to = utterance.confirmed
        self._found(utterance)

    def _note_losses(self, utterance: Utterance, frame: int, lost_frames: int | None) -> None:
        """Note what the player has lost of the part that `frame` is in.

        A player that counts reports the first frame that it plays: what was before it never came.
        """
        if lost_frames is None:
            return
        missed = utterance.confirmed is None and not utterance.by_clock and frame > 1
        if missed:
            utterance.losses[-1] = frame
        if lost_frames:
            utterance.losses[utterance.span_of(frame).first] = lost_frames

    def _follows_another(self, now: float) -> bool:
        """What is spoken now is heard from the player that told its playhead last."""
        is_heard = bool(self._queue) and self._queue[0].confirmed is not None
        return is_heard and now - self._player_heard_at < _FOLLOW_SECONDS

    @staticmethod
    def _is_stale(utterance: Utterance, frame: int, now: float) -> bool:
        """A last word about an utterance that was cut, where this one has only just been sent."""
        return (
            utterance.confirmed is None
            and frame > (now - utterance.spans[0].due_at) * utterance.rate + 1
        )

    def step(self) -> float:
        """Do what is due. Returns when to step again at the latest (s, the clock's); inf: not
        needed.
        """
        now = self._clock()
        if now > self._due + _STANDSTILL_SECONDS:
            self._player_heard_at = now
        self._due = self._step()
        return self._due

    def _step(self) -> float:
        while self._queue:
            head = self._queue[0]
            now = self._clock()
            if math.isnan(head.turn_at):
                self._take_turn(head, now)
            due = self._advance(head, now)
            if self._queue and self._queue[0] is head:
                return due
        return math.inf

    def _take_turn(self, head: Utterance, now: float) -> None:
        head.turn_at = now
        if head.synthesis is None:
            head.synthesis = self._port.synthesise(head)
        self._port.begin(head)

    def _advance(self, head: Utterance, now: float) -> float:
        synthesis = head.synthesis
        assert synthesis is not None
        if synthesis.error is not None:
            self._port.fault("engine", str(synthesis.error))
            self._end(head, Outcome.ABORTED, str(synthesis.error))
            return now
        due = self._wait_for_player(head, now)
        if due is None:
            due = self._send(head, now)
            if head in self._queue:
                due = min(due, self._hear(head, now))
        if head in self._queue:
            self._prefetch(head)
        return due

    def _prefetch(self, head: Utterance) -> None:
        """Have the next speech made while this one is heard, as soon as the engine is free."""
        if len(self._queue) > 1 and head.synthesis is not None and head.synthesis.done:
            following = self._queue[1]
            if following.synthesis is None:
                following.synthesis = self._port.synthesise(following)

    def _wait_for_player(self, head: Utterance, now: float) -> float | None:
        """When to look again for somebody who listens; None when there is no need to wait.

        At the start a bystander may be known sooner than the player.
        """
        if head.sent or head.nobody_listens:
            return None
        players, patience = self._port.players(), self.settings.wait_for_player
        is_heard = self._port.subscribers() and (self._player_seen or not players)
        is_known = self._port.players_subscribe() if players else now >= self._began_at + patience
        until = head.turn_at + patience
        if now < until and not (is_heard and is_known):
            return min(until, now + 0.005)
        if is_heard:
            head.by_clock = not players
            self._port.fault("player", None)
            return None
        head.nobody_listens = head.by_clock = True
        self._port.fault("player", "nobody subscribes to the audio; speaking by the clock, unheard")
        return None

    def _send(self, head: Utterance, now: float) -> float:
        """Publish what may be sent now. Returns when more may be (inf: when something happens)."""
        synthesis = head.synthesis
        assert synthesis is not None
        while head.lost_at is None:
            held, head.following = head.following, None
            chunk = held if held is not None and len(held.pcm) else synthesis.take() or held
            if chunk is None:
                return self._watch_engine(head, now)
            head.engine_owes_since = None
            if len(chunk.pcm):
                surplus = self._surplus(head, chunk, now)
                if surplus > 0:
                    head.following = chunk
                    return now + max(0.001, surplus / head.rate)
                self._send_chunk(head, chunk, now)
            elif not head.ended and head.sent:
                spare = self._spare(head, now)
                if spare > 0:
                    head.following = chunk
                    return now + max(0.001, spare / head.rate)
                head.ended = True
                head.sent_at = now
                self._port.publish(head.stamp_ns(head.sent), EMPTY_PCM, head.rate)
        return math.inf

    def _spare(self, head: Utterance, now: float) -> float:
        """How many frames may still be heard before a pause in the text has to be told.

        Not one at the end, nor while the player stands still: it may be waiting for more.
        """
        synthesis = head.synthesis
        position = self._position(head, now)
        plays = position > 0
        if head.confirmed is not None:
            plays = head.moving and now - head.confirmed_at <= _EXTRAPOLATE_SECONDS
        if synthesis is None or synthesis.done or not plays:
            return 0.0
        return head.sent - position - _PAUSE_SECONDS * head.rate

    def _surplus(self, head: Utterance, chunk: Chunk, now: float) -> float:
        """By how many frames this chunk would be sent too far ahead of what is heard."""
        lead = max(self.settings.max_lead * head.rate, _LEAST_LEAD_CHUNKS * len(chunk.pcm))
        position = self._position(head, now)
        surplus = chunk.end - position - lead
        if len(head.unheard) >= self.settings.max_unheard_chunks:
            oldest = head.unheard[-self.settings.max_unheard_chunks]
            surplus = max(surplus, oldest.end - position)
        return surplus

    def _start_ns(self, head: Utterance) -> int:
        """The first stamp: when it was accepted, but not before the end of what was heard before.

        After a clock was set back both may lie far ahead of it.
        """
        now_ns = self._port.now_ns()
        start_ns = max(head.accepted_ns, self._last_end_ns)
        if start_ns > now_ns + _SET_BACK_NS:
            start_ns = self._last_end_ns = now_ns
        return start_ns

    def _send_chunk(self, head: Utterance, chunk: Chunk, now: float) -> None:
        if not head.spans:
            head.spans.append(Span(0, self._start_ns(head), now))
            head.first_chunk_at = now
            head.players = self._port.player_ids()
        elif head.ended:
            start_ns = max(head.stamp_ns(head.sent), self._port.now_ns())
            before = head.spans[-1]
            due_at = max(now, before.due_at + (head.sent - before.first) / head.rate)
            head.spans.append(Span(head.sent, start_ns, due_at))
        if head.sent <= (head.confirmed or 0):
            head.player_owes_since = now
        head.ended = False
        head.sent = chunk.end
        head.sent_at = now
        head.unheard.append(chunk)
        self._port.publish(head.stamp_ns(chunk.start), chunk.pcm, head.rate)

    def _watch_engine(self, head: Utterance, now: float) -> float:
        synthesis = head.synthesis
        assert synthesis is not None
        if synthesis.done or synthesis.starved:
            head.engine_owes_since = None
            return math.inf
        if head.engine_owes_since is None or synthesis.frames > head.made:
            head.engine_owes_since = now
            head.made = synthesis.frames
        until = head.engine_owes_since + self.settings.engine_timeout
        if now < until:
            return until
        reason = f"the engine stalled: no audio for {self.settings.engine_timeout:g} s"
        head.engine_owes_since = None
        if self._port.abandon_engine(head, reason):
            return now
        self._port.fault("engine", reason)
        self._end(head, Outcome.ABORTED, reason)
        return now

    def _by_clock(self, head: Utterance) -> bool:
        """Nobody tells what is heard of it: what was sent is taken to be heard at its time."""
        return head.confirmed is None and (head.by_clock or not self._port.players())

    def _position(self, head: Utterance, now: float) -> float:
        """How many frames have been heard by now, as far as one can know."""
        if head.lost_at is not None:
            now = head.lost_at
        if head.confirmed is not None:
            elapsed = min(now - head.confirmed_at, _EXTRAPOLATE_SECONDS) if head.moving else 0.0
            return min(head.confirmed + elapsed * head.rate, head.span_end(head.confirmed))
        if not head.spans or not self._by_clock(head):
            return 0.0
        span = next((span for span in reversed(head.spans) if span.due_at <= now), head.spans[0])
        return min(span.first + (now - span.due_at) * head.rate, head.span_end(span.first))

    def _heard(self, head: Utterance, now: float) -> int:
        """How many frames have been heard for certain."""
        return int(self._position(head, now)) if head.confirmed is None else head.confirmed

    def _hear(self, head: Utterance, now: float) -> float:
        """Tell what is heard; finish when all is. Returns when the next thing will be heard."""
        synthesis = head.synthesis
        assert synthesis is not None
        position = self._position(head, now)
        upcoming = self._tell(head, position, now)
        everything = synthesis.exhausted and head.following is None and synthesis.error is None
        if everything and self._heard(head, now) >= head.sent:
            self._succeed(head)
            return now
        if upcoming is None and everything and self._by_clock(head):
            upcoming = head.sent
        due = math.inf
        if upcoming is not None and head.lost_at is None:
            due = now + max(0.001, (upcoming - position) / head.rate)
        return min(due, self._watch_player(head, now))

    def _tell(self, head: Utterance, position: float, now: float) -> int | None:
        """Feedback for the chunks that have become audible; the frame of the next one, if time
        alone makes it audible.
        """
        heard = self._heard(head, now)
        while head.unheard and head.unheard[0].end <= min(heard, head.told):
            head.unheard.popleft()
        for chunk in head.unheard:
            if chunk.start < head.told:
                continue
            if not self._has_begun(head, chunk):
                return None
            if chunk.start > position:
                return chunk.start
            head.told = chunk.end
            self._port.audible(head, chunk)
        return None

    def _has_begun(self, head: Utterance, chunk: Chunk) -> bool:
        """The part that a chunk is in is being played, or is at its turn by the clock."""
        if head.confirmed is None:
            return self._by_clock(head)
        is_playing = head.confirmed_at >= head.span_of(chunk.start).due_at
        return is_playing and (head.moving or chunk.start < head.confirmed)

    def _succeed(self, head: Utterance) -> None:
        self._last_end_ns = max(self._last_end_ns, self._port.now_ns())
        if head.sent:
            self._last_end_ns = max(self._last_end_ns, head.stamp_ns(head.sent))
            if head.nobody_listens and head.confirmed is None and self._port.players():
                self._cut(head)
        self._port.fault("engine", None)
        if head.losses:
            lost = sum(head.losses.values())
            reason = f"{lost} frames were lost on the way to the player"
            self._leave(head, Outcome.ABORTED, head.heard_text(head.intact_to), reason)
        else:
            self._leave(head, Outcome.SUCCEEDED, head.heard_text(head.sent), None)

    def _watch_player(self, head: Utterance, now: float) -> float:
        """Notice a player that has gone silent while it should be speaking."""
        if head.lost_at is not None:
            return self._wait_for_return(head, now)
        if (head.nobody_listens and head.confirmed is None) or head.sent <= (head.confirmed or 0):
            return math.inf
        until = self._patience_with_player(head)
        if now < until:
            return until
        silent_since = max(self._player_heard_at, head.player_owes_since)
        self._player_seen = self._player_seen_at > silent_since  # back already
        if not self._player_seen:
            self._port.fault("player", "the player is lost: it does not tell its playhead any more")
        if self.settings.player_lost == ABORT:
            self._end(head, Outcome.ABORTED, "the player was lost")
        else:
            head.lost_at = now
        return now

    def _patience_with_player(self, head: Utterance) -> float:
        """When a player that says nothing counts as lost (s); -inf: it is gone."""
        if not self._port.subscribers():
            return -math.inf
        if self._by_clock(head):
            return math.inf
        if not self._port.players():
            return -math.inf
        if head.confirmed_at >= head.player_owes_since and head.confirmed != head.spans[-1].first:
            return self._player_heard_at + PLAYER_SILENCE_SECONDS
        if head.ended or head.following is not None:
            is_proven = head.players <= self._proven
            patience = PLAYER_SILENCE_SECONDS if is_proven else _NEWCOMER_SECONDS
            return max(self._player_heard_at, head.sent_at) + patience
        return math.inf  # it may need more before it begins

    def _wait_for_return(self, head: Utterance, now: float) -> float:
        assert head.lost_at is not None
        players = self._port.player_ids()
        head.players &= players
        is_another = self._player_seen and players > head.players
        is_back = is_another and self._port.players_subscribe()
        if (is_back or self._by_clock(head)) and self._port.subscribers():
            self._replay(head)
            return now
        if now < head.lost_at + self.settings.player_wait:
            return now + 0.05
        self._end(head, Outcome.ABORTED, "the player was lost and did not come back")
        return now

    def _replay(self, head: Utterance) -> None:
        """Another player is there, and knows nothing: send again what was not heard."""
        now = self._clock()
        head.players = self._port.player_ids()
        heard = self._heard(head, now)
        for chunk in head.unheard:
            start = max(chunk.start, heard)
            if start < chunk.end:
                pcm = chunk.pcm[start - chunk.start :]
                self._port.publish(head.stamp_ns(start), pcm, head.rate)
        if head.ended:
            self._port.publish(head.stamp_ns(head.sent), EMPTY_PCM, head.rate)
        assert head.lost_at is not None
        away = now - head.lost_at
        head.spans = [span._replace(due_at=span.due_at + away) for span in head.spans]
        head.player_owes_since = head.sent_at = now
        self._found(head)

    def _found(self, head: Utterance) -> None:
        head.lost_at = None
        self._port.fault("player", None)

    def _end(self, utterance: Utterance, outcome: Outcome, reason: str | None) -> None:
        """End a speech before its time: silence, and what was heard of it is its result."""
        heard = self._heard(utterance, self._clock())
        if utterance.synthesis is not None:
            utterance.synthesis.cancel()
        text = utterance.heard_text(utterance.intact_to if utterance.losses else heard)
        try:
            if utterance.spans:
                self._cut(utterance)
                reached = min(self._port.now_ns(), utterance.stamp_ns(utterance.sent))
                self._last_end_ns = max(self._last_end_ns, utterance.stamp_ns(heard), reached)
        finally:
            self._leave(utterance, outcome, text, reason)

    def _cut(self, utterance: Utterance) -> None:
        """Nothing that was sent of it is to be heard from now on, wherever it is on its way."""
        self._port.publish(utterance.spans[0].start_ns, EMPTY_PCM, utterance.rate)

    def _leave(self, utterance: Utterance, outcome: Outcome, text: str, reason: str | None) -> None:
        self._queue.remove(utterance)
        self._port.finish(utterance, outcome, text, reason)
