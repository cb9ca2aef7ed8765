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

"""Output devices by name, and those of PortAudio, which is loaded when it is needed."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from k2so_tts.playback.clocked_devices import ClockedDevice, WavDevice
from k2so_tts.playback.device_base import (
    JOIN_SECONDS,
    PREFERRED_RATE,
    STALLED_SECONDS,
    Device,
    DeviceError,
    Render,
)
from k2so_tts.remedies import pip_install

if TYPE_CHECKING:
    import sounddevice

__all__ = [
    "SPECIFICATIONS",
    "ClockedDevice",
    "Device",
    "DeviceError",
    "OutputDevice",
    "Render",
    "SoundDevice",
    "WavDevice",
    "open_device",
    "output_devices",
    "suggested_latency",
]

_logger = logging.getLogger(__name__)

SPECIFICATIONS = "'auto', 'null', 'wav:FILE', a device's index, or a part of its name"
"""What a device can be called, for messages and help."""

_START_SECONDS = 2.0
_LATENCIES = (0.002, 0.02, 0.05, 0.1, 0.2)
"""Seconds of sound that a device is asked to hold: the least first, more at each further step."""
_AUDIO_PRIORITY = 10
_STEADY_CALLS = 20
"""Calls after which a device counts as one that has streamed."""


def open_device(
    specification: str, block_frames: int = 0, latency: float = 0.0, latency_step: int = 0
) -> Device:
    """Return the device that a specification names, not started yet.

    A sound device is asked for blocks of `block_frames` (0: its choice) and to hold `latency`
    seconds of sound (0: as little as it can), or more with each `latency_step`: a buffer that is
    shorter than its server's cycle never plays.

    Raises:
        DeviceError: there is no such device, or it can't be opened.
    """
    kind, _, path = specification.partition(":")
    if specification == "null":
        return ClockedDevice()
    if kind == "wav":
        return WavDevice(path)
    return SoundDevice(specification, block_frames, latency, latency_step)


@dataclass(frozen=True)
class OutputDevice:
    """A sound device that PortAudio has found."""

    index: int
    name: str
    channels: int
    rate: int
    """The sample rate that it prefers (Hz)."""
    is_default: bool


def output_devices(*, rescan: bool = False) -> list[OutputDevice]:
    """Return the sound devices that can play.

    With `rescan`, new ones are looked for; no stream may be open meanwhile.

    Raises:
        DeviceError: PortAudio is missing, or can't list the devices.
    """
    portaudio = _portaudio()
    with _quiet_alsa():
        try:
            if rescan:
                with contextlib.suppress(portaudio.PortAudioError):
                    portaudio._terminate()  # noqa: SLF001 - the library's only way to look again
                portaudio._initialize()  # noqa: SLF001
            devices = list(portaudio.query_devices())
            default = portaudio.default.device[1]
        except portaudio.PortAudioError as error:
            raise DeviceError(f"PortAudio can't list the devices: {error}") from error
    return [
        OutputDevice(
            index,
            str(found["name"]),
            int(found["max_output_channels"]),
            int(found["default_samplerate"]),
            index == default,
        )
        for index, found in enumerate(devices)
        if found["max_output_channels"] > 0
    ]


class SoundDevice:
    """A device of PortAudio, whose stream keeps running so that sound can start at any moment.

    Raises:
        DeviceError: there is no such device, or it can't be opened.
    """

    def __init__(
        self,
        specification: str,
        block_frames: int = 0,
        latency: float = 0.0,
        latency_step: int = 0,
    ) -> None:
        portaudio = _portaudio()
        found = _find(specification, output_devices())
        self.name = found.name
        self.channels = min(2, found.channels)
        self.xruns = 0
        self.realtime = False
        self.unresponsive = False
        self.failure: str | None = None
        self.discards = False
        self._render: Render | None = None
        self._called_at = time.monotonic()
        self._calls = 0
        self._error: type[Exception] = portaudio.PortAudioError
        with _quiet_alsa():
            self.rate = self._choose_rate(portaudio, found)
            try:
                self._stream = portaudio.RawOutputStream(
                    samplerate=self.rate,
                    device=found.index,
                    channels=self.channels,
                    dtype="float32",
                    blocksize=block_frames,
                    latency=suggested_latency(latency, latency_step),
                    callback=self._callback,
                )
            except portaudio.PortAudioError as error:
                raise DeviceError(f"device {specification!r} can't be opened: {error}") from error

    @property
    def has_streamed(self) -> bool:
        """Whether it has asked for sound often enough to be trusted to go on."""
        return self._calls >= _STEADY_CALLS

    def start(self, render: Render) -> None:
        """Start the stream.

        Raises:
            DeviceError: PortAudio can't start it, or takes more than `_START_SECONDS`.
        """
        self._render = render
        self._called_at = time.monotonic()
        failure: list[Exception] = []

        def begin() -> None:
            try:
                self._stream.start()
            except self._error as error:
                failure.append(error)

        if not _within(_START_SECONDS, begin):
            raise DeviceError(f"device {self.name!r} does not respond when it is started")
        if failure:
            raise DeviceError(f"device {self.name!r} can't be started: {failure[0]}")

    def alive(self) -> bool:
        """Return whether the stream has asked for sound within the last second."""
        return time.monotonic() - self._called_at < STALLED_SECONDS

    def close(self) -> None:
        """Close the stream within `JOIN_SECONDS`, or set `unresponsive`.

        The thread of PortAudio 19.6 can loop over an error of ALSA for ever, when the sound server
        dies or a card is unplugged; then nothing in this process can stop it.
        """
        if self.unresponsive:
            return
        self._render = None

        def end() -> None:
            with contextlib.suppress(Exception):
                self._stream.abort(ignore_errors=True)
                self._stream.close(ignore_errors=True)

        if not _within(JOIN_SECONDS, end):
            _logger.warning("device %r can't be closed: PortAudio does not respond", self.name)
            self.unresponsive = True
            atexit.unregister(_portaudio()._exit_handler)  # noqa: SLF001 - it would block as well

    def _choose_rate(self, portaudio: Any, found: OutputDevice) -> int:
        for rate in (PREFERRED_RATE, found.rate):
            with contextlib.suppress(portaudio.PortAudioError):
                portaudio.check_output_settings(
                    device=found.index, channels=self.channels, dtype="float32", samplerate=rate
                )
                return rate
        return found.rate

    def _callback(
        self, buffer: Any, _frames: int, times: Any, status: sounddevice.CallbackFlags
    ) -> None:
        now = time.monotonic()
        if not self._calls:
            self.realtime = _get_realtime()
        elif status.output_underflow:
            self.xruns += 1
        self._called_at = now
        self._calls += 1
        render = self._render
        out = np.frombuffer(buffer, np.float32).reshape(-1, self.channels)
        if render is None:
            out.fill(0.0)
        else:
            render(out, now + times.outputBufferDacTime - times.currentTime)


def _within(seconds: float, action: Callable[[], None]) -> bool:
    """Run `action`, which may block in a driver; return whether it has ended within `seconds`.

    If it has not, it is left running in a thread of its own.
    """
    thread = threading.Thread(target=action, name="device", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def suggested_latency(wanted: float, latency_step: int) -> float:
    """Return the seconds of sound that PortAudio is asked to hold at a step.

    Step 0 is `wanted` (0: as little as possible), each further one the next longer latency.
    """
    wanted = wanted or _LATENCIES[0]
    steps = [wanted, *(latency for latency in _LATENCIES if latency > wanted)]
    return steps[min(latency_step, len(steps) - 1)]


def _get_realtime() -> bool:
    """Ask for real-time priority for the calling thread; return whether it has it."""
    with contextlib.suppress(OSError):
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(_AUDIO_PRIORITY))
    policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    return policy in (os.SCHED_FIFO, os.SCHED_RR)


def _find(specification: str, devices: list[OutputDevice]) -> OutputDevice:
    if not devices:
        raise DeviceError(f"device {specification!r}: this machine has no sound device")
    if specification == "auto":
        return next((device for device in devices if device.is_default), devices[0])
    for device in devices:
        if specification in (str(device.index), device.name):
            return device
    for device in devices:
        if specification.lower() in device.name.lower():
            return device
    names = ", ".join(f"{device.index} {device.name!r}" for device in devices)
    raise DeviceError(
        f"device {specification!r} was not found; allowed: {SPECIFICATIONS}; found: {names}"
    )


def _portaudio() -> Any:
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            "PortAudio is missing; install it with 'apt install libportaudio2'"
        ) from error
    except ImportError as error:
        raise DeviceError(
            "the Python package sounddevice is missing; "
            f"install it with '{pip_install('sounddevice')}'"
        ) from error
    return sounddevice


_ERROR_HANDLER = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p
)
"""`snd_lib_error_handler_t` of alsa/error.h; what follows the format is not looked at."""
_ignore_error = _ERROR_HANDLER(lambda *_: None)


@contextlib.contextmanager
def _quiet_alsa() -> Iterator[None]:
    """Keep ALSA from writing to stderr about each device and format that PortAudio tries in vain.

    What matters of it is in PortAudio's error.
    """
    try:
        alsa = ctypes.CDLL("libasound.so.2")
    except OSError:
        yield
        return
    alsa.snd_lib_error_set_handler(_ignore_error)
    try:
        yield
    finally:
        alsa.snd_lib_error_set_handler(None)
