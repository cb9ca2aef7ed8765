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

"""Renders tracks into the blocks that a device asks for, in the device's thread.

Other threads never touch what is being rendered: they leave commands, which the rendering thread
runs at the beginning of its next block. So the audio callback waits for nobody.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from k2so_tts.audio import AudioFormat, Samples, clip
from k2so_tts.limiter import Limiter
from k2so_tts.playback.converter import Converter
from k2so_tts.playback.jitter_buffer import State
from k2so_tts.playback.level_meter import LevelMeter
from k2so_tts.playback.playhead import RenderedBlock
from k2so_tts.playback.track import Source, Track, playback_order

_logger = logging.getLogger(__name__)

_VOLUME_SECONDS = 0.02


class Controls(Protocol):
    """The controls of a player, which any thread may set at any time."""

    volume: float
    """Linear gain; above 1.0 peaks are limited."""
    muted: bool
    paused: bool
    mix: bool
    """Several sources are heard together, not one after the other."""


@dataclass
class Counters:
    """What has happened since the player started."""

    lost_frames: int = 0
    """Frames that never arrived and were concealed, at the rates of their streams."""
    dropped_frames: int = 0
    """Frames that arrived twice or too late, at the rates of their streams."""
    overflow_frames: int = 0
    """Frames that were refused because too much was buffered, at the rates of their streams."""
    underruns: int = 0
    """How often a buffer ran dry in the middle of an utterance."""
    utterances: int = 0
    """Utterances that have ended."""


class VolumeRamp:
    """A gain that moves to its target at a rate of full scale in 20 ms."""

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def apply(self, out: Samples, target: float, rate: int) -> None:
        """Scale `out`, shape (frames, channels) at `rate` Hz, in place on the way to `target`."""
        if self.gain == target:
            if target != 1.0:
                out *= np.float32(target)
            return
        direction = np.sign(target - self.gain)
        step = direction / (_VOLUME_SECONDS * rate)
        ramp = self.gain + step * np.arange(1, len(out) + 1, dtype=np.float32)
        ramp = np.minimum(ramp, target) if direction > 0 else np.maximum(ramp, target)
        out *= ramp[:, np.newaxis].astype(np.float32)
        self.gain = float(ramp[-1])


class Renderer:
    """Owns the tracks from the moment they are queued until their end was rendered.

    Commands are posted by one thread at a time. `on_block` is called in the rendering thread
    with each block in which frames of a track were rendered or in which one ended. The `meter` is
    given what the device is given, as long as it wants it.
    """

    def __init__(
        self,
        controls: Controls,
        counters: Counters,
        on_block: Callable[[RenderedBlock], None],
        meter: LevelMeter,
    ) -> None:
        self.format = AudioFormat(0)
        """Of the device; its rate is 0 before the first one is known."""
        self._controls = controls
        self._counters = counters
        self._on_block = on_block
        self._meter = meter
        self._lock = threading.Lock()
        self._commands: deque[Callable[[], None]] = deque()
        self._posted_frames = 0
        """Frames at the device's rate that were put into commands."""
        self._pushed_frames = 0
        """Those that were taken out of them."""
        self._active: list[Track] = []
        self._volume = VolumeRamp(controls.volume)
        self._limiter = Limiter(1)
        self._scratch = np.zeros((0, 0), np.float32)

    @property
    def active(self) -> list[Track]:
        """The utterances that are being played or are queued, in order of arrival."""
        return list(self._active)

    @property
    def pending_commands(self) -> int:
        """Commands that wait for the next block."""
        return len(self._commands)

    @property
    def idle(self) -> bool:
        """Whether nothing is buffered or being played."""
        return not self._active and not self._commands

    @property
    def buffered_seconds(self) -> float:
        """Audio that was handed over and was not rendered yet, of all sources together."""
        pushed = sum(track.buffer.buffered / track.rate for track in self.active)
        return pushed + (self._posted_frames - self._pushed_frames) / max(1, self.format.rate)

    # Commands

    def push(self, track: Track, samples: Samples) -> None:
        """Append `samples`, shape (frames, channels) in the device's format, to a track."""
        self._posted_frames += len(samples)
        self._commands.append(partial(self._push, track, samples))

    def finish(self, track: Track, rest: Samples, *, timed_out: bool) -> None:
        """Append the last samples of a track, which ends here."""
        self._posted_frames += len(rest)
        self._commands.append(partial(self._finish, track, rest, timed_out))

    def truncate(self, source: Source, stamp_ns: int) -> None:
        """Discard what a source has sent at or after a stamp."""
        self._commands.append(partial(self._truncate, source, stamp_ns))

    def stop(self) -> None:
        """End every track now, with a fade."""
        self._commands.append(self._stop)

    # In the thread of the device, or between two devices

    def prepare(self, device_format: AudioFormat, open_tracks: Iterable[Track]) -> None:
        """Convert all that is buffered, and `open_tracks`, to the format of the next device."""
        with self._lock:
            self._run_commands()
            old, self.format = self.format, device_format
            self._scratch = np.zeros((0, device_format.channels), np.float32)
            self._limiter = Limiter(max(1, device_format.rate))
            if not old.rate or old == device_format:
                return
            for track in {*open_tracks, *self._active}:
                _convert(track, old, device_format)

    def render(self, out: Samples, heard_at: float) -> None:
        """Fill `out`, shape (frames, channels), whose first frame is heard at `heard_at`.

        Called by the device (`heard_at` in s, monotonic). Never blocks, and raises nothing.
        """
        if not self._lock.acquire(blocking=False):
            out.fill(0.0)
            return
        try:
            self._render(out, heard_at)
        except Exception:
            _logger.exception("rendering failed; what was being played is dropped")
            self._abandon(heard_at)
            out.fill(0.0)
        finally:
            self._lock.release()

    def _render(self, out: Samples, heard_at: float) -> None:
        self._run_commands()
        target = 0.0 if self._controls.muted else self._controls.volume
        if not any(track.started for track in self._active):
            self._volume.gain = target
        if not self._active:
            out.fill(0.0)
            return
        if self._controls.mix:
            self._render_together(out, heard_at)
        else:
            self._render_in_turn(sorted(self._active, key=playback_order), out, heard_at)
        highest = max(target, self._volume.gain)
        self._volume.apply(out, target, self.format.rate)
        if highest > 1.0:
            self._limiter.apply(out)
        if self._meter.wanted:
            self._meter.add(out, heard_at, self.format.rate)

    def _abandon(self, at: float) -> None:
        abandoned, self._active = self._active, []
        for track in abandoned:
            _stop_track(track)
            position = track.buffer.position
            self._on_block(
                RenderedBlock(track, at, at, track.rate, position, 0, begins=False, ends=True)
            )

    def _run_commands(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _render_in_turn(self, tracks: list[Track], out: Samples, heard_at: float) -> None:
        filled = 0
        for track in tracks:
            if filled == len(out):
                return
            filled += self._play(track, out[filled:], heard_at + filled / self.format.rate)
            if track.buffer.state is not State.ENDED:
                return
            self._active.remove(track)
        out[filled:] = 0.0

    def _render_together(self, out: Samples, heard_at: float) -> None:
        if len(self._scratch) < len(out):
            self._scratch = np.zeros_like(out)
        scratch = self._scratch[: len(out)]
        out.fill(0.0)
        for tracks in self._by_source():
            self._render_in_turn(tracks, scratch, heard_at)
            out += scratch
        clip(out)

    def _by_source(self) -> list[list[Track]]:
        """The utterances of each source, in order."""
        tracks: dict[Hashable, list[Track]] = {}
        for track in self._active:
            tracks.setdefault(track.source.key, []).append(track)
        return list(tracks.values())

    def _play(self, track: Track, out: Samples, heard_at: float) -> int:
        """Render one track; return how many frames of `out` it used."""
        buffer = track.buffer
        buffer.paused = self._controls.paused
        underruns = buffer.underruns
        used = buffer.render(out)
        self._counters.underruns += buffer.underruns - underruns
        offset, position, frames = buffer.span
        ends = buffer.state is State.ENDED
        if frames or ends:
            self._on_block(
                RenderedBlock(
                    track,
                    heard_at + offset / track.rate,
                    heard_at + used / track.rate,
                    track.rate,
                    position,
                    frames,
                    begins=bool(frames) and not track.started,
                    ends=ends,
                )
            )
            track.started = True
        return used

    def _push(self, track: Track, samples: Samples) -> None:
        self._pushed_frames += len(samples)
        track.buffer.push(samples)
        if not track.queued:
            track.queued = True
            self._active.append(track)

    def _finish(self, track: Track, rest: Samples, timed_out: bool) -> None:
        if timed_out and track.buffer.is_dry:  # frames the resampler held, too late to be of use
            self._pushed_frames += len(rest)
            self._counters.lost_frames += len(rest) * track.timeline.format.rate // track.rate
            rest = rest[:0]
        self._push(track, rest)
        track.buffer.end(abrupt=timed_out)
        track.complete = not track.stopped

    def _truncate(self, source: Source, stamp_ns: int) -> None:
        for track in self._active:
            frame = track.timeline.cut_at(stamp_ns) if track.source is source else None
            if frame is not None:
                track.buffer.end(frame * track.rate // track.timeline.format.rate)
                track.complete = False

    def _stop(self) -> None:
        for track in self._active:
            _stop_track(track)


def _stop_track(track: Track) -> None:
    track.stopped = True
    track.complete = False
    track.buffer.end(0)


def _convert(track: Track, old: AudioFormat, new: AudioFormat) -> None:
    """Convert what a track holds from one device's format to another's."""
    converter = Converter(old, new)
    waiting = track.buffer.pending()
    if not track.buffer.complete:
        waiting.append(track.converter.flush())
    pieces = [*map(converter.convert, waiting), converter.flush()]
    track.buffer.convert(np.concatenate(pieces), new.rate / old.rate)
    track.converter = Converter(track.timeline.format, new)
    track.rate = new.rate
