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

"""The pronunciation list: what is written, and what is said for it, by language.

A YAML file maps words or phrases to how they are spoken; a language tag maps to such a list for
that language alone:

    K-2SO: kay two ess oh
    de:
      ROS: Ross
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from k2so_tts.settings import SettingError, brief
from k2so_tts.text.languages import normal_tag
from k2so_tts.text.normalise import NormaliseState
from k2so_tts.text.rewriter import Rule, rule

if TYPE_CHECKING:
    import yaml

_LARGEST_BYTES = 1_000_000
_LONGEST_ENTRY = 80
"""Characters of a word or phrase: a stream waits for as many."""
_TAG = regex.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, eq=False)
class Lexicon:
    """What is written, and what is said for it: in all languages (`""`), and by language tag."""

    entries: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, tag: str) -> dict[str, str]:
        """The entries for a language (a BCP 47 tag in lower case), those for its region first."""
        found = dict(self.entries.get("", {}))
        parts = tag.split("-")
        for count in range(1, len(parts) + 1):
            found.update(self.entries.get("-".join(parts[:count]), {}))
        return found


EMPTY_LEXICON = Lexicon()


def load_lexicon(path: str) -> Lexicon:
    """Read a pronunciation list; an empty path stands for an empty list.

    Raises:
        SettingError: the file cannot be read, or is no such list; the message names the line.
    """
    if not path:
        return EMPTY_LEXICON
    import yaml

    file = Path(path).expanduser()
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SettingError(f"lexicon {brief(path)} is no file")
        if status.st_size > _LARGEST_BYTES:
            raise SettingError(f"lexicon {brief(path)}: more than {_LARGEST_BYTES} bytes")
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        reason = error.strerror or error
        raise SettingError(f"lexicon {brief(path)} cannot be read: {reason}") from error
    except UnicodeError as error:
        raise SettingError(f"lexicon {brief(path)} cannot be read: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingError(f"lexicon {brief(path)}, line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise SettingError(f"lexicon {brief(path)}: {' '.join(str(error).split())}") from error
    entries: dict[str, dict[str, str]] = {}
    for tag, name, spoken in _entries(path, root) if root is not None else ():
        entries.setdefault(tag, {})[name] = spoken
    return Lexicon(entries)


def _entries(path: str, root: yaml.Node) -> Iterator[tuple[str, str, str]]:
    """The entries of a file: language tag (empty: all), what is written, what is said."""
    for key, value in _pairs(path, root):
        if value.id != "mapping":
            yield "", *_checked(path, key, value)
        elif isinstance(key.value, str) and _TAG.fullmatch(key.value):
            tag = normal_tag(key.value)
            for name, spoken in _pairs(path, value):
                yield tag, *_checked(path, name, spoken)
        else:
            raise _invalid(path, key, f"{brief(key.value)} is not a language tag")


def _pairs(path: str, node: yaml.Node) -> list[tuple[yaml.Node, yaml.Node]]:
    """The keys and values of a mapping."""
    pairs = node.value
    if node.id != "mapping":
        raise _invalid(path, node, "allowed: what is written: what is said")
    return [(key, value) for key, value in pairs]


def _checked(path: str, key: yaml.Node, value: yaml.Node) -> tuple[str, str]:
    name, spoken = key.value, value.value
    if not isinstance(name, str) or not isinstance(spoken, str):
        raise _invalid(path, key, "allowed: what is written: what is said")
    if not name.strip() or len(name) > _LONGEST_ENTRY:
        raise _invalid(path, key, f"{brief(name)} has {len(name)} characters; allowed: 1 to 80")
    return name.strip(), spoken.strip()


def _invalid(path: str, node: yaml.Node, what: str) -> SettingError:
    return SettingError(f"lexicon {brief(path)}, line {node.start_mark.line + 1}: {what}")


def lexicon_rules(lexicon: Mapping[str, str]) -> list[Rule[NormaliseState]]:
    """One rule for all entries, the longest first.

    An entry in lower case stands for any case, any other one for itself only. Entries are found as
    whole words.
    """
    if not lexicon:
        return []
    any_case = {name: spoken for name, spoken in lexicon.items() if name == name.lower()}
    names = sorted(lexicon, key=len, reverse=True)
    parts = [
        f"(?i:{regex.escape(name)})" if name in any_case else regex.escape(name) for name in names
    ]
    firsts = {char for name in names for char in (name[0], name[0].upper())}
    return [
        rule(
            f"(?<!\\w)[{regex.escape(''.join(sorted(firsts)))}]",
            f"(?<![\\p{{L}}\\p{{N}}_])({'|'.join(parts)})(?![\\p{{L}}\\p{{N}}_])",
            lambda match, _: (lexicon.get(match[1]) or any_case[match[1].lower()],),
            1,
        )
    ]
