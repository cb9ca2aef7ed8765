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

"""Speak a text while it is being written, word by word, as a language model writes it.

Run `speak_server` and `audio_player`, then `python examples/llm_stream.py`.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator

import rclpy
from rclpy.duration import Duration
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

TEXT = (
    "A language model writes one word after the other. There is no need to wait for the last one: "
    "the first clause is being spoken while the rest of the answer is still being written."
)
SERVER_SECONDS = 5.0
DELIVER_SECONDS = 2.0
DEPTH = 100
"""The QoS depth that speak_server has as well: pieces that can be in transit."""


def main() -> int:
    """Write and speak; 0 when speak_server received all of the text, 1 when it does not run."""
    parser = argparse.ArgumentParser(description="speak a text while it is being written")
    parser.add_argument("text", nargs="?", default=TEXT)
    parser.add_argument("--words-per-second", type=pace, default=4.0, metavar="N")
    arguments = parser.parse_args()

    # rclpy's own handlers would shut ROS down at Ctrl-C, before the text could be ended.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("llm_stream")
    pieces = node.create_publisher(String, "say_stream", DEPTH)
    try:
        if not wait_for_listener(pieces):
            sys.stderr.write(f"{pieces.topic_name} has no subscriber: is speak_server running?\n")
            return 1
        return write(pieces, words(arguments.text, arguments.words_per_second))
    except KeyboardInterrupt:
        return 130
    finally:
        node.destroy_node()
        rclpy.shutdown()


def pace(argument: str) -> float:
    """The argument type of a number of words per second."""
    value = float(argument)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{argument} is not greater than 0")
    return value


def words(text: str, per_second: float) -> Iterator[str]:
    """Yield the words of a text, each with the space after it, at a steady pace."""
    began = time.monotonic()
    for count, word in enumerate(re.findall(r"\S+\s*", text)):
        time.sleep(max(0.0, began + count / per_second - time.monotonic()))
        yield word


def wait_for_listener(pieces: Publisher[String]) -> bool:
    """Wait until a server has subscribed: pieces published before would be lost."""
    deadline = time.monotonic() + SERVER_SECONDS
    while not pieces.get_subscription_count():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def write(pieces: Publisher[String], written: Iterator[str]) -> int:
    """Publish and print each piece, and in any case the empty piece that ends the text."""
    try:
        for piece in written:
            pieces.publish(String(data=piece))
            print(piece, end="", flush=True)
    finally:
        pieces.publish(String(data=""))
        delivered = pieces.wait_for_all_acked(Duration(seconds=DELIVER_SECONDS))
        print(flush=True)
    return 0 if delivered else 1


if __name__ == "__main__":
    sys.exit(main())
