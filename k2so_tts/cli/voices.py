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

"""`k2so-tts voices`: list the engines that are installed and their voices, and get new voices."""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from k2so_tts.cli import arguments
from k2so_tts.cli.libraries import explain
from k2so_tts.engines import (
    NATURAL,
    EngineError,
    EngineUnavailable,
    Voice,
    create_engine,
    engine_names,
)
from k2so_tts.settings import SettingError
from k2so_tts.text.languages import normal_tag

_NONE_USABLE = 2
_INSTALL = "install"
_MANY = 12
"""More voices than this are counted by language, unless they are asked for."""
_WIDTH = 88


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="LANGUAGE | install NAME",
        help="list the voices of one language (en); or get a voice of Piper (install joe, "
        "install en_US-lessac-medium), check that it speaks, and print its licence",
    )
    parser.add_argument("--all", action="store_true", help="list all voices, one a line")
    arguments.add_engine(parser)
    arguments.add_engine_options(parser)


def run(options: Namespace) -> int:
    """List what each engine offers, or why it is unusable; 0 if at least one is usable, else 2.
    Or install a voice.

    Raises:
        SettingError: an option of the engine is invalid, or given without the engine's name, or
            there is no such voice to install.
        EngineError: a voice can't be installed.
    """
    if options.what[:1] == [_INSTALL]:
        return _install(options.what[1:])
    if len(options.what) > 1:
        raise SettingError(f"{' '.join(options.what)!r} is not one language")
    if options.engine_options and not options.engine:
        raise SettingError("-o is an option of one engine: name it with --engine NAME")
    language = options.what[0] if options.what else ""
    given = dict(options.engine_options)
    names = [options.engine] if options.engine else engine_names()
    usable = [_list_voices(name, given, language, is_full=options.all) for name in names]
    return 0 if any(usable) else _NONE_USABLE


def _install(names: Sequence[str]) -> int:
    from k2so_tts.cli.install_voice import install_voice

    if not names:
        raise SettingError("name the voice to install: k2so-tts voices install joe")
    for name in names:
        install_voice(name)
    return 0


def _list_voices(name: str, given: Mapping[str, str], language: str, *, is_full: bool) -> bool:
    """Print the voices of an engine, or what it lacks; whether it is usable."""
    try:
        engine = create_engine(name, arguments.parse_engine_options(name, given))
        with closing(engine):
            engine.load()
            voices = [voice for voice in engine.voices() if _speaks(voice, language)]
    except EngineError as error:
        print(f"{name}: {_reason(error)}")
        return False
    print(f"{name}: {engine.sample_rate} Hz, default {engine.default_voice}")
    licences = _licences() if name == NATURAL else {}
    if is_full or language or len(voices) <= _MANY:
        for voice in voices:
            print(f"  {_described(voice, licences)}")
    else:
        print(textwrap.indent("\n".join(_counted(voices)), "  "))
    return True


def _speaks(voice: Voice, language: str) -> bool:
    wanted = normal_tag(language)
    return not wanted or f"{voice.language}-".startswith(f"{wanted}-")


def _counted(voices: Sequence[Voice]) -> Iterator[str]:
    """How many voices there are of each language, in lines of equal columns."""
    counts = Counter(voice.language.partition("-")[0] for voice in voices)
    cells = [f"{language} {count}" for language, count in sorted(counts.items())]
    width = max(map(len, cells)) + 3
    columns = max(1, _WIDTH // width)
    yield f"{len(voices)} voices in {len(counts)} languages; of one: k2so-tts voices en"
    for start in range(0, len(cells), columns):
        row = (cell.ljust(width) for cell in cells[start : start + columns])
        yield "".join(row).rstrip()


def _licences() -> dict[str, str]:
    """The licences of Piper's installed voices, as far as they are named, by the voices' names."""
    from k2so_tts.cli.install_voice import licence_of
    from k2so_tts.engines.piper.voices import installed_voices

    files, _ = installed_voices()
    return {file.name: licence_of(file.path) for file in files}


def _reason(error: EngineError) -> str:
    """Why an engine is unusable; where that is a missing library, how to install it."""
    cause = error.__cause__
    if isinstance(error, EngineUnavailable) and isinstance(cause, ModuleNotFoundError):
        return explain(cause)
    return str(error)


def _described(voice: Voice, licences: Mapping[str, str]) -> str:
    language = "" if voice.name == voice.language else f" ({voice.language})"
    licence = licences.get(voice.name.partition("#")[0], "")
    return f"{voice.name}{language}{', ' if licence else ''}{licence}"
