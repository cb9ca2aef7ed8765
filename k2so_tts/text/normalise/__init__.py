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

"""Numbers, dates, units and abbreviations, written out as the language of the voice reads them.

Digits stay digits where engines read them well by themselves. A language without words here (see
`k2so_tts.text.words`) is left to the engine.
"""

from __future__ import annotations

from k2so_tts.text.normalise.abbreviations import abbreviation_rules, roman_rules
from k2so_tts.text.normalise.amounts import money_rules, unit_rules
from k2so_tts.text.normalise.dates import date_rules
from k2so_tts.text.normalise.numbers import number_rules, phone_rules
from k2so_tts.text.normalise.state import NormaliseState
from k2so_tts.text.rewriter import Rule
from k2so_tts.text.words import words_of

__all__ = ["NormaliseState", "normalise_rules"]


def normalise_rules(language: str) -> list[Rule[NormaliseState]]:
    """The rules for a language (its ISO 639 code); none where its words are not known."""
    words = words_of(language)
    if not words.to:
        return []
    return [
        *abbreviation_rules(words),
        *date_rules(language),
        *phone_rules(),
        *money_rules(words),
        *unit_rules(words),
        *number_rules(words),
        *roman_rules(language),
    ]
