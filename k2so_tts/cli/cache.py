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

"""`k2so-tts cache`: phrases that are kept on disk, synthesised before they are needed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from k2so_tts.cli import arguments
from k2so_tts.engines import EngineError, Prosody, streams
from k2so_tts.settings import SettingError
from k2so_tts.synthesis.engine_supervisor import load
from k2so_tts.synthesis.phrase_cache import MIB, PhraseCache
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.text.stream import clean


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions `warm`, `info` and `clear` and their arguments."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    warm = actions.add_parser(
        "warm", help="synthesise the phrases of a file before they are needed"
    )
    _add_warm_arguments(warm)
    warm.set_defaults(action=_warm)
    info = actions.add_parser("info", help="show how many phrases are kept, and where")
    info.set_defaults(action=_info)
    clear = actions.add_parser("clear", help="delete all phrases")
    clear.set_defaults(action=_clear)


def run(options: Namespace) -> int:
    """Run the action that was chosen; always 0.

    Raises:
        SettingError: a line of the file, the engine or the size is invalid.
        EngineError: the engine failed, or a phrase cannot be kept.
        OSError: the file cannot be read, or the cache cannot be deleted.
    """
    options.action(options)
    return 0


def _add_warm_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", help="phrases, one a line, UTF-8; - reads standard input")
    arguments.add_engine(parser, required=True)
    arguments.add_engine_options(parser)
    arguments.add_voice(parser)
    arguments.add_rate(parser)
    arguments.add_cut_at(parser)
    arguments.add_rewriting(parser)
    parser.add_argument(
        "--mib", type=int, default=MIB, help=f"as the parameter phrase_cache_mib (default {MIB})"
    )


def _warm(options: Namespace) -> None:
    """Synthesise, without playing it, each phrase that is not kept yet, and keep it."""
    if options.mib < 1:
        raise SettingError(f"--mib is {options.mib}; allowed: 1 or more")
    spec = arguments.engine_spec(options)
    texts, rewriting = list(_phrases(options.file)), arguments.rewriting(options)
    phrases = PhraseCache(options.mib)
    engine = spec.make()
    if streams(engine):
        raise SettingError(
            f"--engine is {spec.name!r}, which speaks without delay: its phrases are not kept"
        )
    with closing(engine):
        loaded = load(spec, engine, phrases)
        voice = engine.find_voice(options.voice or engine.default_voice)
        prosody = Prosody(options.rate)
        synthesis_options = SynthesisOptions(
            voice, prosody, segmentation=options.cut_at, rewriting=rewriting
        )
        for number, text in enumerate(texts, 1):
            frames = sum(len(pcm) for pcm in stream_pcm(Synthesis(loaded, text, synthesis_options)))
            if phrases.fault is not None:
                raise EngineError(phrases.fault)
            print(f"{number}/{len(texts)} {frames / engine.sample_rate:.1f} s: {text}")
    print(f"{phrases.misses} made, {phrases.hits} there already; {_describe(phrases)}")


def _info(_: Namespace) -> None:
    print(_describe(PhraseCache()))


def _clear(_: Namespace) -> None:
    PhraseCache().clear()


def _describe(phrases: PhraseCache) -> str:
    count, size = phrases.kept()
    if phrases.fault is not None:
        return phrases.fault
    return f"{count} phrases, {size / 2**20:.1f} MiB in {phrases.path}"


def _phrases(name: str) -> Iterator[str]:
    """The phrases of a file, without empty lines.

    Raises:
        SettingError: a line is not UTF-8.
        OSError: the file cannot be read.
    """
    content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    for number, line in enumerate(content.splitlines(), 1):
        try:
            text = clean(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise SettingError(f"{name}, line {number}: {error}; allowed: UTF-8") from error
        if text:
            yield text
