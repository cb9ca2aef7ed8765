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

"""Speaking a text of any length with an engine whose network takes a short one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from k2so_tts.audio import EMPTY_PCM, Block, Mark, Pcm
from k2so_tts.engines import EngineError, Prosody
from k2so_tts.engines.toolkit.time_stretch import TimeStretch

__all__ = ["speak_pieces", "split_text", "stretch_for"]


def split_text(text: str, longest: int) -> Iterator[tuple[int, str]]:
    """A text as pieces of at most `longest` characters, cut at white space where there is any.

    Each comes with the offset at which it starts. The longer its text, the longer a network works
    before its first sample: a cancel never waits for more than one piece.
    """
    start = 0
    while len(text) - start > longest:
        space = text.rfind(" ", start + 1, start + longest + 1)
        end = space if space > 0 else start + longest
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def speak_pieces(
    text: str,
    longest: int,
    speak: Callable[[str], Iterator[Block]],
    stretch: TimeStretch | None = None,
) -> Iterator[Block]:
    """Speak a text in pieces of at most `longest` characters, with a mark at the end of each.

    `speak` gives the sound of a piece block by block, with marks that count from the start of the
    piece; `stretch` is applied to both.
    """
    frames = 0
    speed = 1.0 if stretch is None else stretch.speed
    for start, piece in split_text(text, longest):
        first = frames
        for block in speak(piece):
            pcm = _stretched(block.pcm, stretch)
            frames += len(pcm)
            yield Block(
                pcm,
                tuple(
                    Mark(start + mark.text_end, first + round(mark.frame / speed))
                    for mark in block.marks
                ),
            )
        rest = EMPTY_PCM if stretch is None else np.frombuffer(stretch.flush(), np.int16)
        frames += len(rest)
        yield Block(rest, (Mark(start + len(piece), frames),))


def _stretched(pcm: Pcm, stretch: TimeStretch | None) -> Pcm:
    return pcm if stretch is None else np.frombuffer(stretch(pcm.tobytes()), np.int16)


def stretch_for(sample_rate: int, prosody: Prosody, has_rate: bool) -> TimeStretch | None:
    """What changes the pitch, and the speed unless the network does (`has_rate`), at a sample rate
    in Hz; None: there is nothing to change.

    A pitch of 2.0 is an octave up, 0.0 an octave down. Raises `EngineError` without libsonic.
    """
    speed = 1.0 if has_rate else prosody.rate
    if speed == 1.0 and prosody.pitch == 1.0:
        return None
    try:
        return TimeStretch(sample_rate, speed, 2.0 ** (prosody.pitch - 1.0))
    except OSError as error:
        raise EngineError(
            f"rate {prosody.rate:g} and pitch {prosody.pitch:g} need libsonic ({error}): install "
            "it with 'apt install libsonic0'"
        ) from error
