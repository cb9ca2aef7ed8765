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

"""The natural voice, streamed, beside Piper's own library and what else speaks with that voice.

`make bench-voices` runs all of it in one go, prints a table, and exits with 1 if a bound is missed:

- `first_audio`: the first sound of 1, 2 and 8 sentences, ours and with other tools, side by side;
- `intelligibility`: word error rates of 40 sentences, streamed and by Piper's library;
- `opinion`: predicted opinion scores of the same, and of eight sentences in a row;
- `loudness`: of the voice and of espeak, by pyloudnorm;
- `melody`: the pitch of the words around the first cut, on this machine and on slower ones;
- `marks`: the ends of words against those that the speech recogniser finds;
- `memory`: of the worker process over 500 texts.

`--only NAME` runs a part; `--json FILE` writes every figure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from other_tools import BY_SENTENCE, OURS, PROGRAM, REALTIME_TTS, WHOLE, all_tools
from sentences import SENTENCES
from voice_judges import (
    HeardWord,
    loudness,
    opinion_scores,
    pitch,
    plain,
    recognise,
    word_error_rate,
)
from voice_report import Figures, show
from voice_takes import (
    NO_NOISE,
    Take,
    as_one_pass,
    load_engine,
    load_library,
    memory_over_texts,
    slowed,
    streamed,
    whole,
)

from k2so_tts.bench.texts import EIGHT_SENTENCES, ONE_SENTENCE, TWO_SENTENCES

TEXTS = {"1": ONE_SENTENCE, "2": TWO_SENTENCES, "8": EIGHT_SENTENCES}
PARAGRAPHS = [" ".join(SENTENCES[at : at + 8]) for at in range(0, len(SENTENCES), 8)]
SLOW_FACTORS = (0.5, 0.75)
SLOW_TEXTS = 10
ROUNDS = 5
MEMORY_TEXTS = 500
NOISY_TAKES = 5
_WORDS_AROUND_A_CUT = 2


def main() -> int:
    """Measure and print; 0 when every bound holds, else 1."""
    parser = argparse.ArgumentParser(description="Judge the natural voice as it is streamed.")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="run this part")
    parser.add_argument("--json", type=Path, help="write every figure into this file")
    options = parser.parse_args()
    facts = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    results: dict[str, Any] = {"machine": f"{facts}, load {os.getloadavg()[0]:.1f}"}
    for name in options.only or PARTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results[name] = PARTS[name]()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return int(not show(results))


def first_audio() -> Figures:
    """Seconds to the first sound, medians of rounds in which all tools take turns."""
    with closing(load_engine("piper")) as loaded, tempfile.TemporaryDirectory() as directory:
        tools = all_tools(loaded, load_library(), Path(directory))
        times: dict[str, dict[str, list[float]]] = {
            name: {length: [] for length in TEXTS} for name in tools
        }
        for number in range(ROUNDS + 1):
            for length, text in TEXTS.items():
                for name, speak in tools.items():
                    seconds = speak(text)
                    if number:  # the first round warms up
                        times[name][length].append(seconds)
    medians = {
        name: {length: median(found) for length, found in by_length.items()}
        for name, by_length in times.items()
    }
    ours = medians[OURS]

    def least(other: str) -> float:
        return min(medians[other][length] / ours[length] for length in TEXTS)

    return {
        "seconds": medians,
        "times sooner than by sentence": least(BY_SENTENCE),
        "times sooner than the program": least(PROGRAM),
        "times sooner than RealtimeTTS": least(REALTIME_TTS),
        "8 sentences, part of whole": ours["8"] / medians[WHOLE]["8"],
    }


def both_ways(texts: Sequence[str], *, noise: bool) -> tuple[list[Take], list[Take]]:
    """Texts streamed, and as Piper's library speaks them."""
    library = load_library()
    with closing(load_engine("piper", None if noise else NO_NOISE)) as loaded:
        ours = [streamed(loaded, text) for text in texts]
    return ours, [whole(library, text, noise=noise) for text in texts]


def intelligibility() -> Figures:
    """Word error rates (%), without noise, so that nothing but the streaming makes a difference,
    and with the voice's own, which is drawn anew for each of several takes.
    """
    figures: Figures = {}
    figures["streamed"], figures["whole"] = _word_error_rates(noise=False)
    figures["more than whole"] = figures["streamed"] - figures["whole"]
    noisy = [_word_error_rates(noise=True) for _ in range(NOISY_TAKES)]
    for way, rates in zip(("streamed", "whole"), zip(*noisy, strict=True), strict=True):
        figures[f"{way}, with noise"] = {
            "mean": mean(rates),
            **{f"take {number}": rate for number, rate in enumerate(rates, 1)},
        }
    return figures


def _word_error_rates(*, noise: bool) -> tuple[float, float]:
    """Of one take of all sentences, streamed and whole (%)."""
    streamed_takes, whole_takes = both_ways(SENTENCES, noise=noise)
    return _word_errors(streamed_takes), _word_errors(whole_takes)


def _word_errors(takes: Sequence[Take]) -> float:
    heard = [" ".join(word.text for word in recognise(take.pcm, take.rate)) for take in takes]
    return word_error_rate(SENTENCES, heard)


def opinion() -> Figures:
    """Means of predicted opinion scores, of sentences and of paragraphs of eight."""
    figures: Figures = {}
    for name, texts in (("sentences", SENTENCES), ("paragraphs", PARAGRAPHS)):
        found = {}
        for way, takes in zip(("streamed", "whole"), both_ways(texts, noise=True), strict=True):
            scores = [opinion_scores(take.pcm, take.rate) for take in takes]
            found[way] = {
                "DNSMOS": mean(dns for dns, _ in scores),
                "PLCMOS": mean(plc for _, plc in scores),
            }
        figures[name] = found
        for judge in ("DNSMOS", "PLCMOS"):
            figures[f"{judge} of {name}, below whole"] = (
                found["whole"][judge] - found["streamed"][judge]
            )
    return figures


def loudnesses() -> Figures:
    """LUFS of all sentences together, by engine, and the largest difference."""
    found = {}
    for name in ("espeak", "piper"):
        with closing(load_engine(name)) as loaded:
            takes = [streamed(loaded, text) for text in SENTENCES]
        pcm = np.concatenate([take.pcm for take in takes])
        found[name] = loudness(pcm, takes[0].rate)
    return {**found, "apart": max(found.values()) - min(found.values())}


def melody() -> Figures:
    """How far the pitch of words is from that of the uncut sentence, in semitones.

    Of the words before the first cut on this machine (where there is one) and on slower ones.
    """
    figures: Figures = {}
    with closing(load_engine("piper", NO_NOISE)) as loaded:
        texts = [_joined(*pair) for pair in zip(SENTENCES[::2], SENTENCES[1::2], strict=True)]
        texts = [text for text in texts if text.endswith(".")][:SLOW_TEXTS]
        uncut = [as_one_pass(loaded.engine, text) for text in texts]
        ways = {"this machine": loaded}
        ways |= {f"factor {factor:g}": slowed(loaded, factor) for factor in SLOW_FACTORS}
        for way, engine in ways.items():
            apart = [
                semitones
                for one_pass in uncut
                for semitones in _pitch_differences(streamed(engine, one_pass.text), one_pass)
            ]
            figures[f"{way}, median"] = median(apart)
            figures[f"{way}, most"] = max(apart)
    return figures


def _joined(one: str, other: str) -> str:
    """Two sentences as one that is long enough to be cut."""
    return f"{one[:-1]}, and {other[0].lower()}{other[1:]}"


def _pitch_differences(cut: Take, uncut: Take) -> list[float]:
    """Word by word, where both are voiced, in semitones."""
    pairs = zip(_pitches(cut), _pitches(uncut), strict=False)
    return [
        abs(12.0 * float(np.log2(one / other)))
        for one, other in pairs
        if np.isfinite(one) and np.isfinite(other)
    ]


def _pitches(take: Take) -> list[float]:
    """The pitch of each word (Hz)."""
    ends = [mark.frame / take.rate for mark in take.marks[: take.text.count(" ") + 1]]
    return [
        pitch(take.pcm, take.rate, begin, end)
        for begin, end in zip([0.0, *ends[:-1]], ends, strict=True)
    ]


def marks() -> Figures:
    """How far the ends of words are from where the recogniser hears them (s).

    It has a bias of its own, as it takes the pause behind a word as a part of that. What it is
    shows with espeak, which knows exactly when it is done with a word.
    """
    figures: Figures = {}
    for name, options in (("espeak", None), ("piper", NO_NOISE)):
        with closing(load_engine(name, options)) as loaded:
            takes = [streamed(loaded, text) for text in SENTENCES]
        heard = [recognise(take.pcm, take.rate) for take in takes]
        errors = [
            each
            for take, words in zip(takes, heard, strict=True)
            for each in _mark_errors(take, words)
        ]
        bias = median(errors)
        spread = np.abs(np.array(errors) - bias)
        figures[name] = {
            "words": len(errors),
            "bias": bias,
            "median error without it": float(np.median(spread)),
            "95th percentile": float(np.percentile(spread, 95)),
        }
    figures["bias, from that with espeak"] = abs(
        figures["piper"]["bias"] - figures["espeak"]["bias"]
    )
    figures["median error"] = figures["piper"]["median error without it"]
    return figures


def _mark_errors(take: Take, heard: Sequence[HeardWord]) -> list[float]:
    """Mark minus recogniser (s), of a text of which every word was heard right."""
    if plain(" ".join(word.text for word in heard)) != plain(take.text):
        return []
    ends = {take.text[: mark.text_end].rstrip(): mark.frame / take.rate for mark in take.marks}
    words = take.text.split()
    if len(words) != len(heard):
        return []
    spoken = [" ".join(words[: number + 1]) for number in range(len(words))]
    pairs = zip(spoken, heard, strict=True)
    return [ends[text] - word.end for text, word in pairs if text in ends]


def memory() -> Figures:
    """MiB of the worker process: the most in each tenth of the texts, and by how much the last
    half is above the first, in which all that is kept has been seen once.
    """
    words = " ".join(SENTENCES).split()
    with closing(load_engine("piper")) as loaded:
        sizes = memory_over_texts(loaded, MEMORY_TEXTS, words)
    tenths = [float(max(part)) for part in np.array_split(sizes, 10)]
    return {
        "texts": len(sizes),
        "by tenths": dict(enumerate(tenths, 1)),
        "most": max(sizes),
        "growth": max(tenths[5:]) - max(tenths[:5]),
    }


PARTS: dict[str, Callable[[], Figures]] = {
    "first_audio": first_audio,
    "intelligibility": intelligibility,
    "opinion": opinion,
    "loudness": loudnesses,
    "melody": melody,
    "marks": marks,
    "memory": memory,
}

if __name__ == "__main__":
    sys.exit(main())
