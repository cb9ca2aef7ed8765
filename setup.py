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

import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

manifest = Path("package.xml").read_text(encoding="utf-8")


def described(pattern: str) -> str:
    """What package.xml, the one place for it, says about the package."""
    found = re.search(pattern, manifest)
    assert found is not None, pattern
    return found[1]


package = described("<name>(.+)</name>")

setup(
    name=package,
    version=described("<version>(.+)</version>"),
    description=described("<description>(.+)</description>"),
    author=described("<author.*>(.+)</author>"),
    maintainer=described("<maintainer.*>(.+)</maintainer>"),
    maintainer_email=described('<maintainer email="(.+)">'),
    url=described('<url type="repository">(.+)</url>'),
    license=described("<license.*>(.+)</license>"),
    python_requires=">=3.10",
    packages=find_packages(include=[f"{package}*"]),
    package_data={package: ["py.typed"]},
    zip_safe=True,
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package}"]),
        (f"share/{package}", ["package.xml"]),
        (f"share/{package}/launch", glob("launch/*.launch.*")),
        (f"share/{package}/config", glob("config/*")),
    ],
    install_requires=["numpy", "pyyaml", "regex", "rich", "sentencex", "sounddevice", "soxr"],
    # colcon test runs pytest where an extra of this name asks for it
    extras_require={
        "emoji": ["emoji"],
        "plot": ["matplotlib"],
        "test": ["hypothesis", "pytest", "pytest-timeout"],
    },
    entry_points={
        "console_scripts": [
            "speak_server = k2so_tts.ros.main:speak_server",
            "audio_player = k2so_tts.ros.main:audio_player",
            "k2so-tts = k2so_tts.cli.main:main",
            "say = k2so_tts.cli.main:send_main",
        ],
        "k2so_tts.engines": [
            "espeak = k2so_tts.engines.espeak.engine:EspeakEngine",
            "coqui = k2so_tts.engines.coqui.engine:CoquiEngine",
            "piper = k2so_tts.engines.piper.engine:PiperEngine",
        ],
    },
)
