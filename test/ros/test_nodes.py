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

"""The two nodes as other programs see them: goals, streams, faults, parameters."""

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from audio_common_msgs.msg import AudioStamped
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from support.ros import (
    ABORTED,
    CANCELED,
    STOP_SECONDS,
    SUCCEEDED,
    TIMEOUT,
    Observer,
    running,
    start,
)

from k2so_tts.ros.graph import player_subscribes, with_info
from k2so_tts.ros.messages import foreign_qos, to_message, to_nanoseconds
from k2so_tts.ros.player_liveness import PLAYER_SILENCE_SECONDS

LONG = " ".join(f"Number {n} is spoken." for n in range(20))
HEAP_BYTES = 64 * 2**20
"""What glibc reserves for a heap of threads, at a multiple of it (HEAP_MAX_SIZE in its arena.c)."""


def heaps_in(maps: str) -> int:
    """How many heaps glibc has made for threads: a used part and its reserve in /proc/PID/maps."""
    pairs = re.findall(r"^(\w+)-\w+ rw-p .*\n\w+-(\w+) ---p", maps, re.MULTILINE)
    spans = [(int(begin, 16), int(end, 16)) for begin, end in pairs]
    return sum(begin % HEAP_BYTES == 0 and end - begin == HEAP_BYTES for begin, end in spans)


def heard_so_far(observer: Observer) -> int:
    return len(observer.playheads)


def log_of(observer: Observer, node: str) -> list[str]:
    return [entry.msg for entry in observer.log if entry.name == node]


# Goals


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"volume": 1.5}, "volume is 1.5; allowed: 0.0 to 1.0"),
        ({"volume": float("nan")}, "volume is nan"),
        ({"rate": 0.1}, "rate is 0.1"),
        ({"rate": float("inf")}, "rate is inf; allowed: 0.25 to 4.0"),
        ({"language": "klingon"}, "language is 'klingon'"),
        ({"language": "$(reboot)"}, "language is '$(reboot)'"),
    ],
)
def test_a_goal_with_an_invalid_field_is_refused(
    shared_robot: Observer, fields: dict[str, Any], named: str
) -> None:
    assert shared_robot.say("Hello", **fields).accepted is False
    shared_robot.wait(lambda: any(named in line for line in log_of(shared_robot, "speak_server")))
    assert shared_robot.say("Hello").status == SUCCEEDED


def test_a_text_that_is_too_long_is_refused(observer: Observer) -> None:
    with running("speak_server", max_text_length=10):
        assert observer.client.wait_for_server(TIMEOUT)
        assert observer.say("x" * 11).accepted is False
        assert observer.send("x" * 10).accepted is not False


@pytest.mark.parametrize("text", ["", "  \n\t ", "\x00\x07\x1b"])
def test_nothing_to_say_succeeds_at_once(shared_robot: Observer, text: str) -> None:
    shared_robot.audio.clear()
    goal = shared_robot.say(text)
    assert (goal.status, goal.text) == (SUCCEEDED, "")
    assert not shared_robot.audio


def test_volume_and_rate_of_a_goal_are_heard(quiet_robot: Observer) -> None:
    sizes, peaks = [], []
    for fields in ({}, {"volume": 0.25}, {"rate": 2.0}):
        quiet_robot.audio.clear()
        assert quiet_robot.say("Hello world.", **fields).status == SUCCEEDED
        pcm = np.concatenate(
            [np.array(m.audio.audio_data.int16_data, np.int16) for _, m in quiet_robot.audio]
        )
        sizes.append(len(pcm))
        peaks.append(int(np.abs(pcm.astype(int)).max()))
    assert peaks[1] == pytest.approx(peaks[0] / 4, abs=1)
    assert sizes[1] == sizes[0]
    assert sizes[2] < 0.7 * sizes[0]


def test_replace_cuts_the_current_goal_short(quiet_robot: Observer) -> None:
    assert quiet_robot.set_parameter("/speak_server", "queue_policy", "replace").successful
    first = quiet_robot.send(LONG)
    quiet_robot.wait(lambda: len(first.feedback) > 9)
    second = quiet_robot.say("Instead.")
    assert (second.status, second.text) == (SUCCEEDED, "Instead.")
    assert first.status == ABORTED
    assert LONG.startswith(first.text)
    assert 0 < len(first.text) < len(LONG)


def test_reject_refuses_while_busy(quiet_robot: Observer) -> None:
    assert quiet_robot.set_parameter("/speak_server", "queue_policy", "reject").successful
    first = quiet_robot.send("This is spoken.")
    quiet_robot.wait(lambda: first.feedback)
    assert quiet_robot.say("This is not.").accepted is False
    quiet_robot.wait(lambda: first.status == SUCCEEDED)
    assert quiet_robot.say("This is.").status == SUCCEEDED


def test_a_queued_goal_that_is_cancelled_was_never_heard(quiet_robot: Observer) -> None:
    first, second, third = (quiet_robot.send(text) for text in (LONG, "Never.", "Third."))
    quiet_robot.wait(lambda: first.feedback)
    quiet_robot.cancel(second)
    quiet_robot.wait(lambda: second.status is not None)
    assert (second.status, second.text, second.feedback) == (CANCELED, "", [])
    assert first.status is None
    quiet_robot.cancel(first)
    quiet_robot.wait(lambda: third.status is not None)
    assert (first.status, third.status, third.text) == (CANCELED, SUCCEEDED, "Third.")


def test_stop_ends_everything(quiet_robot: Observer) -> None:
    goals = [quiet_robot.send(LONG), quiet_robot.send("Never.")]
    quiet_robot.wait(lambda: len(goals[0].feedback) > 7)
    assert quiet_robot.call(Trigger, "/speak_server/stop").success
    quiet_robot.wait(lambda: all(goal.status is not None for goal in goals))
    assert [goal.status for goal in goals] == [ABORTED, ABORTED]
    quiet_robot.wait(lambda: not quiet_robot.speaking[-1][1])
    assert quiet_robot.say("Again.").status == SUCCEEDED


@pytest.mark.timeout(240)
def test_two_hundred_goals_from_four_clients(quiet_robot: Observer) -> None:
    server = quiet_robot.server
    assert quiet_robot.set_parameter("/speak_server", "max_queue", 500).successful
    assert quiet_robot.say("Warm up.").status == SUCCEEDED
    threads, memory = server.num_threads(), server.memory_info().rss
    rng = np.random.default_rng(1)
    clients = [Observer() for _ in range(4)]
    try:
        for client in clients:
            assert client.client.wait_for_server(TIMEOUT)
        goals = []
        for number in range(200):
            client = clients[number % 4]
            goals.append((client, client.send(f"{number}", rate=4.0)))
        for client in clients:
            client.wait(lambda: all(goal.accepted is not None for _, goal in goals))
        assert all(goal.accepted for _, goal in goals)
        for index in sorted(rng.choice(200, size=150, replace=False)):
            client, goal = goals[index]
            client.cancel(goal)
        for client, goal in goals:
            client.wait_for_end(goal, timeout=200)
    finally:
        for client in clients:
            client.close()
    assert {goal.status for _, goal in goals} <= {SUCCEEDED, CANCELED}
    spoken = [index for index, (_, goal) in enumerate(goals) if goal.status == SUCCEEDED]
    assert len(spoken) >= 50
    for index in spoken:
        assert goals[index][1].text == str(index)
    begun = [goal.feedback[0] for _, goal in goals if goal.feedback]
    stamps = [stamp for _, stamp in begun]
    assert len(stamps) == len(set(stamps))
    quiet_robot.wait(lambda: quiet_robot.status("/speak_server").get("goals_waiting") == "0")
    quiet_robot.wait(lambda: server.num_threads() <= threads + 1)
    assert server.memory_info().rss - memory < 30 * 2**20


# Text that is still being written


def test_streamed_text_is_one_utterance(quiet_robot: Observer) -> None:
    publisher = quiet_robot.node.create_publisher(String, "say_stream", 100)
    quiet_robot.wait(publisher.get_subscription_count)
    for word in re.findall(r"\S+ ", "Well, this is a text that comes word by word, and "):
        publisher.publish(String(data=word))
    quiet_robot.wait(lambda: quiet_robot.speaking[-1][1])
    publisher.publish(String(data="this is its end."))
    publisher.publish(String(data=""))
    quiet_robot.wait(lambda: quiet_robot.status("/speak_server").get("goals_succeeded") == "1")
    stamps = [to_nanoseconds(message.header.stamp) for _, message in quiet_robot.audio]
    assert stamps == sorted(stamps)


def test_streamed_text_is_cut_off_by_stop_up_to_its_end(quiet_robot: Observer) -> None:
    publisher = quiet_robot.node.create_publisher(String, "say_stream", 100)
    quiet_robot.wait(publisher.get_subscription_count)
    publisher.publish(String(data=LONG))
    quiet_robot.wait(lambda: quiet_robot.speaking[-1][1])
    assert quiet_robot.call(Trigger, "/speak_server/stop").success
    quiet_robot.wait(lambda: not quiet_robot.speaking[-1][1])
    sent = len(quiet_robot.audio)
    publisher.publish(String(data="This still belongs to it. "))
    publisher.publish(String(data=""))
    publisher.publish(String(data="This does not."))
    publisher.publish(String(data=""))
    quiet_robot.wait(lambda: quiet_robot.status("/speak_server").get("goals_succeeded") == "1")
    frames = sum(message.audio.info.chunk for _, message in quiet_robot.audio[sent:])
    assert frames < 2.0 * 22050


# Faults


def test_without_a_player_goals_end_by_the_clock(observer: Observer) -> None:
    with running("speak_server", wait_for_player=0.2):
        assert observer.client.wait_for_server(TIMEOUT)
        listening = [s for s in observer.node.subscriptions if s.topic_name == "/audio"]
        observer.node.destroy_subscription(listening[0])
        goal = observer.say("Nobody hears this.")
        assert goal.status == SUCCEEDED
        observer.wait(lambda: "nobody" in observer.status("/speak_server").get("message", ""))
        told = [line for line in log_of(observer, "speak_server") if "nobody" in line]
        assert len(told) == 1


def test_a_foreign_player_needs_no_playhead(observer: Observer) -> None:
    with running("speak_server"):
        assert observer.client.wait_for_server(TIMEOUT)
        goal = observer.say("This is one second.")
        assert goal.status == SUCCEEDED
        assert goal.ended_at is not None
        frames = sum(message.audio.info.chunk for _, message in observer.audio)
        assert goal.ended_at - goal.sent_at > frames / 22050


def test_a_player_that_dies_in_mid_sentence_aborts_the_goal(observer: Observer) -> None:
    player = start("audio_player", device="null")
    with running("speak_server"):
        observer.wait_for_nodes()
        goal = observer.send(LONG)
        observer.wait(lambda: len(goal.feedback) > 14)
        player.kill()
        died = time.monotonic()
        player.wait(STOP_SECONDS)
        observer.wait(lambda: goal.status is not None)
        assert goal.status == ABORTED
        assert goal.ended_at is not None
        assert goal.ended_at - died < 3 * PLAYER_SILENCE_SECONDS
        assert 0 < len(goal.text) < len(LONG)
        assert LONG.startswith(goal.text)
        observer.wait(lambda: "player is lost" in observer.status("/speak_server")["message"])
        with running("audio_player", device="null"):
            observer.wait(lambda: observer.status("/speak_server")["message"] == "ready")
            following = observer.say("Two.")
            assert (following.status, following.text) == (SUCCEEDED, "Two.")
            observer.wait(lambda: observer.status("/audio_player").get("utterances") == "1")


def test_a_player_that_is_back_goes_on(observer: Observer) -> None:
    player = start("audio_player", device="null")
    with running("speak_server", player_lost="wait"):
        observer.wait_for_nodes()
        goal = observer.send(LONG, rate=3.0)
        observer.wait(lambda: len(goal.feedback) > 14)
        player.kill()
        player.wait(STOP_SECONDS)
        observer.wait(lambda: "player" in observer.status("/speak_server").get("message", ""))
        with running("audio_player", device="null"):
            observer.wait(lambda: goal.status is not None)
            assert (goal.status, goal.text) == (SUCCEEDED, LONG)


def test_a_dead_engine_process_aborts_the_goal_and_the_next_one_speaks(
    quiet_robot: Observer,
) -> None:
    goal = quiet_robot.send(LONG * 20)
    quiet_robot.wait(lambda: goal.feedback)
    for process in quiet_robot.server.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    quiet_robot.wait(lambda: goal.status is not None)
    assert goal.status == ABORTED
    assert quiet_robot.say("Two.").status == SUCCEEDED


def test_a_client_that_disappears_affects_no_other(quiet_robot: Observer) -> None:
    with closing(Observer()) as client:
        assert client.client.wait_for_server(TIMEOUT)
        goal = client.send("I am gone before this ends.")
        client.wait(lambda: goal.feedback)
    assert quiet_robot.say("Two.").status == SUCCEEDED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("program", ["speak_server", "audio_player"])
def test_signals_end_a_node_in_mid_sentence(
    observer: Observer, program: str, number: signal.Signals
) -> None:
    processes = {
        "audio_player": start("audio_player", device="null"),
        "speak_server": start("speak_server"),
    }
    try:
        observer.wait_for_nodes()
        goal = observer.send(LONG)
        observer.wait(lambda: len(goal.feedback) > 9)
        children = psutil.Process(processes[program].pid).children(recursive=True)
        processes[program].send_signal(number)
        assert processes[program].wait(STOP_SECONDS) == 0
        observer.wait(lambda: goal.status is not None)
        assert goal.status == ABORTED
        assert 0 < len(goal.text) < len(LONG)
        psutil.wait_procs(children, STOP_SECONDS)
        assert not any(child.is_running() for child in children)
    finally:
        for process in processes.values():
            process.kill()
            process.wait(STOP_SECONDS)


def test_no_frame_is_lost_when_the_player_appears_with_the_goal(observer: Observer) -> None:
    with running("speak_server", wait_for_player=20.0):
        assert observer.client.wait_for_server(TIMEOUT)
        listening = [s for s in observer.node.subscriptions if s.topic_name == "/audio"]
        observer.node.destroy_subscription(listening[0])
        with running("audio_player", device="null"):
            goal = observer.say("Not a frame of this is lost.")
            assert goal.status == SUCCEEDED
            observer.wait(lambda: observer.status("/audio_player").get("utterances") == "1")
            heard = observer.status("/audio_player")
            observer.wait(lambda: "duration_s" in observer.status("/speak_server"))
            assert heard["lost_frames"] == "0"
            spoken = observer.status("/speak_server")
            assert float(heard["duration_s"]) == pytest.approx(
                float(spoken["duration_s"]), abs=2e-3
            )


# The player


def test_pause_keeps_what_is_buffered(quiet_robot: Observer) -> None:
    goal = quiet_robot.send("This sentence is interrupted for a while.")
    quiet_robot.wait(lambda: len(goal.feedback) > 7)
    assert quiet_robot.call(SetBool, "/audio_player/pause", data=True).success
    quiet_robot.wait(lambda: not quiet_robot.speaking[-1][1])
    seen = heard_so_far(quiet_robot)
    quiet_robot.wait(lambda: heard_so_far(quiet_robot) > seen + 30)
    assert len({head for _, head, _ in quiet_robot.playheads[seen + 10 :]}) == 1
    assert goal.status is None
    assert quiet_robot.call(SetBool, "/audio_player/pause", data=False).success
    quiet_robot.wait(lambda: goal.status is not None)
    assert goal.status == SUCCEEDED
    assert quiet_robot.status("/audio_player")["underruns"] == "0"


def test_mute_goes_on_unheard(quiet_robot: Observer) -> None:
    assert quiet_robot.call(SetBool, "/audio_player/mute", data=True).success
    goal = quiet_robot.say("Nobody hears this.")
    assert goal.status == SUCCEEDED
    assert not any(speaking for _, speaking in quiet_robot.speaking)
    assert quiet_robot.call(SetBool, "/audio_player/mute", data=False).success
    quiet_robot.say("Two.")
    assert any(speaking for _, speaking in quiet_robot.speaking)


def test_stop_of_the_player_ends_the_goal_too(quiet_robot: Observer) -> None:
    goal = quiet_robot.send(LONG)
    quiet_robot.wait(lambda: len(goal.feedback) > 9)
    assert quiet_robot.call(Trigger, "/audio_player/stop").success
    quiet_robot.wait(lambda: goal.status is not None)
    assert goal.status == ABORTED
    assert quiet_robot.say("Two.").status == SUCCEEDED


def test_an_inconsistent_message_is_dropped(quiet_robot: Observer) -> None:
    publisher = quiet_robot.node.create_publisher(AudioStamped, "audio", 10)
    quiet_robot.wait(lambda: publisher.get_subscription_count() >= 2)
    good = to_message(1, np.zeros(100, np.int16), 22050, "stranger")
    for field, value in (("rate", 0), ("channels", 0), ("channels", 3), ("format", 7)):
        bad = to_message(1, np.zeros(100, np.int16), 22050, "stranger")
        setattr(bad.audio.info, field, value)
        publisher.publish(bad)
    quiet_robot.wait(lambda: quiet_robot.status("/audio_player").get("refused_messages") == "4")
    warnings = [line for line in log_of(quiet_robot, "audio_player") if "dropped" in line]
    assert len(warnings) == 1
    assert "info.rate is 0; allowed: 8000 to 192000" in warnings[0]
    publisher.publish(good)
    quiet_robot.wait(lambda: quiet_robot.status("/audio_player").get("utterances") == "1")
    assert quiet_robot.say("Two.").status == SUCCEEDED


@pytest.mark.parametrize("best_effort", [True, False])
def test_a_foreign_stream_without_stamps_or_end_is_heard_whole(
    quiet_robot: Observer, *, best_effort: bool
) -> None:
    qos = foreign_qos() if best_effort else QoSProfile(depth=10)
    publisher = quiet_robot.node.create_publisher(AudioStamped, "audio", qos)
    quiet_robot.wait(lambda: publisher.get_subscription_count() >= (1 if best_effort else 2))
    tone = (10000 * np.sin(np.arange(8000) * 0.1)).astype(np.int16)
    for piece in np.split(tone, 10):
        publisher.publish(to_message(0, piece, 16000, ""))
    quiet_robot.wait(lambda: quiet_robot.status("/audio_player").get("utterances") == "1")
    assert quiet_robot.status("/audio_player")["underruns"] == "0"
    assert float(quiet_robot.status("/audio_player")["duration_s"]) == pytest.approx(0.5, abs=2e-3)
    assert [speaking for _, speaking in quiet_robot.speaking[-2:]] == [True, False]


# Parameters, start and end


@pytest.mark.parametrize(
    ("program", "parameter", "value", "said"),
    [
        (
            "speak_server",
            "engine",
            "parrot",
            "parameter 'engine' is 'parrot'; allowed: coqui | espeak",
        ),
        ("speak_server", "voice", "klingon", "parameter 'voice' names 'klingon'"),
        ("speak_server", "chunk_frames", -1, "parameter 'chunk_frames' is -1; allowed: "),
        ("speak_server", "max_lead", "soon", "parameter 'max_lead' is 'soon'; allowed: a number"),
        ("speak_server", "queue_policy", "maybe", "allowed: queue | replace | reject"),
        ("speak_server", "voice_aliases", "x", "parameter 'voice_aliases' holds 'x'"),
        ("audio_player", "prebuffer_chunks", 0, "parameter 'prebuffer_chunks' is 0; allowed: "),
        ("audio_player", "volume", 3, "parameter 'volume' is 3.0; allowed: a number from 0 to 2"),
        ("audio_player", "device", "wav:/nowhere/x.wav", "device 'wav:/nowhere/x.wav'"),
    ],
)
def test_an_invalid_parameter_stops_the_node(
    program: str, parameter: str, value: Any, said: str
) -> None:
    process = start(program, **{parameter: value})
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert said in errors
    assert len(errors.strip().splitlines()) == 1


def test_another_audio_common_msgs_is_named(tmp_path: Path) -> None:
    message = tmp_path / "audio_common_msgs" / "msg"
    message.mkdir(parents=True)
    (message.parent / "__init__.py").touch()
    (message / "__init__.py").write_text("class AudioData: ...\n")
    path = f"{tmp_path}:{os.environ['PYTHONPATH']}"
    process = start("audio_player", {"PYTHONPATH": path}, device="null")
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "needs audio_common_msgs 4.x" in errors
    assert str(tmp_path) in errors
    assert len(errors.strip().splitlines()) == 1


def test_parameters_change_while_running_or_say_why_not(quiet_robot: Observer) -> None:
    for node, name, value in (
        ("/speak_server", "volume", 0.5),
        ("/speak_server", "voice", "de"),
        ("/speak_server", "rate", 1.5),
        ("/audio_player", "prebuffer_chunks", 4),
        ("/audio_player", "volume", 0.5),
        ("/audio_player", "volume", 2.0),
        ("/speak_server", "volume", 2.0),
    ):
        assert quiet_robot.set_parameter(node, name, value).successful
    assert quiet_robot.say("Hallo.").status == SUCCEEDED
    for node, name, value, reason in (
        ("/speak_server", "chunk_frames", 512, "can't change while the node runs"),
        ("/speak_server", "voice", "klingon", "parameter 'voice' names 'klingon'"),
        ("/audio_player", "volume", 7.0, "parameter 'volume' is 7.0; allowed"),
        ("/audio_player", "block_frames", 512, "can't change while the node runs"),
    ):
        result = quiet_robot.set_parameter(node, name, value)
        assert not result.successful
        assert reason in result.reason


def test_the_default_parameter_file_starts_both_nodes(observer: Observer) -> None:
    share = Path(os.environ["AMENT_PREFIX_PATH"].split(":")[0]) / "share" / "k2so_tts"
    arguments = ["--ros-args", "--params-file", str(share / "config" / "k2so_tts.yaml")]
    with (
        subprocess.Popen(["speak_server", *arguments]) as server,
        subprocess.Popen(["audio_player", *arguments, "-p", "device:=null"]) as player,
    ):
        try:
            observer.wait_for_nodes()
            assert observer.say("Hello.").status == SUCCEEDED
        finally:
            for process in (server, player):
                process.send_signal(signal.SIGINT)
                assert process.wait(STOP_SECONDS) == 0


def test_send_speaks_and_tells_by_its_exit_code(quiet_robot: Observer) -> None:
    spoken = subprocess.run(
        ["k2so-tts", "send", "Hello."], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert spoken.returncode == 0, spoken.stderr
    refused = subprocess.run(
        ["say", "Hello.", "--language", "klingon"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert refused.returncode == 1
    assert "refused" in refused.stderr
    heard = heard_so_far(quiet_robot)
    with subprocess.Popen(["k2so-tts", "send", LONG], stdout=subprocess.DEVNULL) as process:
        quiet_robot.wait(lambda: heard_so_far(quiet_robot) > heard + 20)
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 130
    quiet_robot.wait(lambda: quiet_robot.status("/speak_server").get("goals_canceled") == "1")


def test_the_threads_of_a_node_share_one_heap(observer: Observer) -> None:
    with running("audio_player", device="null") as player, running("speak_server") as server:
        observer.wait_for_nodes()
        assert observer.say("Hello").status == SUCCEEDED
        for node in (player, server):
            maps = Path(f"/proc/{node.pid}/maps").read_text()
            assert heaps_in(maps) == 0


def test_no_thread_of_an_observer_is_left() -> None:
    before = set(threading.enumerate())
    with closing(Observer()):
        started = set(threading.enumerate()) - before
        assert started
    assert not any(thread.is_alive() for thread in started)


def endpoint(process: int, kind: int, node: str = "player") -> Any:
    """What ROS tells of an endpoint; a process of 0: its id says nothing about that, as Zenoh's."""
    prefix = bytes([process]) * 12 if process else bytes([kind]) * 12
    return SimpleNamespace(
        node_name=node, node_namespace="/", endpoint_gid=[*prefix, 0, 0, 0, kind]
    )


@pytest.mark.parametrize(
    ("heard", "players", "listeners", "expected"),
    [
        pytest.param(1, [endpoint(1, 2)], [endpoint(1, 3)], True, id="known"),
        pytest.param(1, [endpoint(1, 2)], [], False, id="not known yet"),
        pytest.param(1, [endpoint(1, 2)], [endpoint(9, 3, "deaf")], False, id="a bystander"),
        pytest.param(
            2, [endpoint(1, 4), endpoint(2, 5)], [endpoint(1, 6)], False, id="its dead predecessor"
        ),
        pytest.param(0, [endpoint(1, 2)], [endpoint(1, 3)], True, id="ROS does not tell who"),
        pytest.param(2, [endpoint(0, 2)], [endpoint(0, 3)], True, id="ids tell no process"),
        pytest.param(2, [endpoint(0, 2)], [endpoint(0, 3, "deaf")], False, id="nor does it"),
    ],
)
def test_a_player_is_known_to_subscribe(
    heard: int, players: list[Any], listeners: list[Any], expected: bool
) -> None:
    assert player_subscribes(bytes([heard]) * 12, players, listeners) == expected


def test_a_callback_gets_the_message_info_where_rclpy_has_it() -> None:
    seen: list[tuple[str, dict[str, int]]] = []
    callback = with_info(lambda message, info: seen.append((message, dict(info))))
    callback("as Humble does")
    callback("as others do", {"source_timestamp": 1})
    assert seen == [("as Humble does", {}), ("as others do", {"source_timestamp": 1})]
    with pytest.raises(TypeError):
        inspect.signature(callback).bind("what others look at")
