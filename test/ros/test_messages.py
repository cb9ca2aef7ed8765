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

"""Messages in and out: whatever arrives is sound within bounds or a refusal that names a field."""

from __future__ import annotations

import array
import re
from typing import Any

import numpy as np
import pytest
from audio_common_msgs.msg import AudioStamped
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.ros import CODES, FIELDS

from k2so_tts.ros.messages import (
    INT16,
    LAST_NS,
    MOST_CHANNELS,
    RATES,
    MessageError,
    Received,
    from_message,
    to_message,
    to_nanoseconds,
    to_time,
)

ANY_INT32 = st.integers(-(2**31), 2**31 - 1)
NAMED = re.compile(r"^(info\.(format|channels|rate)|header\.stamp\.sec|\w+_data) (is|has|holds) ")


def stamped(sample_format: int, rate: int, channels: int, **data: array.array[Any]) -> AudioStamped:
    message = AudioStamped()
    info = message.audio.info
    info.format, info.rate, info.channels = sample_format, rate, channels
    for name, values in data.items():
        setattr(message.audio.audio_data, name, values)
    return message


def random_array(code: str) -> st.SearchStrategy[array.array[Any]]:
    """Every pattern of bits, so NaN and infinity too."""
    size = array.array(code).itemsize
    return st.binary(max_size=64).map(lambda raw: array.array(code, raw[: len(raw) // size * size]))


@st.composite
def messages(draw: st.DrawFn) -> AudioStamped:
    sample_format = draw(st.sampled_from(sorted(FIELDS)) | ANY_INT32)
    wanted = FIELDS.get(sample_format, "int16_data")
    name = draw(st.just(wanted) | st.sampled_from(sorted(CODES)))
    message = stamped(
        sample_format,
        draw(st.integers(*RATES) | ANY_INT32),
        draw(st.integers(1, MOST_CHANNELS) | ANY_INT32),
        **{name: draw(random_array(CODES[name]))},
    )
    message.audio.info.chunk = draw(ANY_INT32)
    message.header.frame_id = draw(st.text(max_size=4))
    message.header.stamp.sec = draw(st.integers(0, 2**31 - 1) | ANY_INT32)
    message.header.stamp.nanosec = draw(st.integers(0, 2**32 - 1))
    return message


@settings(max_examples=1000)
@given(messages())
def test_any_message_is_decoded_or_refused_by_a_field(message: AudioStamped) -> None:
    for sample_format in (message.audio.info.format, *FIELDS):
        message.audio.info.format = sample_format
        refused = None
        try:
            check_received(message, from_message(message))
        except MessageError as error:
            refused = str(error)
        assert refused is None or NAMED.match(refused), refused


def check_received(message: AudioStamped, received: Received) -> None:
    info = message.audio.info
    assert (received.format.rate, received.format.channels) == (info.rate, info.channels)
    assert received.stamp_ns >= 0
    samples = received.samples
    assert samples.dtype == np.float32
    assert samples.shape[1] == info.channels
    assert samples.size == len(getattr(message.audio.audio_data, FIELDS[info.format]))
    assert np.isfinite(samples).all()
    assert np.abs(samples).max(initial=0.0) <= 1.0


@settings(max_examples=500)
@given(st.binary(max_size=200), st.integers(*RATES), st.integers(0, LAST_NS), st.text(max_size=8))
@example(b"", 22_050, 0, "")
@example(b"\x00\x80\xff\x7f", 22_050, 0, "")
def test_what_is_sent_is_received(raw: bytes, rate: int, stamp_ns: int, frame_id: str) -> None:
    pcm = np.frombuffer(raw[: len(raw) // 2 * 2], np.int16)
    message = to_message(stamp_ns, pcm, rate, frame_id)
    assert (message.audio.info.chunk, message.header.frame_id) == (len(pcm), frame_id)
    assert to_nanoseconds(message.header.stamp) == stamp_ns
    received = from_message(message)
    assert (received.stamp_ns, received.format.rate, received.format.channels) == (
        stamp_ns,
        rate,
        1,
    )
    assert np.array_equal(received.samples[:, 0] * 32768, pcm)


@pytest.mark.parametrize("past_ns", [0, 1, 10**18, 2**80])
def test_a_time_that_no_message_can_hold_becomes_the_latest(past_ns: int) -> None:
    assert to_nanoseconds(to_time(LAST_NS + past_ns)) == LAST_NS


@pytest.mark.parametrize("sample_format", sorted(FIELDS))
def test_full_scale_and_zero_of_every_format(sample_format: int) -> None:
    name = FIELDS[sample_format]
    every: dict[str, Any] = {
        "float32_data": [-1.0, 0.0, 1.0],
        "int32_data": [-(2**31), 0, 2**31 - 1],
        "int16_data": [-(2**15), 0, 2**15 - 1],
        "int8_data": [-128, 0, 127],
        "uint8_data": [0, 128, 255],
    }
    message = stamped(sample_format, 8_000, 1, **{name: array.array(CODES[name], every[name])})
    low, zero, high = from_message(message).samples[:, 0]
    assert (low, zero) == (-1.0, 0.0)
    assert 0.99 < high <= 1.0


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (stamped(7, 8_000, 1), "info.format is 7; allowed: [1, 2, 8, 16, 32]"),
        (stamped(INT16, 8_000, 0), "info.channels is 0; allowed: 1 to 8"),
        (stamped(INT16, 0, 1), "info.rate is 0; allowed: 8000 to 192000 Hz"),
        (
            stamped(INT16, 8_000, 2, int16_data=array.array("h", [1, 2, 3])),
            "int16_data has 3 values; allowed: a multiple of info.channels (2)",
        ),
        (
            stamped(INT16, 8_000, 1, int16_data=array.array("h", bytes(2 << 23))),
            "int16_data has 8388608 values; allowed: 4194304 per channel",
        ),
        (
            stamped(1, 8_000, 1, float32_data=array.array("f", [0.0, float("nan")])),
            "float32_data holds a value that is NaN or infinite; allowed: finite ones",
        ),
        (
            stamped(1, 8_000, 1, int16_data=array.array("h", [1])),
            "int16_data has 1 values; allowed: none, info.format (1) names float32_data",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong(message: AudioStamped, said: str) -> None:
    with pytest.raises(MessageError) as error:
        from_message(message)
    assert str(error.value) == said
