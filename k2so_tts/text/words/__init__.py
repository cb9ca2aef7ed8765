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

"""What languages call the things that texts write as signs: one module for each language."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from k2so_tts.text.words.base import Words

__all__ = ["Words", "words_of"]

_MODULES = {"en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian"}
_NO_WORDS = Words()


@cache
def words_of(language: str) -> Words:
    """The words of a language (its ISO 639 code); of another than those known, signs stay signs."""
    if language not in _MODULES:
        return _NO_WORDS
    words: Words = import_module(f"{__name__}.{_MODULES[language]}").WORDS
    return words
