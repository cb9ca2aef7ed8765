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

"""Standstills are noticed, and not forgotten."""

from __future__ import annotations

from k2so_tts.ros.standstill import LOOK_SECONDS, Standstill


def test_a_standstill_is_noticed_and_remembered() -> None:
    now = 100.0
    standstill = Standstill(lambda: now)
    assert not standstill.look()
    for _ in range(10):
        now += LOOK_SECONDS + 1.0
        assert not standstill.look()
    now += 20.0
    assert standstill.look()
    now += LOOK_SECONDS
    assert standstill.look()
