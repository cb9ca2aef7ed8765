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

"""A node that is never mute: it speaks while its engine is loaded, and when that fails."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.fallible import FRAMES_PER_CHARACTER, RATE, Control
from support.ros import ABORTED, CANCELED, SUCCEEDED, TIMEOUT, Observer, running, start

from k2so_tts.audio import frames_to_ns
from k2so_tts.ros.messages import to_nanoseconds
from k2so_tts.synthesis.engine_supervisor import WARM_UPS

TEXT = "This is the first of them. Here comes the second one. And so ends the third."


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


def environment(control: Control) -> dict[str, str]:
    return {"PYTHONPATH": ":".join([*control.paths, os.environ["PYTHONPATH"]])}


@contextmanager
def robot(observer: Observer, control: Control, **parameters: Any) -> Iterator[psutil.Process]:
    """Both nodes, with the engine that is not reliable; the process of the server."""
    options = {
        "engine": "fallible",
        "fallible.folder": control.folder,
        "phrase_cache_mib": 0,
        "warn_latency_ms": 5000.0,  # a busy machine is no fault of an engine
        **parameters,
    }
    with (
        running("audio_player", device="null"),
        running("speak_server", environment(control), **options) as server,
    ):
        observer.wait_for_nodes()
        yield psutil.Process(server.pid)


def status(observer: Observer) -> dict[str, str]:
    return observer.status("/speak_server")


def wait_for(observer: Observer, **values: str) -> None:
    observer.wait(lambda: status(observer).items() >= values.items())


def told(observer: Observer, words: str, level: int = 40) -> int:
    """How often the server has told so in /rosout, as an error or at another level."""
    entries = [each for each in observer.log if each.name == "speak_server" and each.level == level]
    return sum(words in entry.msg for entry in entries)


def rates(observer: Observer) -> set[int]:
    return {message.audio.info.rate for _, message in observer.audio}


def texts(control: Control) -> str:
    """All that the engine was asked to speak, but for its warming up."""
    spoken = [line.partition(": ")[2] for line in control.log if line.startswith("hum: ")]
    return " ".join(text for text in spoken if text not in WARM_UPS)


def test_goals_are_spoken_while_the_engine_is_loaded(observer: Observer, control: Control) -> None:
    control.set("loading")
    with robot(observer, control):
        wait_for(observer, engine_state="loading", level="1")
        assert "espeak speaks instead while" in status(observer)["message"]
        assert observer.say(TEXT).status == SUCCEEDED
        assert rates(observer) == {22_050}
        wait_for(observer, spoken_by="espeak", fallback_utterances="1")
        control.clear("loading")
        wait_for(observer, engine_state="ready", level="0")
        observer.audio.clear()
        goal = observer.say(TEXT)
        assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
        assert rates(observer) == {RATE}
        wait_for(observer, spoken_by="fallible", fallback_utterances="1", message="ready")
        assert texts(control) == TEXT
        assert control.log.count("load") == 1
        assert float(status(observer)["engine_load_s"]) > 0
        assert float(status(observer)["engine_memory_mib"]) >= 0


def test_voices_are_looked_up_once_the_engine_is_loaded(
    observer: Observer, control: Control
) -> None:
    control.set("loading")
    with robot(observer, control, voice="brumm", voice_aliases="'low=brumm, odd=hum'"):
        for language in ("", "en", "low", "brumm", "de", "xx-nope"):
            assert observer.say("Hi.", language=language, rate=4.0).status == SUCCEEDED
        control.clear("loading")
        wait_for(observer, engine_state="ready")
        assert observer.say("Hi.", language="xx-nope").accepted is False
        for language in ("", "en", "en-US", "low", "brumm", "de"):
            assert observer.say("Hi.", language=language, rate=4.0).status == SUCCEEDED
        voices = [line.partition(":")[0] for line in control.log if line.endswith("Hi.")]
        assert voices == ["brumm", "brumm", "hum", "brumm", "brumm", "brumm"]


def test_a_goal_that_is_accepted_as_its_engine_becomes_ready_is_spoken(
    observer: Observer, control: Control
) -> None:
    """Its language, which the engine does not know, is looked up once, just before that."""
    patch = f"""
import pathlib, time
from k2so_tts.ros.voice_selection import VoiceSelector
look_up = VoiceSelector.voice_for
def voice_for(self, language):
    voice = look_up(self, language)
    pathlib.Path({control.folder!r}, "loading").unlink(missing_ok=True)
    while self.supervisor.state != "ready":
        time.sleep(0.001)
    return voice
VoiceSelector.voice_for = voice_for
"""
    control.set("loading")
    with robot(observer, control, patch=patch):
        wait_for(observer, engine_state="loading")
        goal = observer.say("Hi.", language="xx-nope")
        assert (goal.status, goal.text) == (SUCCEEDED, "Hi.")
        wait_for(observer, engine_state="ready", goals_waiting="0")


def test_an_unknown_voice_is_reported_once_the_engine_is_loaded(
    observer: Observer, control: Control
) -> None:
    with robot(observer, control, voice="tenor"):
        wait_for(observer, engine_state="failed", level="2")
        assert "parameter 'voice' names 'tenor'" in status(observer)["message"]
        assert observer.say("Hello.").status == SUCCEEDED
        assert observer.set_parameter("/speak_server", "voice", "brumm").successful
        wait_for(observer, engine_state="ready", level="0")


def test_a_missing_library_is_reported_and_the_fallback_speaks(
    observer: Observer, control: Control
) -> None:
    control.set("unavailable", "there is no package hum; get it with 'pip install hum'")
    control.set("loading")
    with robot(observer, control):
        wait_for(observer, engine_state="loading")
        control.clear("loading")
        wait_for(observer, engine_state="failed", level="2")
        assert "pip install hum" in status(observer)["message"]
        assert observer.say(TEXT).status == SUCCEEDED
        assert told(observer, "pip install hum") == 1
        control.clear("unavailable")
        wait_for(observer, engine_state="ready", level="0")
        assert observer.say("Hello again.").status == SUCCEEDED
        wait_for(observer, spoken_by="fallible")
        assert told(observer, "pip install hum") == 1


def test_what_limits_the_engine_is_a_warning_in_diagnostics_and_log(
    observer: Observer, control: Control
) -> None:
    control.set("limited", "voice hum is not streamed")
    control.set("loading")
    with robot(observer, control):
        control.clear("loading")
        wait_for(observer, engine_state="ready", level="1", message="voice hum is not streamed")
        observer.wait(lambda: told(observer, "voice hum is not streamed", level=30) == 1)
        assert observer.say("Hello.").status == SUCCEEDED
        wait_for(observer, spoken_by="fallible", level="1")
        assert told(observer, "voice hum is not streamed", level=30) == 1


@pytest.mark.parametrize("fault", ["raise", "crash", "stall"])
def test_the_fallback_goes_on_in_mid_text(observer: Observer, control: Control, fault: str) -> None:
    said = {"raise": "lost its voice", "crash": "ZeroDivisionError", "stall": "stalled"}[fault]
    with robot(observer, control, cut_at="sentence", engine_timeout=1.0) as server:
        wait_for(observer, engine_state="ready")
        threads = server.num_threads()  # no engine has spoken yet
        control.set("fault", f"{fault}:second")
        goal = observer.say(TEXT)
        assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
        check_contiguous(observer)
        wait_for(observer, spoken_by="espeak", fallback_utterances="1")
        assert told(observer, said) == 1
        assert status(observer).get("abandoned_engines") == ("1" if fault == "stall" else None)
        frames = sum(message.audio.info.chunk for _, message in observer.audio)
        first = FRAMES_PER_CHARACTER * len("This is the first of them.")
        assert frames > first + 2.5 * RATE, "espeak speaks the rest for 3.5 s"
        assert rates(observer) == {RATE}
        control.clear("fault")
        wait_for(observer, **({"engine_state": "ready"} if fault == "stall" else {"level": "1"}))
        assert observer.say(TEXT).status == SUCCEEDED
        wait_for(observer, spoken_by="fallible", level="0", message="ready", engine_state="ready")
        assert texts(control).endswith(TEXT)
        assert told(observer, said) == 1
        assert control.log.count("load") == (2 if fault == "stall" else 1)
        workers = 2 + (fault == "stall")  # one for each engine, and the one that hangs
        assert server.num_threads() <= threads + workers


def check_contiguous(observer: Observer) -> None:
    """One utterance, without a gap in its stamps."""
    chunks = [message for _, message in observer.audio if message.audio.info.chunk]
    frames = 0
    start = to_nanoseconds(chunks[0].header.stamp)
    for message, following in pairwise(chunks):
        frames += message.audio.info.chunk
        expected = start + frames_to_ns(frames, message.audio.info.rate)
        assert to_nanoseconds(following.header.stamp) == expected


def test_a_segment_of_which_nothing_was_heard_is_spoken_whole(
    observer: Observer, control: Control
) -> None:
    with robot(observer, control):
        wait_for(observer, engine_state="ready")
        control.set("fault", "raise:This")
        goal = observer.say(TEXT)
        assert (goal.status, goal.text) == (SUCCEEDED, TEXT)
        frames = sum(message.audio.info.chunk for _, message in observer.audio)
        assert frames > 3 * RATE


def test_a_cancelled_goal_knows_what_the_fallback_has_said(
    observer: Observer, control: Control
) -> None:
    with robot(observer, control, cut_at="sentence"):
        wait_for(observer, engine_state="ready")
        control.set("fault", "raise:second")
        goal = observer.send(TEXT + " And a lot more is to come of it. " * 10)
        observer.wait(lambda: len(goal.feedback) > 24)
        observer.cancel(goal)
        observer.wait_for_end(goal)
        assert goal.text.startswith("This is the first of them. Here comes")
        assert len(goal.text) < 300


@pytest.mark.parametrize("fault", ["raise", "stall"])
def test_without_a_fallback_the_goal_is_aborted_and_the_next_one_speaks(
    observer: Observer, control: Control, fault: str
) -> None:
    with robot(observer, control, fallback_engine="''", cut_at="sentence", engine_timeout=1.0):
        assert status(observer).get("engine_state") == "ready"
        control.set("fault", f"{fault}:second")
        goal = observer.say(TEXT)
        assert goal.status == ABORTED
        assert TEXT.startswith(goal.text)
        wait_for(observer, level="2")
        control.clear("fault")
        assert observer.say(TEXT).status == SUCCEEDED
        wait_for(observer, level="0", engine_state="ready")
        assert "fallback_utterances" not in status(observer)


def test_without_a_fallback_goals_wait_for_an_engine_that_is_loaded_again(
    observer: Observer, control: Control
) -> None:
    with robot(observer, control, fallback_engine="''", engine_timeout=1.0):
        control.set("fault", "stall:This")
        control.set("loading")
        assert observer.say(TEXT).status == ABORTED
        wait_for(observer, engine_state="failed")
        control.clear("fault")
        cancelled, waiting = observer.send(TEXT), observer.send("Hello again.")
        observer.wait(lambda: waiting.accepted)
        observer.cancel(cancelled)
        observer.wait_for_end(cancelled)
        assert cancelled.status == CANCELED, "while the engine is being loaded"
        assert waiting.status is None
        control.clear("loading")
        observer.wait_for_end(waiting)
        assert (waiting.status, waiting.text) == (SUCCEEDED, "Hello again.")


def test_without_a_fallback_goals_are_aborted_with_the_reason_while_loading_fails(
    observer: Observer, control: Control
) -> None:
    with robot(observer, control, fallback_engine="''", engine_timeout=1.0):
        control.set("fault", "stall:This")
        control.set("unavailable", "it has no throat")
        assert observer.say(TEXT).status == ABORTED
        observer.wait(lambda: told(observer, "it has no throat"))
        assert observer.say("Hello.").status == ABORTED
        reason = "ended after '': parameter 'engine' is 'fallible': it has no throat"
        observer.wait(lambda: reason in [entry.msg for entry in observer.log])
        control.clear("fault")
        control.clear("unavailable")
        wait_for(observer, engine_state="ready")
        assert observer.say("Hello again.").status == SUCCEEDED


def test_the_node_ends_while_its_engine_is_being_loaded(
    observer: Observer, control: Control
) -> None:
    control.set("loading")
    with robot(observer, control) as server:
        wait_for(observer, engine_state="loading")
        server.send_signal(signal.SIGINT)
        began = time.monotonic()
        server.wait(TIMEOUT)
        assert time.monotonic() - began < 10.0


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"fallback_engine": "parrot"},
            "parameter 'fallback_engine' is 'parrot'; allowed: coqui | espeak",
        ),
        ({"engine": "parrot"}, "parameter 'engine' is 'parrot'; allowed: coqui | espeak"),
        ({"voice_aliases": "x"}, "parameter 'voice_aliases' holds 'x'"),
        (
            {"engine": "piper", "piper.voice": "/nowhere"},
            "parameter 'piper.voice' is '/nowhere'; allowed: what exists",
        ),
        ({"fallback_engine": "''"}, "parameter 'engine' is 'fallible': it has no throat"),
        (
            {"engine": "espeak", "fallback_engine": "fallible"},
            "parameter 'fallback_engine' is 'fallible': it has no throat",
        ),
    ],
)
def test_an_engine_that_cannot_run_stops_the_node(
    control: Control, parameters: dict[str, str], said: str
) -> None:
    control.set("unavailable", "it has no throat")
    options: dict[str, Any] = {
        "engine": "fallible",
        "fallible.folder": control.folder,
        **parameters,
    }
    process = start("speak_server", environment(control), **options)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert said in errors
    assert len(errors.strip().splitlines()) == 1
