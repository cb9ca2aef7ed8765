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

"""Who else may be there: further players, and others who subscribe to the audio."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from audio_common_msgs.msg import AudioStamped

from k2so_tts.ros.executors import ask
from k2so_tts.ros.messages import speech_qos
from support.recording import end_process
from support.ros import Observer


class Company:
    """Players on no device or on WAV files (in `directory`), and bystanders, who come and go."""

    def __init__(self, directory: Path, observer: Observer) -> None:
        self.joined: Counter[str] = Counter()
        self.players: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.bystanders: list[Any] = []
        self._directory = directory
        self._node = observer.node
        self._executor = observer._executor

    def join(self, device: str) -> None:
        self.joined["players"] += 1
        name = f"guest_{self.joined['players']}"
        path = self._directory / f"{name}.wav"
        device = f"wav:{path}" if device == "wav" else device
        command = ["audio_player", "--ros-args", "-r", f"__node:={name}", "-p", f"device:={device}"]
        self.players.append((subprocess.Popen(command, stderr=subprocess.DEVNULL), path))

    def leave(self, how: signal.Signals) -> None:
        process, path = self.players.pop(0)
        end_process(process, how)
        path.unlink(missing_ok=True)

    def subscribe(self) -> None:
        self.joined["subscribers"] += 1
        self.bystanders.append(ask(self._executor, self._subscription))

    def unsubscribe(self) -> None:
        bystander = self.bystanders.pop(0)
        ask(self._executor, lambda: self._node.destroy_subscription(bystander))

    def close(self) -> None:
        """All leave."""
        while self.players:
            self.leave(signal.SIGINT)
        while self.bystanders:
            self.unsubscribe()

    def _subscription(self) -> Any:
        return self._node.create_subscription(AudioStamped, "audio", lambda _: None, speech_qos())
