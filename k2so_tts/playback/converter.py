"""One stream's samples at one rate and with some channels, as a device wants them."""

from __future__ import annotations

import numpy as np
import soxr

from k2so_tts.audio import AudioFormat, Samples

_AT_ONCE = 32_768
"""Frames: a resampler keeps the memory that the most it was ever given at once took."""


def map_channels(samples: Samples, channels: int) -> Samples:
    """Spread or mix the channels of `samples`, shape (frames, n), over `channels` channels.

    Mono is heard on all; otherwise channel k goes to k modulo `channels`, averaged where several
    meet.
    """
    present = samples.shape[1]
    if present == channels:
        return samples
    if present == 1:
        return np.repeat(samples, channels, axis=1)
    mixed = np.zeros((len(samples), channels), np.float32)
    for channel in range(channels):
        meeting = samples[:, channel::channels]
        if meeting.shape[1]:
            mixed[:, channel] = meeting.mean(axis=1)
    return mixed


class Converter:
    """Converts a stream chunk by chunk, as if it were converted whole: no seams, no drift.

    Rates are converted by soxr's streaming resampler (high quality), which holds back some
    tens of milliseconds until `flush`.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self._target = target
        self._resampler = (
            None
            if source.rate == target.rate
            else soxr.ResampleStream(
                source.rate, target.rate, source.channels, dtype="float32", quality="HQ"
            )
        )
        self._empty = np.empty((0, source.channels), np.float32)

    def convert(self, samples: Samples) -> Samples:
        """What is ready after `samples`, shape (frames, channels of the source)."""
        if self._resampler is not None:
            whole = np.ascontiguousarray(samples)
            parts = (whole[at : at + _AT_ONCE] for at in range(0, max(1, len(whole)), _AT_ONCE))
            samples = _clipped(np.concatenate([*map(self._resampler.resample_chunk, parts)]))
        return map_channels(samples, self._target.channels)

    def flush(self) -> Samples:
        """What was held back; the stream has ended."""
        rest = self._empty
        if self._resampler is not None:
            rest = _clipped(self._resampler.resample_chunk(rest, last=True))
        return map_channels(rest, self._target.channels)


def _clipped(samples: Samples) -> Samples:
    """A resampler overshoots where a sound at full scale jumps."""
    return np.clip(samples, -1.0, 1.0, out=samples)
