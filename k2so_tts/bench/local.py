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

"""Measurements without ROS: an engine with the player in this process, and a bare pipe."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from k2so_tts.audio import EMPTY_PCM, Pcm, Samples, to_samples
from k2so_tts.bench.utterance import MeasuredUtterance, MeasureError
from k2so_tts.engines import streams
from k2so_tts.playback import DeviceError, PlayerSettings, play
from k2so_tts.playback.devices import open_device, output_devices
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm

_PIPE_SECONDS = 10.0
_WAV_HEADER = 44
_READ_BYTES = 8192


def choose_device(wanted: str) -> tuple[str, str]:
    """The specification of a device to measure on, and its name; `null` where `auto` finds none.

    One that was named is taken as it is: whether it exists shows when it is opened.
    """
    if wanted != "auto":
        return wanted, wanted
    try:
        devices = output_devices()
    except DeviceError as error:
        return "null", f"null ({error})"
    if not devices:
        return "null", "null (this machine has no sound device)"
    default = next((device for device in devices if device.is_default), devices[0])
    return wanted, default.name


@dataclass(eq=False)
class _Log:
    """Times (s, monotonic): of the request, of each chunk, and of each position (s) heard."""

    requested_at: float = 0.0
    chunks: list[tuple[float, Pcm]] = field(default_factory=list)
    heard: list[tuple[float, float]] = field(default_factory=list)


def speak(
    loaded: LoadedEngine,
    text: str,
    options: SynthesisOptions,
    settings: PlayerSettings,
    *,
    streaming: bool = True,
    cut: bool = False,
) -> tuple[MeasuredUtterance, Pcm]:
    """Speak a text; return what was measured and the samples that were played, shape (frames,).

    With `cut` it ends soon after its first frame was heard. Without `streaming` the whole text is
    made before any of it is played.

    Raises:
        EngineError: the engine failed.
        DeviceError: there is no such device.
        MeasureError: the text made no sound.
    """
    synthesis = Synthesis(loaded, text, options, streaming=streaming)
    log = _Log()
    heard = play(
        _logged(synthesis, log, cut=cut),
        synthesis.rate,
        settings,
        lambda position: log.heard.append((time.monotonic(), position)),
    )
    if heard is None or heard.began_at is None:
        raise MeasureError(f"nothing was heard of {text!r}")
    since = log.requested_at
    utterance = MeasuredUtterance(
        name="streamed" if streaming else "traditional",
        accepted_s=None,
        made_s=synthesis.seconds,
        chunks=tuple((at - since, len(pcm) / synthesis.rate) for at, pcm in log.chunks),
        heard=(
            (heard.began_at - since, 0.0),
            *((at - since, position) for at, position in log.heard[1:]),
        ),
        underruns=heard.underruns,
    )
    return utterance, np.concatenate([EMPTY_PCM, *(pcm for _, pcm in log.chunks)])


def _logged(synthesis: Synthesis, log: _Log, *, cut: bool) -> Iterator[Pcm]:
    """The chunks of a synthesis, each logged as it is handed on; the request is logged as now."""
    log.requested_at = time.monotonic()
    for pcm in stream_pcm(synthesis):
        if len(pcm):
            log.chunks.append((time.monotonic(), pcm))
            yield pcm
        if cut and log.heard:
            return


@dataclass(frozen=True)
class Comparison:
    """One text spoken traditionally (made whole, then played) and streamed.

    `differing` counts the samples in which the two differ, with those that only one of them has;
    None for an engine that speaks each time, and each segment, in its own way.
    """

    text: str
    traditional: MeasuredUtterance
    streamed: MeasuredUtterance
    differing: int | None

    @property
    def improvement(self) -> float:
        """By what fraction of the traditional time the first frame was heard sooner."""
        return 1.0 - self.streamed.first_frame_s / self.traditional.first_frame_s


def compare(
    loaded: LoadedEngine, text: str, options: SynthesisOptions, settings: PlayerSettings
) -> Comparison:
    """Speak a text both ways; made whole it is not heard to its end where that shows nothing more.

    Raises what `speak` raises.
    """
    is_comparable = streams(loaded.engine)
    traditional, whole = speak(
        loaded, text, options, settings, streaming=False, cut=not is_comparable
    )
    streamed, pieces = speak(loaded, text, options, settings)
    differing = _differing(whole, pieces) if is_comparable else None
    return Comparison(text, traditional, streamed, differing)


def _differing(whole: Pcm, pieces: Pcm) -> int:
    common = min(len(whole), len(pieces))
    differing = np.count_nonzero(whole[:common] != pieces[:common])
    return int(differing) + abs(len(whole) - len(pieces))


class BarePipe:
    """`espeak-ng --stdout` read into a running device: the lower bound of what speaking can take.

    Only the time of the first frame is measured, so only the first block that the program writes is
    played, without resampling.

    Raises:
        MeasureError: there is no `espeak-ng` program.
        DeviceError: the device cannot be opened.
    """

    def __init__(self, settings: PlayerSettings) -> None:
        program = shutil.which("espeak-ng")
        if program is None:
            raise MeasureError("the program espeak-ng is missing; 'apt install espeak-ng'")
        self._command = [program, "--stdin", "--stdout"]
        self._pending: deque[Samples] = deque()
        self._heard_at = 0.0
        self._heard = threading.Event()
        self._device = open_device(settings.device, settings.block_frames, settings.device_latency)
        self._device.start(self._render)

    def close(self) -> None:
        """Close the device."""
        self._device.close()

    def speak(self, text: str) -> float:
        """Seconds from the start of the program until its first frame leaves the device.

        Raises:
            MeasureError: nothing was heard of it.
        """
        self._heard.clear()
        requested_at = time.monotonic()
        with subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(text.encode())
            process.stdin.close()
            first = process.stdout.read(_READ_BYTES)[_WAV_HEADER:] or process.stdout.read(
                _READ_BYTES
            )
            pcm = np.frombuffer(first[: len(first) // 2 * 2], "<i2")
            self._pending.append(to_samples(pcm))
            while process.stdout.read(_READ_BYTES):
                pass
        if not self._heard.wait(_PIPE_SECONDS):
            raise MeasureError(f"the bare pipe was not heard for {_PIPE_SECONDS:g} s")
        return self._heard_at - requested_at

    def _render(self, out: Samples, heard_at: float) -> None:
        out.fill(0.0)
        if self._pending:
            samples = self._pending.popleft()
            frames = min(len(out), len(samples))
            out[:frames] = samples[:frames]
            self._heard_at = heard_at
            self._heard.set()
