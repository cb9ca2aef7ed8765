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

"""What the nodes tell of themselves, and the files in `config` that show it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float32
from support.ros import SUCCEEDED, Observer, running

from k2so_tts.audio import NANOSECONDS
from k2so_tts.ros.messages import to_time

ROOT = Path(__file__).parents[2]
SERVER, PLAYER = "/speak_server", "/audio_player"
OK, WARN, ERROR = "0", "1", "2"
HOUR = 3600
CLOCK_SECONDS = 0.005
LEAD_MS = 2500
"""How far stamps lie ahead of now; by that much an offset that is told by them alone is off."""
STATISTICS = ("p50", "p95", "max")
UNITS = re.compile(r"_(ms|s|hz|mib|frames|bytes)(_p50|_p95|_max)?$")
WITHOUT_UNIT = re.compile(
    r"engine|engine_state|spoken_by|device|players|utterances|pieces_\w+|(last_)?underruns|goals_\w+|refused_messages|device_\w+|"
    r"realtime_priority|muted|paused|real_time_factor(_p50|_p95|_max)?"
)
"""Names, counts, flags and ratios."""
SOMETIMES = {
    "player_clock_offset_ms",
    "publisher_clock_offset_ms",
    "abandoned_engines",
    "fallback_engine",
    "fallback_utterances",
    "phrase_cache_hits",
    "phrase_cache_misses",
}
"""Keys told only where clocks disagree, an engine hung, a fallback is there or phrases are kept."""


@pytest.fixture
def spoken(observer: Observer) -> Iterator[Observer]:
    """Both nodes after three goals, and who watches them."""
    with running("audio_player", device="null"), running("speak_server"):
        observer.wait_for_nodes()
        say_three(observer)
        yield observer


@pytest.fixture(scope="module")
def reported(shared_robot: Observer) -> Observer:
    """Both nodes after three goals, for tests that only read what is told."""
    say_three(shared_robot)
    return shared_robot


def say_three(observer: Observer) -> None:
    for text in ("One.", "Two.", "Three."):
        assert observer.say(text).status == SUCCEEDED
    wait_for(observer, PLAYER, utterances="3")
    wait_for(observer, SERVER, goals_succeeded="3")


def wait_for(observer: Observer, node: str, **values: str) -> dict[str, str]:
    """The status of a node as soon as it holds these values."""
    observer.wait(lambda: values.items() <= observer.status(node).items())
    return observer.status(node)


def test_every_value_is_reported_with_its_unit_and_percentiles(reported: Observer) -> None:
    figures = {
        SERVER: ("perceived_latency_ms", "time_to_first_chunk_ms", "real_time_factor"),
        PLAYER: ("perceived_latency_ms", "buffering_ms"),
    }
    for node, names in figures.items():
        status = reported.status(node)
        assert (status.pop("level"), status.pop("message")) == (OK, "ready")
        for key in status:
            assert UNITS.search(key) or WITHOUT_UNIT.fullmatch(key), key
        for name in names:
            last, median, most, worst = (
                float(status[key]) for key in (name, *(f"{name}_{s}" for s in STATISTICS))
            )
            assert 0 < median <= most <= worst
            assert last <= worst


@pytest.mark.parametrize("node", [SERVER, PLAYER])
def test_a_latency_above_a_limit_is_reported_with_the_limit_and_a_remedy(
    spoken: Observer, node: str
) -> None:
    for parameter, level in (("warn_latency_ms", WARN), ("error_latency_ms", ERROR)):
        assert spoken.set_parameter(node, parameter, 1.0).successful
        message = wait_for(spoken, node, level=level)["message"]
        assert re.match(rf"the last utterance was heard after \d+ ms \({parameter}: 1\): ", message)
        assert re.search("see|lower|choose", message)


def test_a_slow_engine_is_reported(spoken: Observer) -> None:
    assert spoken.set_parameter(SERVER, "warn_real_time_factor", 0.001).successful
    message = wait_for(spoken, SERVER, level=WARN)["message"]
    assert "(warn_real_time_factor: 0.001)" in message
    assert "choose a faster engine" in message


def test_a_text_that_is_made_whole_first_is_heard_later(spoken: Observer) -> None:
    text = "This is one of very many words. " * 100
    times = {}
    for streaming in (False, True):
        assert spoken.set_parameter(SERVER, "streaming", streaming).successful
        times[streaming] = min(time_to_first_chunk(spoken, text) for _ in range(3))
    assert times[True] < times[False] / 2


def time_to_first_chunk(observer: Observer, text: str) -> float:
    """Seconds from a goal to its first chunk; the goal is cancelled then."""
    observer.audio.clear()
    goal = observer.send(text)
    observer.wait(lambda: observer.audio)
    observer.wait(lambda: goal.feedback)
    observer.cancel(goal)
    observer.wait_for_end(goal)
    return observer.audio[0][0] - goal.sent_at


def test_topics_for_plots(spoken: Observer) -> None:
    latencies, levels = (
        values_of(spoken, topic)
        for topic in (f"{SERVER}/perceived_latency_ms", f"{PLAYER}/buffered_ms")
    )
    spoken.say("The topics are known by now.")
    spoken.say("So these are seen.")
    spoken.wait(lambda: len(latencies) >= 1 and len(levels) > 5)
    assert 0 < latencies[-1] < 5000
    assert max(levels) > 100


def values_of(observer: Observer, topic: str) -> list[float]:
    """What comes on a topic from now on."""
    values: list[float] = []
    observer.node.create_subscription(
        Float32, topic, lambda message: values.append(message.data), 10
    )
    observer.wait(lambda: observer.node.count_publishers(topic))
    return values


# Clocks that do not agree


@contextmanager
def simulated_clock(observer: Observer, ahead: float) -> Iterator[None]:
    """`/clock`, that many seconds ahead of the system's."""
    publisher = observer.node.create_publisher(Clock, "/clock", 10)
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(CLOCK_SECONDS):
            now_ns = time.time_ns() + round(ahead * NANOSECONDS)
            publisher.publish(Clock(clock=to_time(now_ns)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        observer.node.destroy_publisher(publisher)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
@pytest.mark.parametrize("shifted", ["audio_player", "speak_server"])
def test_clocks_that_disagree_are_noticed_and_no_latency_is_made_of_them(
    observer: Observer, shifted: str, ahead: float
) -> None:
    def parameters(program: str) -> dict[str, Any]:
        return {"use_sim_time": True} if program == shifted else {}

    with (
        simulated_clock(observer, ahead),
        running("audio_player", device="null", **parameters("audio_player")),
        running("speak_server", **parameters("speak_server")),
    ):
        observer.wait_for_nodes()
        goal = observer.say("The clocks disagree.")
        assert goal.status == SUCCEEDED
        player = wait_for(observer, PLAYER, utterances="1")
        server = wait_for(observer, SERVER, goals_succeeded="1")
    server_ahead = ahead if shifted == "speak_server" else -ahead
    side, other = ("ahead of", "behind") if server_ahead > 0 else ("behind", "ahead of")
    assert not [key for key in player if key.startswith("perceived_latency")]
    assert player["level"] == OK
    assert f"s {side} this node's, so perceived_latency_ms is not measured" in player["message"]
    assert float(player["publisher_clock_offset_ms"]) == pytest.approx(
        1000 * server_ahead, abs=LEAD_MS
    )
    assert -LEAD_MS < float(player["buffering_ms"]) < 5000
    assert server["level"] == OK
    assert f"s {other} this node's; the latencies here are by this node's" in server["message"]
    assert float(server["player_clock_offset_ms"]) == pytest.approx(-1000 * server_ahead, abs=500)
    assert 0 < float(server["perceived_latency_ms"]) < 5000


# The files in config


def statuses(observer: Observer) -> dict[str, set[str]]:
    """The keys that each status holds, by the name of the status."""
    return {
        status.name: {pair.key for pair in status.values}
        for status in observer.diagnostics.values()
    }


def test_the_aggregator_expects_what_is_published(reported: Observer) -> None:
    parameters = yaml.safe_load((ROOT / "config" / "analyzers.yaml").read_text())
    settings = parameters["analyzers"]["ros__parameters"]
    groups = {name: value for name, value in settings.items() if isinstance(value, dict)}
    names = set(statuses(reported))
    expected = [name for group in groups.values() for name in group["expected"]]
    assert set(expected) == names
    for group in groups.values():
        assert group["type"] == "diagnostic_aggregator/GenericAnalyzer"
        for name in group["expected"]:
            assert any(part in name for part in group["contains"])


def test_the_layout_shows_what_is_published(reported: Observer) -> None:
    layout = json.loads((ROOT / "config" / "foxglove.json").read_text())
    panels = layout["configById"]
    topics = dict(reported.node.get_topic_names_and_types())
    told = statuses(reported)
    assert shown(layout["layout"]) == set(panels)
    paths = [path["value"] for panel in panels.values() for path in panel.get("paths", ())]
    assert len(paths) >= 6
    for path in paths:
        topic = path.partition(".")[0]
        assert topic in topics, path
        found = re.fullmatch(
            r'/diagnostics\.status\[:\]\{name=="(.+)"\}\.values\[:\]\{key=="(.+)"\}\.value', path
        )
        if found:
            assert found[2] in told[found[1]], path
        else:
            assert path == f"{topic}.data"
            assert topics[topic][0].startswith("std_msgs/msg/")
    for panel in panels.values():
        assert panel.get("topicToRender", "/diagnostics") == "/diagnostics"
        assert panel.get("selectedName", SERVER + ": speech") in told
        hardware = {name.partition(":")[0].lstrip("/") for name in told}
        assert panel.get("selectedHardwareId", "speak_server") in hardware


def shown(layout: str | dict[str, Any]) -> set[str]:
    """The panels of a layout."""
    if isinstance(layout, str):
        return {layout}
    return shown(layout["first"]) | shown(layout["second"])


def test_the_docs_name_every_key_and_no_other(reported: Observer) -> None:
    text = (ROOT / "docs" / "reference" / "diagnostics.md").read_text()
    for name, keys in statuses(reported).items():
        node = name.partition(":")[0].lstrip("/")
        table = text.partition(f"### `{node}` in `/diagnostics`")[2].partition("\n#")[0]
        documented = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
        bare = {re.sub(r"_(p50|p95|max)$", "", key) for key in keys}
        assert bare <= documented
        assert documented - bare <= SOMETIMES


def test_the_line_for_rqt_plot_names_topics_that_are_there(reported: Observer) -> None:
    text = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    line = next(line for line in text.splitlines() if line.strip().startswith("rqt_plot"))
    topics = dict(reported.node.get_topic_names_and_types())
    for field in line.split()[1:]:
        topic, slash, data = field.rpartition("/")
        assert (slash, data) == ("/", "data")
        assert topics[topic] == ["std_msgs/msg/Float32"]
