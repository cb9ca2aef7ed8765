"""Keeps an output running: when the device fails the clock takes over until it is back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from k2so_tts.audio import AudioFormat
from k2so_tts.playback.devices import (
    ClockedDevice,
    Device,
    DeviceError,
    Render,
    open_device,
    output_devices,
    suggested_latency,
)

_logger = logging.getLogger(__name__)

_WATCH_SECONDS = 0.25
_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 8.0
_JOIN_SECONDS = 5.0
_MOST_XRUNS = 5
_XRUN_SECONDS = 60.0
"""More xruns than `_MOST_XRUNS` within this time: the device is to hold more sound."""


class DeviceSupervisor:
    """One device at a time, watched by a thread.

    A device that can't be opened, or stops asking for sound, is replaced by the clock (so that the
    timeline runs on, unheard) and tried again after 1, 2, 4 and then every 8 seconds, with a longer
    buffer if it was never served well. One that is not served in time again and again gets a longer
    buffer as well, in the next silence. After `rest_after` seconds of nothing to play (0: never)
    it is closed, to be opened again for the next chunk: a stream that was stopped can hang for ever
    when its
    server has died, a new one can't. `prepare` is called with the format of a device between
    the end of the last one and the start of it.
    """

    def __init__(
        self,
        specification: str,
        block_frames: int,
        latency: float,
        render: Render,
        prepare: Callable[[AudioFormat], None],
        is_idle: Callable[[], bool],
        rest_after: float,
    ) -> None:
        self._specification = specification
        self._block_frames = block_frames
        self._latency = latency
        self._render = render
        self._prepare = prepare
        self._is_idle = is_idle
        self._rest_after = rest_after
        self._used_at = time.monotonic()
        self._resting = False
        self._latency_step = 0
        self._device: Device | None = None
        self._error: str | None = None
        self._xruns = 0
        self._xruns_before = 0
        self._xruns_since = time.monotonic()
        self.losses = 0
        self.hangs = False
        """A device could not be closed: PortAudio is lost, only a new process can play again."""
        self._changed = threading.Event()
        self._reopen = False
        self._stopping = False
        self._thread = threading.Thread(target=self._watch, name="output", daemon=True)

    @property
    def device(self) -> Device:
        assert self._device is not None, "not started"
        return self._device

    @property
    def error(self) -> str | None:
        """Why the wanted device is not in use; None while it is."""
        return self._error

    @property
    def resting(self) -> bool:
        """Whether the device is closed because there is nothing to play."""
        return self._resting

    @property
    def xruns(self) -> int:
        """How often any device was not served in time."""
        return self._xruns + (self._device.xruns if self._device else 0)

    @property
    def _is_file(self) -> bool:
        return self._specification.startswith("wav:")

    def start(self) -> None:
        """Open the device, or the clock in its place, and watch it.

        Raises:
            DeviceError: a WAV file can't be written; it would not get better by trying again.
        """
        try:
            self._use(self._open())
        except DeviceError as error:
            if self._is_file:
                raise
            self._fail(str(error))
        self._thread.start()

    def wake(self) -> None:
        """There is something to play. Returns at once, from any thread."""
        self._used_at = time.monotonic()
        if self._resting:
            self._changed.set()

    def change(self, specification: str) -> None:
        """Use another device from now on; if it can't be opened it is waited for."""
        self._specification = specification
        self._reopen = True
        self._changed.set()

    def close(self) -> None:
        self._stopping = True
        self._changed.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)
        self._drop()

    def _watch(self) -> None:
        retry = _FIRST_RETRY_SECONDS
        while True:
            called = self._changed.wait(_WATCH_SECONDS if self._error is None else retry)
            if self._stopping:
                return
            if called:
                self._changed.clear()
                retry = _FIRST_RETRY_SECONDS
                if self._reopen or self._resting:  # it may be awake already
                    self._reopen = False
                    self._try()
            elif self._error is not None and self._is_file:
                continue  # begun again it would hold the end only
            elif self._error is not None:
                retry = min(2 * retry, _LONGEST_RETRY_SECONDS)
                self._try()
            elif self._may_rest():
                self._rest()
            elif not (self._resting or self.device.alive()):
                self.losses += 1
                retry = _FIRST_RETRY_SECONDS
                self._latency_step += not self.device.served
                stopped = f"device {self.device.name!r} stopped asking for sound"
                self._fail(self.device.failure or stopped)
            elif not self._resting and self._is_hard_pressed():
                self._latency_step += 1
                _logger.warning(
                    "device %r is often not served in time: it gets a longer buffer",
                    self.device.name,
                )
                self._try()

    def _may_rest(self) -> bool:
        if not self._is_idle():
            self._used_at = time.monotonic()
        silent = time.monotonic() - self._used_at
        return not (self._resting or self._is_file) and 0 < self._rest_after < silent

    def _is_hard_pressed(self) -> bool:
        """Too many xruns, a longer buffer to be had, and a silence in which to change to it."""
        now = time.monotonic()
        too_many = self.xruns - self._xruns_before > _MOST_XRUNS
        if too_many and not (self._is_idle() and self._can_hold_more()):
            return False
        if too_many or now - self._xruns_since > _XRUN_SECONDS:
            self._xruns_before, self._xruns_since = self.xruns, now
        return too_many

    def _can_hold_more(self) -> bool:
        latency, more = (
            suggested_latency(self._latency, self._latency_step + extra) for extra in (0, 1)
        )
        return more > latency and not self._specification.startswith(("wav:", "null"))

    def _rest(self) -> None:
        self._resting = True
        self._drop()
        if not self._is_idle():  # what came just before did not see that it had to wake it
            self._changed.set()

    def _try(self) -> None:
        if self.hangs:
            return
        was_lost = self._error is not None
        if not (was_lost or self._resting):
            self._let_the_clock_run("the device is being changed")
        try:
            if was_lost and not self._specification.startswith(("wav:", "null")):
                output_devices(rescan=True)
            self._use(self._open())
        except DeviceError as error:
            if self._resting:
                self._fail(str(error))
            self._error = str(error)
        else:
            if was_lost and self._error is None:
                _logger.info("device %r is back", self.device.name)

    def _open(self) -> Device:
        return open_device(
            self._specification, self._block_frames, self._latency, self._latency_step
        )

    def _use(self, device: Device) -> None:
        self._drop()
        self._resting = False
        self._used_at = time.monotonic()
        self._prepare(AudioFormat(device.rate, device.channels))
        try:
            device.start(self._render)
        except DeviceError as error:
            device.close()
            self._fail(str(error))
        else:
            self._xruns = self.xruns
            self._device = device
            self._error = None

    def _fail(self, reason: str) -> None:
        self._let_the_clock_run(reason)
        hope = "" if self._is_file else ", and it is tried again"
        _logger.warning("%s; the timeline runs on unheard%s", reason, hope)

    def _let_the_clock_run(self, reason: str) -> None:
        old = self._device
        self._use(ClockedDevice("none", *((old.rate, old.channels) if old else ())))
        self._error = reason

    def _drop(self) -> None:
        if self._device is not None and not self._device.hangs:
            self._device.close()
            self.hangs = self.hangs or self._device.hangs
