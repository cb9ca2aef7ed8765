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

"""The thread that owns a `SpeechQueue`, and wakes when something is due."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable

from k2so_tts.ros.endings import Reason
from k2so_tts.ros.speech_queue import QueueSettings, SpeechQueue
from k2so_tts.ros.speech_queue_delegate import SpeechQueueDelegate

_logger = logging.getLogger(__name__)

_JOIN_SECONDS = 2.0


class QueueThread:
    """Runs the functions that are posted to it, and the steps of the queue, one after the other.

    A thread never dies unnoticed: an `Exception` is logged, every goal ends as ABORTED, and the
    thread goes on with the next one. Whatever else ends the thread is logged and stays in
    `failure`, upon which the node must be replaced.
    """

    def __init__(self, delegate: SpeechQueueDelegate, settings: QueueSettings) -> None:
        self.failure: str | None = None
        """Why the thread has ended before it was closed; None if it has not."""
        self._queue = SpeechQueue(delegate, settings, time.monotonic)
        self._changed = threading.Condition()
        self._posted: deque[Callable[[SpeechQueue], None]] = deque()
        self._due = math.inf
        self._woken = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="speech queue", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def post(self, function: Callable[[SpeechQueue], None]) -> None:
        """Have `function` called with the queue, in its thread. Returns at once."""
        with self._changed:
            self._posted.append(function)
            self._changed.notify()

    def wake(self) -> None:
        """Have the queue step: an engine has something new. Returns at once."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def close(self, reason: str) -> None:
        """End every goal as ABORTED and join the thread."""
        with self._changed:
            self._posted.append(lambda queue: queue.stop(Reason.SHUTDOWN, reason))
            self._stopping = True
            self._changed.notify()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            while self._posted or not self._stopping:
                self._wait()
                self._serve()
        except BaseException as error:
            self.failure = f"the speech queue has failed: {type(error).__name__}: {error}"
            _logger.critical(self.failure, exc_info=True)
            self._end_all(self.failure)

    def _wait(self) -> None:
        """Wait until something was posted, the queue is woken, or a step is due."""
        with self._changed:
            timeout = None if math.isinf(self._due) else max(0.0, self._due - time.monotonic())
            self._changed.wait_for(
                lambda: self._woken or bool(self._posted) or self._stopping, timeout
            )
            self._woken = False

    def _serve(self) -> None:
        try:
            while self._posted:
                self._posted.popleft()(self._queue)
            self._due = self._queue.step()
        except Exception as error:
            _logger.exception("speaking failed")
            self._end_all(f"internal error: {error}")
            self._due = math.inf

    def _end_all(self, reason: str) -> None:
        """End every goal, even if the delegate fails for each of them."""
        while len(self._queue):
            self._end_some(reason)

    def _end_some(self, reason: str) -> None:
        """End every goal, or, if the delegate fails, one at least."""
        try:
            self._queue.stop(Reason.INTERNAL_ERROR, reason)
        except BaseException:
            _logger.exception("ending a goal failed")
