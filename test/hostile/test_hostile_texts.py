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

"""Hostile goals and streamed texts, through both nodes and a real espeak-ng."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from rclpy.serialization import serialize_message
from std_msgs.msg import String
from std_srvs.srv import Trigger
from support.ros import CANCELED, SUCCEEDED, Observer, running

from k2so_tts.engines import NORMAL, create_engine
from k2so_tts.text.stream import clean

NORMAL_TEXT = "All is well."
MOST_GROWTH = 200 << 20
"""Bytes of memory that all of it may leave a node with."""
WITNESS = """
import json, os, sys
log = os.open(os.environ["WITNESS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"}
CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink",
           "os.truncate", "os.chmod"}
def witness(event, arguments):
    writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in STARTS or event in CHANGES:
        os.write(log, json.dumps([event, repr(arguments)]).encode() + b"\\n")
sys.addaudithook(witness)
"""
"""Imported by every Python process of a node at its start: writes down what it starts or changes
in the file system."""


@dataclass
class Sandbox:
    """Both nodes with directories of their own, and what was seen of them."""

    observer: Observer
    folder: Path
    log: Path
    server: psutil.Process
    player: psutil.Process

    @property
    def canary(self) -> Path:
        return self.folder / "canary"

    def files(self) -> set[str]:
        """What lies in the home, cache and temporary directories; but not ROS's own log."""
        found = (path.relative_to(self.folder) for path in self.folder.rglob("*"))
        return {str(path) for path in found if "ros_log" not in path.parts}

    def events(self) -> list[tuple[str, str]]:
        return [tuple(json.loads(line)) for line in self.log.read_text().splitlines()]

    def commands(self) -> Iterator[str]:
        """The command lines of the programs that the server runs; one that just ends has none."""
        for child in self.server.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if command := child.cmdline():
                    yield " ".join(command)

    def memory(self) -> tuple[int, int]:
        return self.server.memory_info().rss, self.player.memory_info().rss

    def ends(self) -> int:
        """How many speeches have ended, as the server's diagnostics count."""
        values = self.observer.status("/speak_server")
        return sum(int(values[f"goals_{end}"]) for end in ("succeeded", "aborted", "canceled"))

    def ends_by_now(self) -> int:
        """The same, of a status that was made after this was asked: it may be on its way already,
        the next one is not.
        """
        for _ in range(2):
            self.observer.diagnostics.pop("/speak_server", None)
            self.observer.wait(lambda: "/speak_server" in self.observer.diagnostics)
        return self.ends()

    def is_well(self) -> None:
        goal = self.observer.say(NORMAL_TEXT)
        assert (goal.status, goal.text) == (SUCCEEDED, NORMAL_TEXT)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    root = tmp_path_factory.mktemp("hostile")
    watch, folder = root / "watch", root / "robot"
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(WITNESS)
    homes = {name: folder / name.lower() for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for home in homes.values():
        home.mkdir(parents=True)
    env = {
        **{name: str(home) for name, home in homes.items()},
        "ROS_LOG_DIR": str(folder / "ros_log"),
        "WITNESS_LOG": str(watch / "log"),
        "PYTHONPATH": os.pathsep.join([str(watch), os.environ["PYTHONPATH"]]),
    }
    with (
        closing(Observer()) as observer,
        running("audio_player", env, device="null") as player,
        running("speak_server", env) as server,
    ):
        observer.wait_for_nodes()
        processes = psutil.Process(server.pid), psutil.Process(player.pid)
        yield Sandbox(observer, folder, watch / "log", *processes)


def texts(canary: Path) -> dict[str, str]:
    run = f"touch {canary}"
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return {
        "substitution": f"$({run}) `{run}`",
        "separators": f"; {run} ; | {run} & {run} && {run} || {run} # > {canary}",
        "quotes": f'\'; {run}; \' "; {run}; " \\"; {run}',
        "lines": f"hello\n{run}\r\n{run}\n",
        "options": f"--phonout={canary} -w {canary} -f /etc/passwd",
        "escape sequences": "\x1b]0;title\x07 \x1b[2J \x9b31m \x00 \x7f",
        "placeholders": "%s%s%n {0.__class__} ${HOME} {{7*7}} %00 \\u0000 \\x00",
        "SSML": f'<speak><audio src="{canary}"/><break time="3600s"/><mark name="x"/>a</speak>',
        "XML bomb": f'<!DOCTYPE l [<!ENTITY l0 "lol">{entities}]><l>&l9;</l>',
        "phonemes": "[[h@l'oU]] [[" + "[" * 1000,
        "espeak commands": "\x0150S\x01+90P\x01 loud",
        "right to left": "\u202eolleh\u202c \u2066\u2067\u2069 \u200f\u200e",
        "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 500,
        "variation selectors": "\u2764\ufe0f\u20e3" * 1000,
        "combining": "e" + "\u0301\u0323" * 20_000,
        "private": "\ue000\U000f0000\U0010ffff\ufffe" * 100,
        "dots": "." * 100_000,
        "no space": "a" * 100_000,
        "digits": "9" * 100_000,
        "spaces": "\u3000\u200b\u2028" * 10_000 + "end",
        "brackets": "([{<" * 10_000,
    }


def speak_or_stop(observer: Observer, text: str, **fields: Any) -> Any:
    """Send a goal; stop it when it has begun to be heard; it must end either way."""
    goal = observer.send(text, rate=4.0, **fields)
    observer.wait(lambda: goal.feedback or goal.status is not None or goal.accepted is False)
    if goal.accepted is not False and goal.status is None:
        observer.cancel(goal)
    observer.wait_for_end(goal)
    return goal


@pytest.mark.timeout(120)
def test_a_text_is_only_spoken(sandbox: Sandbox) -> None:
    """Nothing in a text starts a program or touches a file, and the next goal is heard."""
    observer = sandbox.observer
    sandbox.is_well()
    files, events, memory = sandbox.files(), len(sandbox.events()), sandbox.memory()
    for name, text in texts(sandbox.canary).items():
        goal = speak_or_stop(observer, text)
        assert goal.status in (SUCCEEDED, CANCELED), name
        assert clean(text).startswith(goal.text), name
        for command in sandbox.commands():
            assert "k2so_tts.engines.espeak.worker" in command, (name, command)
    sandbox.is_well()
    assert sandbox.files() == files
    assert sandbox.events()[events:] == []
    growth = [after - before for after, before in zip(sandbox.memory(), memory, strict=True)]
    assert max(growth) < MOST_GROWTH


def test_the_witness_sees(sandbox: Sandbox) -> None:
    """It told of the one program that a server does start, by an argument list."""
    started = [arguments for event, arguments in sandbox.events() if event == "subprocess.Popen"]
    assert started
    assert all("k2so_tts.engines.espeak.worker" in arguments for arguments in started)
    assert "os.system" not in dict(sandbox.events())


def test_what_looks_like_markup_is_read_out() -> None:
    """No command to espeak-ng: no pause of an hour, no silence, no phonemes."""
    engine = create_engine("espeak")
    engine.load()

    def speak(text: str) -> Any:
        blocks = engine.synthesise(text, engine.default_voice, NORMAL)
        return np.concatenate([block.pcm for block in blocks])

    try:
        assert len(speak('<speak>a <break time="60s"/> b</speak>')) < 20 * engine.sample_rate
        assert np.abs(speak('<prosody volume="silent">hello</prosody>')).max() > 3000
        assert len(speak("[[h@l'oU]]")) > 1.5 * len(speak("hello"))
    finally:
        engine.close()


@pytest.mark.timeout(120)
def test_a_text_of_a_megabyte(sandbox: Sandbox) -> None:
    """Refused with what is allowed; and spoken when it is allowed."""
    observer, text = sandbox.observer, "x" * (1 << 20)
    refusal = "text has 1048576 characters; allowed: 100000 (max_text_length)"
    memory = sandbox.memory()
    assert observer.say(text).accepted is False
    observer.wait(lambda: any(refusal in entry.msg for entry in observer.log))
    assert observer.set_parameter("speak_server", "max_text_length", len(text)).successful
    for spoken in (text, ". " * (len(text) // 2)):
        assert speak_or_stop(observer, spoken).status in (SUCCEEDED, CANCELED)
    assert observer.set_parameter("speak_server", "max_text_length", 100_000).successful
    sandbox.is_well()
    growth = [after - before for after, before in zip(sandbox.memory(), memory, strict=True)]
    assert max(growth) < MOST_GROWTH


NUMBERS = [math.nan, math.inf, -math.inf, -1.0, -1e-30, 3.4e38]
LANGUAGES = [
    "$(reboot)",
    "en;reboot",
    "../../../etc/passwd",
    "/etc/passwd",
    "en-us+../../etc/passwd",
    "en-us+",
    "+f3",
    "en\nus",
    "\u202een",
    "\U0001f468\u200d",
    "%s%n",
    "-w/tmp/x",
    " ",
    "e" * (1 << 20),
]


def test_a_goal_with_an_invalid_field_is_refused(sandbox: Sandbox) -> None:
    """With the field, its value and what is allowed, on a line of bounded length."""
    observer = sandbox.observer
    first = len(observer.log)
    wrong = [{"volume": value} for value in NUMBERS]
    wrong += [{"rate": value} for value in (*NUMBERS, 0.0, 1e-45)]
    languages = [{"language": value} for value in LANGUAGES]
    goals = [observer.send("hello", **fields) for fields in (*wrong, *languages)]  # type: ignore[arg-type]
    observer.wait_for_end(*goals)
    assert [goal.accepted for goal in goals] == [False] * len(goals)

    def refusals() -> list[str]:
        told = [entry.msg for entry in observer.log[first:]]
        return [line for line in told if line.startswith("goal refused: ")]

    observer.wait(lambda: len(refusals()) == len(goals))
    for fields, line in zip(wrong, refusals(), strict=False):
        assert line.startswith(f"goal refused: {next(iter(fields))} is "), line
        assert "; allowed: " in line
    for line in refusals()[len(wrong) :]:
        assert line.startswith("goal refused: language is "), line
        assert line.endswith("; see 'k2so-tts voices'")
        assert line.isprintable()
        assert len(line) < 1000
    sandbox.is_well()


@pytest.mark.timeout(120)
def test_a_streamed_text_is_only_spoken(sandbox: Sandbox) -> None:
    """Hostile pieces, also such as are no UTF-8, end as one speech; the next goal is heard."""
    observer = sandbox.observer
    publisher = observer.node.create_publisher(String, "say_stream", 100)
    observer.wait(publisher.get_subscription_count)
    sandbox.is_well()
    files, events, memory = sandbox.files(), len(sandbox.events()), sandbox.memory()
    pieces = [*texts(sandbox.canary).values(), "y" * 300_000, "\n" * 300_000]
    raw = serialize_message(String(data="????")).replace(b"????", b"\xed\xa0\x80\xff")
    ends = sandbox.ends_by_now()
    for piece in pieces:
        observer.audio.clear()
        publisher.publish(raw)
        publisher.publish(String(data=piece))
        publisher.publish(String(data=""))
        observer.wait(lambda: any(message.audio.info.chunk for _, message in observer.audio))
        assert observer.call(Trigger, "speak_server/stop").success
        observer.wait(lambda: any(not message.audio.info.chunk for _, message in observer.audio))
    observer.wait(lambda: sandbox.ends() == ends + len(pieces))
    sandbox.is_well()
    assert sandbox.files() == files
    assert sandbox.events()[events:] == []
    growth = [after - before for after, before in zip(sandbox.memory(), memory, strict=True)]
    assert max(growth) < MOST_GROWTH
    observer.node.destroy_publisher(publisher)


def test_a_streamed_text_is_no_longer_than_a_goal_may_be(sandbox: Sandbox) -> None:
    observer = sandbox.observer
    publisher = observer.node.create_publisher(String, "say_stream", 100)
    observer.wait(publisher.get_subscription_count)
    text = "One two three four."
    assert observer.set_parameter("speak_server", "max_text_length", len(text)).successful
    assert observer.say(text).status == SUCCEEDED

    def frames() -> int:
        return sum(message.audio.info.chunk for _, message in observer.audio)

    whole, ends = frames(), sandbox.ends_by_now()
    observer.audio.clear()
    for piece in (text, *[" And many more, without an end."] * 50, ""):
        publisher.publish(String(data=piece))
    observer.wait(lambda: sandbox.ends() > ends)
    assert 0 < frames() < 1.2 * whole
    observer.wait(lambda: any("a streamed text is cut after" in line.msg for line in observer.log))
    assert observer.set_parameter("speak_server", "max_text_length", 100_000).successful
    sandbox.is_well()
    observer.node.destroy_publisher(publisher)
