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

"""Takes texts that are still being written from the topics `text_pieces` and `say_stream`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from std_msgs.msg import String

from k2so_tts.ros.graph import publisher_of, with_info
from k2so_tts.ros.messages import TextPiece, pieces_qos
from k2so_tts.ros.text_streams import NamedStreams, Piece, PublisherStreams
from k2so_tts.text.stream import TextStream

_LOG_SECONDS = 5.0
_FLOOD_PIECES = 200
_FLOOD_SECONDS = 0.5
"""So many pieces in so short a time overflow the queues of DDS, which then loses, and sends again,
what comes with them: Fast DDS holds 512 messages in shared memory for a process.
"""


class TextInput:
    """The streams of a node.

    Subscriptions:
        text_pieces (k2so_tts_msgs/TextPiece): pieces of the texts that goals of `speak` name.
        say_stream (std_msgs/String): pieces of a text without a name; an empty one ends it.

    Args:
        node: the node that subscribes.
        settings: the values of the node's parameters, as they are now.
        begin: called with a text without a name that begins; it cancels one that is refused.
        on_flood: called when so many pieces come that other messages may be late.
    """

    def __init__(
        self,
        node: Node,
        settings: Mapping[str, Any],
        begin: Callable[[TextStream], None],
        on_flood: Callable[[], None],
    ) -> None:
        self.named = NamedStreams(lambda: int(settings["max_text_length"]))
        self._node = node
        self._settings = settings
        self._begin = begin
        self._on_flood = on_flood
        self._counted = 0
        self._counted_since = 0.0
        self._unnamed = PublisherStreams(self._begin_unnamed)
        self._lost = self._cut = 0
        on_unnamed_piece = with_info(self._on_unnamed_piece)
        node.create_subscription(String, "say_stream", on_unnamed_piece, pieces_qos())
        if TextPiece is not None:
            node.create_subscription(TextPiece, "text_pieces", self._on_piece, pieces_qos())

    def open(self, name: str, beginning: str) -> TextStream:
        """The text of a goal that names a stream."""
        return self.named.open(name, beginning, self._new_text())

    def _new_text(self) -> TextStream:
        return TextStream(self._settings["stream_timeout"], self._settings["flush_after"])

    def _begin_unnamed(self) -> TextStream:
        text = self._new_text()
        self._begin(text)
        return text

    def _count(self) -> None:
        """Notice a flood of pieces."""
        now = time.monotonic()
        if now - self._counted_since > _FLOOD_SECONDS:
            self._counted, self._counted_since = 0, now
        self._counted += 1
        if self._counted == _FLOOD_PIECES:
            self._on_flood()

    def _on_piece(self, message: Any) -> None:
        self._count()
        named = self.named
        piece = Piece(message.sequence, message.text, message.flush, message.end)
        named.piece(message.stream, piece)
        if named.lost != self._lost:
            self._warn(f"{named.lost - self._lost} pieces of a streamed text were lost")
        if named.cut != self._cut:
            self._warn_of_length(self._settings["max_text_length"])
        self._lost, self._cut = named.lost, named.cut

    def _on_unnamed_piece(self, message: String, info: Mapping[str, Any]) -> None:
        self._count()
        longest = self._settings["max_text_length"]
        if not self._unnamed.piece(publisher_of(info), message.data, longest):
            self._warn_of_length(longest)

    def _warn_of_length(self, longest: int) -> None:
        self._warn(f"a streamed text is cut after {longest} characters (max_text_length)")

    def _warn(self, message: str) -> None:
        self._node.get_logger().warning(message, throttle_duration_sec=_LOG_SECONDS)
