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

"""Plays streams of stamped chunks on a device, and reports when each frame is heard."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

from k2so_tts.audio import CHUNK_FRAMES, START_CHUNKS, AudioFormat, Samples
from k2so_tts.playback.converter import Converter, map_channels
from k2so_tts.playback.device_supervisor import DeviceSupervisor
from k2so_tts.playback.fades import FADE_SECONDS
from k2so_tts.playback.jitter_buffer import JitterBuffer
from k2so_tts.playback.level_meter import LevelMeter
from k2so_tts.playback.playhead import Listener, PlayheadReporter
from k2so_tts.playback.renderer import Counters, Renderer
from k2so_tts.playback.timeline import Timeline
from k2so_tts.playback.track import Source, Track
from k2so_tts.resampler import require_soxr

_TIMEOUT_CHUNKS = 2
"""Chunk lengths without a chunk after which a stream without end markers has ended."""
_LEAST_TIMEOUT = 0.2
"""Seconds for which a chunk is waited for at least, however short the ones before it were."""
_SUPERSEDED_SECONDS = 0.5
_CHUNK_SECONDS = CHUNK_FRAMES / 22_050
"""A chunk of espeak's and most neural voices; a longer one counts as several."""
_MAX_SOURCES = 64
_MAX_COMMANDS = 1024
_MAX_TRACKS = 128
_MAX_CHANNELS = 2
"""Devices are opened with at most two channels: what has more is mixed down when it arrives."""


@dataclass(frozen=True)
class PlayerSettings:
    """How a `Player` plays, and on what."""

    device: str = "auto"
    """One of `devices.SPECIFICATIONS`."""
    prebuffer_chunks: int = START_CHUNKS
    """Chunks that are collected before an utterance starts."""
    max_buffer: float = 30.0
    """Seconds of audio that are held at most."""
    volume: float = 1.0
    """Linear gain."""
    mix: bool = False
    """Whether several sources are heard together, not one after the other."""
    block_frames: int = 128
    """Frames that the device asks for at a time; 0: the device's choice."""
    device_latency: float = 0.0
    """Seconds of sound that the device holds; 0: as little as it can."""
    idle_close: float = 30.0
    """Seconds without sound after which the device is closed; 0: never."""
    stream_timeout: float = 5.0
    """Seconds without a chunk after which a stream that uses end markers has ended."""


class Dropped(NamedTuple):
    """What `Player.stop` has discarded."""

    seconds: float
    """Audio that was received and not rendered yet (s)."""
    utterances: int


class Player:
    """Receives chunks from any thread, renders them in the device's, reports in one of its own.

    `muted`, `paused`, `volume`, `mix`, `prebuffer_chunks`, `max_buffer` and `meter.wanted` may be
    set at any time.
    """

    def __init__(
        self,
        settings: PlayerSettings,
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = Counters()
        self.muted = False
        self.paused = False
        self.volume = settings.volume
        self.mix = settings.mix
        self.prebuffer_chunks = settings.prebuffer_chunks
        self.max_buffer = settings.max_buffer
        self._stream_timeout = settings.stream_timeout
        self._clock = clock
        self._sources: OrderedDict[Hashable, Source] = OrderedDict()
        self._receiving = threading.Lock()
        self.meter = LevelMeter()
        self._reporter = PlayheadReporter(listener, self, self.meter, clock)
        self._renderer = Renderer(self, self.counters, self._reporter.add, self.meter)
        self.output = DeviceSupervisor(
            settings.device,
            settings.block_frames,
            settings.device_latency,
            settings.idle_close,
            self._renderer.render,
            self._prepare,
            lambda: self.idle,
        )

    def start(self) -> None:
        """Open the device and start to play.

        Raises:
            DeviceError: a WAV file can't be written.
            ResamplerMissing: soxr is not installed.
        """
        require_soxr()
        self._reporter.start()
        try:
            self.output.start()
        except BaseException:
            self._reporter.close()
            raise

    def close(self) -> None:
        """Fall silent, close the device and join every thread."""
        self.output.close()
        self._reporter.close()

    @property
    def buffered_seconds(self) -> float:
        """Audio that was received and not rendered yet, of all sources together."""
        return self._renderer.buffered_seconds

    @property
    def idle(self) -> bool:
        """Whether nothing is buffered or being played."""
        return self._renderer.idle

    @property
    def audible(self) -> bool:
        """Whether sound that plays now can be heard."""
        return not (self.muted or self.paused)

    @property
    def active(self) -> list[Track]:
        """The utterances that are being played or are queued, in order of arrival."""
        return self._renderer.active

    def receive(
        self, source: Hashable, stamp_ns: int, audio_format: AudioFormat, samples: Samples
    ) -> bool:
        """Take a chunk, shape (frames, channels), or, without frames, an end marker.

        Returns False when the chunk was refused: it is longer than `max_buffer` seconds, or as
        much audio or too many utterances are queued already.
        """
        channels = min(audio_format.channels, _MAX_CHANNELS)
        audio_format = AudioFormat(audio_format.rate, channels)
        with self._receiving:
            sender = self._source(source)
            if len(samples):
                samples = map_channels(samples, channels)
                accepted = self._receive_chunk(sender, stamp_ns, audio_format, samples)
            else:
                accepted = True
                self._receive_end_marker(sender, stamp_ns)
        self.output.wake()
        return accepted

    def supersede(self, source: Hashable) -> None:
        """Expect no more of a source, which was restarted under another identity.

        What it has sent is heard first. If it does send more, that is heard as well.
        """
        with self._receiving:
            sender = self._sources.get(source)
            if sender is not None and sender.track is not None:
                sender.track.timeout = min(sender.track.timeout, _SUPERSEDED_SECONDS)
                sender.track.buffer.start_early = True

    def stop(self) -> Dropped:
        """Discard all that is buffered, and the rest of the utterances that are still arriving."""
        with self._receiving:
            senders = self._sources.values()
            arriving = [sender.track for sender in senders if sender.track is not None]
            utterances = sum(not track.stopped for track in {*self.active, *arriving})
            seconds = self.buffered_seconds
            for track in arriving:
                track.stopped = True
            self._renderer.stop()
        self.output.wake()
        return Dropped(seconds, utterances or int(seconds > 0))  # one may not have been taken yet

    def utterance_ended(self, track: Track) -> None:
        """Count an utterance whose end was heard; called by the reporter.

        The next one of its source starts with as deep a buffer as this one came to need.
        """
        track.source.depth = track.buffer.depth if track.buffer.underruns else self.prebuffer_chunks
        self.counters.utterances += 1

    def end_overdue_utterances(self) -> bool:
        """End the utterances whose next chunk is overdue; return whether any is still open."""
        now = self._clock()
        any_open = False
        with self._receiving:
            for sender in self._sources.values():
                track = sender.track
                if track is None:
                    continue
                if now - track.last_chunk_at >= track.timeout:
                    self._end(track, None)
                    sender.timed_out, sender.track = track, None
                else:
                    any_open = True
        return any_open

    def _source(self, key: Hashable) -> Source:
        sender = self._sources.setdefault(key, Source(key, self.prebuffer_chunks))
        self._sources.move_to_end(key)
        if len(self._sources) > _MAX_SOURCES:
            _, forgotten = self._sources.popitem(last=False)
            if forgotten.track is not None:
                self._end(forgotten.track, None)
        return sender

    def _receive_chunk(
        self, sender: Source, stamp_ns: int, audio_format: AudioFormat, samples: Samples
    ) -> bool:
        track = self._track_for(sender, stamp_ns, audio_format)
        track.last_chunk_at = self._clock()
        seconds = len(samples) / audio_format.rate
        ends_with_marker = sender.sends_end_markers or track.timeline.exact
        untimed = max(_LEAST_TIMEOUT, _TIMEOUT_CHUNKS * seconds)
        track.timeout = self._stream_timeout if ends_with_marker else untimed
        if not track.stopped and self._is_full(seconds):
            self._refuse(sender, track, len(samples))
            return False
        placed = self._place(track, stamp_ns, samples)
        if len(placed) and not track.stopped:
            self._renderer.push(track, track.converter.convert(placed))
        return True

    def _receive_end_marker(self, sender: Source, stamp_ns: int) -> None:
        sender.sends_end_markers = True
        if sender.track is not None:
            self._end(sender.track, stamp_ns)
            sender.track = None
        self._renderer.truncate(sender, stamp_ns)

    def _is_full(self, seconds: float) -> bool:
        """Whether there is no room for a chunk of `seconds`."""
        return (
            max(seconds, self.buffered_seconds) > self.max_buffer
            or self._renderer.pending_commands > _MAX_COMMANDS
            or len(self._renderer.active) > _MAX_TRACKS
        )

    def _refuse(self, sender: Source, track: Track, frames: int) -> None:
        """Leave a chunk out. Its track starts early, since it can't be given more for now."""
        self.counters.overflow_frames += frames
        track.buffer.start_early = True
        if not track.timeline.frames:
            sender.track = None

    def _track_for(self, sender: Source, stamp_ns: int, audio_format: AudioFormat) -> Track:
        track = sender.track
        if track is not None and not self._belongs(track, stamp_ns, audio_format):
            self._end(track, None)
            track = None
        if track is None:
            track = self._begin(sender, Timeline(stamp_ns, audio_format))
            sender.track = track
        return track

    def _belongs(self, track: Track, stamp_ns: int, audio_format: AudioFormat) -> bool:
        """Whether a chunk belongs to an utterance, judged by its stamp and format."""
        timeline = track.timeline
        if timeline.format != audio_format:
            return False
        if timeline.exact is False or timeline.continues(stamp_ns):
            return True
        if track.stopped and timeline.exact:
            return False
        gap = abs(timeline.frame_at(stamp_ns) - timeline.frames) / audio_format.rate
        return gap <= self.max_buffer

    def _begin(self, sender: Source, timeline: Timeline) -> Track:
        """Begin an utterance, buffered as deep as the last one of its source came to need.

        One that continues an utterance that has timed out is an underrun of it.
        """
        depth = max(sender.depth, self.prebuffer_chunks)
        resumed = sender.timed_out is not None and sender.timed_out.timeline.continues(
            timeline.start_ns
        )
        self.counters.underruns += resumed
        sender.timed_out = None
        self._reporter.wake()
        device = self._renderer.format
        fade_frames = int(FADE_SECONDS * device.rate)
        buffer = JitterBuffer(
            depth + resumed,
            fade_frames,
            resumed=resumed,
            chunk_frames=round(_CHUNK_SECONDS * device.rate),
        )
        converter = Converter(timeline.format, device)
        return Track(sender, timeline, buffer, converter, device.rate, self._clock())

    def _place(self, track: Track, stamp_ns: int, samples: Samples) -> Samples:
        timeline = track.timeline
        lost, dropped = timeline.lost_frames, timeline.dropped_frames
        placed = timeline.place(stamp_ns, samples)
        self.counters.lost_frames += timeline.lost_frames - lost
        self.counters.dropped_frames += timeline.dropped_frames - dropped
        return placed

    def _end(self, track: Track, stamp_ns: int | None) -> None:
        """End an utterance. What is missing up to the stamp of its end marker is concealed.

        Without a stamp it has timed out, or gives way to another one.
        """
        timeline = track.timeline
        if stamp_ns is not None and timeline.exact is not False and not track.stopped:
            missing = timeline.frame_at(stamp_ns) - timeline.frames
            room = max(0.0, self.max_buffer - self.buffered_seconds)
            missing = min(missing, int(room * timeline.format.rate))
            if missing > 1:
                self.counters.lost_frames += missing
                self._renderer.push(track, track.converter.convert(timeline.conceal(missing)))
        self._renderer.finish(track, track.converter.flush(), timed_out=stamp_ns is None)

    def _prepare(self, device_format: AudioFormat) -> None:
        """Called between two devices, with the format of the next."""
        with self._receiving:
            tracks = [source.track for source in self._sources.values()]
            self._renderer.prepare(device_format, [track for track in tracks if track is not None])
