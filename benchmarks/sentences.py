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

"""Forty sentences of ordinary speech, by which voices are judged.

They have no numbers, names of products or abbreviations, as a speech recogniser may write those in
more than one way.
"""

SENTENCES = (
    "The robot waits at the door until somebody comes to open it.",
    "Please put the blue box on the table next to the window.",
    "I have looked in every room, but there was nobody there.",
    "It will take me a little while to find the way back.",
    "The floor in the kitchen is wet, so take care when you walk.",
    "We can leave as soon as the battery is full again.",
    "Could you tell me where you have seen the keys?",
    "My left arm does not move as well as the right one.",
    "There is a letter for you that came this morning.",
    "If you do not mind, I would like to ask you a question.",
    "The old man sat by the river and watched the boats go by.",
    "She bought fresh bread, some cheese and a bottle of milk.",
    "Rain is expected in the afternoon, and wind from the west.",
    "He closed the book and turned off the light beside the bed.",
    "Nobody knows how the story ends, not even the writer.",
    "The children played in the garden until it was dark.",
    "You should drink more water on a hot summer day.",
    "A small bird has built its nest under our roof.",
    "The train to the city leaves from the other side.",
    "They painted the wall green because she likes it best.",
    "I am sorry, but I did not understand what you said.",
    "Hold the rope with both hands and do not let it go.",
    "The meeting was moved to the large hall on the ground floor.",
    "What time shall I wake you up tomorrow?",
    "Music from the house across the street kept me awake.",
    "The doctor says that a short walk will do you good.",
    "Bring me the long screws and the small hammer, please.",
    "All the lights went out, and then we heard a strange noise.",
    "It is cold outside, so do not forget your coat and gloves.",
    "The path through the forest is closed after the storm.",
    "Her brother works on a ship and is seldom at home.",
    "We found an empty chair and sat down behind the others.",
    "The soup needs salt, and perhaps a spoon of cream.",
    "Someone has parked the car in front of the gate.",
    "I can carry this for you, if you show me where it goes.",
    "The first snow of the year fell during the night.",
    "They were tired and hungry when they reached the village.",
    "Turn right after the bridge and follow the yellow signs.",
    "This machine is very loud, so please step back a little.",
    "Thank you for your help, and have a pleasant evening.",
)
