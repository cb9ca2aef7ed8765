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

"""Whether a player plays what is sent: an explicit state machine, without ROS, thread or clock.

It is drawn in docs/explanation/player_liveness.md.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from enum import Enum
from statistics import median
from typing import Protocol

PLAYER_SILENCE_SECONDS = 0.7
"""A player reports its playhead 20 times a second; after this long without a report it is lost. One
that is to start has as much longer as its latest starts took: a Bluetooth loudspeaker is slow.
"""
_NEWCOMER_SILENCE_SECONDS = 4.0
"""The same for a player that has not reported a playhead yet, or not since it was lost: while the
two nodes discover each other, or the network has just come back, audio may be delivered late. Fast
DDS checks after 3 s whether anything has to be sent again."""
_STARTS_REMEMBERED = 8
_FOLLOW_SECONDS = 0.3
"""Of several players, the one that is followed is followed until it has been silent for this long:
one that joins in mid-sentence is ahead by everything that was sent and not yet heard."""
_RETRY_SECONDS = 0.005
"""How often the graph is looked at while a player is waited for."""


class PlayerState(Enum):
    """What is known of the player of the current utterance."""

    WAITING = "waiting"
    """Nothing was sent: a player is being waited for."""
    UNHEARD = "unheard"
    """Nobody subscribes to the audio; it is spoken by the clock."""
    BY_CLOCK = "by_clock"
    """Somebody subscribes, but nobody reports a playhead: frames count as heard at their time."""
    STARTING = "starting"
    """Audio was sent to a player that reports a playhead, and has not reported one of it yet."""
    PLAYING = "playing"
    """The player reports its playhead."""
    RESUMING = "resuming"
    """The player has played all it had, or was sent audio again, and is expected to go on."""
    LOST = "lost"
    """The player has gone, or has been silent for too long."""


class PlayerGraph(Protocol):
    """What the ROS graph knows of players."""

    def subscribers(self) -> int:
        """How many subscribe to the audio."""
        ...

    def players(self) -> int:
        """How many publish a playhead."""
        ...

    def player_ids(self) -> frozenset[Hashable]:
        """The identities of those that publish a playhead; a restarted player has a new one."""
        ...

    def players_subscribe(self) -> bool:
        """Whether the player that reported last, or else any, is known to subscribe to the audio:
        what is published before its subscription is discovered would not reach it.
        """
        ...


class PlayerLiveness:
    """Follows the player of one utterance at a time; `reset` begins with the next one.

    Times are seconds of the caller's clock.
    """

    def __init__(self, graph: PlayerGraph, now: float) -> None:
        self.state = PlayerState.WAITING
        self.lost_at: float | None = None
        self._graph = graph
        self._created_at = now
        self.followed = ""
        """The player whose playheads count."""
        self._with_device: set[str] = set()
        """Players that did not say when they last reported that they have no sound device."""
        self._with_device_among: frozenset[Hashable] = frozenset()
        """The players that were there then."""
        self._last_playhead_at = -math.inf
        self._announced = False
        self._announced_at = -math.inf
        self._proven: frozenset[Hashable] = frozenset()
        """The players that were there when an utterance was last heard, since the last loss."""
        self._recipients: frozenset[Hashable] = frozenset()
        """The players that may have received the utterance and have been there ever since."""
        self._outstanding_since = math.nan
        self._delayed_until = -math.inf
        self._starts: deque[float] = deque(maxlen=_STARTS_REMEMBERED)
        """How long it took from audio that was sent until it was heard (s)."""
        self._state_before_loss = PlayerState.WAITING

    @property
    def follows_clock(self) -> bool:
        """Nobody reports what is heard of the utterance: frames count as heard at their time."""
        state = self._state_unless_lost
        return state in (PlayerState.UNHEARD, PlayerState.BY_CLOCK) or (
            state is PlayerState.STARTING and not self._graph.players()
        )

    @property
    def is_confirmed(self) -> bool:
        """Whether a player has reported a playhead of the utterance."""
        return self._state_unless_lost in (PlayerState.PLAYING, PlayerState.RESUMING)

    @property
    def _state_unless_lost(self) -> PlayerState:
        return self._state_before_loss if self.state is PlayerState.LOST else self.state

    def reset(self) -> None:
        """The utterance is over; the next one has no player yet."""
        self.state = PlayerState.WAITING
        self.lost_at = None

    def announce(self, now: float) -> None:
        """A player has said that it is there."""
        self._announced = True
        self._announced_at = now

    def hear_from(
        self, player: str, now: float, *, has_device: bool = True, joined_late: bool = False
    ) -> bool:
        """A player has reported a playhead, of whatever; False if another one is followed.

        One that has no sound device is not followed while one with a device is there; nor is one
        that `joined_late`, and lacks the beginning of what it plays, while another may have it.
        """
        self._announced = True
        if not has_device:
            self._with_device.discard(player)
            if self._with_device and self._with_device_among <= self._graph.player_ids():
                return False
            self._with_device.clear()
        elif player not in self._with_device:
            self._with_device.add(player)
            self._with_device_among = self._graph.player_ids()
        if player != self.followed and not self._may_take_over(now, has_device, joined_late):
            return False
        self.followed = player
        self._last_playhead_at = now
        return True

    def _may_take_over(self, now: float, has_device: bool, joined_late: bool) -> bool:
        if not self.is_confirmed:
            return not joined_late or self._graph.players() == 1
        is_silent = now - self._last_playhead_at >= _FOLLOW_SECONDS
        is_better = has_device and not joined_late and self.followed not in self._with_device
        return is_silent or is_better

    def excuse_silence(self, now: float) -> None:
        """The process was suspended until now and could not receive anything meanwhile."""
        self._last_playhead_at = now

    def expect_delay(self, now: float) -> None:
        """So much arrives at once that playheads may have to be sent again."""
        self._delayed_until = now + _NEWCOMER_SILENCE_SECONDS

    def wait_for_player(self, turn_at: float, now: float, patience: float) -> float | None:
        """Decide for whom to speak, as long as nothing was sent.

        Returns when to look again; None when sending may begin, `patience` seconds after `turn_at`
        at the latest. Just after the start a bystander may be discovered before the player.
        """
        reporting = self._graph.players()
        has_listener = self._graph.subscribers() and (self._announced or not reporting)
        if reporting:
            is_ready = self._graph.players_subscribe()
        else:
            is_ready = now >= self._created_at + patience
        until = turn_at + patience
        if now < until and not (has_listener and is_ready):
            self.state = PlayerState.WAITING
            return min(until, now + _RETRY_SECONDS)
        if not has_listener:
            self.state = PlayerState.UNHEARD
        else:
            self.state = PlayerState.STARTING if reporting else PlayerState.BY_CLOCK
        return None

    def audio_outstanding(self, now: float) -> None:
        """Audio is about to be sent, and all that was sent before, if anything, was heard."""
        if self.state is PlayerState.PLAYING:
            self.state = PlayerState.RESUMING
        elif self.state is not PlayerState.RESUMING:
            self._recipients = self._graph.player_ids()
        self._outstanding_since = now

    def confirm(self, *, at_part_start: bool) -> None:
        """The player reports a frame of the utterance.

        At the start of a part, which is the end of the one before, it may still be waiting for
        more audio (`at_part_start`).
        """
        if not self.is_confirmed or not self._proven:
            self._proven = self._graph.player_ids()
            self._recipients |= self._proven
        if not self.is_confirmed:
            self._starts.append(self._last_playhead_at - self._outstanding_since)
        self.state = PlayerState.RESUMING if at_part_start else PlayerState.PLAYING
        self.lost_at = None

    def deadline(self, sent_at: float, *, may_start: bool) -> float:
        """When the player, which has audio to play, counts as lost if it stays silent.

        `sent_at` is when audio was last sent; `may_start`: it has all it needs to start playing.
        Returns -inf if the player is gone, inf if it may be silent.
        """
        if self.state is PlayerState.UNHEARD:
            return math.inf
        if not self._graph.subscribers():
            return -math.inf
        if self.follows_clock:
            return math.inf
        if not self._graph.players():
            return -math.inf
        if self.state is PlayerState.PLAYING:
            return max(self._last_playhead_at + PLAYER_SILENCE_SECONDS, self._delayed_until)
        if may_start:
            silent_since = max(self._last_playhead_at, sent_at)
            return max(silent_since + self._start_patience, self._delayed_until)
        return math.inf

    @property
    def _start_patience(self) -> float:
        """How long (s) a player may be silent that has all it needs to start."""
        if not self._recipients <= self._proven:
            return _NEWCOMER_SILENCE_SECONDS
        return min(PLAYER_SILENCE_SECONDS + self.usual_start, _NEWCOMER_SILENCE_SECONDS)

    @property
    def usual_start(self) -> float:
        """How long it takes from audio that is sent until it is heard (s); 0.0 if none was."""
        return median(self._starts) if self._starts else 0.0

    def lose(self, now: float) -> bool:
        """The deadline has passed. False if a player has announced itself since it fell silent."""
        silent_since = max(self._last_playhead_at, self._outstanding_since)
        self._announced = self._announced_at > silent_since
        self._state_before_loss, self.state = self.state, PlayerState.LOST
        self.lost_at = now
        self._proven = frozenset()
        return not self._announced

    def can_resend(self) -> bool:
        """Whether a lost player has been replaced by one that has not received the utterance."""
        players = self._graph.player_ids()
        self._recipients &= players
        is_another = self._announced and players > self._recipients
        is_ready = is_another and self._graph.players_subscribe()
        return (is_ready or self.follows_clock) and self._graph.subscribers() > 0

    def resume(self, now: float) -> None:
        """What was not heard has been sent again, after a loss."""
        self._recipients = self._graph.player_ids()
        self._outstanding_since = now
        was_confirmed = self.is_confirmed
        self.state = PlayerState.RESUMING if was_confirmed else self._state_before_loss
        self.lost_at = None
