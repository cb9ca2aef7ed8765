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

"""Command-line arguments that several commands share, and the values they stand for."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from k2so_tts.engines import (
    AUTO,
    NATURAL,
    checked_options,
    engine_names,
    engine_options,
    select_engine,
    with_path,
)
from k2so_tts.text.stream import clean

if TYPE_CHECKING:
    from k2so_tts.synthesis.engine_supervisor import EngineSpec
    from k2so_tts.text.speakable import SpeakableSettings

RATES = (0.25, 4.0)
"""Speaking rates that are allowed, as multiples of the normal one."""
VOLUMES = (0.0, 1.0)
"""Linear gains that are allowed."""


def add_text(parser: ArgumentParser) -> None:
    """Add the text to speak; `read_text` reads it."""
    parser.add_argument("text", help="what to say; - reads it from standard input")


def add_engine(
    parser: ArgumentParser, *, default: str | None = None, required: bool = False
) -> None:
    """Add `--engine`, one of those installed, or `auto`; `engine_spec` reads it."""
    parser.add_argument(
        "--engine",
        default=default,
        required=required,
        choices=[*engine_names(), AUTO] if default or required else engine_names(),
        help="use this engine" if default or required else "use this engine only",
    )


def add_engine_options(parser: ArgumentParser) -> None:
    """Add `-o NAME=VALUE`, stored as pairs in `engine_options`."""
    parser.add_argument(
        "-o",
        "--option",
        dest="engine_options",
        metavar="NAME=VALUE",
        type=_name_and_value,
        action="append",
        default=[],
        help="an option of the engine (docs/reference/engines.md); may be repeated",
    )


def add_voice(parser: ArgumentParser) -> None:
    """Add `--voice`; empty stands for the default voice of the engine."""
    parser.add_argument("--voice", default="", help="a voice or language of the engine")


def add_cut_at(parser: ArgumentParser) -> None:
    """Add `--cut-at`, one of `segmenter.SEGMENTATIONS`."""
    from k2so_tts.text.segmenter import SEGMENTATIONS, WORD

    parser.add_argument(
        "--cut-at", default=WORD, choices=SEGMENTATIONS, help="as the parameter cut_at"
    )


def add_rewriting(parser: ArgumentParser) -> None:
    """Add an option for each of `speakable.SETTINGS`; `rewriting` reads them."""
    from k2so_tts.text.speakable import SETTINGS

    for setting in SETTINGS:
        parser.add_argument(
            f"--{setting.name.replace('_', '-')}",
            default=setting.default,
            choices=setting.choices or None,
            help=f"as the parameter {setting.name}",
        )


def rewriting(options: Namespace) -> SpeakableSettings:
    """How a text is rewritten, from the options of `add_rewriting`.

    Raises:
        SettingError: a value is invalid, or the lexicon is.
    """
    from k2so_tts.text.speakable import SETTINGS, speakable_settings

    return speakable_settings(
        {setting.name: getattr(options, setting.name) for setting in SETTINGS}
    )


def add_device(parser: ArgumentParser) -> None:
    """Add `--device`, in the form that `open_device` takes."""
    from k2so_tts.playback.devices import SPECIFICATIONS

    parser.add_argument("--device", default="auto", help=SPECIFICATIONS)


def add_rate(parser: ArgumentParser) -> None:
    """Add `--rate`, a multiple of the normal speaking rate."""
    low, high = RATES
    parser.add_argument("--rate", type=between(low, high), default=1.0, help=f"{low} to {high}")


def add_volume(parser: ArgumentParser) -> None:
    """Add `--volume`, a linear gain."""
    low, high = VOLUMES
    parser.add_argument("--volume", type=between(low, high), default=1.0, help=f"{low} to {high}")


def between(low: float, high: float) -> Callable[[str], float]:
    """The argument type of a number from `low` to `high`, both included."""

    def number(text: str) -> float:
        if low <= (value := float(text)) <= high:
            return value
        raise ArgumentTypeError(f"{text} is not between {low} and {high}")

    return number


def at_least(least: int) -> Callable[[str], int]:
    """The argument type of a whole number of at least `least`, which is 0 or more."""

    def number(text: str) -> int:
        if text.isdecimal() and int(text) >= least:
            return int(text)
        raise ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")

    return number


def read_text(options: Namespace) -> str:
    """The text of `add_text`, from standard input if that was asked for, cleaned for speaking."""
    return clean(sys.stdin.read() if options.text == "-" else options.text)


def engine_spec(options: Namespace) -> EngineSpec:
    """The engine that `--engine`, `--voice` and `-o` ask for; `auto` is replaced by a name.

    Raises:
        SettingError: an option of the engine is unknown or its value invalid.
        EngineUnavailable: there is no such engine.
    """
    from k2so_tts.synthesis.engine_supervisor import EngineSpec

    given = dict(options.engine_options)
    name = select_engine(options.engine, options.voice, given)
    values: Mapping[str, object] = parse_engine_options(name, given)
    if name == NATURAL:
        values = with_path(values, options.voice)
    return EngineSpec(name, checked_options(name, values))


def parse_engine_options(engine: str, given: Mapping[str, str]) -> dict[str, object]:
    """The values that option texts stand for; unknown names are kept for `create_engine` to reject.

    Raises:
        SettingError: a value is invalid.
        EngineUnavailable: there is no such engine.
    """
    known = engine_options(engine)
    return {
        name: known[name].parse(text) if name in known else text for name, text in given.items()
    }


def _name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value
