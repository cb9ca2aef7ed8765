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

"""A clock that is set by an hour, back or forward, in mid-sentence."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from rosgraph_msgs.msg import Clock
from support.hearing import as_heard, check_heard, whole
from support.recording import retake
from support.ros import SUCCEEDED, Goal, Observer, running
from support.sound import STEADY, SoundServer

from k2so_tts.audio import NANOSECONDS, frames_to_ns
from k2so_tts.ros.messages import to_nanoseconds, to_time

TEXT = "I was talking when somebody set the clock, and nobody noticed."
HOUR = 3600
NEAR_NS = 10 * NANOSECONDS
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *seconds;

__attribute__((constructor)) static void map(void) {
    int file = open(getenv("CLOCK_FILE"), O_RDONLY);
    seconds = mmap(0, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);
    close(file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *now) {
    static __typeof__(&clock_gettime) real;
    if (!real) real = REAL(clock_gettime);
    int failed = real(clock, now);
    if (!failed && seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *seconds;
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}

/* A deadline by this clock is one hour away for the kernel's: not so one by the monotonic clock. */
static const struct timespec *unset(const struct timespec *deadline, struct timespec *copy) {
    *copy = *deadline;
    if (seconds && copy->tv_sec > 1000000000) copy->tv_sec -= *seconds;
    return copy;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *deadline) {
    struct timespec copy;
    return REAL(pthread_cond_timedwait)(condition, mutex, unset(deadline, &copy));
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *deadline) {
    struct timespec copy;
    return REAL(pthread_mutex_timedlock)(mutex, unset(deadline, &copy));
}

int sem_timedwait(sem_t *semaphore, const struct timespec *deadline) {
    struct timespec copy;
    return REAL(sem_timedwait)(semaphore, unset(deadline, &copy));
}
"""
"""Makes the wall clock of a process that is started with it differ by the seconds in a file."""


class WallClock:
    """The wall clock of processes that are started with `env`: it can be set."""

    def __init__(self, folder: Path) -> None:
        source, library, offset = (folder / name for name in ("shim.c", "shim.so", "offset"))
        source.write_text(SHIM)
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True, timeout=60)
        offset.write_bytes(bytes(8))
        with offset.open("r+b") as file:
            self._offset = mmap.mmap(file.fileno(), 8)
        self._seconds = 0
        self.env = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(offset)}

    def step(self, seconds: int) -> None:
        self._seconds += seconds
        self._offset[:] = struct.pack("q", self._seconds)

    def now_ns(self) -> int:
        return time.time_ns() + self._seconds * NANOSECONDS


class SimulatedClock:
    """Publishes `/clock`, a hundred times a second, from an hour and a minute on."""

    def __init__(self, observer: Observer) -> None:
        self._seconds = HOUR + 60
        self._began = time.monotonic()
        self._publisher = observer.node.create_publisher(Clock, "/clock", 1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(5.0)

    def step(self, seconds: int) -> None:
        self._seconds += seconds

    def now_ns(self) -> int:
        return int((time.monotonic() - self._began + self._seconds) * NANOSECONDS)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            self._publisher.publish(Clock(clock=to_time(self.now_ns())))


def check_stamps(observer: Observer, now_ns: Callable[[], int] | None) -> None:
    """They count frames; and the first one is near a clock, if one is given."""
    messages = [message for _, message in observer.audio]
    for message, following in pairwise(messages):
        info = message.audio.info
        step = to_nanoseconds(following.header.stamp) - to_nanoseconds(message.header.stamp)
        assert abs(step - frames_to_ns(info.chunk, info.rate)) <= 1
    if now_ns is not None:
        assert abs(to_nanoseconds(messages[0].header.stamp) - now_ns()) < NEAR_NS


def is_heard(goal: Goal) -> bool:
    return len(goal.feedback) > 7


def check_steps(
    observer: Observer, sound_server: SoundServer, clock: WallClock | SimulatedClock
) -> None:
    """In mid-sentence the clock is set; that sentence and the next one are heard whole."""
    utterance_ended = sound_server.rate // 2
    cuts = [0]
    with sound_server.record() as recording:
        recording.lost_frames()
        for step in (-HOUR, 0, HOUR, 0):
            observer.audio.clear()
            goal = observer.send(TEXT)
            observer.wait(partial(is_heard, goal))
            clock.step(step)
            observer.wait_for_end(goal)
            assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
            observer.wait(lambda: not observer.speaking[-1][1])
            cuts.append(recording.wait_for_frames(recording.frames + utterance_ended, 10))
            check_stamps(observer, None if step else clock.now_ns)
        samples = recording.whole()[:, 0]
    expected = as_heard(whole(TEXT), sound_server.rate)
    for start, end in pairwise(cuts):
        check_heard(samples[start:end], expected)
    for node in ("/audio_player", "/speak_server"):
        assert int(observer.status(node)["level"]) < 2, observer.status(node)["message"]
    assert observer.status("/audio_player")["underruns"] == "0"


@retake
@pytest.mark.timeout(180)
def test_the_wall_clock_is_set(
    observer: Observer, sound_server: SoundServer, sound_env: dict[str, str], tmp_path: Path
) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler to make a clock that can be set")
    clock = WallClock(tmp_path)
    with (
        running("audio_player", {**sound_env, **clock.env}, **STEADY),
        running("speak_server", clock.env, warn_latency_ms=1000.0),
    ):
        observer.wait_for_nodes()
        check_steps(observer, sound_server, clock)


@retake
@pytest.mark.timeout(180)
def test_a_simulated_clock_is_set(
    observer: Observer, sound_server: SoundServer, sound_env: dict[str, str]
) -> None:
    clock = SimulatedClock(observer)
    with (
        clock.running(),
        running("audio_player", sound_env, use_sim_time=True, **STEADY),
        running("speak_server", use_sim_time=True, warn_latency_ms=1000.0),
    ):
        observer.wait_for_nodes()
        check_steps(observer, sound_server, clock)
