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

"""How many chunks should be buffered before playback starts: a simulation without ROS and sound.

    python benchmarks/jitter.py [--plot docs/images/jitter.png]

An engine makes an utterance at a real-time factor (time to make it / duration), a server
publishes its chunks of 4096 frames (the first ones: less) at 22.05 kHz at most 2 s ahead, the
network delays each by a random time up to the jitter and keeps their order, and the player's own
`JitterBuffer` plays them. A Markdown table is printed of underruns per utterance and of the latency
that buffering adds: the time from the arrival of the first chunk to its first frame leaving the
buffer.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from k2so_tts.audio import Chunker
from k2so_tts.playback.fades import FADE_SECONDS
from k2so_tts.playback.jitter_buffer import JitterBuffer, State

RATE = 22_050
BLOCK = 256
MAX_LEAD = 2.0
CHUNKS = [len(chunk) for chunk in Chunker().push(np.zeros(10 * RATE, np.int16))]
"""The frames of each chunk of ten seconds of speech."""
UTTERANCES = 20
JITTERS_MS: tuple[float, ...] = (0, 50, 100, 200, 400)
REAL_TIME_FACTORS = (0.1, 0.3, 0.5, 0.8, 1.0, 1.2, 1.5)
PREBUFFERS = (1, 2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Result:
    """Means over all utterances; as text, one cell of the table."""

    underruns: float
    latency_ms: float

    def __str__(self) -> str:
        return f"{self.underruns:.2f} / {self.latency_ms:.0f}"


def arrivals(factor: float, jitter_ms: float, random: np.random.Generator) -> list[float]:
    """When each chunk reaches the player, in seconds after the goal was accepted."""
    ends = np.cumsum(CHUNKS) / RATE
    starts = ends - np.array(CHUNKS) / RATE
    published = np.maximum(ends * factor, starts - MAX_LEAD)
    delayed = published + random.uniform(0, jitter_ms / 1000, len(CHUNKS))
    return [float(at) for at in np.maximum.accumulate(delayed)]


def play(arriving: list[float], prebuffer: int) -> tuple[int, float]:
    """The underruns, and how long the first frame waited in the buffer (s)."""
    buffer = JitterBuffer(prebuffer, int(FADE_SECONDS * RATE))
    out = np.zeros((BLOCK, 1), np.float32)
    received = 0
    began = math.nan
    block = math.ceil(arriving[0] * RATE / BLOCK)
    while buffer.state is not State.ENDED:
        now = block * BLOCK / RATE
        while received < len(CHUNKS) and arriving[received] <= now:
            buffer.push(np.zeros((CHUNKS[received], 1), np.float32))
            received += 1
            if received == len(CHUNKS):
                buffer.end()
        buffer.render(out)
        if math.isnan(began) and buffer.position:
            began = now
        block += 1
    return buffer.underruns, began - arriving[0]


def simulate(factor: float, jitter_ms: float, prebuffer: int) -> Result:
    """Play all utterances; the arrivals are the same for every prebuffer."""
    random = np.random.default_rng([round(100 * factor), round(jitter_ms)])
    runs = [play(arrivals(factor, jitter_ms, random), prebuffer) for _ in range(UTTERANCES)]
    underruns, latencies = zip(*runs, strict=True)
    return Result(float(np.mean(underruns)), 1000 * float(np.mean(latencies)))


def table(results: dict[tuple[float, float, int], Result]) -> Iterator[str]:
    """The lines of the Markdown table, with a column for each prebuffer."""
    yield "| real-time factor | jitter, ms | " + " | ".join(map(str, PREBUFFERS)) + " |"
    yield "| ---: " * (2 + len(PREBUFFERS)) + "|"
    for factor in REAL_TIME_FACTORS:
        for jitter in JITTERS_MS:
            cells = [str(results[factor, jitter, prebuffer]) for prebuffer in PREBUFFERS]
            yield f"| {factor} | {jitter} | " + " | ".join(cells) + " |"


def plot(results: dict[tuple[float, float, int], Result], path: str) -> None:
    """Plot underruns and latency over the jitter: a line for each prebuffer, a column for each
    real-time factor.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        2, len(REAL_TIME_FACTORS), figsize=(16, 6), sharex=True, sharey="row", squeeze=False
    )
    for column, factor in enumerate(REAL_TIME_FACTORS):
        for prebuffer in PREBUFFERS:
            line = [results[factor, jitter, prebuffer] for jitter in JITTERS_MS]
            underruns = [result.underruns for result in line]
            axes[0, column].plot(JITTERS_MS, underruns, label=f"{prebuffer} chunks")
            axes[1, column].plot(JITTERS_MS, [result.latency_ms for result in line])
        axes[0, column].set_title(f"real-time factor {factor}")
        axes[1, column].set_xlabel("jitter, ms")
    axes[0, 0].set_ylabel("underruns per utterance")
    axes[1, 0].set_ylabel("added latency, ms")
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Simulate all combinations and print the table."""
    parser = argparse.ArgumentParser(description="Underruns and latency against the prebuffer.")
    parser.add_argument(
        "--plot", metavar="FILE", help="plot the results as well (needs matplotlib)"
    )
    arguments = parser.parse_args()
    results = {
        (factor, jitter, prebuffer): simulate(factor, jitter, prebuffer)
        for factor in REAL_TIME_FACTORS
        for jitter in JITTERS_MS
        for prebuffer in PREBUFFERS
    }
    for line in table(results):
        print(line)
    if arguments.plot:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
