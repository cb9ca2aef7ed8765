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

"""Speed and pitch of speech, changed as it is made (libsonic). Needs the standard library only."""

import array
import ctypes

__all__ = ["TimeStretch"]

_SONIC = "libsonic.so.0"


class TimeStretch:
    """Changes the speed and the pitch of 16-bit mono speech of `rate` Hz, part by part.

    `speed`, which stays known, and `pitch` are factors. Raises OSError when libsonic is missing.
    """

    def __init__(self, rate: int, speed: float, pitch: float = 1.0) -> None:
        self.speed = speed
        self._sonic = ctypes.CDLL(_SONIC)
        self._sonic.sonicCreateStream.restype = ctypes.c_void_p
        self._sonic.sonicSetSpeed.argtypes = [ctypes.c_void_p, ctypes.c_float]
        self._sonic.sonicSetPitch.argtypes = [ctypes.c_void_p, ctypes.c_float]
        self._sonic.sonicDestroyStream.argtypes = [ctypes.c_void_p]
        self._stream = ctypes.c_void_p(self._sonic.sonicCreateStream(rate, 1))
        self._sonic.sonicSetSpeed(self._stream, speed)
        self._sonic.sonicSetPitch(self._stream, pitch)

    def __del__(self) -> None:
        if hasattr(self, "_stream"):
            self._sonic.sonicDestroyStream(self._stream)

    def __call__(self, pcm: bytes) -> bytes:
        """Take some PCM, and give what is ready."""
        self._sonic.sonicWriteShortToStream(self._stream, pcm, len(pcm) // 2)
        return self._read()

    def flush(self) -> bytes:
        """What is left after the last part."""
        self._sonic.sonicFlushStream(self._stream)
        return self._read()

    def _read(self) -> bytes:
        frames = self._sonic.sonicSamplesAvailable(self._stream)
        buffer = array.array("h", bytes(2 * frames))
        address = ctypes.c_void_p(buffer.buffer_info()[0])
        self._sonic.sonicReadShortFromStream(self._stream, address, frames)
        return buffer.tobytes()
