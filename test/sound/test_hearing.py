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

"""What comes out of the loudspeaker, judged by a recording of it."""

from __future__ import annotations

import subprocess
from statistics import median

import numpy as np
import pytest
from support.hearing import SENTENCE, as_heard, check_heard, whole
from support.recording import Recording, retake
from support.ros import ABORTED, CANCELED, SUCCEEDED, Goal, Observer, running
from support.sound import STEADY, SoundServer
from support.word_times import begin_of, heard_of

from k2so_tts.audio import CHUNK_FRAMES, Pcm, frames_to_ns
from k2so_tts.ros.messages import to_nanoseconds

MINUTE = " ".join(f"This is sentence number {n}, spoken in one breath." for n in range(20))
SILENCE = 1e-4
TRIES = 3
"""Times are taken as often; the machine may stand still in one, not in all."""


def last_sound(recording: Recording) -> int:
    """The last frame recorded so far that is not silent."""
    loud = np.flatnonzero(np.abs(recording.samples()[:, 0]) > SILENCE)
    return int(loud[-1]) if len(loud) else -1


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(MINUTE, id="minute"),
        pytest.param(SENTENCE, id="sentence"),
        pytest.param("One.", id="word"),
    ],
)
def test_what_is_heard_is_what_the_engine_made(
    robot: Observer, sound_server: SoundServer, text: str
) -> None:
    expected = whole(text)
    with sound_server.record() as recording:
        recording.lost_frames()
        goal = robot.say(text, timeout=200)
        robot.wait(lambda: not robot.speaking[-1][1])
        recording.wait_for_frames(recording.frames + sound_server.rate, 10)
        lost = recording.lost_frames()
        heard = recording.stop()

    assert (goal.status, goal.text) == (SUCCEEDED, text)
    check_heard(heard[:, 0], as_heard(expected, sound_server.rate), lost)
    assert robot.wait(lambda: robot.status("/audio_player").get("utterances") == "1")
    assert robot.status("/audio_player")["underruns"] == "0"
    assert robot.status("/audio_player")["lost_frames"] == "0"
    check_stream(robot, expected)


def check_stream(robot: Observer, expected: Pcm) -> None:
    """One utterance as the wire contract has it: whole chunks, contiguous stamps, an end marker."""
    messages = [message for _, message in robot.audio]
    pcm = [np.array(message.audio.audio_data.int16_data, np.int16) for message in messages]
    assert np.array_equal(np.concatenate(pcm), expected)
    assert [len(piece) for piece in pcm[:-2]] == [CHUNK_FRAMES] * (len(pcm) - 2)
    assert len(pcm[-1]) == 0
    start = to_nanoseconds(messages[0].header.stamp)
    frames = 0
    for message, piece in zip(messages, pcm, strict=True):
        assert message.audio.info.chunk == len(piece)
        assert to_nanoseconds(message.header.stamp) == start + frames_to_ns(frames, 22050)
        frames += len(piece)
    assert robot.playheads[0][1] == start
    assert robot.playheads[-1][1] == start + frames_to_ns(frames, 22050)


def test_a_goal_is_done_when_its_last_frame_is_heard(robot: Observer) -> None:
    goal = robot.say(SENTENCE)
    delays = [after_the_end(robot, goal)]
    stamps = [stamp for _, stamp in goal.feedback]
    assert stamps == [to_nanoseconds(message.header.stamp) for _, message in robot.audio[:-1]]
    early = [
        next(at for at, head, _ in robot.playheads if head >= stamp) - arrived
        for arrived, stamp in goal.feedback
    ]
    assert median(early) < 0.08, early
    delays += [after_the_end(robot, robot.say("Done?")) for _ in range(TRIES)]
    assert min(delays) >= -0.01, delays
    assert median(delays) < 0.05, delays


def after_the_end(robot: Observer, goal: Goal) -> float:
    """How long after the last frame was heard the goal was done (s)."""
    assert goal.ended_at is not None
    return goal.ended_at - robot.playheads[-1][0]


def test_cancel_is_silence_within_100_ms(
    quick_robot: Observer, quick_sound_server: SoundServer
) -> None:
    delays = []
    for _ in range(TRIES):
        with quick_sound_server.record() as recording:
            goal = quick_robot.send(SENTENCE)
            recording.wait_for_sound(quick_sound_server.rate, 10)
            asked = quick_robot.cancel(goal)
            quick_robot.wait_for_end(goal)
            quick_robot.wait(lambda: not quick_robot.speaking[-1][1])
            recording.wait_for_frames(recording.frames + quick_sound_server.rate // 4, 10)
            silent_at = recording.time_of(last_sound(recording))
        assert goal.status == CANCELED
        assert goal.ended_at is not None
        delays.append(max(silent_at, goal.ended_at) - asked)
    assert min(delays) < 0.1, delays


def test_what_was_heard_of_a_cancelled_goal_is_its_text_and_its_end_no_click(
    robot: Observer, sound_server: SoundServer
) -> None:
    with sound_server.record() as recording:
        goal = robot.send(SENTENCE)
        recording.wait_for_sound(sound_server.rate, 10)
        robot.cancel(goal)
        robot.wait_for_end(goal)
        robot.wait(lambda: not robot.speaking[-1][1])
        recording.wait_for_frames(recording.frames + sound_server.rate, 10)
        samples = recording.stop()[:, 0]
    assert goal.status == CANCELED
    assert goal.text
    assert SENTENCE.startswith(goal.text)
    assert goal.text != SENTENCE
    speech = as_heard(whole(SENTENCE), sound_server.rate)
    assert np.abs(np.diff(samples)).max() < 1.2 * np.abs(np.diff(speech)).max()
    following = robot.say("Two.")
    assert (following.status, following.text) == (SUCCEEDED, "Two.")


def test_queued_goals_follow_each_other_at_once(
    quick_robot: Observer, quick_sound_server: SoundServer
) -> None:
    texts, rate = ("One.", "Two.", "Three.", "Four."), quick_sound_server.rate
    with quick_sound_server.record() as recording:
        goals = [quick_robot.send(text) for text in texts]
        quick_robot.wait_for_end(*goals)
        heard = heard_of(recording, quick_robot, rate)
    assert [goal.status for goal in goals] == [SUCCEEDED] * len(goals)
    sounds = [as_heard(whole(text), rate) for text in texts]
    begins = [begin_of(heard, sound) for sound in sounds]
    ends = [begin + len(sound) for begin, sound in zip(begins, sounds, strict=True)]
    pauses = [(begin - end) / rate for begin, end in zip(begins[1:], ends, strict=False)]
    assert -0.001 < min(pauses) < 0.15, pauses


@retake
@pytest.mark.timeout(120)
def test_the_sound_server_dies_and_comes_back_three_times(
    robot: Observer, sound_server: SoundServer
) -> None:
    for _ in range(3):
        with sound_server.record() as recording:
            goal = robot.send(SENTENCE)
            recording.wait_for_sound(sound_server.rate // 4, 10)
            sound_server.kill()
            robot.wait_for_end(goal)
        assert goal.status in (SUCCEEDED, ABORTED)
        robot.wait(lambda: "no sound" in robot.status("/audio_player")["message"])
        sound_server.restart()
        robot.wait(lambda: robot.status("/audio_player")["message"] == "ready")
        with sound_server.record() as recording:
            recording.lost_frames()
            assert robot.say("Two.").status == SUCCEEDED
            recording.wait_for_frames(recording.frames + sound_server.rate, 10)
            check_heard(recording.whole()[:, 0], as_heard(whole("Two."), sound_server.rate))


def test_a_sound_library_that_hangs_is_left_behind(
    observer: Observer, sound_server: SoundServer, sound_env: dict[str, str]
) -> None:
    """PortAudio 19.6 loops for ever when the server dies under blocks that don't fit its cycle."""
    parameters = {**STEADY, "block_frames": 256}
    with (
        running("audio_player", sound_env, subprocess.DEVNULL, **parameters) as player,
        running("speak_server"),
    ):
        observer.wait_for_nodes()
        assert observer.say("One.").status == SUCCEEDED
        sound_server.kill()
        observer.wait(lambda: "no sound" in observer.status("/audio_player")["message"])
        sound_server.restart()
        observer.wait(lambda: observer.status("/audio_player")["message"] == "ready")
        observer.wait_for_nodes()
        with sound_server.record() as recording:
            assert observer.say("Two.").status == SUCCEEDED
            recording.wait_for_sound(sound_server.rate // 4, 10)
        assert player.poll() is None
