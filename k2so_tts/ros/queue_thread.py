"""The thread in which goals are spoken: it owns a `SpeechQueue` and wakes when something is due."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable

from k2so_tts.ros.speech_queue import QueueSettings, SpeechQueue, SpeechQueueDelegate

_logger = logging.getLogger(__name__)

_JOIN_SECONDS = 2.0


class QueueThread:
    """Runs what is posted to it, and the queue's steps, one after the other."""

    def __init__(self, port: SpeechQueueDelegate, settings: QueueSettings) -> None:
        self._queue = SpeechQueue(port, settings, time.monotonic)
        self._changed = threading.Condition()
        self._posted: deque[Callable[[SpeechQueue], None]] = deque()
        self._awake = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="speaker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def post(self, do: Callable[[SpeechQueue], None]) -> None:
        """Have `do` called with the queue, in the speaker's thread."""
        with self._changed:
            self._posted.append(do)
            self._changed.notify()

    def wake(self) -> None:
        """There is something new to take from an engine."""
        with self._changed:
            self._awake = True
            self._changed.notify()

    def close(self, reason: str) -> None:
        """End everything that is spoken or waits, and join the thread."""
        with self._changed:
            self._posted.append(lambda queue: queue.stop(reason))
            self._stopping = True
            self._changed.notify()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        due = math.inf
        while self._posted or not self._stopping:
            with self._changed:
                wait = None if math.isinf(due) else max(0.0, due - time.monotonic())
                self._changed.wait_for(self._is_called, wait)
                self._awake = False
            try:
                while self._posted:
                    self._posted.popleft()(self._queue)
                due = self._queue.step()
            except Exception as error:
                _logger.exception("speaking failed")
                while len(self._queue):
                    self._stop(f"internal error: {error}")
                due = math.inf

    def _stop(self, reason: str) -> None:
        """End everything, or one speech at least if the world fails when it is told."""
        try:
            self._queue.stop(reason)
        except Exception:
            _logger.exception("ending a speech failed")

    def _is_called(self) -> bool:
        return self._awake or bool(self._posted) or self._stopping
