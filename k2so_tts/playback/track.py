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

"""One utterance on its way from a source to the device."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from k2so_tts.audio import frames_to_ns
from k2so_tts.playback.converter import Converter
from k2so_tts.playback.jitter_buffer import JitterBuffer
from k2so_tts.playback.timeline import Timeline


@dataclass(eq=False)
class Source:
    """What is known of a publisher from one utterance to the next; compared by identity."""

    key: Hashable
    depth: int
    """Chunks that its next utterance collects before it starts."""
    sends_end_markers: bool = False
    track: Track | None = None
    """The utterance that it is sending."""
    timed_out: Track | None = None
    """Its last utterance, if that ended because no chunk came."""


@dataclass(eq=False)
class Track:
    """One utterance of a source; compared by identity."""

    source: Source
    timeline: Timeline
    buffer: JitterBuffer
    converter: Converter
    rate: int
    """Sample rate of `buffer`: that of the device (Hz)."""
    arrived_at: float
    """When its first chunk arrived (s, monotonic)."""
    queued: bool = False
    """It has been handed to the renderer."""
    started: bool = False
    """A frame of it was rendered, or its end."""
    stopped: bool = False
    """The rest of it is discarded as it arrives."""
    complete: bool = False
    """All of it was received, and nothing was cut."""
    finished: bool = False
    """Its end was heard and reported."""
    last_chunk_at: float = 0.0
    """When its latest chunk arrived (s, monotonic)."""
    timeout: float = 0.0
    """Seconds without a chunk after which it ends."""

    def stamp_ns(self, position: int, rate: int) -> int:
        """Return the stamp of frame `position` at a device's `rate` (Hz).

        For the end of a complete utterance it is exact, whatever conversion has rounded.
        """
        if self.complete and rate == self.rate and position >= self.buffer.received:
            return self.timeline.end_ns
        return self.timeline.start_ns + frames_to_ns(position, rate)


def playback_order(track: Track) -> tuple[bool, bool]:
    """Sort key: started tracks first, then those that are ready, then those still buffering.

    So a track that is still buffering never blocks others. A stable sort keeps the utterances of
    one source in order, since one is complete before the next arrives.
    """
    return not track.started, not track.buffer.ready
