"""What can be set: declared once with what is allowed, and checked in one way wherever it is given.

A parameter of a node, an option of an engine and `-o` on the command line are all a `Setting`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Value = Any

_TRUTH = {"true": True, "false": False}


class SettingError(ValueError):
    """Something is set that makes no sense; the message names it, its value and what is allowed."""


@dataclass(frozen=True)
class Setting:
    """One thing to set. `live` ones can change while a node runs.

    A number lies between `low` and `high` (both allowed), a string is one of `choices` if there
    are any.
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        if self.choices:
            return " | ".join(self.choices)
        kind = {float: "a number", int: "a whole number", bool: "true or false", str: "a string"}
        words = kind[type(self.default)]
        return words if self.low is None else f"{words} from {self.low:g} to {self.high:g}"

    def check(self, value: Value) -> Value:
        """The value, in the type of the default. Raises `SettingError`."""
        if isinstance(self.default, float) and type(value) is int:
            value = float(value)
        if isinstance(self.default, str) and not self.choices and type(value) is int:
            value = str(value)  # device:=5 is an index, and YAML takes it for a number
        fits = type(value) is type(self.default)
        if fits and self.low is not None and self.high is not None:
            fits = math.isfinite(value) and self.low <= value <= self.high
        if not fits or (self.choices and value not in self.choices):
            raise SettingError(f"parameter '{self.name}' is {value!r}; allowed: {self.allowed}")
        return value

    def parse(self, text: str) -> Value:
        """The value that a text on the command line stands for. Raises `SettingError`."""
        try:
            if isinstance(self.default, bool):
                return _TRUTH[text.lower()]
            return self.check(type(self.default)(text))
        except (KeyError, SettingError, ValueError):
            return self.check(text)
