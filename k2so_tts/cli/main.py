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

"""`k2so-tts`: speak, with and without ROS, and find out what a machine lacks for it.

Only the module of the command that was asked for is imported: `k2so-tts --help` and `k2so-tts
doctor` need the standard library alone.
"""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from importlib import import_module

from k2so_tts.bench.utterance import MeasureError
from k2so_tts.cli.libraries import LibraryMissingError, explain
from k2so_tts.engines import EngineError, EngineUnavailable
from k2so_tts.settings import SettingError

FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130
"""Exit codes: the command failed; its arguments are invalid or a library is missing; Ctrl-C."""

COMMANDS = {
    "say": "speak a text on this machine, without ROS",
    "send": "have speak_server speak a text",
    "compare": "speak a text made whole first and streamed, and compare the two",
    "bench": "measure latency and cost, over ROS and without it",
    "cache": "manage the phrases that are kept on disk",
    "voices": "list the engines that are installed and their voices, or install a voice",
    "doctor": "check what speaking needs, and how to install what is missing",
}
"""What each command does. `k2so_tts.cli` has a module of the same name for each."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `k2so-tts` with these arguments (those of the process unless given), and exit."""
    given = sys.argv[1:] if arguments is None else arguments
    _exit_with("k2so-tts", lambda: _dispatch(given))


def send_main() -> None:
    """Run `ros2 run k2so_tts say TEXT`, which is the same as `k2so-tts send TEXT`, and exit."""
    _exit_with("say", _send)


def _dispatch(arguments: Sequence[str]) -> int:
    parser = ArgumentParser(prog="k2so-tts", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, description in COMMANDS.items():
        command = commands.add_parser(name, help=description, description=description)
        if name in arguments[:1]:
            module = import_module(f"k2so_tts.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    return int(options.run(options))


def _send() -> int:
    from k2so_tts.cli import send
    from k2so_tts.ros import own_arguments

    parser = ArgumentParser(prog="say", description="Have speak_server speak a text.")
    send.add_arguments(parser)
    return send.run(parser.parse_args(own_arguments(sys.argv[1:])))


def _exit_with(program: str, command: Callable[[], int]) -> None:
    """Exit with the code that a command returns; report expected errors on one line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        code = command()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ImportError as error:
        code = _report(program, explain(error), UNUSABLE)
    except (LibraryMissingError, EngineUnavailable) as error:
        code = _report(program, str(error), UNUSABLE)
    except (EngineError, MeasureError, SettingError, OSError) as error:
        code = _report(program, str(error), FAILED)
    except Exception as error:
        if not isinstance(error, _device_error()):
            raise
        code = _report(program, str(error), FAILED)
    sys.exit(code)


def _report(program: str, message: str, code: int) -> int:
    sys.stderr.write(f"{program}: {message}\n")
    return code


def _device_error() -> type[Exception]:
    """`DeviceError`, which is defined beside code that needs numpy, so that it is imported late."""
    from k2so_tts.playback import DeviceError

    return DeviceError
