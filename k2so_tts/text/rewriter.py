"""Rewrites a text by rules while it is still being written, with the same result however it is cut.

A rule is a pattern that is matched where it may begin. The `regex` package tells a partial match: one
that more text could complete. The rewriter then waits for that text; all patterns are bounded, so
that it never waits for long and hostile texts take linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import regex

from k2so_tts.text.spoken_text import OffsetMap

Kept = tuple[int, int]
"""A part of a match, as offsets in the text it was found in, that is copied."""
Pieces = Sequence["str | Kept"]


@dataclass
class RewriteState:
    """What rules know of the text before: `last` is the last visible character of the output.

    A rule that sets `skip` has everything left out up to the end of what that pattern matches.
    """

    last: str = ""
    skip: regex.Pattern[str] | None = None


State = TypeVar("State", bound=RewriteState)

_LONGEST_WORD = 100
_CONTEXT = 64
"""Characters before the position at hand that patterns may look back at."""


@dataclass(frozen=True)
class Rule(Generic[State]):
    """Replaces what `pattern` matches, where `first` (a regex) matches the first character.

    `first` may look at the rest of a word, which is known when it is asked. `rewrite` gives the pieces that replace it: new text, and parts that are kept. None: this match
    is none after all. A match that ends less than `lookahead` characters before the end of what is
    known waits for more.
    """

    first: str
    pattern: regex.Pattern[str]
    rewrite: Callable[[regex.Match[str], State], Pieces | None]
    lookahead: int = 0


class RuleSet(Generic[State]):
    """Rules in their order, ready to be applied: made once, used for every text."""

    def __init__(self, rules: Sequence[Rule[State]]) -> None:
        firsts = "|".join(dict.fromkeys(rule.first for rule in rules))
        self.candidate = regex.compile(f"(?V1){firsts}" if rules else r"(?!)")
        self._rules = [(regex.compile(f"(?V1){rule.first}"), rule) for rule in rules]

    def at(self, text: str, place: int) -> Iterator[Rule[State]]:
        """The rules that may match at `place`."""
        for first, rule in self._rules:
            if first.match(text, place):
                yield rule


class Rewriter(Generic[State]):
    """Applies rules to a text that arrives in pieces."""

    def __init__(self, rules: RuleSet[State], state: State) -> None:
        self.offsets = OffsetMap()
        self._rules = rules
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
        while self._step(out, final):
            pass
        self._forget()
        return "".join(out)

    def _step(self, out: list[str], final: bool) -> bool:
        """Copy up to the next place where a rule may match, and apply it; False: wait, or end."""
        if self._state.skip is not None:
            return self._skip(out, self._state.skip, final)
        end = len(self._text) if final else self._known_end()
        found = self._rules.candidate.search(self._text, self._at)
        if found is None or found.start() >= end:
            self._copy(out, self._at, max(self._at, end))
            return False
        place = found.start()
        self._copy(out, self._at, place)
        for rule in self._rules.at(self._text, place):
            match = rule.pattern.match(self._text, place, partial=not final)
            if match is None:
                continue
            is_open = match.partial or match.end() + rule.lookahead >= len(self._text)
            if is_open and not final:
                return False
            pieces = rule.rewrite(match, self._state)
            if pieces is not None:
                self._replace(out, match, pieces)
                return True
        self._copy(out, place, place + 1)
        return True

    def _known_end(self) -> int:
        """Where the last word begins, which may go on: a word of any length is cut at some point."""
        end = len(self._text)
        least = max(self._at, end - _LONGEST_WORD)
        while end > least and not self._text[end - 1].isspace():
            end -= 1
        return end if end > least or least == self._at else len(self._text)

    def _skip(self, out: list[str], closer: regex.Pattern[str], final: bool) -> bool:
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
        self._put(out, self._text[start:end])
        self._at = end

    def _put(self, out: list[str], text: str) -> None:
        out.append(text)
        self._made += len(text)
        visible = text.rstrip()
        if visible:
            self._state.last = visible[-1]

    def _replace(self, out: list[str], match: regex.Match[str], pieces: Pieces) -> None:
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
