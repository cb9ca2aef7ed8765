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

"""Which language is the best one for a BCP 47 tag."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.text.languages import best_language

NAMES = """
ar bn cmn cs da de el en-029 en-gb en-us en-us-nyc es es-419 fa fi fr-be fr-ch fr-fr he hi hr hu id
it ja ko nb nl pl pt pt-br ro ru sk sr sv sw ta th tr uk ur vi yue
"""
ESPEAK = NAMES.split()
"""The languages of espeak-ng that the tags below may find."""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("en-US", "en-us"),
        ("en-GB", "en-gb"),
        ("en-CA", "en-us"),
        ("en-AU", "en-gb"),
        ("en-IN", "en-gb"),
        ("de-DE", "de"),
        ("de_AT", "de"),
        ("fr-FR", "fr-fr"),
        ("fr-CA", "fr-fr"),
        ("fr-CH", "fr-ch"),
        ("es-ES", "es"),
        ("es-MX", "es-419"),
        ("es-US", "es-419"),
        ("it-IT", "it"),
        ("pt-PT", "pt"),
        ("pt-BR", "pt-br"),
        ("nl-BE", "nl"),
        ("sv-SE", "sv"),
        ("da-DK", "da"),
        ("nb-NO", "nb"),
        ("no-NO", "nb"),
        ("nn-NO", "nb"),
        ("fi-FI", "fi"),
        ("pl-PL", "pl"),
        ("cs-CZ", "cs"),
        ("ru-RU", "ru"),
        ("uk-UA", "uk"),
        ("tr-TR", "tr"),
        ("ar-SA", "ar"),
        ("he-IL", "he"),
        ("iw-IL", "he"),
        ("hi-IN", "hi"),
        ("bn-IN", "bn"),
        ("ja-JP", "ja"),
        ("ko-KR", "ko"),
        ("zh-CN", "cmn"),
        ("zh-TW", "cmn"),
        ("zh-Hans-SG", "cmn"),
        ("zh-HK", "yue"),
        ("zh-Hant-MO", "yue"),
        ("zh-yue", "yue"),
        ("zh", "cmn"),
        ("cmn-Hans-CN", "cmn"),
        ("vi-VN", "vi"),
        ("th-TH", "th"),
        ("id-ID", "id"),
        ("in-ID", "id"),
        ("el-GR", "el"),
        ("fa-IR", "fa"),
        ("sr-Latn-RS", "sr"),
        ("sh", "sr"),
        ("en", "en-029"),
        ("en-us-NYC", "en-us-nyc"),
        ("de_DE.UTF-8", "de"),
        ("ca_ES@euro", None),
        ("de-DE-1996", "de"),
        ("de-DE-u-co-phonebk", "de"),
        ("de-x-robot", "de"),
        ("gl-ES", None),
        ("fil-PH", None),
        ("xx-nope", None),
        ("en-us-lessac-medium", None),
        ("klingon", None),
        ("d", None),
        ("", None),
    ],
)
def test_a_tag_finds_the_best_language(wanted: str, found: str | None) -> None:
    index = best_language(wanted, ESPEAK)
    assert (None if index is None else ESPEAK[index]) == found


@pytest.mark.parametrize(
    ("wanted", "known", "found"),
    [
        ("zh-CN", ["zh-tw", "zh-cn"], "zh-cn"),
        ("cmn", ["en", "zh_CN"], "zh_CN"),
        ("zh-HK", ["en", "zh-cn"], "zh-cn"),
        ("yue", ["en", "zh-cn"], None),
        ("zh-HK", ["zh-cn", "zh-hk"], "zh-hk"),
        ("en-US", ["en-gb", "en"], "en"),
        ("en-AU", ["en-us", "en", "en-gb"], "en-gb"),
        ("en-NZ", ["en-au", "en-us"], "en-us"),
        ("pt-AO", ["pt-pt", "pt-br"], "pt-br"),
        ("es-AR", ["es-es", "es-mx"], "es-es"),
        ("fr-CA", ["fr-be", "fr"], "fr"),
        ("uz-Cyrl", ["uz-latn", "uz-cyrl"], "uz-cyrl"),
        ("sr-Latn-RS", ["sr-cyrl-rs", "sr-latn"], "sr-latn"),
        ("no", ["nn-no"], "nn-no"),
        ("nn", ["no-no", "nb"], "nb"),
        ("de", ["de-at", "de-de"], "de-at"),
        ("en", ["not a tag", "en-gb"], "en-gb"),
        ("not a tag", ["en", "Not a tag"], "Not a tag"),
    ],
)
def test_the_nearest_variety_is_taken(wanted: str, known: list[str], found: str | None) -> None:
    index = best_language(wanted, known)
    assert (None if index is None else known[index]) == found


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=4))
def test_any_text_may_be_asked_for(wanted: str, known: list[str]) -> None:
    index = best_language(wanted, known)
    assert index is None or index < len(known)
    if wanted in known:
        assert index is not None
