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

"""Addresses: a URL is spoken as its host, an e-mail address as such."""

from __future__ import annotations

from k2so_tts.text.markup.state import MarkupState, keep_group
from k2so_tts.text.rewriter import Match, Pieces, rule


def _mail(match: Match, state: MarkupState) -> Pieces:
    return (match.span(1), f" {state.words.at} ", match.span(2))


_HOST = r"(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.){1,8}\p{L}{2,24}"
_PATH = r"(?:[/?#](?:[^\s<>\"'`()\[\]|]|\([^\s()]{0,200}\)){0,1500}(?<![.,;:!?*_~]))?"
_KNOWN = "com|org|net|edu|gov|io|dev|ai|app|info|de|fr|es|it|uk|eu|ch|at"

ADDRESSES = [
    rule(
        (r"<(?=https?:|ftp:|mailto:)", r"(?<![^\W_])[hf](?=ttps?:|tp:)"),
        rf"(?<![\p{{L}}\p{{N}}@.])<?(?:https?|ftp)://(?:[^\s/@<>]{{1,80}}@)?(?:www\.)?"
        rf"({_HOST}|localhost|\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?::\d{{1,5}})?{_PATH}>?",
        keep_group,
        2,
    ),
    rule(
        r"(?<![^\W_])[wW](?=[wW]{2}\.)",
        rf"(?i)(?<![\p{{L}}\p{{N}}@./])www\.({_HOST}){_PATH}",
        keep_group,
        2,
    ),
    rule(
        r"(?<![\w.@/-])[a-z](?=[a-z0-9-]{0,40}\.[a-z0-9.-]{2,40}/)",
        rf"(?<![\w.@/-])((?:[a-z0-9][a-z0-9-]{{0,61}}\.){{1,4}}(?:{_KNOWN}))(?=/){_PATH}",
        keep_group,
        2,
    ),
    rule(
        r"(?<![\w.%+@-])[A-Za-z0-9<](?=[A-Za-z0-9._%+:-]{0,64}@)",
        r"(?<![\p{L}\p{N}._%+@-])<?(?:mailto:)?([A-Za-z0-9][A-Za-z0-9._%+-]{0,63})@"
        rf"({_HOST})>?",
        _mail,
        2,
    ),
]
