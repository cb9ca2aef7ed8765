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

"""From a text as it was sent to the text that is spoken, keeping the way back.

Two steps: markup is taken out (`k2so_tts.text.markup`), and what is left is written out as it is
read (`lexicon.py`, `k2so_tts.text.normalise`). Both work on a text that is still being written, and
give the same however it is cut into pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from k2so_tts.settings import Setting, SettingError, brief
from k2so_tts.text.emoji_names import emoji_namer, require_emoji_names
from k2so_tts.text.languages import language_code, normal_tag
from k2so_tts.text.lexicon import EMPTY_LEXICON, Lexicon, lexicon_rules, load_lexicon
from k2so_tts.text.markup import SILENT_TAGS, MarkupState, markup_rules
from k2so_tts.text.normalise import NormaliseState, normalise_rules
from k2so_tts.text.rewriter import Rewriter, Rule, RuleSet, phonemes_rule
from k2so_tts.text.spoken_text import OffsetMap, SpokenText, to_source
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
SKIP, ANNOUNCE = "skip", "announce"
DROP, NAME = "drop", "name"
_ALL = "all"


@dataclass(frozen=True)
class SpeakableSettings:
    """Which steps rewrite a text (see `FILTERS`), and how.

    A block of code (`code`) is left out (`SKIP`) or announced (`ANNOUNCE`), an `emoji` left out
    (`DROP`) or named (`NAME`). The content of the tags `silent_tags` is never spoken.
    """

    filters: frozenset[str] = frozenset(FILTERS)
    code: str = SKIP
    emoji: str = DROP
    silent_tags: tuple[str, ...] = SILENT_TAGS
    lexicon: Lexicon = EMPTY_LEXICON


SPEAKABLE = SpeakableSettings()
"""Every text is rewritten, as by default."""

SETTINGS = (
    Setting(
        "text_filters",
        _ALL,
        f"How texts are rewritten before they are spoken: {_ALL}, or some of "
        f"{', '.join(FILTERS)}, separated by commas; empty: not at all.",
        live=True,
    ),
    Setting(
        "lexicon",
        "",
        "The pronunciation list: a YAML file of what is written and what is said for it; set it "
        "again to have a changed file read; empty: none.",
        live=True,
    ),
    Setting(
        "code",
        SKIP,
        "What is said for a block of code: nothing (skip), or 'code block' (announce).",
        choices=(SKIP, ANNOUNCE),
        live=True,
    ),
    Setting(
        "emoji",
        DROP,
        "Emoji are left out (drop), or their names are said (name: takes the package emoji).",
        choices=(DROP, NAME),
        live=True,
    ),
    Setting(
        "silent_tags",
        ", ".join(SILENT_TAGS),
        "Tags whose content is never spoken, separated by commas.",
        live=True,
    ),
)
"""What users can set, of nodes and on the command line."""


def speakable_settings(values: Mapping[str, Any]) -> SpeakableSettings:
    """What the values of `SETTINGS` stand for; the lexicon is read.

    Raises:
        SettingError: a step is unknown, the lexicon is invalid, or a package is missing.
    """
    if values["emoji"] == NAME:
        require_emoji_names()
    return SpeakableSettings(
        _parse_filters(values["text_filters"]),
        values["code"],
        values["emoji"],
        _names(values["silent_tags"]),
        load_lexicon(values["lexicon"]),
    )


def _parse_filters(value: str) -> frozenset[str]:
    found = frozenset(_names(value))
    if unknown := found - {_ALL, *FILTERS}:
        raise SettingError(
            f"parameter 'text_filters' holds {brief(min(unknown))}; "
            f"allowed: {_ALL}, or some of {', '.join(FILTERS)}"
        )
    return frozenset(FILTERS) if _ALL in found else found


def _names(value: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in value.split(","))))


class SpeakableStream:
    """The spoken form of a text that arrives in pieces, in a language (a BCP 47 tag)."""

    def __init__(self, language: str, settings: SpeakableSettings) -> None:
        tag, code = normal_tag(language), language_code(language)
        words = words_of(code)
        rules = _rules(tag, settings)
        namer = emoji_namer(code) if settings.emoji == NAME else None
        markup = MarkupState(words=words, code=settings.code, name_emoji=namer)
        self._markup = Rewriter(rules.markup, markup, rules.markup_in_block)
        spelling = NormaliseState(language=code, tag=tag, words=words)
        self._spelling = Rewriter(rules.spelling, spelling)

    @property
    def maps(self) -> tuple[OffsetMap, ...]:
        """The way from what was returned to what was fed: the maps of the steps, last one first."""
        return (self._spelling.offsets, self._markup.offsets)

    def feed(self, piece: str, *, final: bool = False) -> str:
        """Append a piece; return what is certain to be spoken next, with `final` all.

        More may be fed after that, for example when a writer has only paused.
        """
        return self._spelling.feed(self._markup.feed(piece, final=final), final=final)

    def to_source(self, end: int) -> int:
        """How many characters of what was fed are spoken once `end` of what was returned are."""
        return to_source(self.maps, end)


@dataclass(frozen=True)
class _Rules:
    """Of a language and settings, for all texts."""

    markup: RuleSet[MarkupState]
    markup_in_block: RuleSet[MarkupState]
    spelling: RuleSet[NormaliseState]


_PHONEMES: Rule[NormaliseState] = phonemes_rule()


@lru_cache(maxsize=32)
def _rules(tag: str, settings: SpeakableSettings) -> _Rules:
    filters = settings.filters
    spelling = [_PHONEMES]
    if "lexicon" in filters:
        spelling += lexicon_rules(settings.lexicon.of(tag))
    if "normalise" in filters:
        spelling += normalise_rules(language_code(tag))
    return _Rules(*markup_rules(filters, settings.silent_tags), RuleSet(spelling))


def prepare(language: str, settings: SpeakableSettings) -> None:
    """Compile the rules for a language, so that its first text need not wait for that."""
    _rules(normal_tag(language), settings)


def speakable(text: str, language: str, settings: SpeakableSettings) -> SpokenText:
    """The spoken form of a whole text, in a language (a BCP 47 tag)."""
    stream = SpeakableStream(language, settings)
    return SpokenText(stream.feed(text, final=True), stream.maps)
