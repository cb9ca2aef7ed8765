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

"""The virtual sound card: it records exactly what is played, and can be killed and restarted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.compare import align, find_speech
from support.sound import STEADY, SoundServer, SoundServerError

Mono = npt.NDArray[np.float32]

# Plays a file of float32 samples, then silence; tells when it plays and when its stream has died,
# and then opens the next one as soon as that succeeds.
PLAYER = """
import os, sys, threading, time
import numpy, sounddevice
signal, block = numpy.fromfile(sys.argv[1], numpy.float32), int(sys.argv[2])
latency = "low" if sys.argv[3] == "low" else float(sys.argv[3])
while True:
    finished, position = threading.Event(), 0
    def callback(out, frames, times, status):
        global position
        if position == 0 and os.geteuid() == 0:  # what is played must not depend on the load
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))
        part = signal[position:position + frames]
        out[:len(part), 0], out[len(part):] = part, 0
        position += frames
    try:
        stream = sounddevice.OutputStream(device="default", samplerate=48000, channels=1,
            dtype="float32", blocksize=block, latency=latency, callback=callback,
            finished_callback=finished.set)
        stream.start()
    except sounddevice.PortAudioError:
        time.sleep(0.05)
        continue
    print("playing", flush=True)
    finished.wait()
    print("lost", flush=True)
    stream.close()
"""


def noise(frames: int, seed: int = 1) -> Mono:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.7, 0.7, frames).astype(np.float32)


@contextmanager
def playing(
    server: SoundServer,
    signal_: Mono,
    directory: Path,
    block: int = 256,
    latency: float | str = "low",
) -> Iterator[subprocess.Popen[str]]:
    """Play ``signal_`` in another process; yield when that has begun."""
    path = directory / "signal.f32"
    signal_.tofile(path)
    command = [sys.executable, "-c", PLAYER, str(path), str(block), str(latency)]
    env = {**os.environ, **server.env}
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as player:
        try:
            expect(player, "playing")
            yield player
        finally:
            player.kill()


def expect(player: subprocess.Popen[str], line: str) -> None:
    assert player.stdout is not None
    assert player.stdout.readline().strip() == line


def hear(server: SoundServer, sent: Mono, directory: Path) -> npt.NDArray[np.float32]:
    """Play ``sent`` and return what the sink played, float32 (frames, 2)."""
    steady = STEADY["block_frames"], STEADY["device_latency"]
    with server.record() as recording, playing(server, sent, directory, *steady):
        first = recording.wait_for_sound(1, timeout=10)
        recording.wait_for_frames(first + len(sent) + 9600, timeout=10)
    return recording.stop()


def test_float32_is_recorded_bit_for_bit(sound_server: SoundServer, tmp_path: Path) -> None:
    sent = noise(48_000)
    heard = hear(sound_server, sent, tmp_path)
    for _ in range(2):  # somebody else's load may have cost a cycle
        if align(heard[:, 0], sent).breaks:
            heard = hear(sound_server, sent, tmp_path)
    match = align(heard[:, 0], sent)
    assert match.first_difference is None
    start = match.offset
    np.testing.assert_array_equal(heard[start : start + len(sent), 0], sent)
    np.testing.assert_array_equal(heard[:, 1], heard[:, 0])  # mono comes from both sides
    assert find_speech(heard) == [(start, start + len(sent))]


def test_portaudio_in_this_process_finds_the_sound_server(sound_server: SoundServer) -> None:
    sounddevice = pytest.importorskip("sounddevice")
    assert sound_server.running
    assert sounddevice.query_devices("default")["max_output_channels"] >= 2


def test_recording_knows_when_a_frame_was_heard(quick_sound_server: SoundServer) -> None:
    with quick_sound_server.record() as recording:
        recording.wait_for_frames(4800, timeout=5)
        now, frames = time.monotonic(), recording.frames
        assert recording.time_of(frames) == pytest.approx(now, abs=0.03)
        assert recording.samples(frames).shape[1] == 2
        with pytest.raises(TimeoutError):
            recording.wait_for_sound(1, timeout=0.05)


def test_kill_and_restart(tmp_path: Path) -> None:
    with SoundServer() as server, playing(server, noise(9600), tmp_path) as player:
        recording = server.record()
        server.kill()
        expect(player, "lost")
        assert not server.running
        assert not server.processes
        with pytest.raises(SoundServerError):
            recording.wait_for_sound(1_000_000, timeout=5)
        with pytest.raises(SoundServerError):
            server.record()
        before = recording.stop()

        server.restart()
        with server.record() as after:
            expect(player, "playing")
        assert len(before)
        assert after.frames


def test_a_client_that_is_too_slow_shows_in_xruns(tmp_path: Path) -> None:
    # The recording is there first: nobody can join while a client does not answer.
    with (
        SoundServer() as server,
        server.record() as recording,
        playing(server, noise(96_000), tmp_path) as player,
    ):
        recording.wait_for_sound(1, timeout=10)
        before = server.xruns()
        player.send_signal(signal.SIGSTOP)
        recording.wait_for_frames(recording.frames + 120_000, timeout=10)
        player.send_signal(signal.SIGCONT)
        assert server.xruns() > before


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_other_rates(rate: int) -> None:
    with SoundServer(rate) as server, server.record() as recording:
        seconds = []
        for _ in range(3):  # the machine may stand still in one
            begin, frames = time.monotonic(), recording.frames
            recording.wait_for_frames(frames + rate // 2, timeout=5)
            seconds.append(time.monotonic() - begin)
        assert min(seconds) == pytest.approx(0.5, abs=0.15)


def test_nothing_is_left_after_stop() -> None:
    server = SoundServer().start()
    recording = server.record()
    directory, processes = server.directory, server.processes
    assert len(processes) == 3
    server.stop()
    server.stop()
    assert not directory.exists()
    assert not recording.running
    for pid in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
