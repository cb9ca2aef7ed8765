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

"""Which engine speaks: while one is loaded, when it fails, and when it is well again."""

from __future__ import annotations

import importlib
import mmap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from support.fallible import Control

from k2so_tts.engines import Engine, EngineError, EngineUnavailable
from k2so_tts.processes import resident_mib
from k2so_tts.settings import SettingError
from k2so_tts.synthesis.engine_slot import EngineSlot, load
from k2so_tts.synthesis.engine_supervisor import (
    FAILED,
    LOADING,
    READY,
    EngineSpec,
    EngineSupervisor,
)
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm

SOON = 10.0


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    control = Control(tmp_path)
    monkeypatch.syspath_prepend(control.paths[0])
    importlib.invalidate_caches()
    return control


@pytest.fixture
def faults() -> list[str]:
    return []


@pytest.fixture
def supervisor(control: Control, faults: list[str]) -> Iterator[EngineSupervisor]:
    """One that loads, as soon as it may."""
    control.set("loading")
    spec = EngineSpec("fallible", {"folder": control.folder})
    with closing(
        EngineSupervisor(spec, EngineSpec("espeak"), on_fault=faults.append)
    ) as supervisor:
        yield supervisor


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_fallback_speaks_until_the_engine_is_loaded(
    supervisor: EngineSupervisor, control: Control
) -> None:
    assert supervisor.state == LOADING
    assert [supervisor.begin().name for _ in range(2)] == ["espeak", "espeak"]
    assert supervisor.fallback_utterances == 2
    control.clear("loading")
    wait(lambda: supervisor.state == READY)
    assert supervisor.begin().name == "fallible"
    assert supervisor.begin() is supervisor.begin(), "loaded once, for all"
    assert supervisor.load_seconds > 0
    assert supervisor.fallback_utterances == 2
    assert control.log[0] == "load"
    assert control.log.count("load") == 1
    assert len(control.log) > 1, "it was warmed up"


def test_an_engine_that_can_not_be_loaded_is_tried_again(
    supervisor: EngineSupervisor, control: Control, faults: list[str]
) -> None:
    control.set("unavailable", "it has no throat")
    control.clear("loading")
    wait(lambda: control.log.count("load") == 2)
    assert supervisor.state == FAILED
    assert isinstance(supervisor.fault, EngineUnavailable)
    assert "parameter 'engine' is 'fallible': it has no throat" in str(supervisor.fault)
    assert supervisor.begin().name == "espeak"
    control.clear("unavailable")
    wait(lambda: supervisor.state == READY)
    assert supervisor.begin().name == "fallible"
    assert len(faults) == 1


def test_an_engine_is_replaced_when_it_fails_twice_in_a_row(
    supervisor: EngineSupervisor, control: Control, faults: list[str]
) -> None:
    control.clear("loading")
    wait(lambda: supervisor.state == READY)
    loaded = supervisor.begin()
    for _ in range(2):
        following = supervisor.fail_over(loaded, EngineError("hoarse"))
        assert following is not None
        assert following.name == "espeak"
        assert supervisor.state == FAILED
        assert supervisor.fail_over(following, EngineError("worse")) is None
        assert supervisor.begin() is loaded
        supervisor.spoke(loaded)
        assert supervisor.state == READY
    assert faults == ["hoarse", "hoarse"]
    control.set("loading")
    for _ in range(2):
        supervisor.fail_over(loaded, EngineError("mute"))
    assert supervisor.begin().name == "espeak"
    control.clear("loading")
    wait(lambda: supervisor.state == READY)
    assert supervisor.begin() is not loaded
    assert faults == ["hoarse", "hoarse", "mute"]
    assert control.log.count("load") == 2
    assert control.log.count("close") == 1


def test_an_engine_that_hangs_is_replaced_at_once(
    supervisor: EngineSupervisor, control: Control
) -> None:
    control.clear("loading")
    wait(lambda: supervisor.state == READY)
    loaded = supervisor.begin()
    supervisor.abandon(loaded)
    assert loaded.abandoned
    assert supervisor.fail_over(loaded, EngineError("it hangs")) is not None
    wait(lambda: supervisor.state == READY)
    assert supervisor.begin() is not loaded
    assert supervisor.begin().name == "fallible"


def test_a_fallback_that_hangs_is_replaced(supervisor: EngineSupervisor) -> None:
    fallback = supervisor.begin()
    supervisor.abandon(fallback)
    supervisor.abandon(fallback)
    assert supervisor.abandoned_engines == 1
    assert supervisor.fail_over(fallback, EngineError("it hangs")) is None
    assert supervisor.begin() is not fallback
    wait(lambda: not supervisor.begin().is_loading)
    assert supervisor.begin().name == "espeak"
    assert list(stream_pcm(Synthesis(supervisor.begin(), "Hello.", SynthesisOptions("en-us"))))


def test_an_engine_can_be_rejected_once_it_is_loaded(control: Control) -> None:
    asked = threading.Event()

    def refuse(engine: Engine, _: Engine | None) -> None:
        assert engine.voices()
        asked.set()
        raise SettingError("parameter 'voice' names 'tenor'")

    spec = EngineSpec("fallible", {"folder": control.folder})
    with closing(EngineSupervisor(spec, EngineSpec("espeak"), accept=refuse)) as supervisor:
        wait(lambda: supervisor.fault is not None)
        assert asked.is_set()
        assert str(supervisor.fault) == "parameter 'voice' names 'tenor'"
        assert supervisor.begin().name == "espeak"
    with pytest.raises(SettingError, match="tenor"):
        EngineSupervisor(spec, accept=refuse)


def test_without_a_fallback_it_is_loaded_at_once_or_not_at_all(control: Control) -> None:
    spec = EngineSpec("fallible", {"folder": control.folder})
    with closing(EngineSupervisor(spec)) as supervisor:
        loaded = supervisor.begin()
        assert (supervisor.state, loaded.name, supervisor.fallback_name) == (READY, "fallible", "")
        assert supervisor.fail_over(loaded, EngineError("hoarse")) is None
        assert supervisor.state == FAILED
        supervisor.abandon(loaded)
        assert supervisor.begin() is not loaded
        wait(lambda: supervisor.state == READY)
        assert supervisor.fail_over(loaded, EngineError("it hung before")) is None
        assert supervisor.state == READY, "what a lost engine does is of no interest"
    control.set("unavailable", "it has no throat")
    with pytest.raises(EngineUnavailable, match="parameter 'engine' is 'fallible': it has no thr"):
        EngineSupervisor(spec)


@pytest.fixture
def alone(control: Control, faults: list[str]) -> Iterator[EngineSupervisor]:
    """One without a fallback, loaded, that takes as long to load again as `loading` is set."""
    spec = EngineSpec("fallible", {"folder": control.folder})
    with closing(EngineSupervisor(spec, on_fault=faults.append)) as supervisor:
        control.set("loading")
        yield supervisor


def utterance(supervisor: EngineSupervisor, text: str = "Hello.") -> Synthesis:
    """One that begins now, and goes on as a node's does."""
    options = SynthesisOptions("hum")

    def fail_over(
        failed: LoadedEngine, error: EngineError
    ) -> tuple[LoadedEngine, SynthesisOptions] | None:
        loaded = supervisor.fail_over(failed, error)
        return None if loaded is None else (loaded, options)

    synthesis = Synthesis(supervisor.begin(), text, options, fail_over=fail_over)
    synthesis.start()
    return synthesis


def test_without_a_fallback_utterances_wait_for_an_engine_that_is_loaded_again(
    alone: EngineSupervisor, control: Control
) -> None:
    lost = alone.begin()
    alone.abandon(lost)
    assert alone.begin() is not lost, "at once, while the next one is being loaded"
    assert alone.state == LOADING
    waiting, cancelled = utterance(alone), utterance(alone)
    alone.abandon(waiting.engine)
    assert waiting.starved, "it is not the engine's fault that there is nothing yet"
    cancelled.cancel()
    assert cancelled.done
    control.clear("loading")
    waiting.join(SOON)
    wait(lambda: waiting.done)
    assert waiting.error is None
    assert waiting.frames > 0
    assert alone.state == READY
    assert waiting.engine is alone.begin()
    assert control.log.count("load") == 2


def test_without_a_fallback_utterances_fail_while_the_engine_can_not_be_loaded(
    alone: EngineSupervisor, control: Control, faults: list[str]
) -> None:
    lost = alone.begin()
    alone.abandon(lost)
    assert alone.fail_over(lost, EngineError("it hangs")) is None
    waiting = utterance(alone)
    control.set("unavailable", "it has no throat")
    control.clear("loading")
    wait(lambda: waiting.done)
    reason = "parameter 'engine' is 'fallible': it has no throat"
    assert str(waiting.error) == reason
    later = utterance(alone)
    assert later.done, "it need not wait for the next attempt"
    assert str(later.error) == reason
    assert faults == [reason]
    assert alone.state == FAILED
    control.clear("unavailable")
    wait(lambda: alone.state == READY)
    well = utterance(alone)
    wait(lambda: well.done)
    assert well.error is None


def test_utterances_do_not_wait_for_ever_for_an_engine_that_hangs_while_it_is_loaded(
    control: Control, faults: list[str]
) -> None:
    spec = EngineSpec("fallible", {"folder": control.folder})
    with closing(
        EngineSlot(
            spec,
            partial(load, spec),
            on_failure=lambda fault: faults.append(str(fault)),
            load_seconds=0.2,
        )
    ) as slot:
        slot.load()
        faults.clear()
        lost = slot.loaded
        assert lost is not None
        control.set("loading")
        slot.replace(lost)
        stand_in = slot.loaded
        assert stand_in is not None
        synthesis = Synthesis(stand_in, "Hello.", SynthesisOptions("hum"))
        synthesis.start()
        wait(lambda: synthesis.done)
        assert str(synthesis.error) == "engine 'fallible' is still being loaded after 0.2 s"
        assert faults == [str(synthesis.error)]
        control.clear("loading")
        wait(lambda: slot.is_ready)
        loaded = slot.loaded
        assert loaded is not None
        assert any(map(len, stream_pcm(Synthesis(loaded, "Hi.", SynthesisOptions("hum")))))


def test_configuration_errors_are_raised_at_once(control: Control) -> None:
    with pytest.raises(SettingError, match="has no option 'colour'"):
        EngineSupervisor(EngineSpec("fallible", {"colour": 1}), EngineSpec("espeak"))
    control.set("unavailable", "it has no throat")
    spec = EngineSpec("fallible", {"folder": control.folder})
    with pytest.raises(EngineUnavailable, match="parameter 'fallback_engine' is 'fallible': it ha"):
        EngineSupervisor(EngineSpec("espeak"), spec)


def test_an_engine_that_hangs_while_it_is_loaded_does_not_hold_the_end(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.fallible import FallibleEngine

    never = threading.Event()
    monkeypatch.setattr(FallibleEngine, "load", lambda _: never.wait(SOON))
    supervisor = EngineSupervisor(
        EngineSpec("fallible", {"folder": control.folder}), EngineSpec("espeak")
    )
    began = time.monotonic()
    supervisor.close()
    assert time.monotonic() - began < 3.0
    never.set()
    wait(lambda: "loading fallible" not in {thread.name for thread in threading.enumerate()})


def test_memory_is_measured() -> None:
    before = resident_mib()
    with mmap.mmap(-1, 64 * 2**20) as held:
        held.write(b"x" * len(held))
        assert 32 < resident_mib() - before < 128
