"""How the nodes start and end: `speak_server` and `audio_player`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from k2so_tts.engines import EngineError
from k2so_tts.playback.devices import DeviceError
from k2so_tts.processes import share_one_heap
from k2so_tts.settings import SettingError

if TYPE_CHECKING:
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    from k2so_tts.ros.audio_player import AudioPlayer
    from k2so_tts.ros.speak_server import SpeakServer

_JOIN_SECONDS = 1.0
_LOOK_SECONDS = 0.5
_SWITCH_SECONDS = 0.0005
"""How long a thread may keep the others from running; with Python's 5 ms chunks arrive late."""


def speak_server() -> None:
    sys.exit(_run("speak_server", _make_speak_server))


def audio_player() -> None:
    sys.exit(_run("audio_player", _make_audio_player))


def _make_speak_server() -> SpeakServer:
    from k2so_tts.ros.speak_server import SpeakServer

    return SpeakServer()


def _make_audio_player() -> AudioPlayer:
    from k2so_tts.ros.audio_player import AudioPlayer

    return AudioPlayer()


def _run(name: str, make: Callable[[], SpeakServer | AudioPlayer]) -> int:
    """Run a node until SIGINT or SIGTERM; one that breaks is replaced, in the same process.

    The exit code is 0, or 1 when it could not start.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    share_one_heap()  # before rclpy is imported, which starts threads
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from k2so_tts.ros.errors import REFUSALS, reason

    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = make()
    except (SettingError, EngineError, DeviceError, ImportError, *REFUSALS) as error:
        told = reason(error) if isinstance(error, REFUSALS) else error
        sys.stderr.write(f"{name}: {told}\n")
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=_spin, args=[executor, node], name="executor", daemon=True)
    spinning.start()
    while not (stop.wait(_LOOK_SECONDS) or node.broken):
        pass
    node.close()
    executor.shutdown(_JOIN_SECONDS)
    spinning.join(_JOIN_SECONDS)
    node.destroy_node()
    rclpy.shutdown()
    if node.broken and not stop.is_set():
        sys.stderr.write(f"{name}: {node.broken}; starts anew\n")
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - itself, as it was started
    return 0


def _spin(executor: SingleThreadedExecutor, node: Node) -> None:
    """Serve a node to its end, past a request that rclpy, or a callback, fails at."""
    while executor.context.ok():
        try:
            executor.spin()
        except Exception as error:  # noqa: BLE001, PERF203 - whatever a request leads to
            node.get_logger().error(f"a request was left out: {type(error).__name__}: {error}")
        else:
            return
