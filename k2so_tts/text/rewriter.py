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

"""Rewrites a text by rules while it is still being written, with the same result however it is cut.

A rule is a pattern that is matched where it may begin. The `regex` package reports partial
matches: those that more text could complete. The rewriter then waits for that text. All patterns
are bounded, so that it never waits for long, and takes linear time for hostile texts.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import regex

from k2so_tts.text.spoken_text import OffsetMap

Match = regex.Match[str]
Kept = tuple[int, int]
"""A part of a match, as offsets in the text it was found in, that is copied."""
Pieces = Sequence["str | Kept"]


_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3001-\u301f\u3400-\u9fff\uff01-\uff1f]"
)
"""Thai and its neighbours, ideographs, and the punctuation of both."""


@dataclass
class RewriteState:
    """What rules know of the text before the position at hand."""

    last: str = ""
    """The last visible character of the output."""
    skip: regex.Pattern[str] | None = None
    """Everything is left out up to the end of what this matches; a rule sets it."""
    in_block: bool = False
    """The rules for lines of their own apply as well: see `Rewriter`."""


State = TypeVar("State", bound=RewriteState)

LONGEST_LOOK = 100
"""Characters after a position that `Rule.first` may look at, up to the end of the word."""
_CONTEXT = 64
"""Characters before a position that patterns may look back at."""
_RUN_SIGNS = frozenset(string.punctuation) - {"|"}
_RUN_STEP = 1024
_LONGEST_RUN = 3
"""Signs of one kind in a row that a rule may begin within."""


@dataclass(frozen=True)
class Rule(Generic[State]):
    """Replaces what `pattern` matches with the pieces that `rewrite` returns.

    `first` (a pattern of `re`, or several) matches where the rule may begin: it is searched in all
    of a text, so that it must be quick and match rarely. It may begin with what is not before the
    rule, and look ahead up to the end of the word (`LONGEST_LOOK`), but has no `|` of its own
    outside of parentheses. Pieces are new text, or parts of the text that are kept; with None in
    their place the rule doesn't apply. A match waits for more as long as the word that is
    `lookahead` characters after it may go on.
    """

    first: str | tuple[str, ...]
    pattern: regex.Pattern[str]
    rewrite: Callable[[Match, State], Pieces | None]
    lookahead: int = 0


def rule(
    first: str | tuple[str, ...],
    pattern: str,
    rewrite: Callable[[Match, State], Pieces | None],
    lookahead: int = 0,
) -> Rule[State]:
    """A `Rule` with a pattern of the package `regex`."""
    return Rule(first, regex.compile(pattern), rewrite, lookahead)


def phonemes_rule() -> Rule[Any]:
    """Keeps phonemes in double brackets, which espeak and Piper understand, as they are."""
    return rule(r"\[", r"\[\[[^\[\]\n]{1,300}\]\]", lambda match, _: (match.span(),))


class RuleSet(Generic[State]):
    """Rules in the order in which they are tried, compiled once for all texts."""

    def __init__(self, rules: Sequence[Rule[State]]) -> None:
        firsts = list(dict.fromkeys(first for rule in rules for first in _firsts_of(rule)))
        self.candidate = re.compile(_any_of(firsts) if firsts else r"(?!)")
        self._firsts = re.compile("".join(f"(?=({first})|)" for first in firsts))
        """Captures what each of them matches at one place."""
        self._rules = [
            ({firsts.index(first) for first in _firsts_of(rule)}, rule) for rule in rules
        ]
        self._at: dict[frozenset[int], list[Rule[State]]] = {}

    def at(self, text: str, place: int) -> list[Rule[State]]:
        """The rules that may match at `place`."""
        found = self._firsts.match(text, place)
        parts = found.groups() if found else ()
        begins = frozenset(index for index, part in enumerate(parts) if part is not None)
        if begins not in self._at:
            self._at[begins] = [rule for firsts, rule in self._rules if firsts & begins]
        return self._at[begins]


def _firsts_of(rule: Rule[Any]) -> tuple[str, ...]:
    return (rule.first,) if isinstance(rule.first, str) else rule.first


def _any_of(firsts: Sequence[str]) -> str:
    """A pattern for any of them, in half the time: it looks back once for all that do so alike."""
    groups: dict[str, list[str]] = {}
    for first in firsts:
        before, closing, begins = (
            first.partition(")") if first.startswith("(?<") else ("", "", first)
        )
        groups.setdefault(before + closing, []).append(begins)
    return "|".join(f"{before}(?:{'|'.join(begins)})" for before, begins in groups.items())


class Rewriter(Generic[State]):
    """Applies rules to a text that arrives in pieces: `in_block` where the state says so."""

    def __init__(
        self, rules: RuleSet[State], state: State, in_block: RuleSet[State] | None = None
    ) -> None:
        self.offsets = OffsetMap()
        self._rules = (rules, in_block or rules)
        self._state = state
        self._text = ""
        self._at = 0
        self._base = 0
        """Offset of `_text` in the input."""
        self._made = 0

    def feed(self, piece: str, *, final: bool = False) -> str:
        """Append a piece. Returns what is certain now; with `final`, all that is left."""
        self._text += piece
        out: list[str] = []
        while self._step(out, final=final):
            pass
        self._forget()
        return "".join(out)

    def _step(self, out: list[str], *, final: bool) -> bool:
        """Copy up to the next place where a rule may match, and apply it; False: wait, or end."""
        text, state = self._text, self._state
        if state.skip is not None:
            return self._skip(out, state.skip, final=final)
        end = len(text) if final else self._known_end()
        rules = self._rules[state.in_block]
        found = rules.candidate.search(text, self._at)
        if found is None or found.start() >= end:
            self._copy(out, self._at, max(self._at, end))
            return False
        place = found.start()
        self._copy(out, self._at, place)
        run_end = self._end_of_run(place)
        if run_end > place:
            self._copy(out, place, run_end)
            return True
        for rule in rules.at(text, place):
            match = rule.pattern.match(text, place, partial=not final)
            if match is None:
                continue
            needed = match.end() + rule.lookahead
            if not final and (match.partial or needed > end or needed >= len(text)):
                return False
            pieces = rule.rewrite(match, state)
            if pieces is not None:
                self._replace(out, match, pieces)
                return True
        self._copy(out, place, place + 1)
        return True

    def _end_of_run(self, place: int) -> int:
        """Where a run of one sign ends of which `place` is the fourth or later; `place` else.

        No rule applies there, so that long runs are copied at once.
        """
        sign = self._text[place]
        before = self._text[max(0, place - _LONGEST_RUN) : place]
        if before != _LONGEST_RUN * sign or sign not in _RUN_SIGNS:
            return place
        rest = self._text[place : place + _RUN_STEP]
        return place + len(rest) - len(rest.lstrip(sign))

    def _known_end(self) -> int:
        """Where the last word begins, which may go on; one longer than `LONGEST_LOOK` is cut."""
        end = len(self._text)
        least = max(self._at, end - LONGEST_LOOK)
        while end > least and not _ends_word(self._text[end - 1]):
            end -= 1
        return end

    def _skip(self, out: list[str], closer: regex.Pattern[str], *, final: bool) -> bool:
        """Leave out what is skipped, as far as it is known."""
        found = closer.search(self._text, self._at)
        if found is not None and (final or found.end() < len(self._text)):
            self._state.skip = None
            self._edit(out, "", self._at, found.end())
            return True
        end = len(self._text) if final else max(self._at, len(self._text) - _CONTEXT)
        self._edit(out, "", self._at, end)
        return False

    def _copy(self, out: list[str], start: int, end: int) -> None:
        if end > start:
            self._put(out, self._text[start:end])
        self._at = end

    def _put(self, out: list[str], text: str) -> None:
        out.append(text)
        self._made += len(text)
        visible = text.rstrip()
        if visible:
            self._state.last = visible[-1]

    def _replace(self, out: list[str], match: Match, pieces: Pieces) -> None:
        kept = [piece for piece in pieces if not isinstance(piece, str)]
        ends = iter([*(start for start, _ in kept), match.end()])
        end = next(ends)
        new = ""
        for piece in pieces:
            if isinstance(piece, str):
                new += piece
                continue
            self._edit(out, new, self._at, end)
            self._copy(out, *piece)
            end, new = next(ends), ""
        self._edit(out, new, self._at, end)

    def _edit(self, out: list[str], new: str, start: int, end: int) -> None:
        if new or end > start:
            made = self._made
            self.offsets.add(made, made + len(new), self._base + start, self._base + end)
            self._put(out, new)
        self._at = end

    def _forget(self) -> None:
        """Keep no more of what was rewritten than patterns look back at."""
        surplus = self._at - _CONTEXT
        if surplus > 0:
            self._text = self._text[surplus:]
            self._base += surplus
            self._at -= surplus


def _ends_word(char: str) -> bool:
    """Whether no rule looks further: white space, and scripts that put no spaces between words."""
    return char.isspace() or (char > "\u0dff" and _UNSPACED.match(char) is not None)
