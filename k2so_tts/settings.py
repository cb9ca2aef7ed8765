"""What can be set: declared once with what is allowed, and checked in one way wherever it is given.

A parameter of a node, an option of an engine and `-o` on the command line are all a `Setting`.
"""

from __future__ import annotations

import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Value = Any

_TRUTH = {"true": True, "false": False}
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 200


class SettingError(ValueError):
    """Something is set that makes no sense; the message names it, its value and what is allowed."""


@dataclass(frozen=True)
class Setting:
    """One thing to set. `live` ones can change while a node runs.

    A number lies between `low` and `high` (both allowed), a string is one of `choices` if there
    are any. With `paths` it names files or directories that exist, several with a colon between,
    or begins with `name_prefix` and is then something else.
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    paths: bool = False
    name_prefix: str | None = None

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        if self.choices:
            return " | ".join(self.choices)
        if self.paths:
            names = f", or a name {self.name_prefix}..." if self.name_prefix else ""
            return f"what exists: files or directories{names}"
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
            fits = self.low <= value <= self.high
        if fits and self.paths and not (self.name_prefix and value.startswith(self.name_prefix)):
            fits = all(map(_exists, filter(None, value.split(os.pathsep))))
        if not fits or (self.choices and value not in self.choices):
            raise SettingError(
                f"parameter '{self.name}' is {brief(value)}; allowed: {self.allowed}"
            )
        return value

    def parse(self, text: str) -> Value:
        """The value that a text on the command line stands for. Raises `SettingError`."""
        try:
            if isinstance(self.default, bool):
                return _TRUTH[text.lower()]
            return self.check(type(self.default)(text))
        except (KeyError, SettingError, ValueError):
            return self.check(text)


def brief(value: object) -> str:
    """A value as messages show it: on one line, and shortened if it is long."""
    return _BRIEF.repr(value)


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, no such user, no path at all
        return False


def paths_of(value: str) -> list[Path]:
    """The paths that the value of a setting with `paths` names."""
    return [Path(name).expanduser() for name in value.split(os.pathsep) if name]
