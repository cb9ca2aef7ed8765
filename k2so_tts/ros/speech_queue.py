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

"""What happens to goals, from acceptance to their one terminal state.

There is no ROS, no thread and no clock in here: `speak_server.py` tells a `SpeechQueue` what
happens, lets it `step`, and does what it asks through a `SpeechQueueDelegate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from k2so_tts.audio import Chunk
from k2so_tts.ros.engine_watchdog import EngineWatchdog
from k2so_tts.ros.player_liveness import PlayerGraph, PlayerLiveness, PlayerState
from k2so_tts.ros.utterance import Utterance
from k2so_tts.ros.utterance_sender import AudioOutput, SendLimits, UtteranceSender
from k2so_tts.ros.wire_timeline import PlayerTrack
from k2so_tts.synthesis.synthesis import Synthesis

QUEUE, REPLACE, REJECT = "queue", "replace", "reject"
ABORT, WAIT = "abort", "wait"

_SUSPENDED_SECONDS = 0.2
"""A step that is overdue by more than this: the process was suspended and could receive nothing."""
_SHORTEST_WAIT_SECONDS = 0.001
_RETURN_POLL_SECONDS = 0.05
"""How often the graph is looked at while a lost player is waited for."""


class Outcome(Enum):
    """The terminal states of a goal."""

    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    CANCELED = "canceled"


@dataclass(frozen=True)
class QueueSettings:
    """How goals are spoken. Times are in seconds.

    `policy` is one of queue, replace and reject; `player_lost` is abort or wait. `max_lead` and
    `max_unheard_chunks` are those of `SendLimits`.
    """

    policy: str = QUEUE
    max_lead: float = 2.0
    max_unheard_chunks: int = 192
    wait_for_player: float = 1.0
    player_lost: str = ABORT
    player_wait: float = 30.0
    engine_timeout: float = 10.0

    @property
    def send_limits(self) -> SendLimits:
        """How much is sent ahead of what is heard."""
        return SendLimits(self.max_lead, self.max_unheard_chunks)


class SpeechQueueDelegate(AudioOutput, PlayerGraph, Protocol):
    """What a `SpeechQueue` needs from the world; all of it is called in the queue's thread."""

    def synthesise(self, utterance: Utterance) -> Synthesis:
        """Start the engine on an utterance."""
        ...

    def begin(self, utterance: Utterance) -> None:
        """It is the turn of an utterance."""

    def audible(self, utterance: Utterance, chunk: Chunk) -> None:
        """A chunk begins to be heard."""

    def finish(self, utterance: Utterance, outcome: Outcome, text: str, reason: str | None) -> None:
        """An utterance ends, once: `text` was heard; `reason` says why it did not succeed."""

    def fault(self, name: str, message: str | None) -> None:
        """Report a fault of the engine or the player, or (None) that it is gone."""

    def abandon_engine(self, utterance: Utterance, reason: str) -> bool:
        """The engine has stalled and must not be used any more. Returns whether another one goes
        on with the utterance.
        """
        ...


class SpeechQueue:
    """Utterances in order: the first is sent and heard while the second is being synthesised.

    All methods belong to one thread. `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        delegate: SpeechQueueDelegate,
        settings: QueueSettings,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self._delegate = delegate
        self._clock = clock
        self._queue: list[Utterance] = []
        self._liveness = PlayerLiveness(delegate, clock())
        self._sender = UtteranceSender(delegate, self._liveness)
        self._watchdog = EngineWatchdog()
        self._due = math.inf

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, utterance: Utterance) -> None:
        """Take an utterance; with the policy replace all others end as ABORTED."""
        if self.settings.policy == REPLACE:
            self.stop("replaced by a new goal")
        self._queue.append(utterance)

    def cancel(self, key: Hashable) -> None:
        """End the utterance with this key as CANCELED, whether it is being heard or waits."""
        for utterance in [utterance for utterance in self._queue if utterance.key == key]:
            self._end_early(utterance, Outcome.CANCELED, None)

    def stop(self, reason: str) -> None:
        """End every utterance as ABORTED."""
        for utterance in list(self._queue):
            self._end_early(utterance, Outcome.ABORTED, reason)

    def player_seen(self) -> None:
        """A player has announced that it is there."""
        self._liveness.announce(self._clock())
        self._delegate.fault("player", None)

    def playhead(
        self,
        stamp_ns: int,
        player: str = "",
        track: PlayerTrack | None = None,
    ) -> None:
        """A player reports that the frame with this stamp is leaving its device now.

        It is a frame of `track`; None if the player does not say so.
        """
        now = self._clock()
        if not self._liveness.hear_from(player, now) or not self._queue:
            return
        utterance = self._queue[0]
        located = utterance.wire.locate(stamp_ns)
        if located is None:
            return
        span, frame = located
        if _is_of_earlier_utterance(utterance, track, frame, now):
            return
        by_clock = self._liveness.follows_clock
        utterance.confirm(span.first, frame, now, track, by_clock=by_clock)
        at_part_start = utterance.progress.confirmed == utterance.wire.spans[-1].first
        self._liveness.confirm(at_part_start=at_part_start)
        self._delegate.fault("player", None)

    def step(self) -> float:
        """Do what is due.

        Returns when to step again at the latest (s, of the clock); inf if there is no need to.
        """
        now = self._clock()
        if now > self._due + _SUSPENDED_SECONDS:
            self._liveness.excuse_silence(now)
        self._due = self._step()
        return self._due

    def _step(self) -> float:
        while self._queue:
            head = self._queue[0]
            now = self._clock()
            if math.isnan(head.turn_at):
                self._begin_turn(head, now)
            due = self._advance(head, now)
            if self._queue and self._queue[0] is head:
                return due
        return math.inf

    def _begin_turn(self, head: Utterance, now: float) -> None:
        head.turn_at = now
        self._liveness.reset()
        self._watchdog.reset()
        if head.synthesis is None:
            head.attach(self._delegate.synthesise(head))
        self._delegate.begin(head)

    def _advance(self, head: Utterance, now: float) -> float:
        """Do what is due for the utterance whose turn it is; returns when to look again."""
        synthesis = head.synthesis
        assert synthesis is not None
        if synthesis.error is not None:
            self._fail(head, str(synthesis.error))
            return now
        due = self._wait_for_player(head, now)
        if due is None:
            due = self._send(head, synthesis, now)
            if head in self._queue:
                due = min(due, self._follow_playback(head, now))
        if head in self._queue and synthesis.done:
            self._synthesise_next()
        return due

    def _synthesise_next(self) -> None:
        """Have the next utterance made while this one is heard, now that the engine is free."""
        if len(self._queue) > 1 and self._queue[1].synthesis is None:
            self._queue[1].attach(self._delegate.synthesise(self._queue[1]))

    def _wait_for_player(self, head: Utterance, now: float) -> float | None:
        """When to look for a player again; None when there is no need to wait (any more)."""
        if head.sent or self._liveness.state is PlayerState.UNHEARD:
            return None
        due = self._liveness.wait_for_player(head.turn_at, now, self.settings.wait_for_player)
        if due is None:
            self._report_audience()
        return due

    def _report_audience(self) -> None:
        """Report whether anybody listens to what is about to be sent."""
        message = None
        if self._liveness.state is PlayerState.UNHEARD:
            message = "nobody subscribes to the audio; speaking by the clock, unheard"
        self._delegate.fault("player", message)

    def _send(self, head: Utterance, synthesis: Synthesis, now: float) -> float:
        """Send what may be sent, or watch the engine; returns when to look again."""
        if self._liveness.state is PlayerState.LOST:
            return math.inf
        due = self._sender.send_due(head, now, self.settings.send_limits)
        if due is not None:
            self._watchdog.reset()
            return due
        deadline = self._watchdog.deadline(synthesis, now, self.settings.engine_timeout)
        if now < deadline:
            return deadline
        reason = f"the engine stalled: no audio for {self.settings.engine_timeout:g} s"
        self._watchdog.reset()
        if not self._delegate.abandon_engine(head, reason):
            self._fail(head, reason)
        return now

    def _fail(self, head: Utterance, reason: str) -> None:
        """End an utterance whose engine has failed."""
        self._delegate.fault("engine", reason)
        self._end_early(head, Outcome.ABORTED, reason)

    def _follow_playback(self, head: Utterance, now: float) -> float:
        """Give feedback, finish what was heard to its end, watch the player.

        Returns when the next thing is due.
        """
        by_clock, lost_at = self._liveness.follows_clock, self._liveness.lost_at
        position = head.position(now if lost_at is None else lost_at, by_clock=by_clock)
        heard = self._heard(head, now)
        upcoming = self._give_feedback(head, position, heard)
        if head.is_all_sent:
            if heard >= head.sent:
                self._complete(head)
                return now
            if upcoming is None and by_clock:
                upcoming = head.sent
        due = math.inf
        if upcoming is not None and lost_at is None:
            due = now + max(_SHORTEST_WAIT_SECONDS, (upcoming - position) / head.rate)
        return min(due, self._watch_player(head, now))

    def _give_feedback(self, head: Utterance, position: float, heard: int) -> int | None:
        """Give feedback for the chunks that have become audible.

        Returns the first frame of the next chunk if it becomes audible as time passes.
        """
        progress = head.progress
        progress.forget_heard(heard)
        for chunk in progress.unheard:
            if chunk.start < progress.feedback_to:
                continue
            if not self._plays_part_of(head, chunk):
                return None
            if chunk.start > position:
                return chunk.start
            progress.feedback_to = chunk.end
            self._delegate.audible(head, chunk)
        return None

    def _plays_part_of(self, head: Utterance, chunk: Chunk) -> bool:
        """Whether the part that a chunk is in is being played, or by the clock may be."""
        progress = head.progress
        if progress.confirmed is None:
            return self._liveness.follows_clock
        has_begun = progress.confirmed_at >= head.wire.span_of(chunk.start).due_at
        return has_begun and (progress.moving or chunk.start < progress.confirmed)

    def _complete(self, head: Utterance) -> None:
        """End an utterance that was played to its end; it succeeds if nothing of it was lost."""
        if head.sent:
            self._sender.note_end(head, head.sent)
            if self._liveness.state is PlayerState.UNHEARD and self._delegate.players():
                self._sender.cut(head)  # a player that has come too late plays none of it
        self._delegate.fault("engine", None)
        reason = head.progress.losses.reason
        outcome = Outcome.SUCCEEDED if reason is None else Outcome.ABORTED
        self._finish(head, outcome, head.heard_text(head.sent), reason)

    def _watch_player(self, head: Utterance, now: float) -> float:
        """Notice a player that is gone or silent while it should be playing.

        Returns when to look again.
        """
        liveness = self._liveness
        if liveness.lost_at is not None:
            return self._wait_for_return(head, now, liveness.lost_at)
        if head.sent <= head.progress.confirmed_frames:
            return math.inf
        may_start = head.wire.ended or head.pending is not None
        deadline = liveness.deadline(head.wire.sent_at, may_start=may_start)
        if now < deadline:
            return deadline
        if liveness.lose(now):
            message = "the player is lost: it does not report its playhead any more"
            self._delegate.fault("player", message)
        if self.settings.player_lost == ABORT:
            self._end_early(head, Outcome.ABORTED, "the player was lost")
        return now

    def _wait_for_return(self, head: Utterance, now: float, lost_at: float) -> float:
        """Wait for a lost player; send another one what was not heard. When to look again."""
        if self._liveness.can_resend():
            self._sender.resend(head, now, self._heard(head, now), lost_at)
            self._liveness.resume(now)
            self._delegate.fault("player", None)
            return now
        if now < lost_at + self.settings.player_wait:
            return now + _RETURN_POLL_SECONDS
        self._end_early(head, Outcome.ABORTED, "the player was lost and did not come back")
        return now

    def _end_early(self, utterance: Utterance, outcome: Outcome, reason: str | None) -> None:
        """Silence an utterance before its end; what was heard of it is its result."""
        text = ""
        try:
            if utterance.synthesis is not None:
                utterance.synthesis.cancel()
            if utterance.sent:
                heard = self._heard(utterance, self._clock())
                text = utterance.heard_text(heard)
                self._sender.cut(utterance)
                self._sender.note_end(utterance, heard)
        finally:
            self._finish(utterance, outcome, text, reason)

    def _heard(self, head: Utterance, now: float) -> int:
        """How many frames have been heard by `now`, or had been when the player was lost."""
        lost_at = self._liveness.lost_at
        moment = now if lost_at is None else lost_at
        return head.heard(moment, by_clock=self._liveness.follows_clock)

    def _finish(
        self, utterance: Utterance, outcome: Outcome, text: str, reason: str | None
    ) -> None:
        if utterance is self._queue[0]:
            self._liveness.reset()
        self._queue.remove(utterance)
        self._delegate.finish(utterance, outcome, text, reason)


def _is_of_earlier_utterance(
    utterance: Utterance, track: PlayerTrack | None, frame: int, now: float
) -> bool:
    """Whether a playhead is a late report of an utterance that was cut: that one began earlier, or,
    where the player does not say so, it lies further ahead than could have been heard of this one.
    """
    if track is not None:
        return track.start_ns < utterance.wire.spans[0].start_ns
    elapsed = now - utterance.wire.spans[0].due_at
    return utterance.progress.confirmed is None and frame > elapsed * utterance.rate + 1
