"""From a text as it was sent to the text that is spoken, keeping the way back.

Two steps: markup is taken out (`markup.py`), and what is left is written out as it is read
(`lexicon.py`, `normalise.py`). Both work on a text that is still being written, and give the same
however it is cut into pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from k2so_tts.text.lexicon import lexicon_rules
from k2so_tts.text.markup import THINKING, MarkupState, markup_rules
from k2so_tts.text.normalise import NormaliseState, normalise_rules
from k2so_tts.text.rewriter import Rewriter, RuleSet
from k2so_tts.text.spoken_text import SpokenText
from k2so_tts.text.words import words_of

FILTERS = (
    "markdown",
    "tags",
    "directions",
    "links",
    "latex",
    "emoji",
    "unicode",
    "lexicon",
    "normalise",
)
"""The steps, each of which can be switched off."""


@dataclass(frozen=True)
class SpeakableSettings:
    """What is rewritten: the steps (see `FILTERS`), and how.

    `code_blocks` is skip, announce or read; `emoji` drop or name. The content of the tags
    `thinking` is never spoken. `lexicon` maps words or phrases to how they are spoken.
    """

    filters: frozenset[str] = frozenset(FILTERS)
    code_blocks: str = "skip"
    emoji: str = "drop"
    thinking: tuple[str, ...] = THINKING
    lexicon: Mapping[str, str] = field(default_factory=dict)


class SpeakableStream:
    """The spoken form of a text that arrives in pieces, in a language (a BCP 47 tag)."""

    def __init__(self, language: str, settings: SpeakableSettings) -> None:
        tag = language.lower().replace("_", "-")
        code = tag.partition("-")[0]
        words = words_of(code)
        markup = MarkupState(words=words, code_blocks=settings.code_blocks, emoji=settings.emoji)
        self._markup = Rewriter(markup_rules(settings.filters, settings.thinking), markup)
        lexicon = tuple(settings.lexicon.items()) if "lexicon" in settings.filters else ()
        rules = _spelling_rules(lexicon, code if "normalise" in settings.filters else "")
        self._normalise = Rewriter(rules, NormaliseState(language=code, tag=tag, words=words))

    def feed(self, piece: str, *, final: bool = False) -> str:
        """Append a piece. Returns what is to be spoken next; `final`: nothing more comes for now."""
        return self._normalise.feed(self._markup.feed(piece, final=final), final=final)

    def to_source(self, end: int) -> int:
        """How many characters of what was fed are spoken once `end` characters of what was
        returned are.
        """
        return self._markup.offsets.to_source(self._normalise.offsets.to_source(end))


@lru_cache(maxsize=32)
def _spelling_rules(lexicon: tuple[tuple[str, str], ...], code: str) -> RuleSet[NormaliseState]:
    return RuleSet([*lexicon_rules(dict(lexicon)), *normalise_rules(code)])


def speakable(text: str, language: str, settings: SpeakableSettings) -> SpokenText:
    """The spoken form of a whole text, in a language (a BCP 47 tag)."""
    stream = SpeakableStream(language, settings)
    spoken = stream.feed(text, final=True)
    return SpokenText(spoken, (stream._normalise.offsets, stream._markup.offsets))  # noqa: SLF001
