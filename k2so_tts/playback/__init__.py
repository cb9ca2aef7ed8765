"""Sound out: chunks are put on a timeline, buffered, and played without a stutter.

`play` does all of it for a stream of PCM, without ROS; `player.Player` is what it is made of.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from k2so_tts.audio import NANOSECONDS, AudioFormat, Pcm, frames_to_ns
from k2so_tts.metrics import PlaybackStats
from k2so_tts.playback.devices import DeviceError
from k2so_tts.playback.player import Player, PlayerSettings

__all__ = ["DeviceError", "Player", "PlayerSettings", "play"]

_SOURCE = "play"
_LEAD_SECONDS = 2.0
_LOOK_SECONDS = 0.05


class _Listener:
    """Remembers what `play` waits for."""

    def __init__(self, start_ns: int, on_heard: Callable[[float], None]) -> None:
        self.heard: PlaybackStats | None = None
        self.over = threading.Event()
        self._start_ns = start_ns
        self._on_heard = on_heard

    def on_playhead(self, stamp_ns: int, _heard_at: float, _lost_frames: int) -> None:
        self._on_heard((stamp_ns - self._start_ns) / NANOSECONDS)

    def on_speaking(self, speaking: bool) -> None:
        pass

    def on_utterance(self, heard: PlaybackStats) -> None:
        self.heard = heard
        self.over.set()


def play(
    chunks: Iterable[Pcm],
    rate: int,
    settings: PlayerSettings | None = None,
    on_heard: Callable[[float], None] = lambda _: None,
) -> PlaybackStats | None:
    """Play 16-bit mono chunks from any iterator as one utterance; returns when it was heard.

    `on_heard` is told the position (s) twenty times a second. None is returned when `chunks` held
    nothing.

    Raises:
        DeviceError: there is no such device, and nothing was taken from `chunks`; or it was lost.
    """
    start_ns = time.monotonic_ns()
    audio_format = AudioFormat(rate)
    listener = _Listener(start_ns, on_heard)
    player = Player(replace(settings or PlayerSettings(), stream_timeout=math.inf), listener)
    player.start()
    try:
        if player.output.error is not None:
            raise DeviceError(player.output.error)
        end_marker = np.empty((0, 1), np.float32)
        player.receive(_SOURCE, start_ns, audio_format, end_marker)  # tells that it sends them
        frames = 0
        for pcm in chunks:
            if not len(pcm):
                continue
            samples = (pcm.astype(np.float32) / 32768.0)[:, np.newaxis]
            player.receive(_SOURCE, start_ns + frames_to_ns(frames, rate), audio_format, samples)
            frames += len(pcm)
            while player.buffered_seconds > _LEAD_SECONDS and not listener.over.wait(_LOOK_SECONDS):
                pass
        if frames:
            end_ns = start_ns + frames_to_ns(frames, rate)
            player.receive(_SOURCE, end_ns, audio_format, end_marker)
            listener.over.wait(player.buffered_seconds + player.max_buffer)
        if player.output.device.failure is not None:
            raise DeviceError(player.output.device.failure)
        if player.output.error is not None:
            raise DeviceError(player.output.error)
        return listener.heard
    finally:
        player.close()
