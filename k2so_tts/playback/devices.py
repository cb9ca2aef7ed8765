"""Where sound leaves: a sound device (PortAudio), a WAV file, or nowhere - each in real time.

A device calls `render(out, heard_at)` from a thread of its own: `out`, shape (frames, channels)
float32, is to be filled, and its first frame is heard at `heard_at` (s, `time.monotonic`).
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from k2so_tts.audio import Samples

if TYPE_CHECKING:
    import sounddevice

_logger = logging.getLogger(__name__)

Render = Callable[[Samples, float], None]

SPECIFICATIONS = "'auto', 'null', 'wav:FILE', a device's index, or a part of its name"
PREFERRED_RATE = 48000
_STALLED_SECONDS = 1.0
_CLOCKED_BLOCK_SECONDS = 0.02
_JOIN_SECONDS = 2.0
_START_SECONDS = 2.0
_LATENCIES = (0.002, 0.02, 0.05, 0.1, 0.2)
"""What a sound device is asked to hold (s): the least first, more each time that did not work."""
_AUDIO_PRIORITY = 10
_SERVED_CALLS = 20


class DeviceError(Exception):
    """A device can't be used; the message names it and says why."""


class Device(Protocol):
    """A running output. `rate` in Hz; `xruns` counts the times it was not served in time. One that
    `hangs` did not let itself be closed.
    """

    name: str
    rate: int
    channels: int
    xruns: int
    realtime: bool
    hangs: bool
    failure: str | None
    """Why it does not ask for sound any more, if it knows."""

    @property
    def served(self) -> bool:
        """Whether it ever asked for sound as it should."""
        ...

    def start(self, render: Render) -> None: ...

    def alive(self) -> bool:
        """Whether the device still asks for sound."""
        ...

    def close(self) -> None:
        """Stop at once. `render` is not called any more when this returns."""
        ...


def open_device(
    specification: str, block_frames: int = 0, latency: float = 0.0, latency_step: int = 0
) -> Device:
    """The device that a specification names, not started yet.

    A sound device is asked to hold `latency` seconds of sound (0: as little as it can). The more
    `latency_step` it has been through, the more it is given: a buffer that is shorter than its
    server's cycle never plays.

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
    """A sound device that PortAudio found: its index, its name, its channels and own rate (Hz)."""

    index: int
    name: str
    channels: int
    rate: int
    is_default: bool


def output_devices(*, rescan: bool = False) -> list[OutputDevice]:
    """The sound devices that can play. `rescan` looks for new ones; no stream may be open then.

    Raises:
        DeviceError: PortAudio is missing, or finds out nothing.
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


class ClockedDevice:
    """Keeps real time by the clock and plays to nobody (`null`); the base of `WavDevice`."""

    def __init__(self, name: str = "null", rate: int = PREFERRED_RATE, channels: int = 1) -> None:
        self.name = name
        self.rate = rate
        self.channels = channels
        self.xruns = 0
        self.realtime = False
        self.hangs = False
        self.failure: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def served(self) -> bool:
        return True

    def start(self, render: Render) -> None:
        self._thread = threading.Thread(
            target=self._run, args=[render], name="clocked device", daemon=True
        )
        self._thread.start()

    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _run(self, render: Render) -> None:
        frames = int(self.rate * _CLOCKED_BLOCK_SECONDS)
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
            elif behind > _STALLED_SECONDS:
                self.xruns += 1
                start += behind

    def _consume(self, out: Samples) -> None:
        """Take a block that was rendered."""


class WavDevice(ClockedDevice):
    """Plays into a 16-bit WAV file in real time, from the first sound on. When there is no room for
    more, what was played up to then is in it.
    """

    def __init__(self, path: str, rate: int = PREFERRED_RATE) -> None:
        super().__init__(f"wav:{path}", rate)
        self._heard = False
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
        super().close()
        with contextlib.suppress(OSError):
            self._file.close()

    def alive(self) -> bool:
        return super().alive() and self.failure is None

    def _consume(self, out: Samples) -> None:
        self._heard = self._heard or bool(out.any())
        if not self._heard or self.failure is not None:
            return
        pcm = np.clip(np.rint(out * 32768.0), -32768, 32767).astype("<i2")
        try:
            self._file.writeframes(pcm.tobytes())
        except OSError as error:
            self.failure = f"device {self.name!r}: {error.strerror or error}"


class SoundDevice:
    """An output of PortAudio, its stream kept running so that sound can start at any moment."""

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
        self.hangs = False
        self.failure: str | None = None
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
    def served(self) -> bool:
        return self._calls >= _SERVED_CALLS

    def start(self, render: Render) -> None:
        self._render = render
        self._called_at = time.monotonic()
        failure: list[Exception] = []

        def begin() -> None:
            try:
                self._stream.start()
            except self._error as error:
                failure.append(error)

        if not _within(_START_SECONDS, begin):
            raise DeviceError(f"device {self.name!r} hangs when it is started")
        if failure:
            raise DeviceError(f"device {self.name!r} can't be started: {failure[0]}")

    def alive(self) -> bool:
        return time.monotonic() - self._called_at < _STALLED_SECONDS

    def close(self) -> None:
        """Stop, within `_JOIN_SECONDS`.

        PortAudio 19.6 can't be stopped any more where its thread loops over an error of ALSA, as
        it may when the sound server dies or the card is pulled out.
        """
        self._render = None

        def end() -> None:
            with contextlib.suppress(Exception):
                self._stream.abort(ignore_errors=True)
                self._stream.close(ignore_errors=True)

        if not _within(_JOIN_SECONDS, end):
            _logger.warning("device %r does not let itself be closed", self.name)
            self.hangs = True
            atexit.unregister(_portaudio()._exit_handler)  # noqa: SLF001 - it would hang as well

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
    """Do something that may hang in a driver; False when it does, and is left to itself."""
    thread = threading.Thread(target=action, name="device", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def suggested_latency(wanted: float, latency_step: int) -> float:
    """Seconds PortAudio is asked to hold: what is wanted, or one step more for each hardship."""
    wanted = wanted or _LATENCIES[0]
    steps = [wanted, *(latency for latency in _LATENCIES if latency > wanted)]
    return steps[min(latency_step, len(steps) - 1)]


def _get_realtime() -> bool:
    """Ask for a real-time priority for the calling thread; whether it has one."""
    with contextlib.suppress(PermissionError):
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
        f"device {specification!r} is not there; allowed: {SPECIFICATIONS}; found: {names}"
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
            "the Python package sounddevice is missing; install it with 'pip install sounddevice'"
        ) from error
    return sounddevice


@contextlib.contextmanager
def _quiet_alsa() -> Iterator[None]:
    yield
