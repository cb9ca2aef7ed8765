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

"""The engine protocol, its errors, and the registry of installed engines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from k2so_tts.settings import Setting, SettingError
from k2so_tts.text.languages import best_language, normal_tag

if TYPE_CHECKING:
    from k2so_tts.audio import Block

GROUP = "k2so_tts.engines"
"""The entry-point group in which packages name their engines."""


class EngineError(Exception):
    """An engine could not speak: it died, stalled, or rejected the text."""


class EngineUnavailable(EngineError):
    """An engine can't run on this machine; the message says what is missing and how to get it."""


class UnknownVoice(EngineError):
    """A voice or language that the engine does not have."""


@dataclass(frozen=True)
class Voice:
    """A voice of an engine: `name` selects it, `language` is a BCP 47 tag in lower case."""

    name: str
    language: str


@dataclass(frozen=True)
class Prosody:
    """How to speak: `rate` is 0.25 to 4.0 times normal speed, `pitch` 0.0 to 2.0 times normal."""

    rate: float = 1.0
    pitch: float = 1.0


class Engine(Protocol):
    """Speaks texts, one after the other; only `close` is called while another method runs.

    A class may also have `options: ClassVar[tuple[Setting, ...]]`: it is then called with all of
    them by name, checked (no options: without arguments). And `streams: ClassVar[bool]`: True if
    it makes audio as it reads a text of any length; else it is given a text segment by segment.

    An engine may have `warnings: Sequence[str]`, which may grow while it speaks: what limits it
    although it works. And `loudness(voice: str) -> float | None`: how loud a voice is, in LUFS
    (ITU-R BS.1770), None as long as that is not known. It is asked after the first block of a text,
    and the voice is then amplified or attenuated so that all voices are equally loud. Without it,
    the voices of an engine that does not stream are taken to be as loud as its warm-up was.
    """

    sample_rate: int
    """Of its sound, in Hz; known after `load`."""
    default_voice: str
    """The voice that speaks if none is asked for; known after `load`."""

    def load(self) -> None:
        """Get ready to speak. Called once, before anything else, and may be slow.

        Raises `EngineUnavailable`, with what is missing and how to get it.
        """
        ...

    def voices(self) -> Sequence[Voice]:
        """The voices at hand, the default one among them."""
        ...

    def find_voice(self, name: str) -> str:
        """The voice for a voice name or a language tag. Raises `UnknownVoice`."""
        ...

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        """Speak `text` with a voice of its own, block by block as it is made.

        Closing the iterator stops the work. Raises `EngineError` when the engine fails.
        """
        ...

    def close(self) -> None:
        """Release everything, from any thread; a text that is being spoken fails (`EngineError`).

        May be called more than once.
        """
        ...


def _entry_points() -> dict[str, EntryPoint]:
    return _entry_points_on(tuple(sys.path))


@lru_cache(maxsize=1)  # all that is installed is looked through, which takes 10 ms
def _entry_points_on(_: tuple[str, ...]) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def engine_names() -> list[str]:
    """The names under which engines are installed, sorted."""
    return sorted(_entry_points())


def engine_options(name: str) -> dict[str, Setting]:
    """The options of an engine; the `name` of each setting is in full, `<engine>.<option>`.

    Raises `EngineUnavailable`.
    """
    declared: tuple[Setting, ...] = getattr(engine_class(name), "options", ())
    return {setting.name: replace(setting, name=f"{name}.{setting.name}") for setting in declared}


def create_engine(name: str, options: Mapping[str, object] = MappingProxyType({})) -> Engine:
    """A new engine, not loaded yet, with options by their short names.

    Raises:
        EngineUnavailable: no engine of this name is installed, or it can't be imported.
        SettingError: it does not have an option, or its value is not allowed.
    """
    engine: Engine = engine_class(name)(**checked_options(name, options))
    return engine


def checked_options(name: str, options: Mapping[str, object]) -> dict[str, object]:
    """All options of an engine: those given, and the defaults of the others.

    Raises like `create_engine`.
    """
    known = engine_options(name)
    for option in options:
        if option not in known:
            allowed = " | ".join(known) or "none"
            raise SettingError(f"engine {name!r} has no option {option!r}; allowed: {allowed}")
    return {
        option: setting.check(options.get(option, setting.default))
        for option, setting in known.items()
    }


def require(engine: str, modules: Sequence[str], remedy: str) -> None:
    """Check, without importing any, that modules are installed. Raises `EngineUnavailable`."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise EngineUnavailable(f"{engine} can't be used: no module {', '.join(missing)}; {remedy}")


def streams(engine: Engine) -> bool:
    """Whether a text of any length can be handed over as a whole (see `Engine`)."""
    return bool(getattr(engine, "streams", False))


def warnings_of(engine: Engine) -> Sequence[str]:
    """What limits an engine although it works (see `Engine`)."""
    return tuple(getattr(engine, "warnings", ()))


def loudness_of(engine: Engine, voice: str) -> float | None:
    """How loud a voice is, in LUFS, if the engine knows it (see `Engine`)."""
    measured: Callable[[str], float | None] = getattr(engine, "loudness", lambda _: None)
    return measured(voice)


def engine_class(name: str) -> Any:
    """The class of an engine. Raises `EngineUnavailable`: not installed, or can't be imported."""
    points = _entry_points()
    if name not in points:
        raise EngineUnavailable(f"no engine {name!r}; installed: {', '.join(sorted(points))}")
    try:
        return points[name].load()
    except ImportError as error:
        raise EngineUnavailable(f"engine {name!r} can't be imported: {error}") from error


def match_voice(voices: Sequence[Voice], name: str) -> str | None:
    """The voice whose name is `name`, else the best one for it as a language (`best_language`)."""
    if any(voice.name == name for voice in voices):
        return name
    best = best_language(name, [voice.language for voice in voices])
    return None if best is None else voices[best].name


NORMAL = Prosody()


def language_of(engine: Engine, voice: str) -> str:
    """The language of a voice (a BCP 47 tag), without its variant (`en-us+f3`); as good as the
    voice's name tells it where the engine does not list the voice.
    """
    base = voice.partition("+")[0]
    known = (each.language for each in engine.voices() if each.name in (voice, base))
    return next(known, normal_tag(base))
