"""The parameters of `speak_server`."""

from __future__ import annotations

from k2so_tts.audio import CHUNK_FRAMES
from k2so_tts.ros.speech_queue import ABORT, QUEUE, REJECT, REPLACE, WAIT
from k2so_tts.settings import Setting
from k2so_tts.synthesis.phrase_cache import MIB
from k2so_tts.text.segmenter import SEGMENTATIONS, WORD

RATE = (0.25, 4.0)
VOLUME = (0.0, 1.0)

PARAMETERS = (
    Setting("engine", "espeak", "The engine that speaks; see 'k2so-tts voices'."),
    Setting(
        "fallback_engine",
        "espeak",
        "The engine that speaks until 'engine' is loaded, and when it fails; empty: none.",
    ),
    Setting(
        "voice",
        "",
        "The voice for goals whose language it speaks: a name or language tag of the engine "
        "(espeak: en-us, de, en-gb+f3); empty: the engine's own default.",
        live=True,
    ),
    Setting(
        "voice_aliases",
        "",
        "Names that goals may use as their language: 'alias=voice, alias=voice'.",
        live=True,
    ),
    Setting("rate", 1.0, "Speed, times that of the goal.", *RATE, live=True),
    Setting("pitch", 1.0, "Pitch; 1.0 is the voice's own.", 0.0, 2.0, live=True),
    Setting("volume", 1.0, "Linear gain, times that of the goal.", *VOLUME, live=True),
    Setting(
        "queue_policy",
        QUEUE,
        "A goal that comes while another is spoken waits its turn (queue), cuts it short "
        "(replace) or is refused (reject).",
        choices=(QUEUE, REPLACE, REJECT),
        live=True,
    ),
    Setting("max_queue", 32, "Goals that may wait or be spoken at once.", 1, 10_000, live=True),
    Setting("max_text_length", 100_000, "Characters of a goal's text.", 1, 10_000_000, live=True),
    Setting(
        "streaming",
        True,
        "Speak while the rest is still being made. False is the traditional way, to compare with: "
        "the whole text is made before its first chunk is sent.",
        live=True,
    ),
    Setting(
        "cut_at",
        WORD,
        "Where a text may be cut for an engine that makes one segment at a time, to be heard "
        "early: between words, at clauses, or at sentences only, which sounds best.",
        choices=SEGMENTATIONS,
        live=True,
    ),
    Setting(
        "phrase_cache_mib",
        MIB,
        "MiB of phrases kept on disk, which sound at once, and the same, when they are said again; "
        "for engines that make one segment at a time. 0: none.",
        0,
        1_000_000,
    ),
    Setting(
        "chunk_frames",
        CHUNK_FRAMES,
        "Frames in a chunk; the first two have half as many.",
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
        "Seconds to wait for somebody to subscribe to the audio before speaking all the same.",
        0.0,
        60.0,
    ),
    Setting(
        "player_lost",
        ABORT,
        "When the player dies in mid-sentence: abort the goal, or wait and go on when it is back.",
        choices=(ABORT, WAIT),
    ),
    Setting("player_wait", 30.0, "Seconds to wait for a lost player.", 1.0, 3600.0),
    Setting(
        "engine_timeout",
        10.0,
        "Seconds without audio before an engine counts as stalled.",
        0.5,
        600.0,
    ),
    Setting(
        "stream_timeout", 10.0, "Seconds without a piece that end a streamed text.", 0.5, 600.0
    ),
    Setting(
        "warn_real_time_factor",
        1.0,
        "Seconds an engine takes for a second of speech, above which it is a warning.",
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
