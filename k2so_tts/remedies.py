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

"""What to do about something that is missing, in words. The standard library is all it takes."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path


def pip_options() -> tuple[str, ...]:
    """What `pip install` has to be told for this interpreter.

    That of Debian 12, Ubuntu 24.04 and later is managed by apt (PEP 668): pip needs permission to
    add to it. What it adds goes into the user's own directory.
    """
    is_virtual = sys.prefix != sys.base_prefix
    is_managed = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()
    return ("--user", "--break-system-packages") if is_managed and not is_virtual else ()


def pip_install(packages: str) -> str:
    """The command that installs Python packages for this interpreter."""
    return " ".join(("pip install", *pip_options(), packages))
