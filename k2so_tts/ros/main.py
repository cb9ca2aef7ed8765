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

"""The programs `speak_server` and `audio_player`: start a node, spin it, and end it in order.

One rule holds for the threads of a node. The work of a thread is done in units (a callback, a
posted call, a report); an exception in one is logged and the thread goes on with the next. A thread
that ends with an exception all the same leaves a node that only seems alive: that is logged as
fatal, the goals are aborted, and the node restarts (see `_run`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from k2so_tts.processes import share_one_heap

if TYPE_CHECKING:
    from k2so_tts.ros.audio_player import AudioPlayer
    from k2so_tts.ros.speak_server import SpeakServer

    _Node = SpeakServer | AudioPlayer

_JOIN_SECONDS = 1.0
_POLL_SECONDS = 0.5
"""How often the main thread looks whether the node is broken."""
_SWITCH_SECONDS = 0.0005
"""How long a thread may keep the GIL from others; with Python's 5 ms chunks arrive late."""
_CRASH_LOOP_SECONDS = 2.0
"""A node that breaks so soon after its start would break again."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def speak_server() -> None:
    """Run `SpeakServer` and exit: 0 after SIGINT or SIGTERM, 1 if it can't run."""
    sys.exit(_run("speak_server", _speak_server_class))


def audio_player() -> None:
    """Run `AudioPlayer` and exit: 0 after SIGINT or SIGTERM, 1 if it can't run."""
    sys.exit(_run("audio_player", _audio_player_class))


def _speak_server_class() -> type[SpeakServer]:
    from k2so_tts.ros.speak_server import SpeakServer

    return SpeakServer


def _audio_player_class() -> type[AudioPlayer]:
    from k2so_tts.ros.audio_player import AudioPlayer

    return AudioPlayer


@dataclass
class _EndRequests:
    """Why the process is to end: signals that came, and a thread that died."""

    dead_thread: str | None = None
    _signals: SimpleQueue[int] = field(default_factory=SimpleQueue)
    _signalled: bool = False

    @property
    def signalled(self) -> bool:
        """A signal has come."""
        return self._signalled or not self._signals.empty()

    def install(self) -> None:
        """Note signals and dead threads from now on.

        `SimpleQueue.put` is safe in a signal handler (docs.python.org, `queue`, "reentrant");
        `threading.Event.set` is not: a second signal that interrupts it waits for its lock, which
        the first one holds. As it is no Python function, no further signal interrupts it either.
        """
        handler: Callable[..., None] = self._signals.put
        for number in _SIGNALS:
            signal.signal(number, handler)
        threading.excepthook = self._on_dead_thread

    def wait(self, node: _Node) -> str | None:
        """Wait until the node has to end. What is broken; None if a signal has come."""
        while self.dead_thread is None and node.broken is None:
            with suppress(Empty):
                self._signals.get(timeout=_POLL_SECONDS)
                self._signalled = True
                return None
        return self.dead_thread or node.broken

    def _on_dead_thread(self, args: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(args)
        name = args.thread.name if args.thread is not None else "unknown"
        self.dead_thread = f"thread {name!r} died: {args.exc_type.__name__}: {args.exc_value}"


class _StartError(Exception):
    """The node can't start; the message is one line and says why."""


def _run(name: str, load_class: Callable[[], type[_Node]]) -> int:
    """Run a node until a signal comes. The exit code.

    A node that breaks (a thread died, or see `AudioPlayer.broken`) restarts in the same process, so
    that nothing needs to supervise it; in its first seconds it ends with exit code 1 instead.
    """
    requests = _EndRequests()
    requests.install()
    share_one_heap()  # before rclpy is imported, which starts threads
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        node = _start(load_class)
    except _StartError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 1
    started = time.monotonic()
    broken = _serve(node, requests)
    if broken is not None and not requests.signalled:
        if time.monotonic() - started < _CRASH_LOOP_SECONDS:
            return 1
        sys.stderr.write(f"{name}: {broken}; restarting\n")
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - itself, as it was started
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # Python resets others as it exits: they would kill
    return 0


def _start(load_class: Callable[[], type[_Node]]) -> _Node:
    """Initialise rclpy and create the node.

    Raises:
        _StartError: something is missing or misconfigured; rclpy is shut down again.
    """
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from k2so_tts.engines import EngineError
        from k2so_tts.playback.devices import DeviceError
        from k2so_tts.ros.errors import STARTUP_ERRORS, describe_startup_error
        from k2so_tts.settings import SettingError

        node_class = load_class()
    except ModuleNotFoundError as error:
        raise _StartError(f"{error}; 'k2so-tts doctor' says how to get it") from error
    except ImportError as error:
        raise _StartError(str(error)) from error
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        return node_class()
    except (SettingError, EngineError, DeviceError, ImportError) as error:
        rclpy.try_shutdown()
        raise _StartError(str(error)) from error
    except STARTUP_ERRORS as error:
        rclpy.try_shutdown()
        raise _StartError(describe_startup_error(error)) from error


def _serve(node: _Node, requests: _EndRequests) -> str | None:
    """Spin a node in a thread of its own until it has to end, and close all. What is broken."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from k2so_tts.ros.executors import keep_spinning

    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(
        target=keep_spinning, args=[executor, node], name="executor", daemon=True
    )
    thread.start()
    broken = requests.wait(node)
    if broken is not None:
        node.get_logger().fatal(broken)
    node.close()
    executor.shutdown(_JOIN_SECONDS)
    thread.join(_JOIN_SECONDS)
    node.destroy_node()
    # Uninstalling handlers that were never installed, rclpy would restore the default for a moment.
    rclpy.shutdown(uninstall_handlers=False)
    return broken
