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

"""ALSA writes nothing to stderr while PortAudio tries devices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.sound import no_server_env

TIMEOUT = 20.0

_UNPLUG = """
import pathlib, sys
from k2so_tts.playback.devices import DeviceError, open_device, output_devices
assert "tape" in [device.name for device in output_devices()]
pathlib.Path(sys.argv[1]).write_text("pcm.!default { type null }")
try:
    open_device("tape")
except DeviceError as error:
    print(error)
"""
_ASOUND_CONF = """
pcm.tape { type null  hint { show on  description "A tape" } }
pcm.!default { type null }
"""


def test_alsa_writes_nothing_when_a_device_can_not_be_opened(tmp_path: Path) -> None:
    """The device vanishes after PortAudio has listed it; the reason is in the error only."""
    configuration = tmp_path / "asound.conf"
    configuration.write_text(_ASOUND_CONF)
    os.utime(configuration, (0, 0))  # ALSA reads it again when its time has changed, in seconds
    env = {**os.environ, **no_server_env(tmp_path), "ALSA_CONFIG_PATH": str(configuration)}
    process = subprocess.run(
        [sys.executable, "-c", _UNPLUG, str(configuration)],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT,
    )
    assert process.stdout.startswith("device 'tape' can't be opened: ")
    assert "ALSA lib" not in process.stderr
