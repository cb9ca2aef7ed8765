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

"""Publishes words ahead of their sound."""

from __future__ import annotations

from rclpy.node import Node

from k2so_tts.audio import NANOSECONDS
from k2so_tts.ros.messages import Word, to_word, words_qos
from k2so_tts.synthesis.word_timeline import TimedWord


class WordPublisher:
    """The topic `words` (k2so_tts_msgs/Word); without its messages nothing is published."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._topic = None if Word is None else node.create_publisher(Word, "words", words_qos())

    @property
    def wanted(self) -> bool:
        """Whether anybody subscribes."""
        return self._topic is not None and self._topic.get_subscription_count() > 0

    def publish(self, word: TimedWord, rate: int, in_s: float, stream: str) -> None:
        """Publish a word of an utterance of `rate` Hz that is heard in so many seconds."""
        if self._topic is None or not self.wanted:
            return
        due_ns = self._node.get_clock().now().nanoseconds + round(in_s * NANOSECONDS)
        seconds = (word.end_frame - word.frame) / rate
        frame_id = self._node.get_fully_qualified_name()
        self._topic.publish(to_word(word, due_ns, seconds, stream, frame_id))
