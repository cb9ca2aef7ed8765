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

"""The texts that measurements speak."""

WARM_UP = "Ready."
SHORT = "Hello, I am K-2SO."
LONG = "the robot said that it would be here to help you again today " * 77
"""1001 words without punctuation, where it could be split."""
PARAGRAPH = (
    "I am K-2SO. I begin with the first words while I am still making the last ones. "
    "Nobody has to wait, and what you hear is the same to the last sample."
)
MINUTE = f"{PARAGRAPH} " * 20
"""More than two minutes of speech."""
ONE_SENTENCE = "Let me see what there is to do for us in this place."
TWO_SENTENCES = f"{ONE_SENTENCE} I will tell you as soon as I know more about it."
EIGHT_SENTENCES = (
    f"{TWO_SENTENCES} The door at the end of the hall is open. Nobody has been there since this "
    "morning. I can carry the box for you, if you like. Please keep a little distance while I "
    "turn around. My battery will last for another four hours. After that I have to go back to "
    "my station."
)
