"""Speaking a text of any length with an engine whose network takes a short one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from k2so_tts.audio import EMPTY_PCM, Block, Mark, Pcm
from k2so_tts.engines import EngineError, Prosody
from k2so_tts.engines.toolkit.time_stretch import TimeStretch


def pieces(text: str, longest: int) -> Iterator[tuple[int, str]]:
    """A text as pieces of at most `longest` characters, cut at white space where there is any.

    Each comes with where it starts. What a network does before its first sample takes the longer
    the longer its text: a cancel never waits for more than one piece.
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
    speak: Callable[[str], Iterator[Pcm]],
    stretch: TimeStretch | None = None,
) -> Iterator[Block]:
    """The blocks that `speak` makes of each piece, stretched, with a mark at the end of each."""
    frames = 0
    for start, piece in pieces(text, longest):
        for pcm in speak(piece):
            made = pcm if stretch is None else np.frombuffer(stretch(pcm.tobytes()), np.int16)
            frames += len(made)
            yield Block(made)
        rest = EMPTY_PCM if stretch is None else np.frombuffer(stretch.flush(), np.int16)
        frames += len(rest)
        yield Block(rest, (Mark(start + len(piece), frames),))


def stretch_for(sample_rate: int, prosody: Prosody, has_rate: bool) -> TimeStretch | None:
    """What changes the pitch, and the speed if the network can't (`has_rate`); None: nothing to do.

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
