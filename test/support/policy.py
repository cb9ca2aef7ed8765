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

"""The SROS 2 policy of the package."""

from __future__ import annotations

import os
from pathlib import Path

NODES = ("speak_server", "audio_player", "speech_client")


def policy_file() -> Path:
    """The policy as it is installed."""
    share = Path(os.environ["AMENT_PREFIX_PATH"].split(":")[0]) / "share" / "k2so_tts"
    return share / "config" / "sros2_policy.xml"
