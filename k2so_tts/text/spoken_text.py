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

"""What is spoken of a text, and which characters of the text as sent each part stands for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class OffsetMap:
    """Maps offsets in the output of a rewriting step to offsets in its input.

    What is between edits is copied, so that only the edits are stored. Each replaces the characters
    `source_start` to `source_end` of the input with `start` to `end` of the output.
    """

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    source_starts: list[int] = field(default_factory=list)
    source_ends: list[int] = field(default_factory=list)

    def add(self, start: int, end: int, source_start: int, source_end: int) -> None:
        """Add an edit that follows all others."""
        self.ends.append(end)
        self.source_starts.append(source_start)
        self.source_ends.append(source_end)
        self.starts.append(start)  # last: `to_source` may run in another thread

    def to_source(self, end: int) -> int:
        """How many characters of the input are spoken once `end` characters of the output are.

        A replacement counts as spoken once all of it is; what is left out, once what precedes it
        is.
        """
        index = bisect_right(self.starts, end) - 1
        if index < 0:
            return end
        if end < self.ends[index]:
            return self.source_starts[index]
        return self.source_ends[index] + end - self.ends[index]


def to_source(maps: Sequence[OffsetMap], end: int) -> int:
    """`OffsetMap.to_source` through several steps, the last one first."""
    if end <= 0:
        return 0
    for offsets in maps:
        end = offsets.to_source(end)
    return end


@dataclass(frozen=True)
class SpokenText:
    """A text as it is spoken, and the way back to the text as it was sent."""

    text: str
    maps: tuple[OffsetMap, ...] = ()
    """Of the steps that made it, the last one first."""

    def to_source(self, end: int) -> int:
        """How many characters of the text as it was sent are spoken once `end` of `text` are."""
        return to_source(self.maps, end)
