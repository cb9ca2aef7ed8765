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

"""The parameters of `audio_player`."""

from __future__ import annotations

from k2so_tts.audio import START_CHUNKS
from k2so_tts.settings import Setting

IN_TURN, MIX = "in_turn", "mix"

PARAMETERS = (
    Setting(
        "device",
        "auto",
        "Where sound goes: auto (the system's default), a PortAudio index or part of a name, null "
        "(nowhere, in real time) or wav:FILE.",
        live=True,
    ),
    Setting(
        "prebuffer_chunks",
        START_CHUNKS,
        "Chunks collected before an utterance starts.",
        1,
        64,
        live=True,
    ),
    Setting("max_buffer", 30.0, "Seconds of audio held at most.", 1.0, 600.0, live=True),
    Setting("volume", 1.0, "Linear gain; above 1 peaks are limited.", 0.0, 2.0, live=True),
    Setting(
        "publishers",
        IN_TURN,
        "Several publishers at once: each is heard to its end (in_turn), or together (mix).",
        choices=(IN_TURN, MIX),
        live=True,
    ),
    Setting(
        "block_frames", 128, "Frames the device asks for at a time; 0: its own choice.", 0, 8192
    ),
    Setting(
        "device_latency",
        0.0,
        "Seconds of sound the device holds; 0: as little as it can. More starts later and "
        "survives a busier machine.",
        0.0,
        0.5,
    ),
    Setting(
        "rest_after",
        30.0,
        "Seconds of silence after which the device is closed, to save CPU, until the next chunk "
        "comes; 0: never.",
        0.0,
        86_400.0,
    ),
    Setting(
        "warn_underruns",
        1,
        "Underruns of an utterance that are a warning; 0: never one.",
        0,
        1000,
        live=True,
    ),
    Setting("warn_latency_ms", 300.0, "Latency that is a warning.", 1.0, 60_000.0, live=True),
    Setting("error_latency_ms", 2000.0, "Latency that is an error.", 1.0, 60_000.0, live=True),
)
