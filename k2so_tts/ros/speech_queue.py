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

from k2so_tts.ros.endings import Ending, Reason
from k2so_tts.ros.engine_watchdog import EngineWatchdog
from k2so_tts.ros.player_liveness import PlayerLiveness, PlayerState
from k2so_tts.ros.speech_queue_delegate import SpeechQueueDelegate
from k2so_tts.ros.utterance import REPEAT_SECONDS, Utterance
from k2so_tts.ros.utterance_sender import SendLimits, UtteranceSender
from k2so_tts.ros.wire_timeline import NOWHERE, PlayerTrack
from k2so_tts.ros.word_teller import WordTeller
from k2so_tts.synthesis.synthesis import Synthesis

QUEUE, REPLACE, REJECT, INTERRUPT = "queue", "replace", "reject", "interrupt"
ABORT, WAIT, RESUME, SUCCEED = "abort", "wait", "resume", "succeed"

_SUSPENDED_SECONDS = 0.2
"""A step that is overdue by more than this: the process was suspended and could receive nothing."""
_SHORTEST_WAIT_SECONDS = 0.001
_RETURN_POLL_SECONDS = 0.05
"""How often the graph is looked at while a lost player is waited for."""


@dataclass(frozen=True)
class QueueSettings:
    """How goals are spoken. Times are in seconds.

    `policy` is one of queue, replace, reject and interrupt; `interrupted` is resume or abort,
    `unheard` succeed or abort, `player_lost` abort or wait. `max_lead` and `max_unheard_chunks` are
    those of `SendLimits`.
    """

    policy: str = QUEUE
    interrupted: str = RESUME
    unheard: str = SUCCEED
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


class SpeechQueue:
    """Utterances in order: the first is sent and heard while the second is being synthesised.

    Those of a higher priority come first. One that interrupts comes before all of its priority, and
    pauses what is being heard. All methods belong to one thread. `clock` gives monotonic seconds.
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
        self._words = WordTeller(delegate, self._liveness)
        self._watchdog = EngineWatchdog()
        self._due = math.inf

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, utterance: Utterance) -> None:
        """Take an utterance, which is spoken by its own policy, or that of the settings.

        With replace, all others of its priority and below end. With interrupt, what is heard of its
        priority or below pauses for it, or ends if the settings say so.
        """
        policy = utterance.policy or self.settings.policy
        priority = utterance.priority
        if policy == REPLACE:
            for other in [other for other in self._queue if other.priority <= priority]:
                self._end_early(other, Reason.REPLACED, "replaced by a new goal")
        if policy == INTERRUPT and self._queue and self._queue[0].priority <= priority:
            self._interrupt(self._queue[0])
        at = self._place_for(priority + 1 if policy == INTERRUPT else priority)
        self._queue.insert(at, utterance)
        for other in self._queue[at + 1 :]:
            other.suspend()

    def _place_for(self, overtaken: int) -> int:
        """The place after the one whose turn it is and all whose priority is not below this one."""
        first = 1 if self._queue and self._queue[0].in_turn else 0
        behind = (at for at, other in enumerate(self._queue) if other.priority < overtaken)
        return next((at for at in behind if at >= first), len(self._queue))

    def cancel(self, key: Hashable) -> None:
        """End the utterance with this key as canceled, whether it is being heard or waits."""
        self.end(key, Reason.CANCELED, "canceled by its client")

    def end(self, key: Hashable, reason: Reason, message: str) -> None:
        """End the utterance with this key, whether it is being heard or waits."""
        for utterance in [utterance for utterance in self._queue if utterance.key == key]:
            self._end_early(utterance, reason, message)

    def stop(self, reason: Reason, message: str) -> None:
        """End every utterance."""
        for utterance in list(self._queue):
            self._end_early(utterance, reason, message)

    def player_seen(self) -> None:
        """A player has announced that it is there."""
        self._liveness.announce(self._clock())
        self._delegate.fault("player", None)

    def expect_delay(self) -> None:
        """So much arrives at once that a player may be heard of late."""
        self._liveness.expect_delay(self._clock())

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
        before = self._liveness.followed
        is_followed = self._liveness.hear_from(
            player,
            now,
            has_device=track is None or track.sink != NOWHERE,
            joined_late=bool(self._queue) and self._queue[0].lacks_beginning(track),
        )
        if not is_followed or not self._queue:
            return
        for paused in self._queue[1:]:
            paused.note_late_losses(track)
        utterance = self._queue[0]
        located = utterance.wire.locate(stamp_ns)
        if located is None:
            return
        span, frame = located
        if utterance.is_of_earlier(track, frame, now):
            return
        by_clock = self._liveness.follows_clock
        utterance.confirm(
            span.first, frame, now, track, by_clock=by_clock, takes_over=player != before
        )
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
            if not head.in_turn:
                self._begin_turn(head, now)
            due = self._advance(head, now)
            if self._queue and self._queue[0] is head:
                return due
        return math.inf

    def _begin_turn(self, head: Utterance, now: float) -> None:
        """It is the turn of an utterance, for the first time or again."""
        head.in_turn = True
        self._liveness.reset()
        self._watchdog.reset()
        self._synthesise(head)
        if math.isnan(head.turn_at):
            head.turn_at = now
            self._delegate.begin(head)

    def _synthesise(self, utterance: Utterance) -> None:
        """Have the engine begin with an utterance, or go on with it."""
        if utterance.synthesis is None:
            utterance.attach(self._delegate.synthesise(utterance))
        else:
            utterance.synthesis.resume()

    def _interrupt(self, head: Utterance) -> None:
        """Silence an utterance at the end of a word, and have it go on there, or end it."""
        position = self._position(head)
        if not head.in_turn or (head.sent and head.ends_soon_after(position)):
            return
        if self.settings.interrupted == ABORT:
            self._end_early(head, Reason.INTERRUPTED, "interrupted by another goal")
            return
        if head.sent:
            self._sender.pause(head, *head.pause_after(position))
            self._liveness.reset()
        head.in_turn = False
        self._queue.remove(head)
        self._queue.insert(self._place_for(head.priority + 1), head)

    def _position(self, head: Utterance) -> float:
        """How many frames have been heard, as far as one can know."""
        lost_at = self._liveness.lost_at
        moment = self._clock() if lost_at is None else lost_at
        return head.position(moment, by_clock=self._liveness.follows_clock)

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
        if len(self._queue) > 1:
            self._synthesise(self._queue[1])

    def _wait_for_player(self, head: Utterance, now: float) -> float | None:
        """When to look for a player again; None when there is no need to wait (any more)."""
        is_decided = head.sent and self._liveness.state is not PlayerState.WAITING
        if is_decided or self._liveness.state is PlayerState.UNHEARD:
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
        self._end_early(head, Reason.ENGINE_FAILED, reason)

    def _follow_playback(self, head: Utterance, now: float) -> float:
        """Give feedback, finish what was heard to its end, watch the player.

        Returns when the next thing is due.
        """
        by_clock, lost_at = self._liveness.follows_clock, self._liveness.lost_at
        position = self._position(head)
        heard = self._heard(head, now)
        frames = [
            self._give_feedback(head, position, heard),
            self._words.tell(head, position, now),
        ]
        upcoming = min((frame for frame in frames if frame is not None), default=None)
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
        progress.forget_heard(heard, kept=int(REPEAT_SECONDS * head.rate))
        for chunk in progress.unheard:
            if chunk.start < progress.feedback_to:
                continue
            if not head.plays(chunk.start, by_clock=self._liveness.follows_clock):
                return None
            if chunk.start > position:
                return chunk.start
            progress.feedback_to = chunk.end
            self._delegate.audible(head, chunk)
        return None

    def _complete(self, head: Utterance) -> None:
        """End an utterance that was played to its end; it succeeds if nothing of it was lost."""
        if head.sent:
            self._sender.note_end(head, head.sent)
            if self._liveness.state is PlayerState.UNHEARD and self._delegate.players():
                self._sender.cut(head)  # a player that has come too late plays none of it
        self._delegate.fault("engine", None)
        self._finish(head, *head.why_complete, head.heard_text(head.sent))

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
            self._end_early(head, Reason.PLAYER_LOST, "the player was lost")
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
        message = "the player was lost and did not come back"
        self._end_early(head, Reason.PLAYER_LOST, message)
        return now

    def _end_early(self, utterance: Utterance, reason: Reason, message: str) -> None:
        """Silence an utterance before its end; what was heard of it is its result."""
        text = ""
        try:
            utterance.cancel()
            if utterance.sent:
                heard = self._heard(utterance, self._clock())
                text = utterance.heard_text(heard)
                if utterance.in_turn:
                    self._sender.cut(utterance)
                    self._sender.note_end(utterance, heard)
        finally:
            self._finish(utterance, reason, message, text)

    def _heard(self, head: Utterance, now: float) -> int:
        """How many frames have been heard by `now`, or had been when the player was lost."""
        lost_at = self._liveness.lost_at
        moment = now if lost_at is None else lost_at
        return head.heard(moment, by_clock=self._liveness.follows_clock)

    def _finish(self, utterance: Utterance, reason: Reason, message: str, heard: str) -> None:
        if utterance is self._queue[0]:
            self._liveness.reset()
        self._queue.remove(utterance)
        unheard_aborts = self.settings.unheard == ABORT
        ending = Ending(reason, heard, message, unheard_aborts=unheard_aborts)
        self._delegate.finish(utterance, ending)
