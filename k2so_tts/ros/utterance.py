"""One goal on its way: what was sent of it, at which stamps, and what was heard."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from k2so_tts.audio import Chunk, frames_to_ns, ns_to_frames
from k2so_tts.metrics import SynthesisStats
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions
from k2so_tts.text.stream import TextStream


class Span(NamedTuple):
    """A part without a pause: its first frame, that one's stamp, and when that is to be heard by
    the clock (s): as soon as it was sent, or after the part before it.
    """

    first: int
    start_ns: int
    due_at: float


@dataclass(eq=False)
class Utterance:
    """One goal, or one streamed text, on its way. Frames count from its first one."""

    key: Hashable
    text: str | TextStream
    options: SynthesisOptions
    accepted_at: float
    accepted_ns: int
    language: str = ""
    synthesis: Synthesis | None = None
    turn_at: float = math.nan
    engine_owes_since: float | None = None
    made: int = 0
    """Frames that the engine had made when it was last looked at."""
    player_owes_since: float = math.nan
    first_chunk_at: float | None = None
    heard_first_at: float | None = None
    nobody_listens: bool = False
    by_clock: bool = False
    """No player was there when it began; until one tells its playhead, the clock does."""
    lost_at: float | None = None
    players: frozenset[Hashable] = frozenset()
    """Who may have got what was sent (see `goals.Port.player_ids`) and has not left since."""
    sent: int = 0
    sent_at: float = math.nan
    told: int = 0
    ended: bool = False
    confirmed: int | None = None
    confirmed_at: float = math.nan
    moving: bool = False
    spans: list[Span] = field(default_factory=list)
    unheard: deque[Chunk] = field(default_factory=deque)
    following: Chunk | None = None
    losses: dict[int, int] = field(default_factory=dict)
    """Frames that the player has lost, by the first frame of the part that they belong to."""
    intact_to: int = 0
    """Up to this frame everything was heard, as far as the player has confirmed."""

    @property
    def rate(self) -> int:
        return self.synthesis.rate if self.synthesis else 1

    def stamp_ns(self, frame: int) -> int:
        span = self.span_of(frame)
        return span.start_ns + frames_to_ns(frame - span.first, self.rate)

    def span_of(self, frame: int) -> Span:
        return next(span for span in reversed(self.spans) if span.first <= frame)

    def span_end(self, frame: int) -> int:
        """The frame at which the span of `frame` ends, as far as it was sent."""
        return next((span.first for span in self.spans if span.first > frame), self.sent)

    def frame_at(self, stamp_ns: int) -> int | None:
        """The frame that is stamped so; None if it is not one of those that were sent."""
        for span in reversed(self.spans):
            if stamp_ns >= span.start_ns:
                frame = span.first + ns_to_frames(stamp_ns - span.start_ns, self.rate)
                return frame if frame <= self.sent + 1 else None
        return None

    def heard_text(self, frames: int) -> str:
        return self.synthesis.heard_text(frames) if self.synthesis else ""

    def spoken(self) -> SynthesisStats:
        synthesis = self.synthesis
        seconds = synthesis.frames / self.rate if synthesis else 0.0
        done = synthesis is not None and synthesis.done and seconds > 0
        return SynthesisStats(
            first_chunk_s=_since(self.first_chunk_at, self.turn_at),
            perceived_latency_s=_since(self.heard_first_at, self.turn_at),
            duration_s=seconds,
            real_time_factor=synthesis.seconds / seconds if synthesis and done else None,
        )


def _since(moment: float | None, start: float) -> float | None:
    return None if moment is None else moment - start
