"""What is spoken of a text, and which characters of the text as it was sent each part stands for."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass
class OffsetMap:
    """Maps offsets in the output of a rewriting step to offsets in its input.

    Everything between edits is copied, so that only the edits are remembered. Each replaces the
    characters `source_start` to `source_end` of the input with `start` to `end` of the output.
    """

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    source_starts: list[int] = field(default_factory=list)
    source_ends: list[int] = field(default_factory=list)

    def add(self, start: int, end: int, source_start: int, source_end: int) -> None:
        """Remember an edit; they come in order."""
        self.starts.append(start)
        self.ends.append(end)
        self.source_starts.append(source_start)
        self.source_ends.append(source_end)

    def to_source(self, end: int) -> int:
        """How many characters of the input are spoken once `end` characters of the output are.

        A replacement counts as spoken when all of it is.
        """
        index = bisect_right(self.starts, end) - 1
        if index < 0:
            return end
        if end < self.ends[index]:
            return self.source_starts[index]
        return self.source_ends[index] + end - self.ends[index]


@dataclass(frozen=True)
class SpokenText:
    """A text as it is spoken (`text`), and the way back to the text as it was sent."""

    text: str
    maps: tuple[OffsetMap, ...] = ()
    """Of the steps that made it, the last one first."""

    def to_source(self, end: int) -> int:
        """How many characters of the text as it was sent are spoken once `end` characters of `text`
        are.
        """
        for offsets in self.maps:
            end = offsets.to_source(end)
        return end
