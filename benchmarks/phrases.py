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

"""The time to the first chunk of a text that is kept on disk, and of one that has to be made.

    python benchmarks/phrases.py [--texts 50] [--engine piper -o voice=FILE]

Each text is made once, kept, and read from disk once. espeak is the hardest to beat: it speaks
without delay, which is why the nodes do not keep its phrases. Both times and their ratio in this
run are printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from k2so_tts.bench.texts import PARAGRAPH
from k2so_tts.cli import arguments
from k2so_tts.metrics import percentiles
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import PhraseCache
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

_WAIT_SECONDS = 60.0


def first_chunk_ms(loaded: LoadedEngine, text: str, options: SynthesisOptions) -> float:
    """The time until the first chunk can be taken. The text is then spoken to its end.

    Raises:
        TimeoutError: no chunk came.
    """
    synthesis = Synthesis(loaded, text, options)
    began = time.perf_counter()
    synthesis.start()
    if not synthesis.wait(_WAIT_SECONDS):
        raise TimeoutError(f"no chunk came of {text!r}")
    first = time.perf_counter() - began
    while not synthesis.exhausted and synthesis.wait(_WAIT_SECONDS):
        synthesis.take()
    synthesis.join(_WAIT_SECONDS)
    return 1000 * first


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=50)
    arguments.add_engine(parser, default="espeak")
    arguments.add_engine_options(parser)
    arguments.add_voice(parser)
    given = parser.parse_args()
    spec = arguments.engine_spec(given)
    with closing(spec.make()) as engine, tempfile.TemporaryDirectory() as directory:
        engine.load()
        phrases = PhraseCache(directory=Path(directory))
        loaded = LoadedEngine(engine, spec.name, phrases=phrases)
        options = SynthesisOptions(engine.find_voice(given.voice or engine.default_voice))
        texts = [f"{number}: {PARAGRAPH}" for number in range(given.texts)]
        made = [first_chunk_ms(loaded, text, options) for text in texts]
        kept = [first_chunk_ms(loaded, text, options) for text in texts]
        size = phrases.kept()[1] / len(texts) / 1024
    table = Table(f"ms to the first chunk of {size:.0f} KiB", "median", "p95", "max")
    for name, figures in ((f"made by {spec.name}", made), ("kept on disk", kept)):
        table.add_row(name, *(f"{figure:.1f}" for figure in percentiles(figures).values()))
    console = Console()
    console.print(table)
    console.print(f"medians, kept over made: {median(kept) / median(made):.2f}")


if __name__ == "__main__":
    main()
