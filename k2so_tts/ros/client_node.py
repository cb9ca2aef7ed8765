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

"""A client's own participant in ROS."""

from __future__ import annotations

import threading

import rclpy
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined] # where Humble has it
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from k2so_tts.ros.errors import STARTUP_ERRORS, SpeechError, describe_startup_error
from k2so_tts.ros.executors import keep_spinning
from k2so_tts.ros.standstill import LOOK_SECONDS, Standstill

_JOIN_SECONDS = 5.0


class ClientNode:
    """A node in a context of its own, spun by a thread of its own from `start` to `close`.

    Args:
        name: the node's name.
        namespace: the node's namespace.
        domain: the ROS domain; None: that of the environment.

    Raises:
        SpeechError: the namespace is invalid, or ROS's security is on and there is no enclave.
    """

    def __init__(self, name: str, namespace: str, domain: int | None = None) -> None:
        self._context = Context()
        try:
            rclpy.init(
                context=self._context,
                domain_id=domain,
                signal_handler_options=SignalHandlerOptions.NO,
            )
            self.node: Node = rclpy.create_node(
                name,
                namespace=namespace,
                context=self._context,
                enable_rosout=False,
                start_parameter_services=False,
            )
        except STARTUP_ERRORS as error:
            self._context.try_shutdown()
            raise SpeechError(describe_startup_error(error)) from error
        self._standstill = Standstill()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.node.create_timer(LOOK_SECONDS, self._look, clock=steady)
        self.executor = SingleThreadedExecutor(context=self._context)
        self.executor.add_node(self.node)
        self._thread = threading.Thread(
            target=keep_spinning, args=[self.executor, self.node], name="client", daemon=True
        )

    def stood_still(self) -> bool:
        """Whether others may have taken it for gone, and Fast DDS does not always make up again."""
        return self._standstill.look()

    def start(self) -> None:
        """Begin to spin."""
        self._thread.start()

    def stop(self) -> None:
        """Spin no more; the thread is joined."""
        self.executor.shutdown(_JOIN_SECONDS)
        self._thread.join(_JOIN_SECONDS)

    def close(self) -> None:
        """Leave ROS, after `stop`; entities of the node that need it are destroyed in between."""
        self.node.destroy_node()
        self._context.try_shutdown()

    def _look(self) -> None:
        self._standstill.look()
