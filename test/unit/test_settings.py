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

"""Settings: which values are allowed, and how a refusal is worded."""

from __future__ import annotations

import math
from typing import Any

import pytest

from k2so_tts.settings import Setting, SettingError

GAIN = Setting("gain", 0.5, "A gain.", 0.0, 1.0)
COUNT = Setting("count", 3, "A count.", 1, 5)
MODE = Setting("mode", "a", "A mode.", choices=("a", "b"))
NAME = Setting("name", "", "A name.")
FLAG = Setting("flag", False, "A flag.")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (GAIN, 0.0),
        (GAIN, 1.0),
        (GAIN, 1),
        (COUNT, 1),
        (COUNT, 5),
        (MODE, "b"),
        (NAME, ""),
        (NAME, "anything"),
        (FLAG, True),
    ],
)
def test_what_is_allowed_comes_back_in_the_right_type(parameter: Setting, value: Any) -> None:
    checked = parameter.check(value)
    assert checked == value
    assert type(checked) is type(parameter.default)


def test_a_name_that_yaml_took_for_a_boolean_is_to_be_quoted() -> None:
    with pytest.raises(SettingError, match=r"""parameter 'name' is False; .* name:="'no'"\)$"""):
        NAME.check(False)


def test_a_number_is_a_name_too() -> None:
    assert NAME.check(5) == "5"


@pytest.mark.parametrize(
    ("parameter", "value", "allowed"),
    [
        (GAIN, -0.1, "a number from 0 to 1"),
        (GAIN, 1.1, "a number from 0 to 1"),
        (GAIN, math.nan, "a number from 0 to 1"),
        (GAIN, math.inf, "a number from 0 to 1"),
        (GAIN, "0.5", "a number from 0 to 1"),
        (GAIN, True, "a number from 0 to 1"),
        (GAIN, None, "a number from 0 to 1"),
        (COUNT, 0, "a whole number from 1 to 5"),
        (COUNT, 6, "a whole number from 1 to 5"),
        (COUNT, 3.0, "a whole number from 1 to 5"),
        (COUNT, True, "a whole number from 1 to 5"),
        (COUNT, [3], "a whole number from 1 to 5"),
        (MODE, "c", "a | b"),
        (MODE, "", "a | b"),
        (MODE, 1, "a | b"),
        (NAME, 1.5, "a string"),
        (NAME, None, "a string"),
        (FLAG, 1, "true or false"),
        (FLAG, "true", "true or false"),
    ],
)
def test_what_is_not_allowed_is_said_in_one_line(
    parameter: Setting, value: Any, allowed: str
) -> None:
    with pytest.raises(SettingError) as raised:
        parameter.check(value)
    assert str(raised.value) == f"parameter '{parameter.name}' is {value!r}; allowed: {allowed}"
