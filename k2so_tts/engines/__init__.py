"""Text to PCM: the engine protocol, its errors, and the registry of installed engines.

Any package can add an engine by naming its class in the entry-point group `k2so_tts.engines`; the
class must be an `Engine`. What is listed in `__all__` here, and in the modules of
`k2so_tts.engines.toolkit`, is the public API for engine authors.
"""

from k2so_tts.engines.base import (
    GROUP,
    NORMAL,
    Engine,
    EngineError,
    EngineUnavailable,
    Prosody,
    UnknownVoice,
    Voice,
    checked_options,
    create_engine,
    engine_names,
    engine_options,
    loudness_of,
    match_voice,
    require,
    streams,
    warnings_of,
)
from k2so_tts.engines.selection import AUTO, NATURAL, candidates, select_engine, with_path

__all__ = [
    "AUTO",
    "GROUP",
    "NATURAL",
    "NORMAL",
    "Engine",
    "EngineError",
    "EngineUnavailable",
    "Prosody",
    "UnknownVoice",
    "Voice",
    "candidates",
    "checked_options",
    "create_engine",
    "engine_names",
    "engine_options",
    "loudness_of",
    "match_voice",
    "require",
    "select_engine",
    "streams",
    "warnings_of",
    "with_path",
]
