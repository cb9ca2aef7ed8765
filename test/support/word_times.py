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

"""When words are told, and when they are heard: judged on the recording of a sound card."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import numpy as np
from k2so_tts_msgs.action import Speak
from numpy.typing import NDArray

from k2so_tts.engines import Engine
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.text.segmenter import SENTENCE
from support.compare import find
from support.hearing import as_heard
from support.recording import Recording
from support.ros import SUCCEEDED, Observer
from support.sound import SoundServer
from support.speak import SpeakClient

_LONGEST_PAUSE = 2
"""Seconds for which a word may be late."""


def begin_of(heard: NDArray[np.float32], expected: NDArray[np.float32]) -> int:
    """The frame of a recording at which this sound begins."""
    size = 1 << (len(heard) + len(expected)).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(expected, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: len(heard)]))


def heard_of(recording: Recording, robot: Observer, rate: int) -> NDArray[np.float32]:
    """What was recorded up to now, once the robot is silent."""
    robot.wait(lambda: not robot.speaking[-1][1])
    recording.wait_for_frames(recording.frames + rate // 4, 10)
    return recording.samples()[:, 0]


class ToldWords:
    """The words of a text that an engine, which says it alike each time, speaks with a voice.

    The robot must cut texts at sentences (`cut_at`): where else they are cut depends on its pace.
    """

    def __init__(self, engine: Engine, text: str, voice: str) -> None:
        options = SynthesisOptions(voice, segmentation=SENTENCE)
        synthesis = Synthesis(LoadedEngine(engine), text, options)
        self._pcm = np.concatenate(list(stream_pcm(synthesis)))
        self._words = synthesis.words
        self._rate = engine.sample_rate
        self._text = text

    def _begins(self, heard: NDArray[np.float32], rate: int) -> Iterator[int]:
        """The frames of a recording at which the words begin: a slow machine makes pauses."""
        expected = as_heard(self._pcm, rate)
        at = begin_of(heard, expected)
        for word in self._words:
            first, end = (frame * rate // self._rate for frame in (word.frame, word.end_frame))
            at += find(heard[at : at + end - first + _LONGEST_PAUSE * rate], expected[first:end])[1]
            yield at
            at += end - first

    def median_error(self, robot: Observer, server: SoundServer, client: SpeakClient) -> float:
        """Seconds between the feedback for a word and its sound, in the median of the words, when
        a robot on that sound card speaks the text.
        """
        with server.record() as recording:
            goal = client.say(self._text)
            heard = heard_of(recording, robot, server.rate)
            dues = [recording.time_of(frame) for frame in self._begins(heard, server.rate)]
        assert (goal.status, goal.result.reason) == (SUCCEEDED, Speak.Result.FINISHED)
        assert goal.result.heard == self._text
        assert [word.word for _, word in goal.words] == [word.text for word in self._words]
        return median(abs(at - due) for (at, _), due in zip(goal.words, dues, strict=True))
