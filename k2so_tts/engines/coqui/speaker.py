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
