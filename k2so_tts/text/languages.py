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

"""Which of the languages at hand is the best for a BCP 47 tag, falling back from its region."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|\d{3}))?"
    r"(?:-(?:\d[a-z\d]{3}|[a-z\d](?:-[a-z\d]{2,8})+))*"
)
"""RFC 5646, without the variants that can't be told from other words (`en-us-lessac`)."""
_ENCODING = re.compile(r"[.@].*")
_PREFERRED = {"iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro", "tl": "fil", "zh": "cmn"}
"""Codes that were replaced, and macrolanguages by the language that is usually meant (IANA)."""
_RELATED = {"no": ("nb", "nn"), "nb": ("no",), "nn": ("nb", "no"), "sh": ("sr", "hr")}
_CANTONESE_REGIONS = ("hk", "mo")
_HOME_REGIONS = {"en": "us", "cmn": "cn", "pt": "br"}
"""The region that is meant where none is named; of other languages the one that is written alike:
fr-fr."""
_BRITISH = re.compile("au|bw|gh|hk|ie|in|ke|mt|my|ng|nz|pk|sg|tz|ug|za|zm|zw")
_LATIN_AMERICAN = re.compile("ar|bo|cl|co|cr|cu|do|ec|gt|hn|mx|ni|pa|pe|pr|py|sv|us|uy|ve")
"""Regions whose English, or Spanish, is nearer to that of another region (CLDR)."""


class _Tag(NamedTuple):
    language: str
    script: str
    region: str


def best_language(wanted: str, known: Sequence[str]) -> int | None:
    """The index of the language of `known` that is best for `wanted`; None if there is none.

    Both are BCP 47 tags in any case, or names of locales (`de_DE.UTF-8`). The best one is the same
    tag, else a variety of what is wanted, else another variety of the same language: that of a
    region which speaks alike, the language without a region, its usual region, any. Among equals
    the first is taken.
    """
    plain = [_plain(tag) for tag in known]
    if (same := _plain(wanted)) in plain:
        return plain.index(same)
    tag = _parse(wanted)
    if tag is None:
        return None
    parsed = [_parse(other) or _Tag(other, "", "") for other in plain]
    for language in (tag.language, *_related(tag)):
        found = [index for index, other in enumerate(parsed) if other.language == language]
        if found:
            return min(found, key=lambda index: _distance(tag, parsed[index]))
    return None


def normal_tag(tag: str) -> str:
    """A tag in small letters and with hyphens, as tags are compared: `de-at` of `de_AT`."""
    return tag.lower().replace("_", "-")


def language_code(tag: str) -> str:
    """The language of a BCP 47 tag, without its region: `de` of `de-AT`, and of `de_AT`."""
    return normal_tag(tag).partition("-")[0]


def _plain(tag: str) -> str:
    return _ENCODING.sub("", normal_tag(tag))


def _parse(tag: str) -> _Tag | None:
    """A tag in its parts, the language by its preferred code; None if it is no tag."""
    match = _TAG.fullmatch(_plain(tag).replace("zh-yue", "yue").replace("zh-cmn", "cmn"))
    if match is None:
        return None
    language, script, region = (match[name] or "" for name in ("language", "script", "region"))
    if language == "zh" and region in _CANTONESE_REGIONS:
        language = "yue"
    return _Tag(_PREFERRED.get(language, language), script, region)


def _related(tag: _Tag) -> tuple[str, ...]:
    """Other languages that will do: what `no`, a group of languages, or `zh-HK` may mean."""
    if tag.language == "yue" and tag.region:
        return ("cmn",)
    return _RELATED.get(tag.language, ())


def _distance(wanted: _Tag, known: _Tag) -> tuple[bool, int]:
    """How far a variety of a language is from the one that is wanted; the least is the best.

    Where no region is wanted all are alike.
    """
    home = _HOME_REGIONS.get(wanted.language, wanted.language)
    regions = [wanted.region, _parent_region(wanted), "", home]
    near = regions.index(known.region) if known.region in regions else len(regions)
    is_other_script = bool(wanted.script and known.script and wanted.script != known.script)
    return is_other_script, near if wanted.region else 0


def _parent_region(tag: _Tag) -> str:
    """The region in which a language is spoken as in that of `tag`; its own if there is none."""
    if tag.language == "en" and _BRITISH.fullmatch(tag.region):
        return "gb"
    if tag.language == "es" and _LATIN_AMERICAN.fullmatch(tag.region):
        return "419"
    return tag.region
