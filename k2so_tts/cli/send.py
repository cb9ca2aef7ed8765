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

import codecs
import os
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import closing
from typing import TYPE_CHECKING

from k2so_tts.cli import arguments
from k2so_tts.cli.progress import speaking_progress
from k2so_tts.ros.spoken import HIGHEST_PRIORITY, Policy

if TYPE_CHECKING:
    from k2so_tts.client import SpeechOptions, Utterance

_SERVER_SECONDS = 5.0
_MOST_BYTES = 65_536
"""That are read of standard input at once."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("text", nargs="?", help="what to say; - reads it from standard input")
    text.add_argument(
        "--stream",
        action="store_true",
        help="speak standard input while it is being written, and print what is heard",
    )
    parser.add_argument("--language", default="", help="a voice alias, voice or language")
    parser.add_argument("--voice", default="", help="a voice or an alias of one")
    parser.add_argument(
        "--policy",
        default="default",
        choices=[policy.name.lower() for policy in Policy],
        help="how it gets its turn among others",
    )
    parser.add_argument(
        "--priority", type=_priority, default=0, help="0 to 255; a higher one is heard first"
    )
    parser.add_argument("--namespace", default="", help="the namespace of speak_server")
    parser.add_argument(
        "--wait", type=float, default=_SERVER_SECONDS, help="seconds to wait for speak_server"
    )
    arguments.add_rate(parser)
    arguments.add_volume(parser)


def _priority(argument: str) -> int:
    if argument.isdecimal() and int(argument) <= HIGHEST_PRIORITY:
        return int(argument)
    raise ArgumentTypeError(f"{argument!r} is not a whole number from 0 to {HIGHEST_PRIORITY}")


def run(options: Namespace) -> int:
    """Send a goal and wait for its end; 0 when all of the text was spoken, else 1.

    Raises:
        ImportError: ROS 2 or its interfaces are missing.
    """
    from k2so_tts.ros.errors import SpeechError

    try:
        if options.stream:
            failure = _stream(options)
        elif options.voice or options.policy != "default" or options.priority:
            failure = _speak(arguments.read_text(options), options)
        else:
            failure = _say(arguments.read_text(options), options)
    except (SpeechError, TimeoutError) as error:
        failure = str(error)
    if failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


def _say(text: str, options: Namespace) -> str:
    """Send it to `say`, which every speak_server has; why it failed, or nothing."""
    from k2so_tts.ros.client import SpeechClient
    from k2so_tts.ros.errors import ServerUnavailable

    with closing(SpeechClient(options.namespace)) as client:
        if not client.wait_for_server(options.wait):
            raise ServerUnavailable(
                f"no speak_server offers the action 'say' (waited {options.wait:g} s)"
            )
        with speaking_progress(text, options.rate) as on_heard:
            spoken = client.say(
                text,
                language=options.language,
                volume=options.volume,
                rate=options.rate,
                on_heard=on_heard,
            )
    return "" if spoken.status == "succeeded" else f"{spoken.status} after: {spoken.text}"


def _speak(text: str, options: Namespace) -> str:
    """Send it to `speak`; why it failed, or nothing."""
    from k2so_tts.client import Speaker

    with (
        Speaker(options.namespace, server_timeout=options.wait) as speaker,
        speaking_progress(text, options.rate) as on_heard,
    ):
        spoken = speaker.say(
            text, on_word=lambda word: on_heard(word.elapsed_s), **_speech_options(options)
        )
    return "" if spoken.complete else f"{spoken.message}; heard: {spoken.heard}"


def _stream(options: Namespace) -> str:
    """Write standard input to `text_pieces` as it comes; why it failed, or nothing."""
    from k2so_tts.client import Speaker

    with (
        Speaker(options.namespace, server_timeout=options.wait) as speaker,
        speaker.utterance(**_speech_options(options)) as utterance,
    ):
        threading.Thread(target=_write_input, args=[utterance], daemon=True).start()
        try:
            _print_heard(utterance)
        except KeyboardInterrupt:
            sys.stderr.write(f"\ninterrupted; heard: {utterance.cancel().heard}\n")
            raise
        spoken = utterance.wait()
    return "" if spoken.complete else f"{spoken.message}; heard: {spoken.heard}"


def _speech_options(options: Namespace) -> SpeechOptions:
    return {
        "voice": options.voice,
        "language": options.language,
        "rate": options.rate,
        "volume": options.volume,
        "policy": Policy[options.policy.upper()],
        "priority": options.priority,
    }


def _write_input(utterance: Utterance) -> None:
    """Copy standard input, past its buffer, whose lock would outlive a process that ends."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while piece := os.read(sys.stdin.fileno(), _MOST_BYTES):
        utterance.write(decoder.decode(piece))
    utterance.write(decoder.decode(b"", final=True))
    utterance.end()


def _print_heard(utterance: Utterance) -> None:
    """Print each word as it becomes audible, with what stands before it, until the end."""
    printed = 0
    for word in utterance.words():
        print(utterance.heard[printed : word.end], end="", flush=True)
        printed = word.end
    print(utterance.heard[printed:].rstrip(), flush=True)
