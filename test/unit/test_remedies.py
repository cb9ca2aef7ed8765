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

"""Commands that are told to people work as written."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from k2so_tts.remedies import pip_install


@pytest.mark.parametrize(
    ("is_managed", "prefix", "expected"),
    [
        (True, "/usr", "pip install --user --break-system-packages soxr"),
        (True, "/home/me/venv", "pip install soxr"),
        (False, "/usr", "pip install soxr"),
    ],
)
def test_a_python_that_apt_manages_has_to_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_managed: bool, prefix: str, expected: str
) -> None:
    if is_managed:
        (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    assert pip_install("soxr") == expected
