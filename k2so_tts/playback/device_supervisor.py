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

"""Keeps an output running: the thread that does what `DeviceStates` decides."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from k2so_tts.audio import AudioFormat
from k2so_tts.playback.device_base import Device, DeviceError, Render
from k2so_tts.playback.device_states import Action, DeviceStates, Observation, State
from k2so_tts.playback.devices import ClockedDevice, open_device, output_devices

_logger = logging.getLogger(__name__)

_TICK_SECONDS = 0.25
_JOIN_SECONDS = 5.0
_UNHEARD = {State.LOST, State.GIVEN_UP, State.UNRESPONSIVE}


class DeviceSupervisor:
    """One device at a time, watched by a thread; `DeviceStates` says what becomes of it.

    `prepare` is called with the format of a device between the end of the last one and the start of
    it, `render` by the device, and `is_idle` to learn whether nothing is to be played.

    An exception while a device is opened is logged, and counts as a device that can't be opened;
    any other one in the thread is logged, and the next tick looks at the output again.
    """

    def __init__(
        self,
        specification: str,
        block_frames: int,
        latency: float,
        idle_close: float,
        render: Render,
        prepare: Callable[[AudioFormat], None],
        is_idle: Callable[[], bool],
    ) -> None:
        self._block_frames = block_frames
        self._latency = latency
        self._render = render
        self._prepare = prepare
        self._is_idle = is_idle
        self._used_at = time.monotonic()
        self._states = DeviceStates(specification, latency, idle_close, self._used_at)
        self._device: Device | None = None
        self._clock: ClockedDevice | None = None
        """What ran last in place of a device."""
        self._earlier_xruns = 0
        self._wanted: str | None = None
        self._changed = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="device supervisor", daemon=True)

    @property
    def device(self) -> Device:
        """The device in use: the wanted one, or the clock in its place."""
        assert self._device is not None, "not started"
        return self._device

    @property
    def error(self) -> str | None:
        """Why the wanted device is not in use; None while it is."""
        return self._states.error

    @property
    def idle_closed(self) -> bool:
        """Whether the device is closed because there is nothing to play."""
        return self._states.state is State.IDLE_CLOSED

    @property
    def unresponsive(self) -> bool:
        """Whether a device could not be closed: only a new process can play again."""
        return self._states.state is State.UNRESPONSIVE

    @property
    def losses(self) -> int:
        """How often a device stopped asking for sound."""
        return self._states.losses

    @property
    def xruns(self) -> int:
        """How often any device was not given sound in time."""
        return self._earlier_xruns + (self._device.xruns if self._device else 0)

    def start(self) -> None:
        """Open the device, or run the clock in its place, and watch it.

        Raises:
            DeviceError: a WAV file can't be written, which would not get better by trying again.
        """
        self._perform([Action.OPEN])
        if self.error is not None:
            if self._states.is_file:
                self._drop()
                raise DeviceError(self.error)
            self._warn()
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to play. Returns at once; can be called from any thread."""
        self._used_at = time.monotonic()
        if self.idle_closed:
            self._changed.set()

    def change(self, specification: str) -> None:
        """Use another device from now on; if it can't be opened it is tried again and again."""
        self._wanted = specification
        self._changed.set()

    def close(self) -> None:
        """Stop the thread and close the device."""
        self._stopping = True
        self._changed.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)
        self._drop()

    def _run(self) -> None:
        while True:
            called = self._changed.wait(_TICK_SECONDS)
            if self._stopping:
                return
            self._changed.clear()
            try:
                self._step(called)
            except Exception:
                _logger.exception("the device supervisor failed; it goes on")

    def _step(self, called: bool) -> None:
        before = self._states.state
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            self._perform(self._states.change(wanted))
        elif called:
            self._perform(self._states.wake())
        else:
            self._perform(self._states.tick(time.monotonic(), self._observe()))
        after = self._states.state
        if before is State.LOST and after is State.PLAYING:
            _logger.info("device %r is back", self.device.name)
        elif after in _UNHEARD and (before not in _UNHEARD or wanted is not None):
            self._warn()

    def _observe(self) -> Observation:
        device = self.device
        failure = None
        if not device.alive():
            failure = device.failure or f"device {device.name!r} stopped asking for sound"
        return Observation(failure, device.has_streamed, self.xruns, self._is_idle(), self._used_at)

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if action is Action.CLOSE:
                self._drop()
                self._perform(self._states.closed(idle=self._is_idle()))
            elif action is Action.RUN_CLOCK:
                self._run_clock()
            elif not self.unresponsive:
                self._open(rescan=action is Action.RESCAN_AND_OPEN)

    def _open(self, *, rescan: bool) -> None:
        try:
            if rescan:
                output_devices(rescan=True)
            self._use(
                open_device(
                    self._states.specification,
                    self._block_frames,
                    self._latency,
                    self._states.latency_step,
                )
            )
        except DeviceError as error:
            reason = str(error)
        except Exception as error:
            _logger.exception("device %r could not be opened", self._states.specification)
            reason = f"device {self._states.specification!r}: {type(error).__name__}: {error}"
        else:
            self._states.opened(time.monotonic(), self._earlier_xruns)
            return
        self._perform(self._states.open_failed(time.monotonic(), reason))

    def _run_clock(self) -> None:
        if self._clock is not None and self._clock is self._device and self._clock.alive():
            return
        old = self._device
        clock = ClockedDevice("none", *((old.rate, old.channels) if old else ()))
        self._use(clock)
        self._clock = clock

    def _use(self, device: Device) -> None:
        """Close what is open, and start `device` in its place."""
        self._drop()
        try:
            self._prepare(AudioFormat(device.rate, device.channels))
            device.start(self._render)
        except BaseException:
            device.close()
            raise
        self._earlier_xruns = self.xruns
        self._device = device

    def _drop(self) -> None:
        """Close what is open."""
        if self._device is None:
            return
        self._device.close()
        if self._device.unresponsive:
            self._states.became_unresponsive()

    def _warn(self) -> None:
        retried = ", and it is tried again" if self._states.state is State.LOST else ""
        _logger.warning("%s; the timeline runs on unheard%s", self.error, retried)
