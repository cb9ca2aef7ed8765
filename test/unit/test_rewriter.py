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

"""Where rules for texts are looked for."""

from __future__ import annotations

import re

import regex
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.text.rewriter import Rewriter, RewriteState, Rule, RuleSet

FIRSTS = (
    "x",
    ("[$€]", r"(?<!\w)[ab](?=c)"),
    (r"(?<!\w)\d", r"(?<=\s)-"),
    r"(?<!\w)(?:ab|ba)\b",
    r"(?<=\s)[+-]",
)


def rules() -> RuleSet[RewriteState]:
    """Rules that put what they match, one character, into brackets."""
    one = regex.compile(".", regex.DOTALL)
    found: list[Rule[RewriteState]] = [
        Rule(first, one, lambda match, _: ("<", match.span(), ">")) for first in FIRSTS
    ]
    return RuleSet(found)


@given(st.text("abcx19 -+€\n", max_size=20))
def test_a_rule_is_tried_exactly_where_one_of_its_beginnings_is(text: str) -> None:
    either = [
        first for firsts in FIRSTS for first in ([firsts] if isinstance(firsts, str) else firsts)
    ]
    expected = "".join(
        f"<{char}>" if any(re.compile(first).match(text, place) for first in either) else char
        for place, char in enumerate(text)
    )
    spoken = Rewriter(rules(), RewriteState()).feed(text, final=True)
    assert spoken == expected
