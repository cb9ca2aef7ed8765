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

"""What is measured: buffer levels, cost, ratios with their bounds, and results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from k2so_tts.bench.cost import Cost, Meter
from k2so_tts.bench.ratios import BOUNDS, ratios
from k2so_tts.bench.results import ManyRobotsResult, Results, quantiles_ms
from k2so_tts.bench.utterance import MeasuredUtterance


def test_the_buffer_is_what_has_come_and_was_not_heard() -> None:
    utterance = MeasuredUtterance(
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
    of_another = ratios({name: [value] for name, value in times.items()}, "piper")
    assert [ratio.name for ratio in of_another] == ["streamed_over_traditional", "long_over_short"]
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
        utterances=[
            MeasuredUtterance("one", 0.001, 0.01, ((0.01, 0.2),), ((0.03, 0.0), (0.23, 0.2)), 0)
        ],
        costs={"idle": {"speak_server": cost}},
        many_robots=[ManyRobotsResult(4, 8, cost, cost, (0.02, 0.03), 0)],
    )
    document = json.loads(json.dumps(results.document()))
    assert document["quantiles_ms"]["short"]["accepted"]["median"] == pytest.approx(1.5)
    assert document["ratios"]["long_over_short"]["holds"] is True
    assert document["costs"]["idle"]["speak_server"]["share"] == pytest.approx(0.05)
    assert document["many_robots"][0]["speaking"]["cpu_s"] == 3.0
    assert [table.row_count for table in results.tables()] == [1, 3, 1, 1]
