"""Says what is being heard at the moment it is heard: first frames, ends, and the playhead
between.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from k2so_tts.metrics import PlaybackStats

if TYPE_CHECKING:
    from k2so_tts.playback.player import Player, Track

PLAYHEAD_SECONDS = 0.05
_IDLE_SECONDS = 1.0
_JOIN_SECONDS = 2.0
_LOG_BLOCKS = 1024


@dataclass(frozen=True)
class RenderedBlock:
    """A block in which frames of a track were rendered, or in which it ended.

    Its `frames` frames at `rate` Hz from `position` on are heard from `heard_at` (s, monotonic);
    `end_at` is when the block's last frame of this track is.
    """

    track: Track
    heard_at: float
    end_at: float
    rate: int
    position: int
    frames: int
    begins: bool
    ends: bool


class Listener(Protocol):
    """Told, from the reporter's thread, what a player does."""

    def on_playhead(self, stamp_ns: int, heard_at: float, lost_frames: int) -> None:
        """The frame stamped `stamp_ns` leaves the device at `heard_at` (s, monotonic), which
        is now. `lost_frames`: see `Timeline.lost_before`.
        """

    def on_speaking(self, speaking: bool) -> None:
        """The first audible frame, or the last, is leaving the device."""

    def on_utterance(self, heard: PlaybackStats) -> None:
        """An utterance is over."""


class PlayheadReporter:
    """Follows a player's passages and tells a listener in time, 20 times a second while it
    speaks.
    """

    def __init__(self, listener: Listener, player: Player, clock: Callable[[], float]) -> None:
        self._listener = listener
        self._player = player
        self._clock = clock
        self._news: deque[tuple[float, Callable[[RenderedBlock], None], RenderedBlock]] = deque()
        self._log: deque[RenderedBlock] = deque(maxlen=_LOG_BLOCKS)
        self._heard: dict[int, tuple[Track, float]] = {}
        self._speaking = False
        self._next_playhead = math.inf
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="playhead", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    def wake(self) -> None:
        """Look again what is due, in any thread."""
        self._next_playhead = min(self._next_playhead, self._clock())
        self._wake.set()

    def add(self, block: RenderedBlock) -> None:
        """Called by the rendering thread: only hands over."""
        if block.begins:
            self._news.append((block.heard_at, self._begin, block))
        if block.frames:
            self._log.append(block)
        if block.ends:
            self._news.append((block.end_at, self._end, block))
        if block.begins or block.ends:
            self._wake.set()

    def _run(self) -> None:
        waiting = False
        while not self._stopping:
            self._wake.wait(self._pause(waiting))
            self._wake.clear()
            waiting = self.look()
        self._heard.clear()
        self._report_speaking()

    def look(self) -> bool:
        """Tell what is due; True while streams are open that may fall quiet."""
        while self._news and self._news[0][0] <= self._clock():
            _, report, block = self._news.popleft()
            report(block)
        waiting = self._player.end_quiet_streams()
        if self._next_playhead <= self._clock():
            self._report_playheads()
        self._report_speaking()
        return waiting

    def _pause(self, waiting: bool) -> float:
        """Seconds until the next thing is due."""
        now = self._clock()
        due = now + (PLAYHEAD_SECONDS if waiting else _IDLE_SECONDS)
        due = min(due, self._next_playhead)
        if self._news:
            due = min(due, self._news[0][0])
        return max(0.0, due - now)

    def _begin(self, block: RenderedBlock) -> None:
        track = block.track
        self._heard[id(track)] = (track, block.heard_at)
        self._report_speaking()
        stamp_ns = track.stamp_ns(block.position, block.rate)
        self._report_playhead(track, stamp_ns, block.heard_at)
        self._next_playhead = block.heard_at + PLAYHEAD_SECONDS

    def _end(self, block: RenderedBlock) -> None:
        track = block.track
        _, began = self._heard.pop(id(track), (track, None))
        if began is not None:
            stamp_ns = track.stamp_ns(track.buffer.position, track.rate)
            self._report_playhead(track, stamp_ns, block.end_at)
        self._player.utterance_ended(track)
        track.over = True
        while self._log and self._log[0].track.over:
            self._log.popleft()
        timeline = track.timeline
        self._listener.on_utterance(
            PlaybackStats(
                source=track.source.key,
                stamp_ns=timeline.start_ns,
                arrived_at=track.arrived_at,
                began_at=began,
                duration_s=track.buffer.position / track.rate,
                lost_frames=timeline.lost_frames,
                dropped_frames=timeline.dropped_frames,
                underruns=track.buffer.underruns,
                complete=track.complete,
            )
        )

    def _report_playheads(self) -> None:
        now = self._clock()
        tracks = [track for track, _ in self._heard.values()]
        if not tracks and self._player.paused:
            tracks = self._player.active[:1]
        for track in tracks:
            self._report_playhead(track, self._stamp_ns(track, now), now)
        waiting = tracks or not self._player.idle
        self._next_playhead = now + PLAYHEAD_SECONDS if waiting else math.inf

    def _report_playhead(self, track: Track, stamp_ns: int, heard_at: float) -> None:
        self._listener.on_playhead(stamp_ns, heard_at, track.timeline.lost_before(stamp_ns))

    def _stamp_ns(self, track: Track, now: float) -> int:
        """The stamp of the frame of a track that is leaving the device at `now`."""
        for block in reversed(list(self._log)):
            if block.track is track and block.heard_at <= now:
                frames = min(block.frames, round((now - block.heard_at) * block.rate))
                return track.stamp_ns(block.position + frames, block.rate)
        return track.stamp_ns(0, track.rate)

    def _report_speaking(self) -> None:
        speaking = bool(self._heard) and self._player.audible
        if speaking != self._speaking:
            self._speaking = speaking
            self._listener.on_speaking(speaking)
