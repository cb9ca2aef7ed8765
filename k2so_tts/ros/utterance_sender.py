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

"""What of an utterance is sent when: stamps, parts, and how far ahead of what is heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from k2so_tts.audio import EMPTY_PCM, START_CHUNKS, Chunk, Pcm
from k2so_tts.ros.player_liveness import PlayerLiveness, PlayerState
from k2so_tts.ros.utterance import Utterance

_CLOCK_SET_BACK_NS = 1_000_000_000
"""A stamp of the past that lies further ahead than this was taken before the clock was set back."""
_PAUSE_NOTICE_SECONDS = 0.15
"""How long before a streamed text runs out of audio the end of its part is marked, so that the
player does not wait for more."""
_LEAST_LEAD_CHUNKS = START_CHUNKS + 1
"""Sent ahead whatever `max_lead` is: what a player starts on, and what it needs next. No more is
sent to one that reports no playhead: audio_common's keeps five messages, and none reliably.
"""
_SHORTEST_WAIT_SECONDS = 0.001


@dataclass(frozen=True)
class SendLimits:
    """How much is sent ahead of what is heard, at most.

    No more than `max_lead` seconds, and no more than `max_unheard_chunks` chunks: a subscriber
    loses what exceeds its history depth before it takes it.
    """

    max_lead: float = 2.0
    max_unheard_chunks: int = 192


class AudioOutput(Protocol):
    """Where the audio goes."""

    def now_ns(self) -> int:
        """The current time, in nanoseconds of the clock that stamps are made with."""
        ...

    def publish(self, stamp_ns: int, pcm: Pcm, rate: int) -> None:
        """Send a chunk, or the end marker (no frames)."""


class UtteranceSender:
    """Sends one utterance after another. Times are seconds of the caller's clock."""

    def __init__(self, output: AudioOutput, liveness: PlayerLiveness) -> None:
        self._output = output
        self._liveness = liveness
        self._heard_until_ns = 0
        """The stamp at which what was last heard has ended: no later utterance begins before."""

    def send_due(self, utterance: Utterance, now: float, limits: SendLimits) -> float | None:
        """Send what may be sent now.

        Returns when more may be sent; None if the engine has nothing more for now.
        """
        while (chunk := self._next_chunk(utterance)) is not None:
            if len(chunk.pcm):
                frames = self._frames_too_early(utterance, chunk, now, limits)
            else:
                frames = self._frames_before_pause(utterance, now)
            if frames > 0:
                utterance.pending = chunk
                return now + max(_SHORTEST_WAIT_SECONDS, frames / utterance.rate)
            if len(chunk.pcm):
                self._send_chunk(utterance, chunk, now)
            elif utterance.sent and not utterance.wire.ended:
                utterance.wire.ended = True
                utterance.wire.sent_at = now
                self._mark_end(utterance)
        return None

    def resend(self, utterance: Utterance, now: float, heard: int, lost_at: float) -> None:
        """Send everything after the first `heard` frames again, for a player that was not there
        before; the player before it was lost at `lost_at`.
        """
        for chunk in utterance.unheard_from(heard):
            self._output.publish(utterance.stamp_ns(chunk.start), chunk.pcm, utterance.rate)
        if utterance.wire.ended:
            self._mark_end(utterance)
        utterance.wire.postpone(now - lost_at)
        utterance.wire.sent_at = now

    def cut(self, utterance: Utterance) -> None:
        """Silence an utterance: whatever was sent of it is dropped wherever it is on its way."""
        start_ns = utterance.wire.spans[0].start_ns
        self._output.publish(start_ns, EMPTY_PCM, utterance.rate)

    def pause(self, utterance: Utterance, stop: int, resume: int) -> None:
        """Silence an utterance at the frame `stop`; it will go on at the frame `resume`."""
        self._output.publish(utterance.stamp_ns(stop), EMPTY_PCM, utterance.rate)
        self.note_end(utterance, stop)
        utterance.go_on_from(resume)

    def note_end(self, utterance: Utterance, heard: int) -> None:
        """An utterance that was sent ends after `heard` frames; the next one is stamped later."""
        now_ns, end_ns = self._output.now_ns(), utterance.stamp_ns(utterance.sent)
        ended_ns = max(utterance.stamp_ns(heard), min(now_ns, end_ns))
        if heard >= utterance.sent:
            ended_ns = max(now_ns, end_ns)
        self._heard_until_ns = max(self._heard_until_ns, ended_ns)

    @staticmethod
    def _next_chunk(utterance: Utterance) -> Chunk | None:
        """The chunk to be sent next: a pending one, unless it marks a pause that is over."""
        assert utterance.synthesis is not None
        pending, utterance.pending = utterance.pending, None
        if pending is not None and len(pending.pcm):
            return pending
        if utterance.backlog:
            return utterance.backlog.popleft()
        return utterance.synthesis.take() or pending

    def _frames_too_early(
        self, utterance: Utterance, chunk: Chunk, now: float, limits: SendLimits
    ) -> float:
        """How many frames have yet to be heard before this chunk may be sent."""
        position = self._position(utterance, now)
        lead = float(_LEAST_LEAD_CHUNKS * len(chunk.pcm))
        if self._liveness.state is not PlayerState.BY_CLOCK:
            lead = max(lead, limits.max_lead * utterance.rate)
        frames = chunk.end - position - lead
        unheard = utterance.progress.unheard
        if len(unheard) >= limits.max_unheard_chunks:
            frames = max(frames, unheard[-limits.max_unheard_chunks].end - position)
        return frames

    def _frames_before_pause(self, utterance: Utterance, now: float) -> float:
        """How many frames have yet to be heard before a pause in the text has to be marked.

        None at the end of the text, nor while the player stands still: it may wait for more.
        """
        synthesis, progress = utterance.synthesis, utterance.progress
        position = self._position(utterance, now)
        if progress.confirmed is None:
            plays = position > progress.heard_before
        else:
            plays = progress.is_playing(now)
        if utterance.wire.ended or synthesis is None or synthesis.done or not plays:
            return 0.0
        return utterance.sent - position - _PAUSE_NOTICE_SECONDS * utterance.rate

    def _position(self, utterance: Utterance, now: float) -> float:
        return utterance.position(now, by_clock=self._liveness.follows_clock)

    def _send_chunk(self, utterance: Utterance, chunk: Chunk, now: float) -> None:
        wire, progress = utterance.wire, utterance.progress
        if wire.sent <= progress.confirmed_frames:
            self._liveness.audio_outstanding(now)
        if not wire.spans:
            wire.begin_span(self._start_ns(utterance), now)
            utterance.first_chunk_at = now
        elif wire.ended:
            after_ns = max(wire.stamp_ns(wire.sent), self._heard_until_ns)
            wire.begin_span(max(after_ns, self._output.now_ns()), now)
        wire.sent = chunk.end
        wire.sent_at = now
        progress.unheard.append(chunk)
        self._output.publish(wire.stamp_ns(chunk.start), chunk.pcm, wire.rate)

    def _start_ns(self, utterance: Utterance) -> int:
        """The first stamp: when the goal was accepted, but not before the end of what was heard
        before. Both may lie far ahead after a clock was set back; then it is the current time.
        """
        now_ns = self._output.now_ns()
        start_ns = max(utterance.accepted_ns, self._heard_until_ns)
        if start_ns > now_ns + _CLOCK_SET_BACK_NS:
            start_ns = self._heard_until_ns = now_ns
        return start_ns

    def _mark_end(self, utterance: Utterance) -> None:
        self._output.publish(utterance.stamp_ns(utterance.sent), EMPTY_PCM, utterance.rate)
