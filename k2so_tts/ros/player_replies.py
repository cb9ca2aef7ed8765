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

"""What the services of `audio_player` answer: what they did, in a sentence."""

from __future__ import annotations

from k2so_tts.playback.player import Dropped
from k2so_tts.ros.wire_timeline import DEVICE, MUTED, NOWHERE

_UNMUTED = {
    DEVICE: "sound is on again",
    MUTED: "not muted any more, but the volume is 0",
    NOWHERE: "not muted any more, but there is no sound device",
}


def reply_to_stop(dropped: Dropped) -> str:
    """The answer of `~/stop`."""
    if not dropped.utterances:
        return "nothing was being played"
    plural = "" if dropped.utterances == 1 else "s"
    return f"dropped {dropped.seconds:.1f} s of {dropped.utterances} utterance{plural}"


def reply_to_mute(was_muted: bool, muted: bool, sink: str) -> str:
    """The answer of `~/mute`; `sink` is where sound goes now."""
    if was_muted == muted:
        return "was muted already" if muted else "was not muted"
    return "muted" if muted else _UNMUTED[sink]


def reply_to_pause(was_paused: bool, paused: bool, buffered_seconds: float) -> str:
    """The answer of `~/pause`."""
    if was_paused == paused:
        return "was paused already" if paused else "was not paused"
    buffered = f"{buffered_seconds:.1f} s" if buffered_seconds else "nothing"
    return f"{'paused' if paused else 'goes on'} with {buffered} buffered"
