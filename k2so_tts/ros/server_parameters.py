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

"""The parameters of `speak_server`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from k2so_tts.audio import CHUNK_FRAMES
from k2so_tts.engines import AUTO
from k2so_tts.ros.speech_queue import (
    ABORT,
    INTERRUPT,
    QUEUE,
    REJECT,
    REPLACE,
    RESUME,
    SUCCEED,
    WAIT,
    QueueSettings,
)
from k2so_tts.settings import Setting
from k2so_tts.synthesis.phrase_cache import MIB
from k2so_tts.text import speakable
from k2so_tts.text.segmenter import SEGMENTATIONS, WORD
from k2so_tts.text.stream import FLUSH_SECONDS

FINISH, STOP = "finish", "stop"
RATE = (0.25, 4.0)
"""The lowest and highest speed, of a goal and of the parameter."""
PITCH = (0.0, 2.0)
"""The lowest and highest pitch, of a goal and of the parameter."""
VOLUME = (0.0, 1.0)
"""The lowest and highest linear gain of a goal."""

PARAMETERS = (
    Setting(
        "engine",
        AUTO,
        "The engine that speaks; see 'k2so-tts voices'. auto: Piper if it has the voice, or any "
        "where none is named, and espeak otherwise and for languages that Piper has no voice for.",
    ),
    Setting(
        "fallback_engine",
        "espeak",
        "The engine that speaks while 'engine' is being loaded, and when it fails; empty: none.",
    ),
    Setting(
        "voice",
        "",
        "The default voice, used for goals whose language it speaks: a name or language tag of the "
        "engine (espeak: en-us, de, en-gb+f3; piper: joe, en_US-joe-medium, en, or the path of an "
        ".onnx file); empty: the engine's own default.",
        live=True,
    ),
    Setting(
        "voice_aliases",
        "",
        "Names that goals may use as their language: 'alias=voice, alias=voice'.",
        live=True,
    ),
    Setting(
        "script_voices",
        True,
        "Speak what is written in another script than that of the voice's language with a voice of "
        "the engine that can read it.",
        live=True,
    ),
    Setting("rate", 1.0, "Speed, multiplied with the goal's.", *RATE, live=True),
    Setting("pitch", 1.0, "Pitch, relative to the voice's own.", *PITCH, live=True),
    Setting(
        "volume",
        1.0,
        "Linear gain, multiplied with the goal's; above 1 peaks are limited.",
        0.0,
        2.0,
        live=True,
    ),
    Setting(
        "queue_policy",
        QUEUE,
        "A goal that comes while another is spoken waits for its turn (queue), replaces it "
        "(replace), is rejected (reject), or is heard at once (interrupt): what is spoken pauses "
        "at a word and goes on after it. Goals of a higher priority are never affected.",
        choices=(QUEUE, REPLACE, REJECT, INTERRUPT),
        live=True,
    ),
    Setting(
        "interrupted",
        RESUME,
        "What happens to a goal that is interrupted: it goes on at the word where it was cut, or "
        "is aborted.",
        choices=(RESUME, ABORT),
        live=True,
    ),
    Setting(
        "max_queue",
        32,
        "The most goals that are spoken or wait at a time. Where it is full, the one that waits "
        "with the lowest priority gives way to one with a higher priority.",
        1,
        10_000,
        live=True,
    ),
    Setting(
        "when_client_dies",
        FINISH,
        "What happens to the goals of a client that has left the graph: they are spoken to their "
        "end, or stopped. One that was killed leaves it when its lease ends (Fast DDS: 20 s).",
        choices=(FINISH, STOP),
        live=True,
    ),
    Setting(
        "unheard",
        SUCCEED,
        "How a goal ends that was spoken to its end by the clock, as no player reported it, had a "
        "device, or was not muted.",
        choices=(SUCCEED, ABORT),
        live=True,
    ),
    Setting(
        "max_text_length",
        100_000,
        "The most characters of a goal's text.",
        1,
        10_000_000,
        live=True,
    ),
    Setting(
        "streaming",
        True,
        "Speak while the rest is still being synthesised. False, for comparison: synthesise the "
        "whole text before its first chunk is sent.",
        live=True,
    ),
    Setting(
        "cut_at",
        WORD,
        "Where a text may be split for an engine that synthesises one segment at a time, to start "
        "early: between words, at clauses, or at sentences only, which sounds best.",
        choices=SEGMENTATIONS,
        live=True,
    ),
    *speakable.SETTINGS,
    Setting(
        "phrase_cache_mib",
        MIB,
        "MiB of synthesised phrases kept on disk, which are heard at once, and the same, when they "
        "are spoken again; for engines that synthesise one segment at a time. 0: none.",
        0,
        1_000_000,
    ),
    Setting(
        "chunk_frames",
        CHUNK_FRAMES,
        "Frames in a chunk; the first ones are shorter, from an eighth of it up.",
        256,
        65_536,
    ),
    Setting(
        "max_lead",
        2.0,
        "Seconds of audio sent ahead of what is heard; at most 192 chunks, whatever their length.",
        1.0,
        30.0,
    ),
    Setting(
        "wait_for_player",
        1.0,
        "Seconds to wait for a subscriber of the audio before speaking without one.",
        0.0,
        60.0,
    ),
    Setting(
        "player_lost",
        ABORT,
        "When the player dies in mid-sentence: abort the goal, or wait and resume when it is back.",
        choices=(ABORT, WAIT),
    ),
    Setting("player_wait", 30.0, "Seconds to wait for a lost player.", 1.0, 3600.0),
    Setting(
        "engine_timeout",
        10.0,
        "Seconds without audio after which an engine counts as stalled.",
        0.5,
        600.0,
    ),
    Setting(
        "stream_timeout",
        10.0,
        "Seconds without anything to say after which a streamed text ends.",
        0.5,
        600.0,
    ),
    Setting(
        "flush_after",
        FLUSH_SECONDS,
        "Seconds without a piece after which a clause of a streamed text that ends with a "
        "punctuation mark is spoken, although what follows may show that it goes on.",
        0.01,
        600.0,
        live=True,
    ),
    Setting(
        "warn_real_time_factor",
        1.0,
        "Real-time factor (seconds an engine takes for a second of speech) that is a warning.",
        0.001,
        1000.0,
        live=True,
    ),
    Setting(
        "warn_latency_ms", 300.0, "Perceived latency that is a warning.", 1.0, 60_000.0, live=True
    ),
    Setting(
        "error_latency_ms", 2000.0, "Perceived latency that is an error.", 1.0, 60_000.0, live=True
    ),
)


def queue_settings(values: Mapping[str, Any], max_unheard_chunks: int) -> QueueSettings:
    """The settings of the queue, from the values of the parameters."""
    return QueueSettings(
        policy=values["queue_policy"],
        interrupted=values["interrupted"],
        unheard=values["unheard"],
        max_lead=values["max_lead"],
        max_unheard_chunks=max_unheard_chunks,
        wait_for_player=values["wait_for_player"],
        player_lost=values["player_lost"],
        player_wait=values["player_wait"],
        engine_timeout=values["engine_timeout"],
    )
