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

"""Replace the build machine's paths in the CMake files of the ROS wheels by those of this venv."""

import re
import sys
import sysconfig
from pathlib import Path

BUILD_PATHS = re.compile(r"/opt/python/cp\d+-cp\d+/(include|lib)/python3\.\d+(?:/site-packages)?")
LOCAL_PATHS = {"include": sysconfig.get_path("include"), "lib": sysconfig.get_path("purelib")}

for file in Path(sys.prefix, "share").glob("*/cmake/*.cmake"):
    text = file.read_text(encoding="utf-8")
    relocated = BUILD_PATHS.sub(lambda match: LOCAL_PATHS[match[1]], text)
    if relocated != text:
        file.write_text(relocated, encoding="utf-8")
