"""What is measured: the same text both ways, levels, ratios and their bounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.sound import no_server_env

from k2so_tts.bench.cost import Cost, Meter
from k2so_tts.bench.local import choose_device
from k2so_tts.bench.machine import describe
from k2so_tts.bench.nodes import bench_robot
from k2so_tts.bench.ratios import BOUNDS, ratios
from k2so_tts.bench.results import Crowd, Results, quantiles_ms
from k2so_tts.bench.utterance import Utterance
from k2so_tts.playback import PlayerSettings

TIMEOUT = 60.0


def run(*command: str, timeout: float = TIMEOUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def test_compare_speaks_both_ways_with_the_same_samples() -> None:
    text = "This is one sentence. This is another one."
    result = run("k2so-tts", "compare", "--device", "null", "--text", text, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["machine"]["device"] == "null"
    (espeak,) = (engine for engine in found["engines"] if engine["engine"] == "espeak")
    assert espeak["differing"] == 0
    ways = [espeak["traditional"], espeak["streamed"]]
    assert [way["name"] for way in ways] == ["traditional", "streamed"]
    durations = {round(sum(seconds for _, seconds in way["chunks"]), 6) for way in ways}
    (duration,) = durations
    for way in ways:
        assert way["underruns"] == 0
        assert way["heard"][-1][1] == pytest.approx(duration, abs=0.001)
        assert way["heard"][0][0] >= way["chunks"][0][0]
    assert ways[0]["chunks"][0][0] >= ways[0]["made_s"] * 0.9


def test_the_buffer_is_what_has_come_and_was_not_heard() -> None:
    utterance = Utterance(
        name="",
        accepted_s=None,
        made_s=None,
        chunks=((0.1, 1.0), (0.2, 1.0), (1.3, 0.5)),
        heard=((0.3, 0.0), (1.3, 1.0), (2.8, 2.5)),
        underruns=0,
    )
    levels = utterance.buffered()
    assert levels[:2] == ((0.1, 0.0), (0.1, 1.0))
    assert max(level for _, level in levels) == 2.0
    assert levels[-1] == (2.8, 0.0)
    assert (utterance.first_chunk_s, utterance.first_frame_s, utterance.total_s) == (0.1, 0.3, 2.8)


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


# Cost


def busy(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_cost_of_a_process_holds_that_of_its_threads_and_children() -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass\ninput()"
    with Meter({"this": [os.getpid()]}) as meter:
        thread = threading.Thread(target=busy, args=[0.3])
        thread.start()
        thread.join()
        with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE) as child:
            status = Path(f"/proc/{child.pid}/stat")
            while sum(map(int, status.read_text().split()[13:15])) < 29:
                time.sleep(0.05)
            time.sleep(1.0)
            child.communicate(b"\n")
    cost = meter.costs["this"]
    assert 0.5 < cost.cpu_s < 1.5
    assert cost.seconds >= 1.0
    assert cost.share == cost.cpu_s / cost.seconds
    assert 10 < cost.peak_mib < 10_000


def test_a_process_that_is_gone_costs_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with Meter({"gone": [process.pid]}) as meter:
        pass
    assert (meter.costs["gone"].cpu_s, meter.costs["gone"].peak_mib) == (0.0, 0.0)


# Ratios


def test_ratios_of_what_was_measured_side_by_side() -> None:
    times = {"short": [0.02, 0.03, 9.0], "long": [0.03], "traditional": [0.3], "pipe": [0.03]}
    found = {ratio.name: ratio for ratio in ratios(times)}
    assert set(found) == set(BOUNDS)
    assert found["streamed_over_traditional"].value == pytest.approx(0.1)
    assert found["long_over_short"].value == pytest.approx(1.0)
    assert found["nodes_over_bare_pipe"].value == pytest.approx(1.0)
    assert all(ratio.holds for ratio in found.values())


@pytest.mark.parametrize(
    ("changed", "exceeded"),
    [
        ({"long": 0.3}, {"streamed_over_traditional", "long_over_short"}),
        ({"short": 0.3, "long": 0.31}, {"streamed_over_traditional", "nodes_over_bare_pipe"}),
        ({"short": 0.08, "long": 0.08}, {"nodes_over_bare_pipe"}),
    ],
)
def test_a_regression_exceeds_a_bound(changed: dict[str, float], exceeded: set[str]) -> None:
    """A long text waited for whole; an engine started for each text; players that wait too long."""
    times = {"short": 0.03, "long": 0.03, "traditional": 0.3, "pipe": 0.03} | changed
    found = ratios({name: [value] for name, value in times.items()})
    assert {ratio.name for ratio in found if not ratio.holds} == exceeded


# Results


def test_quantiles_are_in_milliseconds() -> None:
    found = quantiles_ms([n / 1000 for n in range(101)])
    assert {name: round(value, 6) for name, value in found.items()} == {
        "median": 50,
        "p95": 95,
        "p99": 99,
        "max": 100,
    }


def test_results_are_json_and_tables() -> None:
    cost = Cost(cpu_s=3.0, seconds=60.0, peak_mib=100.0)
    results = Results(
        facts={"machine": "this"},
        steps={"short": {"accepted": [0.001, 0.002]}},
        ratios=ratios({name: [1.0] for name in ("short", "long", "traditional", "pipe")}),
        utterances=[Utterance("one", 0.001, 0.01, ((0.01, 0.2),), ((0.03, 0.0), (0.23, 0.2)), 0)],
        costs={"idle": {"speak_server": cost}},
        crowds=[Crowd(4, 8, cost, cost, (0.02, 0.03), 0)],
    )
    document = json.loads(json.dumps(results.document()))
    assert document["quantiles_ms"]["short"]["accepted"]["median"] == pytest.approx(1.5)
    assert document["ratios"]["long_over_short"]["holds"] is True
    assert document["costs"]["idle"]["speak_server"]["share"] == pytest.approx(0.05)
    assert document["crowds"][0]["speaking"]["cpu_s"] == 3.0
    assert [table.row_count for table in results.tables()] == [1, 3, 1, 1]


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
    for steps in found["steps"].values():
        for times in steps.values():
            assert len(times) == 2
            assert all(0 < each < 30 for each in times)
    assert set(found["ratios"]) == set(BOUNDS)
    assert result.returncode == int(not all(r["holds"] for r in found["ratios"].values()))
    assert [utterance["underruns"] for utterance in found["utterances"]] == [0] * 4
    assert {*found["costs"]} == {"speaking", "idle"}
    (crowd,) = found["crowds"]
    assert (crowd["robots"], crowd["processes"], len(crowd["first_frame_s"])) == (2, 4, 2)
    assert image.read_bytes().startswith(b"\x89PNG")
    assert "| median |" in result.stdout


def test_without_matplotlib_a_plot_is_refused_before_anything_is_measured() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; "
        "from k2so_tts.cli.main import main; main(['bench', '--plot', 'x.png'])"
    )
    result = run(sys.executable, "-c", code)
    assert result.returncode == 1
    assert "--plot needs matplotlib: 'pip install matplotlib'" in result.stderr
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
def test_numbers_that_make_no_sense_are_named(arguments: list[str], least: int) -> None:
    result = run("k2so-tts", "bench", *arguments)
    assert result.returncode == 2
    assert f"is not a whole number of {least} or more" in result.stderr


def test_goals_that_are_cut_as_soon_as_they_are_heard_end_at_once() -> None:
    with bench_robot("espeak", PlayerSettings(device="null")) as (_, client):
        goals = [client.speak("This is not heard to its end. " * 9, cut=True) for _ in range(10)]
    assert {goal.status for goal in goals} == {"canceled"}
    assert all(goal.result_s < goal.first_frame_s + 5.0 for goal in goals if goal.first_frame_s)
