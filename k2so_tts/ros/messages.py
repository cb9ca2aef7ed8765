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

"""Conversion between this package's audio and ROS messages, and their QoS profiles.

Importing this module raises `InterfacesMissing` when the installed `audio_common_msgs` is not the
one that has `action/TTS` and `msg/AudioStamped`.
"""

from __future__ import annotations

import array
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import TimeReference

from k2so_tts.audio import NANOSECONDS, AudioFormat, Pcm, Samples, to_samples
from k2so_tts.ros.wire_timeline import DEVICE, MUTED, NOWHERE, PlayerTrack
from k2so_tts.synthesis.word_timeline import TimedWord


class InterfacesMissing(ImportError):
    """There is no usable `audio_common_msgs`; the message says what was found, and the remedy."""


def _describe_interfaces() -> str:
    import audio_common_msgs.msg

    names = [name for name in vars(audio_common_msgs.msg) if name[0].isupper()]
    return f"{audio_common_msgs.__path__[0]} with {', '.join(names)}"


try:
    from audio_common_msgs.action import TTS
    from audio_common_msgs.msg import Audio, AudioStamped
except ImportError as missing:
    try:
        found = f"found another package of that name ({_describe_interfaces()})"
    except (ImportError, AttributeError, IndexError):
        found = "found none"
    raise InterfacesMissing(
        "k2so_tts needs audio_common_msgs 4.x, the one with action/TTS and msg/AudioStamped; "
        f"{found}; build interfaces/audio_common_msgs of k2so_tts, or "
        "github.com/mgonzs13/audio_common, in this workspace"
    ) from missing

try:
    from k2so_tts_msgs.action import Speak
    from k2so_tts_msgs.msg import TextPiece, Word
except ImportError:  # it was not built: `say` is served alone
    Speak = TextPiece = Word = None

__all__ = ["TTS", "Audio", "AudioStamped", "InterfacesMissing", "Speak", "TextPiece", "Word"]


def require_speak() -> None:
    """Raise `ImportError` if `speak` and its topics can't be used here; it says how to get them."""
    if Speak is None:
        raise ImportError(
            "k2so_tts_msgs is missing, which the action 'speak' needs: build "
            "interfaces/k2so_tts_msgs of k2so_tts in this workspace",
            name="k2so_tts_msgs",
        )


AUDIO_DEPTH = 256
"""Messages that a subscriber to `audio` holds until its callback takes them."""
MOST_UNHEARD_CHUNKS = AUDIO_DEPTH * 3 // 4
"""Chunks that are sent ahead of what is heard, at most: a subscriber that stands still meanwhile
loses none, with room left for end markers and for what other publishers send. That is 2.2 s of the
shortest chunks (256 frames) at 22 050 Hz, and 35 s of those of the default length."""
_PLAYED = re.compile(
    rf"start_ns=(\d{{1,20}}) lost_frames=(\d{{1,12}})(?: sink=({DEVICE}|{MUTED}|{NOWHERE}))?"
)
MOST_FRAMES = 1 << 22
"""The most frames of a message that are accepted; more is taken for garbage."""
MOST_CHANNELS = 8
RATES = (8_000, 192_000)
"""The lowest and highest sample rate accepted (Hz)."""
INT16 = 8
_FIELDS = {
    1: ("float32_data", np.float32),
    2: ("int32_data", np.int32),
    8: ("int16_data", np.int16),
    16: ("int8_data", np.int8),
    32: ("uint8_data", np.uint8),
}
"""PortAudio's format flags: the field that holds the samples, and their type."""
LAST_NS = 2**31 * NANOSECONDS - 1
"""The last moment that a `Time` can hold."""
SAMPLE_FIELDS = tuple(name for name, _ in _FIELDS.values())


class MessageError(ValueError):
    """A message is inconsistent or breaks the contract; names the field, its value and what is
    allowed.
    """


@dataclass(frozen=True, eq=False)
class Received:
    """A decoded `AudioStamped`; without frames it is an end marker."""

    stamp_ns: int
    format: AudioFormat
    samples: Samples


def speech_qos() -> QoSProfile:
    """For `audio`: reliable, as a lost chunk is heard; volatile, so that late joiners hear no old
    speech; deep enough for what is sent ahead.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=AUDIO_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )


def foreign_qos() -> QoSProfile:
    """For `audio` of publishers that offer best effort only, which a reliable subscription would
    not match.
    """
    qos = speech_qos()
    qos.reliability = ReliabilityPolicy.BEST_EFFORT
    return qos


def state_qos() -> QoSProfile:
    """For `is_speaking`: transient local, so that late joiners learn the current state."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def request_qos() -> QoSProfile:
    """For the services of the action: a burst of goals is kept, where the default keeps ten."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE
    )


def playhead_qos() -> QoSProfile:
    """For `playhead`: reliable, as the last one of an utterance tells that all was heard. A deeper
    history would hold up the latest after a standstill: Fast DDS repairs what is missing in order.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=32, reliability=ReliabilityPolicy.RELIABLE
    )


def to_playhead(stamp_ns: int, heard_ns: int, player: str, track: PlayerTrack) -> TimeReference:
    """The playhead of `player`: the frame of `track` stamped `stamp_ns` leaves its device at
    `heard_ns` (ROS time).
    """
    message = TimeReference()
    message.header.stamp = to_time(heard_ns)
    message.header.frame_id = (
        f"start_ns={track.start_ns} lost_frames={track.lost_frames} sink={track.sink}"
    )
    message.time_ref = to_time(stamp_ns)
    message.source = player
    return message


def track_of(message: TimeReference) -> PlayerTrack | None:
    """Of what a playhead is; None if the player does not say so. Of a player that does not name
    its sink it is `DEVICE`.
    """
    found = _PLAYED.fullmatch(message.header.frame_id)
    return PlayerTrack(int(found[1]), int(found[2]), found[3] or DEVICE) if found else None


def pieces_qos() -> QoSProfile:
    """For `say_stream` and `text_pieces`: reliable, as a lost piece is a lost word, and deep enough
    for a text that is written all at once.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=20_000, reliability=ReliabilityPolicy.RELIABLE
    )


def words_qos() -> QoSProfile:
    """For `words` and feedback: reliable, and deep enough for the words that are sent ahead at
    once, and for those of a client that stands still for some seconds.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE
    )


def metric_qos() -> QoSProfile:
    """For `/diagnostics`, `~/perceived_latency_ms`, `~/buffered_ms` and `mouth`: what monitoring
    tools expect.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
    )


def to_time(nanoseconds: int) -> Time:
    """A time in ns as a message; `LAST_NS` if it is later than that."""
    seconds, rest = divmod(min(nanoseconds, LAST_NS), NANOSECONDS)
    return Time(sec=seconds, nanosec=rest)


def to_duration(nanoseconds: int) -> Duration:
    """A duration in ns, 0 or more, as a message; `LAST_NS` if it is longer than that."""
    seconds, rest = divmod(min(nanoseconds, LAST_NS), NANOSECONDS)
    return Duration(sec=seconds, nanosec=rest)


def to_nanoseconds(time: Time) -> int:
    """A message's time in ns."""
    return int(time.sec) * NANOSECONDS + int(time.nanosec)


def to_message(stamp_ns: int, pcm: Pcm, rate: int, frame_id: str) -> AudioStamped:
    """Encode 16-bit mono PCM.

    Args:
        stamp_ns: when its first frame is to be heard (ROS time).
        pcm: the samples, shape (frames,); none make an end marker.
        rate: frames per second.
        frame_id: the name of the sender.
    """
    message = AudioStamped()
    message.header.stamp = to_time(stamp_ns)
    message.header.frame_id = frame_id
    message.audio.audio_data.int16_data = array.array("h", pcm.tobytes())
    info = message.audio.info
    info.format = INT16
    info.channels = 1
    info.rate = rate
    info.chunk = len(pcm)
    return message


def to_word(word: TimedWord, due_ns: int, seconds: float, stream: str, frame_id: str) -> Any:
    """A word that becomes audible at `due_ns` (ROS time) for so many seconds."""
    message = Word()
    message.header.stamp = to_time(due_ns)
    message.header.frame_id = frame_id
    message.text = word.text
    message.text_start, message.text_end = word.start, word.end
    message.duration = to_duration(round(seconds * NANOSECONDS))
    message.stream = stream
    return message


def from_message(message: AudioStamped) -> Received:
    """Decode a message of any sample format.

    Raises:
        MessageError: a field's value is not allowed, or fields are inconsistent.
    """
    info, stamp = message.audio.info, message.header.stamp
    if info.format not in _FIELDS:
        raise MessageError(f"info.format is {info.format}; allowed: {sorted(_FIELDS)}")
    if not 1 <= info.channels <= MOST_CHANNELS:
        raise MessageError(f"info.channels is {info.channels}; allowed: 1 to {MOST_CHANNELS}")
    if not RATES[0] <= info.rate <= RATES[1]:
        raise MessageError(f"info.rate is {info.rate}; allowed: {RATES[0]} to {RATES[1]} Hz")
    if stamp.sec < 0:
        raise MessageError(f"header.stamp.sec is {stamp.sec}; allowed: 0 and more")
    return Received(
        to_nanoseconds(stamp), AudioFormat(info.rate, info.channels), _samples(message.audio)
    )


def _samples(audio: Audio) -> Samples:
    """The samples of a message whose info was checked, shape (frames, channels), -1.0 to 1.0."""
    data, channels = audio.audio_data, audio.info.channels
    name, dtype = _FIELDS[audio.info.format]
    for other in SAMPLE_FIELDS:
        values = len(getattr(data, other))
        if values and other != name:
            raise MessageError(
                f"{other} has {values} values; allowed: none, info.format "
                f"({audio.info.format}) names {name}"
            )
    raw = np.asarray(getattr(data, name), dtype=dtype)
    if len(raw) > MOST_FRAMES * channels:
        raise MessageError(f"{name} has {len(raw)} values; allowed: {MOST_FRAMES} per channel")
    if len(raw) % channels:
        raise MessageError(
            f"{name} has {len(raw)} values; allowed: a multiple of info.channels ({channels})"
        )
    if dtype is np.float32 and not np.isfinite(raw).all():
        raise MessageError(f"{name} holds a value that is NaN or infinite; allowed: finite ones")
    return to_samples(raw, channels)
