"""How long from a text to its first chunk when it is kept on disk, and when it has to be made.

    python benchmarks/phrases.py [--texts 50] [--engine piper -o voice=FILE]

Each text is made once, kept, and said again from disk. espeak is the hardest to beat: it speaks at
once, which is why the nodes keep nothing of it. Printed are both times and their ratio in this run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

from rich.console import Console
from rich.table import Table

from k2so_tts.bench.texts import PARAGRAPH
from k2so_tts.engines import create_engine, engine_names
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import PhraseCache
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

_WAIT_SECONDS = 60.0


def first_chunk_ms(talker: LoadedEngine, text: str, manner: SynthesisOptions) -> float:
    """Until there is something to take. The text is then spoken to its end."""
    synthesis = Synthesis(talker, text, manner)
    began = time.perf_counter()
    synthesis.start()
    if not synthesis.wait(_WAIT_SECONDS):
        raise TimeoutError(f"nothing came of {text!r}")
    first = time.perf_counter() - began
    while not synthesis.exhausted and synthesis.wait(_WAIT_SECONDS):
        synthesis.take()
    synthesis.join(_WAIT_SECONDS)
    return 1000 * first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--engine", default="espeak", choices=engine_names())
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    engine = create_engine(given.engine, dict(text.split("=", 1) for text in given.options))
    with closing(engine), tempfile.TemporaryDirectory() as directory:
        engine.load()
        phrases = PhraseCache(directory=Path(directory))
        talker = LoadedEngine(engine, given.engine, phrases=phrases)
        manner = SynthesisOptions(engine.find_voice(engine.default_voice))
        texts = [f"{number}: {PARAGRAPH}" for number in range(given.texts)]
        made = [first_chunk_ms(talker, text, manner) for text in texts]
        kept = [first_chunk_ms(talker, text, manner) for text in texts]
        size = phrases.kept()[1] / len(texts) / 1024
    table = Table(f"ms to the first chunk of {size:.0f} KiB", "median", "p95", "max")
    for name, figures in ((f"made by {given.engine}", made), ("kept on disk", kept)):
        shown = (median(figures), quantiles(figures, n=20)[-1], max(figures))
        table.add_row(name, *(f"{figure:.1f}" for figure in shown))
    console = Console()
    console.print(table)
    console.print(f"medians, kept over made: {median(kept) / median(made):.2f}")


if __name__ == "__main__":
    main()
