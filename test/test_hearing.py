"""What comes out of the loudspeaker, judged by a recording of it."""

from __future__ import annotations

import itertools
from contextlib import closing

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from support.compare import align
from support.ros import ABORTED, CANCELED, SUCCEEDED, Observer, running
from support.sound import Recording, SoundServer

from k2so_tts.audio import CHUNK_FRAMES, NOTHING, Pcm, frames_to_ns
from k2so_tts.engines import Prosody
from k2so_tts.engines.espeak import EspeakEngine
from k2so_tts.ros.messages import to_nanoseconds

SENTENCE = "I am K-2SO, here to help, and I will not stop before the end of this sentence."
FIVE_MINUTES = " ".join(f"This is sentence number {n}, spoken in one breath." for n in range(95))
SILENCE = 1e-4
BREAKS = "breaks of unknown cause in long recordings, the player is not ruled out"


def whole(text: str, voice: str = "en-us") -> Pcm:
    """What the engine gives when it is run whole."""
    with closing(EspeakEngine()) as engine:
        engine.load()
        blocks = [block.pcm for block in engine.synthesise(text, voice, Prosody())]
    return np.concatenate([NOTHING, *blocks])


def as_heard(pcm: Pcm, rate: int) -> NDArray[np.float32]:
    """What a loudspeaker at `rate` Hz is to play."""
    resampled: NDArray[np.float32] = soxr.resample(pcm.astype(np.float32) / 32768.0, 22050, rate)
    return resampled


def last_sound(recording: Recording) -> int:
    """The last frame recorded so far that is not silent."""
    loud = np.flatnonzero(np.abs(recording.samples()[:, 0]) > SILENCE)
    return int(loud[-1]) if len(loud) else -1


@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("One.", id="word"),
        pytest.param(SENTENCE, id="sentence"),
        pytest.param(FIVE_MINUTES, id="5min", marks=pytest.mark.xfail(strict=False, reason=BREAKS)),
    ],
)
def test_what_is_heard_is_what_the_engine_made(
    robot: Observer, sound_server: SoundServer, text: str
) -> None:
    expected = whole(text)
    with sound_server.record() as recording:
        goal = robot.say(text, timeout=400)
        robot.wait(lambda: not robot.speaking[-1][1])
        recording.wait_for_frames(recording.frames + sound_server.rate // 2, 10)
        heard = recording.stop()

    assert (goal.status, goal.text) == (SUCCEEDED, text)
    check_heard(heard[:, 0], as_heard(expected, sound_server.rate))
    assert robot.wait(lambda: robot.status("/audio_player").get("utterances") == "1")
    assert robot.status("/audio_player")["underruns"] == "0"
    assert robot.status("/audio_player")["lost_frames"] == "0"
    check_stream(robot, expected)


def check_heard(heard: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """All of it, to the frame: no gap, no repeat, no click."""
    match = align(heard, expected)
    assert match.snr_db > 50, match
    assert match.breaks == (), match


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
    end = robot.playheads[-1]
    assert goal.ended_at is not None
    assert 0 <= goal.ended_at - end[0] + 0.01 < 0.06
    stamps = [stamp for _, stamp in goal.feedback]
    assert stamps == [to_nanoseconds(message.header.stamp) for _, message in robot.audio[:-1]]
    for arrived, stamp in goal.feedback:
        heard = next(at for at, head, _ in robot.playheads if head >= stamp)
        assert arrived > heard - 0.08


def test_cancel_is_silence_within_100_ms(robot: Observer, sound_server: SoundServer) -> None:
    with sound_server.record() as recording:
        goal = robot.send(SENTENCE)
        recording.wait_for_sound(sound_server.rate // 2, 10)
        asked = robot.cancel(goal)
        robot.wait(lambda: goal.status is not None)
        robot.wait(lambda: not robot.speaking[-1][1])
        recording.wait_for_frames(recording.frames + sound_server.rate // 4, 10)
        silent_at = recording.time_of(last_sound(recording))
        samples = recording.stop()[:, 0]
    assert goal.status == CANCELED
    assert silent_at - asked < 0.1
    assert goal.ended_at is not None
    assert goal.ended_at - asked < 0.1
    assert goal.text
    assert SENTENCE.startswith(goal.text)
    assert goal.text != SENTENCE
    assert (
        np.abs(np.diff(samples)).max()
        < 1.2 * np.abs(np.diff(as_heard(whole(SENTENCE), 48000))).max()
    )
    following = robot.say("Two.")
    assert (following.status, following.text) == (SUCCEEDED, "Two.")


def test_queued_goals_follow_each_other_at_once(robot: Observer, sound_server: SoundServer) -> None:
    pieces = ["One.", "Two.", "Three."]
    with sound_server.record() as recording:
        goals = [robot.send(text) for text in pieces]
        robot.wait(lambda: all(goal.status == SUCCEEDED for goal in goals))
        heard = recording.stop()[:, 0]
    places = []
    for text in pieces:
        expected = as_heard(whole(text), sound_server.rate)
        check_heard(heard, expected)
        match = align(heard, expected)
        clean = match.snr_db > 50
        places.append((match.offset, match.offset + len(expected)) if clean else None)
    pauses = [
        following[0] - before[1]
        for before, following in itertools.pairwise(places)
        if before is not None and following is not None
    ]
    assert all(0 <= pause < 0.06 * sound_server.rate for pause in pauses), pauses


def test_the_sound_server_dies_and_comes_back_three_times(
    sound_server: SoundServer, observer: Observer, sound_env: dict[str, str]
) -> None:
    with running("audio_player", sound_env), running("speak_server"):
        observer.wait_for_nodes()
        for _ in range(3):
            with sound_server.record() as recording:
                goal = observer.send(SENTENCE)
                recording.wait_for_sound(sound_server.rate // 4, 10)
                sound_server.kill()
                observer.wait_for_end(goal)
            assert goal.status in (SUCCEEDED, ABORTED)
            observer.wait(lambda: "no sound" in observer.status("/audio_player")["message"])
            sound_server.restart()
            observer.wait(lambda: observer.status("/audio_player")["message"] == "ready")
            with sound_server.record() as recording:
                assert observer.say("Two.").status == SUCCEEDED
                recording.wait_for_frames(recording.frames + sound_server.rate // 4, 10)
                check_heard(recording.stop()[:, 0], as_heard(whole("Two."), 48000))
