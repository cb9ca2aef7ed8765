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

"""Devices without hardware that keep real time by the clock: silence, and WAV files."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import wave
from pathlib import Path

import numpy as np

from k2so_tts.audio import Samples, to_pcm
from k2so_tts.playback.device_base import (
    JOIN_SECONDS,
    PREFERRED_RATE,
    STALLED_SECONDS,
    DeviceError,
    Render,
)

_logger = logging.getLogger(__name__)

_BLOCK_SECONDS = 0.02


class ClockedDevice:
    """Asks for sound in real time, and discards it (`null`); the base of `WavDevice`."""

    def __init__(self, name: str = "null", rate: int = PREFERRED_RATE, channels: int = 1) -> None:
        self.name = name
        self.rate = rate
        self.channels = channels
        self.xruns = 0
        self.realtime = False
        self.unresponsive = False
        self.failure: str | None = None
        self.discards = True
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def has_streamed(self) -> bool:
        """Always true: a clock needs no longer buffer."""
        return True

    def start(self, render: Render) -> None:
        """Start the thread that calls `render`."""
        self._thread = threading.Thread(
            target=self._run, args=[render], name="clocked device", daemon=True
        )
        self._thread.start()

    def alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Stop and join the thread."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def _run(self, render: Render) -> None:
        try:
            self._keep_time(render)
        except Exception as error:
            _logger.exception("device %r failed", self.name)
            self.failure = f"device {self.name!r} failed: {type(error).__name__}: {error}"

    def _keep_time(self, render: Render) -> None:
        frames = int(self.rate * _BLOCK_SECONDS)
        out = np.zeros((frames, self.channels), np.float32)
        start = time.monotonic()
        block = 0
        while not self._stop.is_set():
            render(out, start + (block + 1) * frames / self.rate)
            self._consume(out)
            block += 1
            behind = time.monotonic() - (start + block * frames / self.rate)
            if behind < 0:
                self._stop.wait(-behind)
            elif behind > STALLED_SECONDS:
                self.xruns += 1
                start += behind

    def _consume(self, out: Samples) -> None:
        """Take a block that was rendered, shape (frames, channels)."""


class WavDevice(ClockedDevice):
    """Plays into a 16-bit WAV file in real time, from the first sound on.

    When the disk is full, the file holds what was played up to then.

    Raises:
        DeviceError: the file can't be written, or is a pipe.
    """

    def __init__(self, path: str, rate: int = PREFERRED_RATE) -> None:
        super().__init__(f"wav:{path}", rate)
        self.discards = False
        self._sound_seen = False
        try:
            if Path(path).is_fifo():
                raise DeviceError(f"device 'wav:{path}' is a pipe; allowed: a file")
            self._file = wave.open(Path(path).open("wb"), "wb")  # noqa: SIM115
        except OSError as error:
            raise DeviceError(f"device 'wav:{path}': {error.strerror or error}") from error
        self._file.setnchannels(self.channels)
        self._file.setsampwidth(2)
        self._file.setframerate(rate)

    def close(self) -> None:
        """Stop the thread and close the file."""
        super().close()
        with contextlib.suppress(OSError):
            self._file.close()

    def alive(self) -> bool:
        """Return whether the thread runs and the file takes what it is given."""
        return super().alive() and self.failure is None

    def _consume(self, out: Samples) -> None:
        self._sound_seen = self._sound_seen or bool(out.any())
        if not self._sound_seen or self.failure is not None:
            return
        try:
            self._file.writeframes(to_pcm(out).tobytes())
        except OSError as error:
            self.failure = f"device {self.name!r}: {error.strerror or error}"
