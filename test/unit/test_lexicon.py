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

"""The pronunciation list: what is found in a text, and how a bad file is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from k2so_tts.settings import SettingError
from k2so_tts.text.lexicon import EMPTY_LEXICON, Lexicon, load_lexicon
from k2so_tts.text.speakable import SpeakableSettings, speakable

LEXICON = """
# a robot's own name
K-2SO: kay two ess oh
ros: ross
"ROS 2": ross two
de:
  ROS: Ross
de-AT:
  Jänner: Jenner
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lexicon.yaml"


def load(file: Path, content: str) -> Lexicon:
    file.write_text(content, encoding="utf-8")
    return load_lexicon(str(file))


@pytest.mark.parametrize(
    ("sent", "spoken", "language"),
    [
        ("I am K-2SO.", "I am kay two ess oh.", "en"),
        ("I am k-2so.", "I am k-2so.", "en"),
        ("ros, Ros and ROS", "ross, ross and ross", "en"),
        ("ROS 2 is", "ross two is", "en"),
        ("ROS 23", "ross 23", "en"),
        ("gross rosy XK-2SO", "gross rosy XK-2SO", "en"),
        ("Das ist ROS.", "Das ist Ross.", "de"),
        ("Im Jänner", "Im Jänner", "de"),
        ("Im Jänner", "Im Jenner", "de-at"),
        ("**K-2SO**!", "kay two ess oh!", "fr"),
    ],
)
def test_words_are_spoken_as_the_list_says(
    file: Path, sent: str, spoken: str, language: str
) -> None:
    lexicon = load(file, LEXICON)
    assert speakable(sent, language, SpeakableSettings(lexicon=lexicon)).text == spoken


def test_without_the_step_the_list_is_not_used(file: Path) -> None:
    how = SpeakableSettings(frozenset({"markdown"}), lexicon=load(file, LEXICON))
    assert speakable("**K-2SO**", "en", how).text == "K-2SO"


def test_an_empty_path_or_file_is_an_empty_list(file: Path) -> None:
    assert load_lexicon("") is EMPTY_LEXICON
    assert load(file, "").of("en") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: b\nc: [d]\n", "line 2: allowed: what is written: what is said"),
        ("a: b\nno tag:\n  c: d\n", "line 2: 'no tag' is not a language tag"),
        ("de:\n  a:\n    b: c\n", "line 2: allowed: what is written: what is said"),
        ("- a\n", "line 1: allowed: what is written: what is said"),
        ("a: b\n'': c\n", "line 2: '' has 0 characters; allowed: 1 to 80"),
        ("a: b\nc: 'd\n", "line "),
        ("a: b\n c: d\n", "line 2: "),
        ("a: \0", "unacceptable character"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_line(file: Path, content: str, message: str) -> None:
    with pytest.raises(SettingError) as refusal:
        load(file, content)
    assert str(file) in str(refusal.value)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_or_too_large_is_refused(file: Path) -> None:
    with pytest.raises(SettingError, match=r"cannot be read: .*No such file"):
        load_lexicon(str(file))
    os.mkfifo(pipe := file.with_name("pipe"))
    for other in (pipe, Path("/dev/zero"), file.parent):
        with pytest.raises(SettingError, match="is no file"):
            load_lexicon(str(other))
    with pytest.raises(SettingError, match="more than 1000000 bytes"):
        load(file, "# " + "x" * 1_000_000)
    file.write_bytes(b"a: \xff\n")
    with pytest.raises(SettingError, match="cannot be read"):
        load_lexicon(str(file))
