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

"""A recording of what the virtual loudspeaker plays."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

if TYPE_CHECKING:
    from typing_extensions import Self

Samples = npt.NDArray[np.float32]

CHANNELS = 2
_CLOCK_CYCLES = 12
_CLOCK_TIMEOUT = 5.0
FRAME_BYTES = 4 * CHANNELS

_STOP_TIMEOUT = 5.0  # seconds
_POLL = 0.005  # seconds


class SoundServerError(RuntimeError):
    """The sound server or a recorder did not do what it must; the text carries their log."""


class RecorderLostFramesError(SoundServerError):
    """The recorder, not the player, has lost frames; see ``retake``."""


def wait_until(what: str, condition: Callable[[], bool], timeout: float) -> None:
    """Poll ``condition`` until it holds; raise :class:`TimeoutError` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout:g} s still waiting: {what}")
        time.sleep(_POLL)


def end_process(process: subprocess.Popen[bytes] | None, *signals: signal.Signals) -> None:
    """Send the signals one after the other until the process has ended, and reap it."""
    if process is None:
        return
    for number in (*signals, signal.SIGKILL):
        process.send_signal(number)  # does nothing to a process that has ended
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_TIMEOUT)
            return


retake = pytest.mark.flaky(reruns=3, only_rerun=["RecorderLostFramesError"])
"""Marks tests that are done again when their recording tells nothing, and only then."""


class Recording:
    """What the virtual loudspeaker plays, captured while this is open.

    The sink's own float32 samples, both channels, without conversion. Data can be looked at while
    the recording goes on and stay available after :meth:`stop`.
    """

    def __init__(self, path: Path, process: subprocess.Popen[bytes], rate: int) -> None:
        """Follow the recorder ``process``, which writes raw frames to ``path`` at ``rate`` Hz."""
        self.rate = rate
        self._path = path
        self.process = process
        self._file = path.open("rb")
        self._final: Samples | None = None
        self._began: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the recorder still runs (it ends when the sound server dies)."""
        return self._final is None and self.process.poll() is None

    @property
    def frames(self) -> int:
        """Number of frames recorded so far."""
        if self._final is not None:
            return len(self._final)
        return os.fstat(self._file.fileno()).st_size // FRAME_BYTES

    def samples(self, start: int = 0) -> Samples:
        """Return what was recorded so far from frame ``start`` on, float32 (frames, 2)."""
        if self._final is not None:
            return self._final[start:]
        count = max(0, self.frames - start) * FRAME_BYTES
        data = os.pread(self._file.fileno(), count, start * FRAME_BYTES) if count else b""
        whole = len(data) - len(data) % FRAME_BYTES
        return np.frombuffer(data[:whole], np.float32).reshape(-1, CHANNELS)

    def wait_for_frames(self, count: int, timeout: float) -> int:
        """Wait until ``count`` frames are recorded in all; return how many there are."""
        self._wait(f"{count} recorded frames", lambda: self.frames >= count, timeout)
        return self.frames

    def wait_for_sound(self, count: int, timeout: float, threshold: float = 1e-4) -> int:
        """Wait until ``count`` frames louder than ``threshold`` (1.0 is full scale) were recorded.

        Returns the index of the first of these frames, counted from the start of the recording.
        """
        seen, heard, first = 0, 0, -1

        def enough() -> bool:
            nonlocal seen, heard, first
            new = self.samples(seen)
            loud = np.flatnonzero(np.abs(new).max(axis=1, initial=0.0) > threshold)
            if first < 0 and len(loud):
                first = seen + int(loud[0])
            seen += len(new)
            heard += len(loud)
            return heard >= count

        self._wait(f"{count} frames of sound", enough, timeout)
        return first

    def time_of(self, frame: int) -> float:
        """Tell when ``frame`` was heard, in seconds of ``time.monotonic()``; only while recording.

        That is when the sink, which keeps the monotonic clock, consumed it. Found by watching the
        recording grow; a fraction of a millisecond late on an idle machine. It holds for the whole
        recording as long as the server's cycle stays the same.
        """
        origin, cycle = self.clock()
        return origin + (frame + cycle) / self.rate

    def clock(self) -> tuple[float, int]:
        """Tell when frame 0 arrived if none was lost since (s, monotonic), and a cycle's frames.

        Later calls give later times if the recorder has lost frames in between: a player that
        loses some can't do that.
        """
        origin, cycles, known = float("inf"), Counter[int](), self.frames
        end = time.monotonic() + _CLOCK_TIMEOUT
        while cycles.total() < _CLOCK_CYCLES and time.monotonic() < end:
            frames, now = self.frames, time.monotonic()
            if frames != known:
                cycles[frames - known] += 1
                origin, known = min(origin, now - frames / self.rate), frames
            time.sleep(0.0005)
        if not cycles:
            raise SoundServerError("the recording does not grow")
        return origin, cycles.most_common(1)[0][0]  # a cycle's frames arrive together

    def lost_frames(self) -> int:
        """Tell how many frames the recorder has lost since the first call, by its clock."""
        now, cycle = self.clock()
        if self._began is None:
            self._began = now
        return cycle * round((now - self._began) * self.rate / cycle)

    def whole(self) -> Samples:
        """End the recording and return all of it if the recorder has lost none since it began.

        Raises :class:`RecorderLostFramesError` if it has: such a recording tells nothing.
        """
        if lost := self.lost_frames():
            raise RecorderLostFramesError(f"{lost} frames")
        return self.stop()

    def stop(self) -> Samples:
        """End the recording and return all of it, float32 (frames, 2). Further calls do too."""
        if self._final is None:
            end_process(self.process, signal.SIGTERM)
            self._final = self.samples().copy()
            self._file.close()
            self._path.unlink(missing_ok=True)
        return self._final

    def _wait(self, what: str, condition: Callable[[], bool], timeout: float) -> None:
        """Wait for ``condition``; give up early when the recorder has ended."""

        def done() -> bool:
            running = self.running
            if condition():
                return True
            if not running:
                raise SoundServerError(f"the recording ended at frame {self.frames}, before {what}")
            return False

        wait_until(what, done, timeout)
