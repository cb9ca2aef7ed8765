"""Plays streams of stamped chunks on a device, and says when each frame was heard."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

from k2so_tts.audio import AudioFormat, Samples, frames_to_ns
from k2so_tts.playback.converter import Converter, map_channels
from k2so_tts.playback.device_supervisor import DeviceSupervisor
from k2so_tts.playback.jitter_buffer import FADE_SECONDS, JitterBuffer, State
from k2so_tts.playback.playhead import Listener, PlayheadReporter, RenderedBlock
from k2so_tts.playback.timeline import Timeline

_logger = logging.getLogger(__name__)

_QUIET_CHUNKS = 2
_SUPERSEDED_SECONDS = 0.5
_VOLUME_SECONDS = 0.02
_MOST_SOURCES = 64
_MOST_COMMANDS = 1024
_MOST_TRACKS = 128
_MOST_CHANNELS = 2
"""No device is opened with more: what has more is mixed before it costs time and memory."""


@dataclass(frozen=True)
class PlayerSettings:
    """`device`: see `devices.SPECIFICATIONS`. `prebuffer_chunks` are collected before playback
    starts, at
    most `max_buffer` seconds are held. With `mix`, several sources are heard together, not in turn.
    `block_frames` is the device's block size (0: the device's choice), and it holds
    `device_latency` seconds of sound (0: as little as it can). After `rest_after` seconds
    of silence the device rests (0: never).
    An utterance that should end with a marker is given up `stream_timeout` seconds after its last
    chunk.
    """

    device: str = "auto"
    prebuffer_chunks: int = 3
    max_buffer: float = 30.0
    volume: float = 1.0
    mix: bool = False
    block_frames: int = 128
    device_latency: float = 0.0
    rest_after: float = 30.0
    stream_timeout: float = 5.0


@dataclass
class Counters:
    """What went wrong since the start, in frames of the streams and in messages."""

    lost_frames: int = 0
    dropped_frames: int = 0
    overflow_frames: int = 0
    underruns: int = 0
    utterances: int = 0


@dataclass
class _Source:
    """What is remembered of a publisher from one utterance to the next."""

    key: Hashable
    depth: int
    sends_markers: bool = False
    track: Track | None = None
    quiet: Track | None = None
    """The last utterance, if it ended for want of chunks."""


@dataclass
class Track:
    """One utterance on its way from a source to the device."""

    source: _Source
    timeline: Timeline
    buffer: JitterBuffer
    converter: Converter
    rate: int
    arrived_at: float
    queued: bool = False
    started: bool = False
    stopped: bool = False
    complete: bool = False
    over: bool = False
    """Its end was heard and told."""
    last_chunk: float = 0.0
    patience: float = 0.0

    def stamp_ns(self, position: int, rate: int) -> int:
        """The stamp of a frame at a device's rate; the exact end for the last one."""
        if self.complete and rate == self.rate and position >= self.buffer.received:
            return self.timeline.end_ns
        return self.timeline.start_ns + frames_to_ns(position, rate)


def _turn(track: Track) -> tuple[bool, bool]:
    """Sorts utterances by whose turn it is: what has begun goes on, and what still waits for chunks
    holds up nobody. No source overtakes itself: an utterance is complete before the next comes.
    """
    return not track.started, not track.buffer.ready


class Player:
    """Receives chunks from any thread, renders them in the device's, and reports in one of its
    own.
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
        self._format = AudioFormat(0)
        self._sources: OrderedDict[Hashable, _Source] = OrderedDict()
        self._receiving = threading.Lock()
        self._rendering = threading.Lock()
        self._inbox: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self._sent = self._pushed = 0
        """Frames at the device's rate that were put into the inbox, and taken out of it."""
        self._active: list[Track] = []
        self._gain = settings.volume
        self._scratch = np.zeros((0, 0), np.float32)
        self._reporter = PlayheadReporter(listener, self, clock)
        self.output = DeviceSupervisor(
            settings.device,
            settings.block_frames,
            settings.device_latency,
            self._render,
            self._prepare,
            lambda: self.idle,
            settings.rest_after,
        )

    def start(self) -> None:
        """Open the device and begin. Raises `DeviceError` for a WAV file that can't be written."""
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
        """Audio received and not heard yet, of all sources together."""
        pushed = sum(track.buffer.buffered / track.rate for track in list(self._active))
        return pushed + (self._sent - self._pushed) / max(1, self._format.rate)

    @property
    def idle(self) -> bool:
        """Nothing is buffered or being played."""
        return not self._active and not self._inbox

    @property
    def audible(self) -> bool:
        """Whether sound that plays now can be heard."""
        return not (self.muted or self.paused)

    @property
    def active(self) -> list[Track]:
        """The utterances that are being played or wait for it, in order."""
        return list(self._active)

    def receive(
        self, source: Hashable, stamp_ns: int, audio_format: AudioFormat, samples: Samples
    ) -> bool:
        """Take a chunk, shape (frames, channels); without frames it is the end marker.

        False when it was refused because it is longer than `max_buffer` seconds, or so much, or
        too many utterances, wait already.
        """
        channels = min(audio_format.channels, _MOST_CHANNELS)
        audio_format = AudioFormat(audio_format.rate, channels)
        with self._receiving:
            known = self._source(source)
            if len(samples):
                samples = map_channels(samples, channels)
                accepted = self._take(known, stamp_ns, audio_format, samples)
            else:
                accepted = True
                known.sends_markers = True
                if known.track is not None:
                    self._end(known.track, stamp_ns)
                    known.track = None
                self._command(self._cut, known, stamp_ns)
        self.output.wake()
        return accepted

    def supersede(self, source: Hashable) -> None:
        """A source was started anew as another one: no more is expected of it, and what it has sent
        is heard first. If it sends all the same, that is heard too.
        """
        with self._receiving:
            known = self._sources.get(source)
            if known is not None and known.track is not None:
                known.track.patience = min(known.track.patience, _SUPERSEDED_SECONDS)
                known.track.buffer.enough = True

    def stop(self) -> None:
        """Silence now: what is buffered is thrown away, and so is the rest of these utterances."""
        with self._receiving:
            for known in self._sources.values():
                if known.track is not None:
                    known.track.stopped = True
            self._command(self._stop_all)
        self.output.wake()

    def utterance_ended(self, track: Track) -> None:
        """An utterance is over: the next of its source starts as deep as this one had to be."""
        calm = track.buffer.underruns == 0
        track.source.depth = self.prebuffer_chunks if calm else track.buffer.depth
        self.counters.utterances += 1

    def end_quiet_streams(self) -> bool:
        """End the utterances whose next chunk is overdue; True while any is still open."""
        now = self._clock()
        open_ones = 0
        with self._receiving:
            for known in self._sources.values():
                if known.track is None:
                    continue
                if now - known.track.last_chunk >= known.track.patience:
                    self._end(known.track, None)
                    known.quiet, known.track = known.track, None
                else:
                    open_ones += 1
        return open_ones > 0

    def _source(self, source: Hashable) -> _Source:
        known = self._sources.setdefault(source, _Source(source, self.prebuffer_chunks))
        self._sources.move_to_end(source)
        if len(self._sources) > _MOST_SOURCES:
            _, forgotten = self._sources.popitem(last=False)
            if forgotten.track is not None:
                self._end(forgotten.track, None)
        return known

    def _refuse(self, known: _Source, track: Track, frames: int) -> None:
        """Leave out a chunk of a track, which need not wait for more chunks then to begin."""
        self.counters.overflow_frames += frames
        track.buffer.enough = True
        if not track.timeline.frames:
            known.track = None

    def _is_full(self, seconds: float) -> bool:
        """Whether a chunk of `seconds` is too much, for what waits already or by itself."""
        return (
            max(seconds, self.buffered_seconds) > self.max_buffer
            or len(self._inbox) > _MOST_COMMANDS
            or len(self._active) > _MOST_TRACKS
        )

    def _take(
        self, known: _Source, stamp_ns: int, audio_format: AudioFormat, samples: Samples
    ) -> bool:
        track = self._track_for(known, stamp_ns, audio_format)
        track.last_chunk = self._clock()
        track.patience = _QUIET_CHUNKS * len(samples) / audio_format.rate
        if known.sends_markers or track.timeline.exact:
            track.patience = self._stream_timeout
        if not track.stopped and self._is_full(len(samples) / audio_format.rate):
            self._refuse(known, track, len(samples))
            return False
        placed = self._place(track, stamp_ns, samples)
        if len(placed) and not track.stopped:
            self._send(self._push, track, track.converter.convert(placed))
        return True

    def _track_for(self, known: _Source, stamp_ns: int, audio_format: AudioFormat) -> Track:
        track = known.track
        if track is not None and not self._belongs(track, stamp_ns, audio_format):
            self._end(track, None)
            track = None
        if track is None:
            track = self._begin(known, Timeline(stamp_ns, audio_format))
            known.track = track
        return track

    def _belongs(self, track: Track, stamp_ns: int, audio_format: AudioFormat) -> bool:
        timeline = track.timeline
        if timeline.format != audio_format:
            return False
        if timeline.exact is False or timeline.continues(stamp_ns):
            return True
        if track.stopped and timeline.exact:
            return False
        gap = abs(timeline.frame_at(stamp_ns) - timeline.frames) / audio_format.rate
        return gap <= self.max_buffer

    def _begin(self, known: _Source, timeline: Timeline) -> Track:
        """A track for a new utterance, as deep as the last one needed, or a continued one needs."""
        depth = max(known.depth, self.prebuffer_chunks)
        resumed = known.quiet is not None and known.quiet.timeline.continues(timeline.start_ns)
        fade_frames = int(FADE_SECONDS * self._format.rate)
        buffer = JitterBuffer(depth + resumed, fade_frames, resumed=resumed)
        self.counters.underruns += resumed
        known.quiet = None
        self._reporter.wake()
        converter = Converter(timeline.format, self._format)
        return Track(known, timeline, buffer, converter, self._format.rate, self._clock())

    def _place(self, track: Track, stamp_ns: int, samples: Samples) -> Samples:
        timeline = track.timeline
        lost, dropped = timeline.lost_frames, timeline.dropped_frames
        placed = timeline.place(stamp_ns, samples)
        self.counters.lost_frames += timeline.lost_frames - lost
        self.counters.dropped_frames += timeline.dropped_frames - dropped
        return placed

    def _end(self, track: Track, stamp_ns: int | None) -> None:
        """Nothing more comes for an utterance; what is missing up to `stamp_ns` was lost."""
        timeline = track.timeline
        if stamp_ns is not None and timeline.exact is not False and not track.stopped:
            missing = timeline.frame_at(stamp_ns) - timeline.frames
            room = max(0.0, self.max_buffer - self.buffered_seconds)
            missing = min(missing, int(room * timeline.format.rate))
            if missing > 1:
                self.counters.lost_frames += missing
                concealed = track.converter.convert(timeline.conceal(missing))
                self._send(self._push, track, concealed)
        self._send(self._finish, track, track.converter.flush(), stamp_ns is None)

    def _send(
        self, function: Callable[..., None], track: Track, samples: Samples, *rest: object
    ) -> None:
        """A command that takes frames along, which count as buffered from now on."""
        self._sent += len(samples)
        self._command(function, track, samples, *rest)

    def _command(self, function: Callable[..., None], *arguments: object) -> None:
        """Have something done in the rendering thread, which owns the buffers."""
        self._inbox.append((function, arguments))

    def _push(self, track: Track, samples: Samples) -> None:
        self._pushed += len(samples)
        track.buffer.push(samples)
        if not track.queued:
            track.queued = True
            self._active.append(track)

    def _finish(self, track: Track, rest: Samples, abrupt: bool) -> None:
        if abrupt and track.buffer.is_dry:  # a scrap that the resampler held, too late to be of use
            self._pushed += len(rest)
            self.counters.lost_frames += len(rest) * track.timeline.format.rate // track.rate
            rest = rest[:0]
        self._push(track, rest)
        track.buffer.end(abrupt=abrupt)
        track.complete = not track.stopped

    def _cut(self, source: _Source, stamp_ns: int) -> None:
        """Throw away what a source has put in at or after a stamp."""
        for track in self._active:
            frame = track.timeline.cut_at(stamp_ns) if track.source is source else None
            if frame is not None:
                track.buffer.end(frame * track.rate // track.timeline.format.rate)
                track.complete = False

    def _stop_all(self) -> None:
        for track in self._active:
            track.stopped = True
            track.complete = False
            track.buffer.end(0)

    def _prepare(self, device_format: AudioFormat) -> None:
        """Turn what is buffered into the format of the device that starts next."""
        with self._receiving, self._rendering:
            self._run_commands()
            old, self._format = self._format, device_format
            self._scratch = np.zeros((0, device_format.channels), np.float32)
            if not old.rate or old == device_format:
                return
            waiting = {id(known.track): known.track for known in self._sources.values()}
            waiting.update({id(track): track for track in self._active})
            for track in waiting.values():
                if track is not None:
                    self._convert(track, old, device_format)

    def _convert(self, track: Track, old: AudioFormat, new: AudioFormat) -> None:
        converter = Converter(old, new)
        waiting = track.buffer.pending()
        if not track.buffer.complete:
            waiting.append(track.converter.flush())
        pieces = [*map(converter.convert, waiting), converter.flush()]
        track.buffer.convert(np.concatenate(pieces), new.rate / old.rate)
        track.converter = Converter(track.timeline.format, new)
        track.rate = new.rate

    def _render(self, out: Samples, heard_at: float) -> None:
        """Called by the device. Raises nothing, whatever happens."""
        if not self._rendering.acquire(blocking=False):
            out.fill(0.0)
            return
        try:
            self._run_commands()
            if not any(track.started for track in self._active):
                self._gain = self._target_gain
            if not self._active:
                out.fill(0.0)
                return
            if self.mix:
                self._render_together(out, heard_at)
            else:
                self._render_in_turn(sorted(self._active, key=_turn), out, heard_at)
            self._apply_gain(out)
        except Exception:
            _logger.exception("rendering failed; what was being played is dropped")
            self._abandon(heard_at)
            out.fill(0.0)
        finally:
            self._rendering.release()

    def _abandon(self, at: float) -> None:
        abandoned, self._active = self._active, []
        for track in abandoned:
            track.stopped = True
            track.complete = False
            track.buffer.end(0)
            self._reporter.add(
                RenderedBlock(track, at, at, track.rate, track.buffer.position, 0, False, True)
            )

    def _run_commands(self) -> None:
        while self._inbox:
            function, arguments = self._inbox.popleft()
            function(*arguments)

    def _render_in_turn(self, tracks: list[Track], out: Samples, heard_at: float) -> None:
        filled = 0
        for track in tracks:
            if filled == len(out):
                return
            filled += self._play(track, out[filled:], heard_at + filled / self._format.rate)
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
        np.clip(out, -1.0, 1.0, out=out)

    def _by_source(self) -> list[list[Track]]:
        """The utterances of each source, in order."""
        tracks: dict[Hashable, list[Track]] = {}
        for track in self._active:
            tracks.setdefault(track.source.key, []).append(track)
        return list(tracks.values())

    def _play(self, track: Track, out: Samples, heard_at: float) -> int:
        """Render one track and note what is heard of it when."""
        buffer = track.buffer
        buffer.paused = self.paused
        underruns = buffer.underruns
        used = buffer.render(out)
        self.counters.underruns += buffer.underruns - underruns
        offset, position, frames = buffer.span
        ends = buffer.state is State.ENDED
        if frames or ends:
            self._reporter.add(
                RenderedBlock(
                    track,
                    heard_at + offset / track.rate,
                    heard_at + used / track.rate,
                    track.rate,
                    position,
                    frames,
                    bool(frames) and not track.started,
                    ends,
                )
            )
            track.started = True
        return used

    @property
    def _target_gain(self) -> float:
        return 0.0 if self.muted else self.volume

    def _apply_gain(self, out: Samples) -> None:
        """Volume and mute, moving to their target within 20 ms."""
        target = self._target_gain
        if self._gain == target == 1.0:
            return
        step = 1.0 / (_VOLUME_SECONDS * self._format.rate)
        if self._gain == target:
            out *= np.float32(target)
            return
        direction = np.sign(target - self._gain)
        ramp = self._gain + direction * step * np.arange(1, len(out) + 1, dtype=np.float32)
        ramp = np.minimum(ramp, target) if direction > 0 else np.maximum(ramp, target)
        out *= ramp[:, np.newaxis].astype(np.float32)
        self._gain = float(ramp[-1])
