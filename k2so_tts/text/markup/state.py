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

"""What the rules for markup know of the text before, and how they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from k2so_tts.text.rewriter import Match, Pieces, RewriteState
from k2so_tts.text.words import Words, words_of

ENDS = ".!?…:;,。！？、；：，।॥؟؛۔"
"""Signs after which no full stop is added."""
LINE = r"(?<![^\n])"
"""The beginning of a line."""


@dataclass
class MarkupState(RewriteState):
    """How markup is read, and what is open at the moment.

    While a line stands alone (`in_block`: a heading, a list item or a row), it is a sentence of its
    own.
    """

    words: Words = field(default_factory=lambda: words_of("en"))
    code: str = "skip"
    """What is done with a block of code: skip or announce."""
    name_emoji: Callable[[str], str] | None = None
    """What an emoji is called; None: it is left out."""
    closers: list[str] = field(default_factory=list)
    """Delimiters of emphasis and links that are open."""
    in_row: bool = False
    """The line at hand is a row of a table."""


def drop(_: Match, __: MarkupState) -> Pieces:
    """Leave the match out."""
    return ()


def keep_group(match: Match, _: MarkupState) -> Pieces:
    """Keep what the first group has matched."""
    return (match.span(1),)


def full_stop(state: MarkupState) -> str:
    """Ends what is said so far as a sentence, if nothing else does."""
    return "." if state.last and state.last not in ENDS else ""
