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

"""Settings: each is declared once, with its range, and checked in the same way everywhere.

Node parameters, engine options and `-o` on the command line are all a `Setting`.
"""

from __future__ import annotations

import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Value = Any

_BOOLEANS = {"true": True, "false": False}
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 200


class SettingError(ValueError):
    """A setting has an invalid value; the message names it, the value and what is allowed."""


@dataclass(frozen=True)
class Setting:
    """The declaration of one setting, whose type is that of its default.

    A number must be in the range from `low` to `high`, both included, if there is one. A string
    must be one of `choices`, if there are any. With `paths` it holds paths that exist, separated by
    colons; a value that begins with `name_prefix` is a name instead, which is not looked up. A
    `live` setting may be changed while a node runs.
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
        """What is allowed, in words, for messages and parameter descriptions."""
        if self.choices:
            return " | ".join(self.choices)
        if self.paths:
            names = f", or a name {self.name_prefix}..." if self.name_prefix else ""
            return f"what exists: files or directories{names}"
        kind = {float: "a number", int: "a whole number", bool: "true or false", str: "a string"}
        words = kind[type(self.default)]
        return words if self.low is None else f"{words} from {self.low:g} to {self.high:g}"

    def check(self, value: Value) -> Value:
        """Check a value and return it in the type of the default.

        A whole number is accepted for a float, and for a string without choices.

        Raises:
            SettingError: it has another type, or is not allowed.
        """
        if isinstance(self.default, float) and type(value) is int:
            value = float(value)
        if isinstance(self.default, str) and not self.choices and type(value) is int:
            value = str(value)  # device:=5 is an index, which YAML reads as a number
        fits = type(value) is type(self.default)
        if fits and self.low is not None and self.high is not None:
            fits = self.low <= value <= self.high
        if fits and self.paths and not (self.name_prefix and value.startswith(self.name_prefix)):
            fits = all(map(_exists, filter(None, value.split(os.pathsep))))
        if not fits or (self.choices and value not in self.choices):
            message = f"parameter '{self.name}' is {brief(value)}; allowed: {self.allowed}"
            if type(value) is bool and isinstance(self.default, str):
                message += (
                    f" (YAML reads yes, no, on and off as booleans; quote: {self.name}:=\"'no'\")"
                )
            raise SettingError(message)
        return value

    def parse(self, text: str) -> Value:
        """Read a value from the command line, and check it.

        Raises:
            SettingError: the text is not a value of the default's type, or is not allowed.
        """
        try:
            if isinstance(self.default, bool):
                return _BOOLEANS[text.lower()]
            return self.check(type(self.default)(text))
        except (KeyError, SettingError, ValueError):
            return self.check(text)


def brief(value: object) -> str:
    """The repr of a value for messages: one line, shortened in the middle if it is long."""
    return _BRIEF.repr(value)


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, no such user, or an invalid path
        return False


def paths_of(value: str) -> list[Path]:
    """The paths in the value of a setting with `paths`; `~` is expanded, empty ones are skipped."""
    return [Path(name).expanduser() for name in value.split(os.pathsep) if name]
