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

"""Audio output: chunks are put on a timeline, buffered, and played without gaps or clicks.

`play` does all of it for an iterator of PCM; `Player` is for several streams at once. Neither needs
ROS.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from k2so_tts.audio import NANOSECONDS, AudioFormat, Pcm, frames_to_ns, to_samples
from k2so_tts.metrics import PlaybackStats
from k2so_tts.playback.device_base import DeviceError
from k2so_tts.playback.player import Player, PlayerSettings

__all__ = ["DeviceError", "Player", "PlayerSettings", "play"]

_SOURCE = "play"
_END_MARKER = np.empty((0, 1), np.float32)
_LEAD_SECONDS = 2.0
_POLL_SECONDS = 0.05


class _Listener:
    """Passes positions on, and keeps the outcome."""

    def __init__(self, start_ns: int, on_heard: Callable[[float], None]) -> None:
        self.stats: PlaybackStats | None = None
        self.error: Exception | None = None
        self.done = threading.Event()
        self._start_ns = start_ns
        self._on_heard = on_heard

    def on_playhead(self, stamp_ns: int, _heard_at: float, *_: int) -> None:
        if self.error is not None:
            return
        try:
            self._on_heard((stamp_ns - self._start_ns) / NANOSECONDS)
        except Exception as error:  # noqa: BLE001 - `play` raises it in the thread of its caller
            self.error = error
            self.done.set()

    def on_speaking(self, speaking: bool) -> None:
        pass

    def on_utterance(self, heard: PlaybackStats) -> None:
        self.stats = heard
        self.done.set()

    def on_level(self, level: float) -> None:
        pass


def play(
    chunks: Iterable[Pcm],
    rate: int,
    settings: PlayerSettings | None = None,
    on_heard: Callable[[float], None] = lambda _: None,
) -> PlaybackStats | None:
    """Play 16-bit mono chunks at `rate` Hz as one utterance; return when it was heard.

    `on_heard` is given the position (s) twenty times a second, in another thread; an exception in
    it ends the playback and is raised here. Returns None when `chunks` held no frames.

    Raises:
        DeviceError: there is no such device, and nothing was taken from `chunks`; or it was lost.
        ResamplerMissing: soxr is not installed.
    """
    start_ns = time.monotonic_ns()
    listener = _Listener(start_ns, on_heard)
    player = Player(replace(settings or PlayerSettings(), stream_timeout=math.inf), listener)
    player.start()
    try:
        if player.output.error is not None:
            raise DeviceError(player.output.error)
        frames = _send(chunks, rate, start_ns, player, listener)
        if frames:
            listener.done.wait(player.buffered_seconds + player.max_buffer)
        if listener.error is not None:
            raise listener.error
        failure = player.output.device.failure or player.output.error
        if failure is not None:
            raise DeviceError(failure)
        if frames and listener.stats is None:
            raise DeviceError(f"device {player.output.device.name!r} did not play in time")
        return listener.stats
    finally:
        player.close()


def _send(
    chunks: Iterable[Pcm], rate: int, start_ns: int, player: Player, listener: _Listener
) -> int:
    """Give chunks and their end marker to a player, no further ahead than `_LEAD_SECONDS`.

    Returns the number of frames. Stops early when `on_heard` has failed.
    """
    audio_format = AudioFormat(rate)
    player.receive(_SOURCE, start_ns, audio_format, _END_MARKER)  # it sends end markers
    frames = 0
    for pcm in chunks:
        if listener.error is not None:
            return frames
        if not len(pcm):
            continue
        stamp_ns = start_ns + frames_to_ns(frames, rate)
        player.receive(_SOURCE, stamp_ns, audio_format, to_samples(pcm))
        frames += len(pcm)
        while player.buffered_seconds > _LEAD_SECONDS and not listener.done.wait(_POLL_SECONDS):
            pass
    if frames:
        end_ns = start_ns + frames_to_ns(frames, rate)
        player.receive(_SOURCE, end_ns, audio_format, _END_MARKER)
    return frames
