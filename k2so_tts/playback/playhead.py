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

"""Reports what is heard at the moment it is heard: beginnings, ends, and the playhead between."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from k2so_tts.metrics import PlaybackStats
from k2so_tts.playback.level_meter import LevelMeter
from k2so_tts.playback.track import Track

_logger = logging.getLogger(__name__)

PLAYHEAD_SECONDS = 0.05
"""Interval of playhead reports (s)."""
_IDLE_SECONDS = 1.0
_JOIN_SECONDS = 2.0
_MAX_BLOCKS = 1024


@dataclass(frozen=True, eq=False)
class RenderedBlock:
    """A block of the device in which frames of a track were rendered, or in which it ended."""

    track: Track
    heard_at: float
    """When its first frame leaves the device (s, monotonic)."""
    end_at: float
    """When its last frame does (s, monotonic)."""
    rate: int
    """Sample rate (Hz)."""
    position: int
    """Index of its first frame in the track (frames at `rate`)."""
    frames: int
    """Frames of the track in it; fades and silence do not count."""
    begins: bool
    """It holds the first frame of the track."""
    ends: bool
    """The track ended in it."""


class Listener(Protocol):
    """Receives a player's reports, in the thread of the `PlayheadReporter`.

    Exceptions raised in here are logged and do not affect playback.
    """

    def on_playhead(self, stamp_ns: int, heard_at: float, start_ns: int, lost_frames: int) -> None:
        """The frame stamped `stamp_ns` leaves the device at `heard_at` (s, monotonic): now.

        It belongs to the utterance whose first chunk was stamped `start_ns`. `lost_frames`: see
        `Timeline.lost_before`.
        """

    def on_speaking(self, speaking: bool) -> None:
        """The first audible frame is leaving the device, or the last one has left it."""

    def on_utterance(self, heard: PlaybackStats) -> None:
        """An utterance has ended."""

    def on_level(self, level: float) -> None:
        """How loud what leaves the device now is, from 0 to 1, after volume and mute.

        Told 30 times a second while it is audible, and once when it falls silent, if the player's
        `LevelMeter` is `wanted`.
        """


class PlaybackState(Protocol):
    """What a `PlayheadReporter` needs to know of its player, and what it tells it."""

    paused: bool

    @property
    def idle(self) -> bool:
        """Whether nothing is buffered or being played."""

    @property
    def audible(self) -> bool:
        """Whether sound that plays now can be heard."""

    @property
    def active(self) -> list[Track]:
        """The utterances that are being played or are queued, in order of arrival."""

    def end_overdue_utterances(self) -> bool:
        """End the utterances whose next chunk is overdue; return whether any is still open."""

    def utterance_ended(self, track: Track) -> None:
        """The end of `track` was heard."""


class PlayheadReporter:
    """Follows rendered blocks, and reports to a listener 20 times a second while it speaks; and 30
    times a second what `meter` has measured.

    An exception in the listener, or in here, is logged, and the thread goes on.
    """

    def __init__(
        self,
        listener: Listener,
        playback: PlaybackState,
        meter: LevelMeter,
        clock: Callable[[], float],
    ) -> None:
        self._listener = listener
        self._playback = playback
        self._meter = meter
        self._clock = clock
        self._due: deque[tuple[float, Callable[[RenderedBlock], None], RenderedBlock]] = deque()
        """Beginnings and ends to report: when, how, and of which block."""
        self._blocks: deque[RenderedBlock] = deque(maxlen=_MAX_BLOCKS)
        self._began_at: dict[Track, float] = {}
        """The tracks that are being heard, and when each began (s, monotonic)."""
        self._speaking = False
        self._next_playhead = math.inf
        self._failing: set[str] = set()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="playhead", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop and join the thread. The listener is told that nothing is heard any more."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    def wake(self) -> None:
        """Report a playhead at once; can be called from any thread."""
        self._next_playhead = min(self._next_playhead, self._clock())
        self._wake.set()

    def add(self, block: RenderedBlock) -> None:
        """Take a rendered block. Called in the rendering thread, which it never blocks."""
        if block.begins:
            self._due.append((block.heard_at, self._begin, block))
        if block.frames:
            self._blocks.append(block)
        if block.ends:
            self._due.append((block.end_at, self._end, block))
        if block.begins or block.ends:
            self._wake.set()

    def poll(self) -> bool:
        """Report what is due; return whether utterances are open that may time out."""
        while self._due and self._due[0][0] <= self._clock():
            _, report, block = self._due.popleft()
            report(block)
        any_open = self._playback.end_overdue_utterances()
        if self._next_playhead <= self._clock():
            self._report_playheads()
        self._report_speaking()
        self._report_level()
        return any_open

    def _run(self) -> None:
        any_open = False
        while not self._stopping.is_set():
            self._wake.wait(self._seconds_until_due(any_open))
            self._wake.clear()
            try:
                any_open = self.poll()
            except Exception:
                _logger.exception("the playhead reporter failed; it goes on")
                self._stopping.wait(PLAYHEAD_SECONDS)
        self._began_at.clear()
        self._report_speaking()
        self._meter.wanted = False
        self._report_level()

    def _seconds_until_due(self, any_open: bool) -> float:
        now = self._clock()
        due = now + (PLAYHEAD_SECONDS if any_open else _IDLE_SECONDS)
        due = min(due, self._next_playhead, self._meter.next_at)
        if self._due:
            due = min(due, self._due[0][0])
        return max(0.0, due - now)

    def _tell(self, report: Callable[..., None], *arguments: object) -> None:
        """Call a method of the listener. Only the first of its failures in a row is logged."""
        name = report.__name__
        try:
            report(*arguments)
        except Exception:
            if name not in self._failing:
                _logger.exception("%s of the player's listener failed; playback goes on", name)
            self._failing.add(name)
        else:
            self._failing.discard(name)

    def _begin(self, block: RenderedBlock) -> None:
        track = block.track
        self._began_at[track] = block.heard_at
        self._report_speaking()
        stamp_ns = track.stamp_ns(block.position, block.rate)
        self._report_playhead(track, stamp_ns, block.heard_at)
        self._next_playhead = block.heard_at + PLAYHEAD_SECONDS

    def _end(self, block: RenderedBlock) -> None:
        track = block.track
        began_at = self._began_at.pop(track, None)
        if began_at is not None:
            stamp_ns = track.stamp_ns(track.buffer.position, track.rate)
            self._report_playhead(track, stamp_ns, block.end_at)
        self._playback.utterance_ended(track)
        track.finished = True
        while self._blocks and self._blocks[0].track.finished:
            self._blocks.popleft()
        self._tell(self._listener.on_utterance, _stats(track, began_at))

    def _report_playheads(self) -> None:
        now = self._clock()
        tracks = list(self._began_at)
        if not tracks and self._playback.paused:
            tracks = self._playback.active[:1]
        for track in tracks:
            self._report_playhead(track, self._stamp_ns(track, now), now)
        more_to_come = tracks or not self._playback.idle
        self._next_playhead = now + PLAYHEAD_SECONDS if more_to_come else math.inf

    def _report_playhead(self, track: Track, stamp_ns: int, heard_at: float) -> None:
        lost_frames = track.timeline.lost_before(stamp_ns)
        start_ns = track.timeline.start_ns
        self._tell(self._listener.on_playhead, stamp_ns, heard_at, start_ns, lost_frames)

    def _stamp_ns(self, track: Track, now: float) -> int:
        """The stamp of the frame of a track that is leaving the device at `now`."""
        for block in reversed(list(self._blocks)):
            if block.track is track and block.heard_at <= now:
                frames = min(block.frames, round((now - block.heard_at) * block.rate))
                return track.stamp_ns(block.position + frames, block.rate)
        return track.stamp_ns(0, track.rate)

    def _report_speaking(self) -> None:
        speaking = bool(self._began_at) and self._playback.audible
        if speaking != self._speaking:
            self._speaking = speaking
            self._tell(self._listener.on_speaking, speaking)

    def _report_level(self) -> None:
        level = self._meter.poll(self._clock(), heard=bool(self._began_at))
        if level is not None:
            self._tell(self._listener.on_level, level)


def _stats(track: Track, began_at: float | None) -> PlaybackStats:
    timeline = track.timeline
    return PlaybackStats(
        source=track.source.key,
        stamp_ns=timeline.start_ns,
        arrived_at=track.arrived_at,
        began_at=began_at,
        duration_s=track.buffer.position / track.rate,
        lost_frames=timeline.lost_frames,
        dropped_frames=timeline.dropped_frames,
        underruns=track.buffer.underruns,
        complete=track.complete,
    )
