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

"""What emoji are called, by the package `emoji`, which is needed for this alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

from k2so_tts.remedies import pip_install
from k2so_tts.settings import SettingError


def require_emoji_names() -> None:
    """Check, without importing it, that the package is installed.

    Raises:
        SettingError: it is not.
    """
    if find_spec("emoji") is None:
        raise SettingError(
            "emoji cannot be named: the Python package emoji is missing; "
            f"install it with '{pip_install('emoji')}'"
        )


@cache
def emoji_namer(language: str) -> Callable[[str], str]:
    """What a sequence of emoji is called in a language (its ISO 639 code), else in English."""
    import emoji

    known = language if language in emoji.LANGUAGES else "en"

    def name(sequence: str) -> str:
        named = emoji.demojize(sequence, language=known, delimiters=("", ","))
        return named.replace("_", " ").replace("-", " ").rstrip(",").replace(",", ", ")

    return name
