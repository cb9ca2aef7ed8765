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

"""A player whose device and clock a test turns by hand."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from k2so_tts.audio import AudioFormat, Samples, frames_to_ns
from k2so_tts.metrics import PlaybackStats
from k2so_tts.playback import Player, PlayerSettings

RATE = 48_000
CHUNK = 4096
BLOCK = 256
FADE = 240
MONO = AudioFormat(RATE)
START = 1_700_000_000_123_456_789
LARGEST_STEP = 0.01
"""-40 dB of full scale."""


def sine(frames: int, start: int = 0, rate: int = RATE) -> Samples:
    phase = 2 * np.pi * 200 / rate * np.arange(start, start + frames)
    signal: Samples = (0.2 * np.sin(phase)).astype(np.float32)[:, np.newaxis]
    return signal


def ones(frames: int, value: float = 0.5) -> Samples:
    return np.full((frames, 1), value, np.float32)


EMPTY = np.empty((0, 1), np.float32)


class SimulatedPlayer:
    """A player without threads: its listener, its clock and its device."""

    def __init__(self, settings: PlayerSettings, device: AudioFormat = MONO) -> None:
        self.now = 1000.0
        self.player = Player(settings, self, lambda: self.now)
        self.device = device
        self.playheads: list[tuple[int, float]] = []
        self.losses: list[tuple[int, int]] = []
        self.speaking: list[bool] = []
        self.heard: list[PlaybackStats] = []
        self.levels: list[tuple[float, float]] = []
        """When each level was told (s), and what it was."""
        self.player._prepare(device)

    def on_playhead(self, stamp_ns: int, heard_at: float, _: int, lost_frames: int) -> None:
        self.playheads.append((stamp_ns, heard_at))
        self.losses.append((stamp_ns, lost_frames))

    def on_speaking(self, speaking: bool) -> None:
        self.speaking.append(speaking)

    def on_utterance(self, heard: PlaybackStats) -> None:
        self.heard.append(heard)

    def on_level(self, level: float) -> None:
        self.levels.append((self.now, level))

    def change_device(self, device: AudioFormat) -> None:
        self.device = device
        self.player._prepare(device)

    def send(
        self,
        sound: Samples,
        frame: int = 0,
        *,
        source: Hashable = "us",
        rate: int = RATE,
        start_ns: int = START,
    ) -> bool:
        """Deliver a chunk, or the end marker, stamped by the frame where it belongs."""
        stamp = start_ns + frames_to_ns(frame, rate)
        return self.player.receive(source, stamp, AudioFormat(rate, sound.shape[1]), sound)

    def say(self, sound: Samples, *, frame: int = 0, end: bool = True, **how: object) -> int:
        """Deliver an utterance in chunks; returns the frame after it."""
        for start in range(0, len(sound), CHUNK):
            piece = sound[start : start + CHUNK]
            assert self.send(piece, frame + start, **how)  # type: ignore[arg-type]
        if end:
            self.send(EMPTY, frame + len(sound), **how)  # type: ignore[arg-type]
        return frame + len(sound)

    def render(self, frames: int = BLOCK) -> Samples:
        """One block; the clock moves on by it and the listener is told."""
        out = np.full((frames, self.device.channels), np.nan, np.float32)
        self.player._renderer.render(out, self.now)
        self.player._reporter.poll()
        self.now += frames / self.device.rate
        self.player._reporter.poll()
        assert not np.isnan(out).any()
        return out

    def hear(self, frames: int) -> Samples:
        """At least so many frames, in blocks."""
        return np.concatenate([self.render() for _ in range(-(-frames // BLOCK))])

    def hear_all(self) -> Samples:
        """Until nothing is left."""
        blocks = [self.render()]
        while not self.player.idle:
            blocks.append(self.render())
            assert len(blocks) < 100_000
        return np.concatenate(blocks)


def sounding(sound: Samples) -> Samples:
    """Without the silence before and after."""
    loud = np.flatnonzero(sound.any(axis=1))
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound[:0]


def largest_step(sound: Samples) -> float:
    return float(np.abs(np.diff(sound, axis=0)).max())
