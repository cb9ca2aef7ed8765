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

"""A client of `speak` that has a node of its own."""

from __future__ import annotations

import threading

from k2so_tts.ros.client_node import ClientNode
from k2so_tts.ros.speak_client import SpeakClient


class OwnSpeakClient:
    """A `SpeakClient` on a node of its own: on another one after a standstill.

    Args:
        namespace: the namespace of the node.

    Raises:
        SpeechError: the namespace is invalid, or ROS's security is on and there is no enclave.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._changing = threading.Lock()
        self._members = [self._join()]

    def current(self) -> SpeakClient:
        """The client that is to send the next goal. Raises as the constructor does."""
        with self._changing:
            if self._members[-1][0].stood_still():
                joined = self._join()
                idle = [member for member in self._members if member[1].is_idle]
                self._members = [*(set(self._members) - set(idle)), joined]
                for node, client in idle:
                    _leave(node, client)
            return self._members[-1][1]

    def close(self) -> None:
        """Cancel what is still being spoken, and leave ROS."""
        with self._changing:
            for node, client in self._members:
                _leave(node, client)

    def _join(self) -> tuple[ClientNode, SpeakClient]:
        node = ClientNode("speaker", self._namespace)
        client = SpeakClient(node.node)
        node.start()
        return node, client


def _leave(node: ClientNode, client: SpeakClient) -> None:
    client.close()
    node.stop()
    node.close()
