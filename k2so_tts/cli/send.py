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

"""`k2so-tts send`, also `ros2 run k2so_tts say`: have speak_server speak a text."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from contextlib import closing
from typing import TYPE_CHECKING

from k2so_tts.cli import arguments
from k2so_tts.cli.progress import speaking_progress

if TYPE_CHECKING:
    from k2so_tts.ros.client import Measured

_SERVER_SECONDS = 5.0


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    arguments.add_text(parser)
    parser.add_argument("--language", default="", help="a voice alias, voice or language")
    parser.add_argument("--namespace", default="", help="the namespace of speak_server")
    parser.add_argument(
        "--wait", type=float, default=_SERVER_SECONDS, help="seconds to wait for speak_server"
    )
    arguments.add_rate(parser)
    arguments.add_volume(parser)


def run(options: Namespace) -> int:
    """Send a goal and wait for its end; 0 when all of the text was spoken, else 1.

    Raises:
        ImportError: ROS 2 or its interfaces are missing.
    """
    from k2so_tts.ros.client import SpeechRefused

    try:
        spoken = _send(arguments.read_text(options), options)
    except (SpeechRefused, TimeoutError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if spoken.status != "succeeded":
        sys.stderr.write(f"{spoken.status} after: {spoken.text}\n")
        return 1
    return 0


def _send(text: str, options: Namespace) -> Measured:
    from k2so_tts.ros.client import SpeechClient, SpeechRefused

    with closing(SpeechClient(options.namespace)) as client:
        if not client.wait_for_server(options.wait):
            raise SpeechRefused(
                f"no speak_server offers the action 'say' (waited {options.wait:g} s)"
            )
        with speaking_progress(text, options.rate) as on_heard:
            return client.say(
                text,
                language=options.language,
                volume=options.volume,
                rate=options.rate,
                on_heard=on_heard,
            )
