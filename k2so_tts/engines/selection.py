"""Which engine `auto` stands for: the best one at hand that has the voice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from k2so_tts.engines.base import EngineUnavailable, engine_class

AUTO = "auto"
"""The name that stands for an engine to be selected."""
NATURAL, BASIC = "piper", "espeak"
"""What `auto` selects: natural voices if there are any, else the engine that needs no files."""


def candidates(name: str) -> tuple[str, ...]:
    """The engines that `select_engine` may return for `name`."""
    return (NATURAL, BASIC) if name == AUTO else (name,)


def select_engine(name: str, voice: str, natural_options: Mapping[str, Any]) -> str:
    """The name of the engine to use: `name` itself, unless that is `auto`.

    Args:
        name: an engine, or `auto`.
        voice: the voice, language or path that it has to speak with; empty: any.
        natural_options: the options of the engine `NATURAL`.
    """
    if name != AUTO:
        return name
    try:
        is_at_hand = engine_class(NATURAL).is_at_hand(with_path(natural_options, voice), voice)
    except EngineUnavailable:
        return BASIC
    return NATURAL if is_at_hand else BASIC


def with_path(natural_options: Mapping[str, Any], voice: str) -> Mapping[str, Any]:
    """The options of `NATURAL`, with `voice` among its files if that is the path of a file."""
    if not (voice.endswith(".onnx") and Path(voice).expanduser().is_file()):
        return natural_options
    files = ":".join(filter(None, (voice, str(natural_options.get("voice", "")))))
    return {**natural_options, "voice": files}
