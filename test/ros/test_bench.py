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

"""What is measured: the same text both ways, levels, ratios and their bounds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.sound import no_server_env

from k2so_tts.bench.local import choose_device
from k2so_tts.bench.machine import describe
from k2so_tts.bench.nodes import bench_robot
from k2so_tts.bench.ratios import BOUNDS
from k2so_tts.playback import PlayerSettings
from k2so_tts.synthesis.engine_supervisor import EngineSpec

TIMEOUT = 60.0


def run(*command: str, timeout: float = TIMEOUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def test_compare_speaks_both_ways_with_the_same_samples() -> None:
    text = "This is one sentence. This is another one."
    command = ["k2so-tts", "compare", "--engine", "espeak", "--device", "null", "--text", text]
    result = run(*command, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["machine"]["device"] == "null"
    assert found["machine"]["engine"] == "espeak"
    (espeak,) = found["texts"]
    assert (espeak["text"], espeak["differing"]) == (text, 0)
    ways = [espeak["traditional"], espeak["streamed"]]
    assert [way["name"] for way in ways] == ["traditional", "streamed"]
    durations = {round(sum(seconds for _, seconds in way["chunks"]), 6) for way in ways}
    (duration,) = durations
    for way in ways:
        assert way["underruns"] == 0
        assert way["heard"][-1][1] == pytest.approx(duration, abs=0.001)
        assert way["heard"][0][0] >= way["chunks"][0][0]
    assert ways[0]["chunks"][0][0] >= ways[0]["made_s"] * 0.9


def test_where_there_is_no_device_the_null_device_is_measured_and_that_is_said(
    tmp_path: Path,
) -> None:
    command = [
        sys.executable,
        "-c",
        "from k2so_tts.bench.local import choose_device; print(*choose_device('auto'))",
    ]
    env = {**os.environ, **no_server_env(tmp_path)}
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "null null (this machine has no sound device)"
    assert choose_device("wav:x.wav") == ("wav:x.wav", "wav:x.wav")


def test_the_machine_is_described() -> None:
    facts = describe()
    assert f"{os.cpu_count()} cores" in facts["machine"]
    assert facts["python"] == sys.version.split()[0]
    assert "1." in facts["espeak-ng"]
    assert not any("not installed" in fact for fact in facts.values())


# The command


@pytest.mark.timeout(240)
def test_bench_measures_draws_and_writes(tmp_path: Path) -> None:
    file, image = tmp_path / "bench.json", tmp_path / "bench.png"
    short = ["--goals", "2", "--seconds", "3", "--robots", "2", "--device", "null"]
    result = run(
        "k2so-tts", "bench", *short, "--json", str(file), "--plot", str(image), timeout=200
    )
    assert file.exists(), result.stderr
    found = json.loads(file.read_text())
    assert (found["facts"]["seed"], found["facts"]["engine"]) == ("0", "espeak")
    assert found["facts"]["device"].startswith("null")
    for name, steps in found["steps"].items():
        for step, times in steps.items():
            assert len(times) == 2
            assert all(0 < each < 30 for each in times), (name, step, times)
    assert set(found["ratios"]) == set(BOUNDS)
    assert result.returncode == int(not all(r["holds"] for r in found["ratios"].values()))
    assert [utterance["underruns"] for utterance in found["utterances"]] == [0] * 4
    assert {*found["costs"]} == {"speaking", "idle"}
    (two,) = found["many_robots"]
    assert (two["robots"], two["processes"], len(two["first_frame_s"])) == (2, 4, 2)
    assert image.read_bytes().startswith(b"\x89PNG")
    assert "| median |" in result.stdout


def test_without_matplotlib_a_plot_is_refused_before_anything_is_measured() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; "
        "from k2so_tts.cli.main import main; main(['bench', '--plot', 'x.png'])"
    )
    result = run(sys.executable, "-c", code)
    assert result.returncode == 2
    assert "matplotlib is missing; install it with 'pip install matplotlib'" in result.stderr
    assert not result.stdout


@pytest.mark.parametrize(
    ("arguments", "least"),
    [
        (["--goals", "0"], 1),
        (["--robots", "1,x"], 1),
        (["--robots", "0"], 1),
        (["--seconds", "-1"], 0),
        (["--seconds", "a"], 0),
    ],
)
def test_invalid_numbers_are_named(arguments: list[str], least: int) -> None:
    result = run("k2so-tts", "bench", *arguments)
    assert result.returncode == 2
    assert f"is not a whole number of {least} or more" in result.stderr


def test_goals_that_are_cut_as_soon_as_they_are_heard_end_at_once() -> None:
    with bench_robot(EngineSpec("espeak"), "", PlayerSettings(device="null")) as (_, client):
        goals = [client.speak("This is not heard to its end. " * 9, cut=True) for _ in range(10)]
    assert {goal.status for goal in goals} == {"canceled"}
    assert all(goal.result_s < goal.first_frame_s + 5.0 for goal in goals if goal.first_frame_s)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_bench_that_is_interrupted_leaves_no_node_behind(number: signal.Signals) -> None:
    """The nodes are not in its process group: whoever ends the bench ends only the bench."""
    command = ["k2so-tts", "bench", "--check", "--device", "null"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as bench:
        deadline = time.monotonic() + TIMEOUT
        family: set[psutil.Process] = set()
        while len(family) < 2:
            assert time.monotonic() < deadline
            family.update(psutil.Process(bench.pid).children(recursive=True))
            time.sleep(0.01)
        bench.send_signal(number)
        assert bench.wait(TIMEOUT) == 128 + number
    _, left = psutil.wait_procs(family, TIMEOUT)
    for process in left:
        process.kill()
    assert left == []
