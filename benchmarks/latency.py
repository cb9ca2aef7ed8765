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

"""`k2so-tts bench` on a virtual sound card (PipeWire with a null sink), for machines without one.

    PYTHONPATH=$PYTHONPATH:test python benchmarks/latency.py [the options of k2so-tts bench]

`make bench` and `make bench-check` run it.
"""

from __future__ import annotations

import os
import sys

from support.sound import SoundServer

from k2so_tts.cli.main import main

if __name__ == "__main__":
    with SoundServer() as sound:
        os.environ.update(sound.env)
        main(["bench", *sys.argv[1:]])
