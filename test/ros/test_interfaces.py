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

"""The audio_common_msgs that was built here is the one that others speak: same types, same wire."""

import json
from pathlib import Path

import pytest
from ament_index_python import get_package_share_directory

# From audio_common_msgs 4.0.10 (github.com/mgonzs13/audio_common)
TYPE_HASHES = {
    "action/TTS": "RIHS01_315fc3de6b938ee38851c0a5258bdc643d9d5537a1184b720c09fd04b8c8b38e",
    "msg/AudioStamped": "RIHS01_f6ad36427cfe3e7132f91509dca5a3be31b9b681f182db6e606e95e781b21611",
    "srv/MusicPlay": "RIHS01_9f0e3be411e3e1c72d08194fb273bbaa644b89f8bbded7d34b19d33325638e8f",
}


@pytest.mark.parametrize(("name", "expected"), TYPE_HASHES.items())
def test_type_hash(name: str, expected: str) -> None:
    share = Path(get_package_share_directory("audio_common_msgs"))
    description = json.loads((share / f"{name}.json").read_text(encoding="utf-8"))
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    assert hashes[f"audio_common_msgs/{name}"] == expected
