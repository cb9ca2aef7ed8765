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

"""Devices without a sound card, and what the supervisor does when a device goes away."""

from __future__ import annotations

import itertools
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from support.processes import eventually

from k2so_tts.audio import AudioFormat, Samples
from k2so_tts.playback import DeviceError, PlayerSettings, device_states, play
from k2so_tts.playback import device_supervisor as supervisor_module
from k2so_tts.playback.device_supervisor import DeviceSupervisor
from k2so_tts.playback.devices import (
    SPECIFICATIONS,
    ClockedDevice,
    OutputDevice,
    Render,
    WavDevice,
    _find,
    open_device,
    suggested_latency,
)

TIMEOUT = 20.0

CARDS = [
    OutputDevice(0, "HDA Intel PCH", 2, 44_100, is_default=False),
    OutputDevice(3, "USB Speaker", 1, 48_000, is_default=True),
    OutputDevice(7, "USB", 8, 192_000, is_default=False),
]


# Choosing a device.


@pytest.mark.parametrize(
    ("specification", "index"),
    [("auto", 3), ("0", 0), ("7", 7), ("usb sp", 3), ("USB", 7), ("usb", 3), ("intel", 0)],
)
def test_a_device_is_found_by_index_or_name(specification: str, index: int) -> None:
    assert _find(specification, CARDS).index == index


def test_the_error_for_an_unknown_device_lists_those_found() -> None:
    with pytest.raises(DeviceError) as error:
        _find("trumpet", CARDS)
    text = str(error.value)
    assert "'trumpet'" in text
    assert SPECIFICATIONS in text
    assert all(f"{card.index} {card.name!r}" in text for card in CARDS)


def test_a_machine_without_sound_says_so() -> None:
    with pytest.raises(DeviceError, match=r"'auto'.*no sound device"):
        _find("auto", [])


# The clocked devices.


def test_the_clock_keeps_real_time() -> None:
    blocks: list[tuple[float, float, int]] = []
    enough = threading.Event()

    def render(out: Samples, heard_at: float) -> None:
        blocks.append((time.monotonic(), heard_at, len(out)))
        if len(blocks) == 20:
            enough.set()

    device = open_device("null")
    assert isinstance(device, ClockedDevice)
    assert device.discards
    assert not device.alive()
    device.start(render)
    assert enough.wait(TIMEOUT)
    assert device.alive()
    device.close()
    assert not device.alive()
    for (_, heard_at, frames), (called_at, next_heard_at, _) in itertools.pairwise(blocks):
        assert called_at >= heard_at, "never ahead of its time"
        if not device.xruns:
            assert next_heard_at == pytest.approx(heard_at + frames / device.rate, abs=1e-6)


def test_a_file_holds_what_was_rendered_from_the_first_sound_on(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    blocks: list[Samples] = []
    enough = threading.Event()
    random = np.random.default_rng(1)

    def render(out: Samples, heard_at: float) -> None:  # noqa: ARG001
        out.fill(0.0)
        if len(blocks) not in (0, 3):
            out[:] = random.uniform(-1.2, 1.2, out.shape)
        blocks.append(out.copy())
        if len(blocks) == 6:
            enough.set()

    device = open_device(f"wav:{path}")
    assert isinstance(device, WavDevice)
    assert not device.discards
    device.start(render)
    assert enough.wait(TIMEOUT)
    device.close()
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    expected = np.clip(np.rint(np.concatenate(blocks[1:])[:, 0] * 32768), -32768, 32767)
    np.testing.assert_array_equal(pcm, expected)


def test_a_file_on_a_full_disk_reports_it() -> None:
    device = open_device("wav:/dev/full")
    device.start(lambda out, _: out.fill(0.5))
    deadline = time.monotonic() + TIMEOUT
    while device.alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    device.close()
    assert device.failure == "device 'wav:/dev/full': No space left on device"


def test_playing_into_a_file_on_a_full_disk_is_an_error() -> None:
    with pytest.raises(DeviceError, match=r"^device 'wav:/dev/full': No space left on device$"):
        play([np.full(48_000, 9000, np.int16)], 48_000, PlayerSettings(device="wav:/dev/full"))


@pytest.mark.parametrize("name", ["", ".", "no/such/folder/out.wav"])
def test_a_file_that_can_not_be_written_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeviceError, match=f"^device 'wav:{name}': "):
        open_device(f"wav:{name}")
    with pytest.raises(DeviceError, match=f"^device 'wav:{name}': "):
        play([], 48_000, PlayerSettings(device=f"wav:{name}"))
    assert not {"playhead", "device supervisor"} & {thread.name for thread in threading.enumerate()}


# Devices that go away.


class Card:
    """A sound card that can be unplugged, and makes no sound."""

    def __init__(self) -> None:
        self.name = "card"
        self.rate = 44_100
        self.channels = 2
        self.xruns = 0
        self.realtime = False
        self.unresponsive = False
        self.failure: str | None = None
        self.discards = False
        self.has_streamed = True
        self.present = True
        self.closed = threading.Event()
        self.asking = threading.Event()

    def start(self, render: Render) -> None:
        if not self.present:
            raise DeviceError("the card was unplugged again")
        render(np.zeros((64, self.channels), np.float32), time.monotonic())
        self.asking.set()

    def alive(self) -> bool:
        return self.present

    def close(self) -> None:
        self.closed.set()


class Desk:
    """A supervisor, and the cards (or errors) that it finds one after the other."""

    def __init__(
        self,
        *cards: Card | Exception | None,
        idle_close: float = 0.0,
        specification: str = "null",
    ) -> None:
        self.cards = list(cards)
        self.latency_steps: list[int] = []
        self.clock_fails = False
        self.formats: list[AudioFormat] = []
        self.clock_runs = threading.Event()
        self.idle = True
        self.output = DeviceSupervisor(
            specification,
            256,
            0.05,
            idle_close,
            self.render,
            self.formats.append,
            lambda: self.idle,
        )

    def open(
        self, specification: str, block_frames: int, latency: float, latency_step: int
    ) -> Card:
        assert (block_frames, latency) == (256, 0.05)
        self.latency_steps.append(latency_step)
        card = self.cards.pop(0)
        if card is None:
            raise DeviceError(f"device {specification!r} was not found")
        if isinstance(card, Exception):
            raise card
        return card

    def render(self, out: Samples, heard_at: float) -> None:  # noqa: ARG002
        if threading.current_thread().name == "clocked device":
            if self.clock_fails:
                self.clock_fails = False
                raise LookupError("the clock stopped")
            self.clock_runs.set()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A supervisor that looks, and tries again, at once."""
    monkeypatch.setattr(supervisor_module, "_TICK_SECONDS", 0.005)
    monkeypatch.setattr(device_states, "FIRST_RETRY_SECONDS", 0.005)
    return monkeypatch


def test_the_clock_takes_over_until_a_lost_device_is_back(
    fast: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first, broken, second = Card(), Card(), Card()
    broken.present = False
    first.xruns, second.xruns = 2, 3
    desk = Desk(first, None, broken, None, second)
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.output.start()
    try:
        assert desk.output.device is first
        assert desk.output.error is None
        assert not desk.clock_runs.is_set()
        first.present = False
        assert second.asking.wait(TIMEOUT)
        assert desk.clock_runs.is_set()
    finally:
        desk.output.close()
    assert all(card.closed.is_set() for card in (first, broken, second))
    assert desk.output.device is second
    assert desk.output.error is None
    assert desk.output.losses == 1
    assert desk.output.xruns == 5
    assert [record.getMessage() for record in caplog.records] == [
        (
            "device 'card' stopped asking for sound; "
            "the timeline runs on unheard, and it is tried again"
        ),
        "device 'card' is back",
    ]
    assert {desk.formats[0], desk.formats[1], desk.formats[-1]} == {AudioFormat(44_100, 2)}


def test_after_a_device_that_can_not_be_closed_the_clock_runs_on(fast: pytest.MonkeyPatch) -> None:
    stuck = Card()
    desk = Desk(stuck, Card())
    fast.setattr(supervisor_module, "open_device", desk.open)
    fast.setattr(stuck, "close", lambda: setattr(stuck, "unresponsive", True))
    desk.output.start()
    try:
        stuck.present = False
        assert desk.clock_runs.wait(TIMEOUT)
        desk.output.change("null")
    finally:
        desk.output.close()
    assert desk.output.unresponsive
    assert desk.output.device.discards
    assert len(desk.cards) == 1


@pytest.mark.parametrize("already_lost", [False, True])
def test_an_unexpected_exception_does_not_end_the_recovery(
    fast: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, already_lost: bool
) -> None:
    error = LookupError("no DeviceError at all")
    first, last = Card(), Card()
    desk = Desk(None if already_lost else first, error, last)
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.output.start()
    try:
        first.present = False
        assert last.asking.wait(TIMEOUT)
        assert desk.clock_runs.is_set()
    finally:
        desk.output.close()
    assert "no DeviceError at all" in caplog.text
    assert "Traceback" in caplog.text
    assert desk.output.error is None


def test_an_exception_of_its_own_does_not_end_the_supervision(
    fast: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Card(), Card()
    desk = Desk(first, second)
    fast.setattr(supervisor_module, "open_device", desk.open)
    failed = threading.Event()

    def fail() -> bool:
        failed.set()
        raise LookupError("it failed")

    with fast.context() as patch:
        patch.setattr(first, "alive", fail)
        desk.output.start()
        assert failed.wait(TIMEOUT)
    try:
        first.present = False
        assert second.asking.wait(TIMEOUT)
    finally:
        desk.output.close()
    assert "it failed" in caplog.text


def test_a_clock_that_dies_is_replaced(
    fast: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fast.setattr(device_states, "FIRST_RETRY_SECONDS", 2 * TIMEOUT)
    desk = Desk(None)
    desk.clock_fails = True
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.output.start()
    try:
        assert desk.clock_runs.wait(TIMEOUT)
    finally:
        desk.output.close()
    assert "the clock stopped" in caplog.text
    assert desk.output.error == "device 'null' was not found"


def test_a_device_that_can_not_be_closed_in_a_silence_is_replaced_by_the_clock(
    fast: pytest.MonkeyPatch,
) -> None:
    stuck = Card()
    desk = Desk(stuck, idle_close=0.01)
    fast.setattr(supervisor_module, "open_device", desk.open)
    fast.setattr(stuck, "close", lambda: setattr(stuck, "unresponsive", True))
    desk.output.start()
    try:
        assert desk.clock_runs.wait(TIMEOUT)
    finally:
        desk.output.close()
    assert desk.output.unresponsive
    assert desk.output.error == "the sound library does not respond"


def test_while_a_device_is_missing_the_reason_is_reported(fast: pytest.MonkeyPatch) -> None:
    fast.setattr(device_states, "FIRST_RETRY_SECONDS", 2 * TIMEOUT)
    desk = Desk(None)
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.output.start()
    try:
        assert desk.clock_runs.wait(TIMEOUT)
        assert desk.output.error == "device 'null' was not found"
        assert desk.output.device.name == "none"
        desk.cards.append(card := Card())
        desk.output.change("null")
        assert card.asking.wait(TIMEOUT)
    finally:
        desk.output.close()
    assert desk.output.error is None


def test_a_device_that_never_streamed_steadily_gets_a_longer_buffer(
    fast: pytest.MonkeyPatch,
) -> None:
    poor, good, last = Card(), Card(), Card()
    poor.has_streamed = False
    desk = Desk(poor, good, last)
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.output.start()
    try:
        poor.present = False
        assert good.asking.wait(TIMEOUT)
        good.present = False
        assert last.asking.wait(TIMEOUT)
    finally:
        desk.output.close()
    assert desk.latency_steps == [0, 1, 1]


def test_a_device_with_many_xruns_gets_a_longer_buffer_in_the_next_silence(
    fast: pytest.MonkeyPatch,
) -> None:
    hasty, calm = Card(), Card()
    desk = Desk(hasty, calm, specification="card")
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.idle = False
    looked = threading.Event()

    def alive() -> bool:
        looked.set()
        return True

    fast.setattr(hasty, "alive", alive)
    desk.output.start()
    try:
        hasty.xruns = device_states.MAX_XRUNS + 1
        for _ in range(3):
            looked.clear()
            assert looked.wait(TIMEOUT)
        assert desk.latency_steps == [0], "not while it speaks"
        desk.idle = True
        assert eventually(lambda: desk.output.idle_closed)
        assert desk.latency_steps == [0], "nor before there is something to play"
        desk.output.wake()
        assert calm.asking.wait(TIMEOUT)
    finally:
        desk.output.close()
    assert desk.latency_steps == [0, 1]
    assert desk.output.xruns == hasty.xruns


def test_each_latency_step_lets_a_device_hold_more_sound() -> None:
    assert [suggested_latency(0.0, n) for n in range(6)] == [0.002, 0.02, 0.05, 0.1, 0.2, 0.2]
    assert [suggested_latency(0.08, n) for n in range(4)] == [0.08, 0.1, 0.2, 0.2]
    assert suggested_latency(0.3, 5) == 0.3


def test_an_idle_device_is_closed_until_there_is_something_to_play(
    fast: pytest.MonkeyPatch,
) -> None:
    first, second = Card(), Card()
    desk = Desk(first, second, idle_close=0.01)
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.output.start()
    try:
        assert first.closed.wait(TIMEOUT)
        assert not second.asking.is_set()
        desk.idle = False
        desk.output.wake()
        assert second.asking.wait(TIMEOUT)
        assert not second.closed.is_set()
        desk.idle = True
        assert second.closed.wait(TIMEOUT)
    finally:
        desk.output.close()
    assert desk.output.losses == 0
    assert desk.output.error is None


def test_only_a_closed_device_has_to_be_woken(fast: pytest.MonkeyPatch) -> None:
    card = Card()
    desk = Desk(card, idle_close=0.01)
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.output.wake()
    assert not desk.output._changed.is_set()
    desk.output.start()
    assert card.closed.wait(TIMEOUT)
    desk.output.close()
    desk.output._changed.clear()
    desk.output.wake()
    assert desk.output._changed.is_set()


def test_a_chunk_that_arrives_while_the_device_closes_opens_it_again(
    fast: pytest.MonkeyPatch,
) -> None:
    first, second = Card(), Card()
    desk = Desk(first, second, idle_close=0.01)

    def close() -> None:
        desk.idle = False

    fast.setattr(first, "close", close)
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.output.start()
    try:
        assert second.asking.wait(TIMEOUT)
    finally:
        desk.output.close()


def test_another_device_can_be_chosen_at_any_time(fast: pytest.MonkeyPatch) -> None:
    first, second = Card(), Card()
    second.channels = 1
    desk = Desk(first, second)
    fast.setattr(supervisor_module, "open_device", desk.open)
    desk.output.start()
    desk.output.change("null")
    try:
        assert second.asking.wait(TIMEOUT)
    finally:
        desk.output.close()
    assert first.closed.is_set()
    assert desk.output.losses == 0
    assert desk.formats[-1] == AudioFormat(44_100, 1)
