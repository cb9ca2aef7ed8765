"""What is measured: the same text both ways, levels, ratios and their bounds."""

from __future__ import annotations

import json
import subprocess

import pytest

from k2so_tts.measure import Utterance

TIMEOUT = 60.0


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)


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
