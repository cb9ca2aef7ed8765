"""`k2so-tts cache`: phrases that are kept on disk, made before they are needed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from rich.console import Console

from k2so_tts.engines import EngineError, Prosody, streams
from k2so_tts.settings import SettingError
from k2so_tts.synthesis.engine_supervisor import EngineSpec, load
from k2so_tts.synthesis.phrase_cache import MIB, PhraseCache
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.text.segmenter import SEGMENTATIONS, WORD
from k2so_tts.text.stream import clean

console = Console(highlight=False)


def add_warm_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", help="phrases, one in a line, UTF-8; - reads standard input")
    parser.add_argument(
        "--cut-at", default=WORD, choices=SEGMENTATIONS, help="as the parameter cut_at"
    )
    parser.add_argument(
        "--mib", type=int, default=MIB, help=f"as the parameter phrase_cache_mib (default {MIB})"
    )


def warm(options: Namespace, spec: EngineSpec) -> int:
    """Have an engine say each phrase that is not kept yet into the void, and keep it.

    Raises:
        SettingError: a line, the engine or the size makes no sense.
        EngineError: the engine can't say it.
    """
    if options.mib < 1:
        raise SettingError(f"--mib is {options.mib}; allowed: 1 or more")
    texts = list(_phrases(options.file))
    phrases = PhraseCache(options.mib)
    engine = spec.make()
    if streams(engine):
        raise SettingError(f"--engine is {spec.name!r}, which speaks at once: nothing is kept")
    with closing(engine):
        talker = load(spec, engine, phrases)
        voice = engine.find_voice(options.voice or engine.default_voice)
        manner = SynthesisOptions(voice, Prosody(options.rate), segmentation=options.cut_at)
        for number, text in enumerate(texts, 1):
            frames = sum(len(pcm) for pcm in stream_pcm(Synthesis(talker, text, manner)))
            if phrases.fault is not None:
                raise EngineError(phrases.fault)
            seconds = frames / engine.sample_rate
            console.print(f"{number}/{len(texts)} {seconds:.1f} s: {text}", markup=False)
    new, there = phrases.misses, phrases.hits
    console.print(f"{new} made, {there} there already; {_describe(phrases)}")
    return 0


def info(_: Namespace) -> int:
    """Tell what is kept, and where."""
    console.print(_describe(PhraseCache()), soft_wrap=True)
    return 0


def clear(_: Namespace) -> int:
    """Throw away all that is kept. Raises OSError."""
    PhraseCache().clear()
    return 0


def _describe(phrases: PhraseCache) -> str:
    count, size = phrases.kept()
    if phrases.fault is not None:
        return phrases.fault
    return f"{count} phrases, {size / 2**20:.1f} MiB in {phrases.path}"


def _phrases(name: str) -> Iterator[str]:
    """The phrases of a file, empty lines left out. Raises `SettingError` and OSError."""
    read = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    for number, line in enumerate(read.splitlines(), 1):
        try:
            text = clean(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise SettingError(f"{name}, line {number}: {error}; allowed: UTF-8") from error
        if text:
            yield text
