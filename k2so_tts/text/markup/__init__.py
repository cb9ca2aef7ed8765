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

"""Takes out what is written for the eye: markdown, tags, links, emoji, invisible characters.

What is not understood stays as it is: `snake_case`, `2 * 3 * 4`, `#1`, `C#` and `a < b` survive.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from k2so_tts.text.markup.addresses import ADDRESSES
from k2so_tts.text.markup.markdown import BLOCKS, CODE, EMPHASIS, IN_BLOCK, LINKS
from k2so_tts.text.markup.state import MarkupState
from k2so_tts.text.markup.symbols import EMOJI, FORMULAS, UNICODE
from k2so_tts.text.markup.tags import DIRECTIONS, ENTITIES, SILENT_TAGS, TAGS, silent_tags
from k2so_tts.text.rewriter import Rule, RuleSet, phonemes_rule

__all__ = ["SILENT_TAGS", "MarkupState", "markup_rules"]


def markup_rules(
    filters: Collection[str], silent: Sequence[str]
) -> tuple[RuleSet[MarkupState], RuleSet[MarkupState]]:
    """The rules of the steps that are switched on (see `speakable.FILTERS`), and those for lines
    that stand alone; `silent` are tags whose content is left out.
    """
    groups: list[tuple[str, list[Rule[MarkupState]]]] = [
        ("tags", [*silent_tags(silent), *TAGS]),
        ("directions", DIRECTIONS),
        ("latex", FORMULAS),
        ("markdown", [*CODE, *LINKS, *BLOCKS, *EMPHASIS]),
        ("links", ADDRESSES),
        ("tags", ENTITIES),
        ("emoji", EMOJI),
        ("unicode", UNICODE),
    ]
    rules: list[Rule[MarkupState]] = [phonemes_rule()]
    rules += [each for name, group in groups if name in filters for each in group]
    in_block = [*IN_BLOCK, *rules] if "markdown" in filters else rules
    return RuleSet(rules), RuleSet(in_block)
