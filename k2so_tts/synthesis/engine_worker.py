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

"""The one thread in which an engine speaks, and the jobs that wait for it."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Protocol

from k2so_tts.engines import EngineError, EngineUnavailable

_logger = logging.getLogger(__name__)


class Job(Protocol):
    """An utterance, or a part of one, that an engine is to speak."""

    def step(self) -> float | None:
        """Do the next piece of the work, in the worker's thread.

        Returns in how many seconds the next step is due: 0 for at once, infinity for when
        `EngineWorker.wake` is called, None when the job is finished. May raise anything: the job
        has then failed.
        """
        ...

    def fail(self, error: EngineError) -> None:
        """The engine failed, or is not to be used any more. No further step is taken."""
        ...


class EngineWorker:
    """Takes the steps of jobs, one at a time: always of the earliest job that has one due.

    A job that was added earlier is therefore never delayed by later ones for more than a step. The
    thread begins with the first job and ends with `close`. With `on_hold` there is no thread: jobs
    wait until they are discarded or fail.
    """

    def __init__(self, name: str, *, on_hold: bool = False) -> None:
        self._name = name
        self._on_hold = on_hold
        self._changed = threading.Condition()
        self._due: dict[Job, float] = {}
        self._running: Job | None = None
        self._closed: EngineError | None = None
        self._thread: threading.Thread | None = None

    def add(self, job: Job) -> None:
        """Have a job done after those that were added before. It fails at once after `close`."""
        with self._changed:
            error = self._closed
            if error is None:
                self._due[job] = -math.inf
                self._start_thread()
                self._changed.notify_all()
        if error is not None:
            job.fail(error)

    def wake(self, job: Job) -> None:
        """The next step of a job is due now."""
        with self._changed:
            if job in self._due:
                self._due[job] = -math.inf
                self._changed.notify_all()

    def discard(self, job: Job) -> bool:
        """Forget a job that waits. False if there is none: it runs, or is not here any more."""
        with self._changed:
            return job is not self._running and self._due.pop(job, None) is not None

    def wait_for(self, job: Job, timeout: float) -> bool:
        """Wait until a job has left this worker. False if it has not after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: job not in self._due and job is not self._running, timeout
            )

    def close(self, error: EngineError) -> None:
        """Take no more steps: jobs that wait, and later ones, fail with `error`. Does not wait."""
        with self._changed:
            self._closed = error
            waiting = [job for job in self._due if job is not self._running]
            self._changed.notify_all()
        for job in waiting:
            self._fail(job, error)
        with self._changed:
            for job in waiting:
                self._due.pop(job, None)
            self._changed.notify_all()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end after `close`. False if it has not after `timeout` seconds."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def _start_thread(self) -> None:
        if self._thread is None and not self._on_hold:
            name = f"engine {self._name}".rstrip()
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Take the next step that is due, once there is one. False after `close`."""
        job = self._next_job()
        if job is None:
            return False
        seconds, failure = _take_step(job)
        with self._changed:
            if failure is None and seconds is not None:
                if self._closed is None:
                    self._due[job] = min(self._due[job], time.monotonic() + seconds)
                    self._running = None
                    return True
                failure = self._closed
        if failure is not None:
            self._fail(job, failure)
        with self._changed:
            self._running = None
            self._due.pop(job, None)
            self._changed.notify_all()
        return True

    def _next_job(self) -> Job | None:
        with self._changed:
            while self._closed is None:
                now = time.monotonic()
                for job, due in self._due.items():
                    if due <= now:
                        self._running = job
                        self._due[job] = math.inf
                        return job
                next_due = min(self._due.values(), default=math.inf)
                self._changed.wait(None if math.isinf(next_due) else next_due - now)
            return None

    def _fail(self, job: Job, error: EngineError) -> None:
        try:
            job.fail(error)
        except Exception:
            _logger.exception("a failed utterance could not be ended")


def _take_step(job: Job) -> tuple[float | None, EngineError | None]:
    """What a step returned, and why it failed if it did."""
    try:
        return job.step(), None
    except EngineError as error:
        return None, error
    except ImportError as error:  # its message says what is missing
        return None, EngineUnavailable(str(error))
    except Exception as error:
        _logger.debug("engine failed", exc_info=True)
        return None, EngineError(f"{type(error).__name__}: {error}")
