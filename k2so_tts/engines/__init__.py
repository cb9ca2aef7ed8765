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
    language_of,
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
    "language_of",
    "loudness_of",
    "match_voice",
    "require",
    "select_engine",
    "streams",
    "warnings_of",
    "with_path",
]
