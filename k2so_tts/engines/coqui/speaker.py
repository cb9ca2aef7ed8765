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

"""A speaker of a model, or a cloned voice, in one of the model's languages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Speaker:
    """A speaker of the model, or a cloned voice, speaking one of the model's languages.

    `name` and `language` are empty where the model has only one; `clone` is what the model's
    `clone` returned.
    """

    name: str
    language: str = ""
    clone: Any = None

    def speaking(self, language: str) -> Speaker:
        """The same speaker in another language."""
        return replace(self, language=language)
