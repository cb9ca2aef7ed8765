"""Which engine speaks: while one is loaded, when it fails, and when it is well again."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.fallible import Control

from k2so_tts.engines import Engine, EngineError, EngineUnavailable
from k2so_tts.processes import resident_mib
from k2so_tts.settings import SettingError
from k2so_tts.synthesis.engine_supervisor import (
    FAILED,
    LOADING,
    READY,
    EngineSpec,
    EngineSupervisor,
)

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
def pool(control: Control, faults: list[str]) -> Iterator[EngineSupervisor]:
    """One that loads, as soon as it may."""
    control.set("loading")
    recipe = EngineSpec("fallible", {"folder": control.folder})
    with closing(EngineSupervisor(recipe, EngineSpec("espeak"), on_fault=faults.append)) as pool:
        yield pool


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_fallback_speaks_until_the_engine_is_loaded(
    pool: EngineSupervisor, control: Control
) -> None:
    assert pool.state == LOADING
    assert [pool.begin().name for _ in range(2)] == ["espeak", "espeak"]
    assert pool.fallback_utterances == 2
    control.clear("loading")
    wait(lambda: pool.state == READY)
    assert pool.begin().name == "fallible"
    assert pool.begin() is pool.begin(), "loaded once, for all"
    assert pool.load_seconds > 0
    assert pool.fallback_utterances == 2
    assert control.log[0] == "load"
    assert control.log.count("load") == 1
    assert len(control.log) > 1, "it was warmed up"


def test_an_engine_that_can_not_be_loaded_is_tried_again(
    pool: EngineSupervisor, control: Control, faults: list[str]
) -> None:
    control.set("unavailable", "it has no throat")
    control.clear("loading")
    wait(lambda: control.log.count("load") == 2)
    assert pool.state == FAILED
    assert isinstance(pool.fault, EngineUnavailable)
    assert "parameter 'engine' is 'fallible': it has no throat" in str(pool.fault)
    assert pool.begin().name == "espeak"
    control.clear("unavailable")
    wait(lambda: pool.state == READY)
    assert pool.begin().name == "fallible"
    assert len(faults) == 1


def test_an_engine_that_fails_once_is_asked_again_and_after_twice_made_anew(
    pool: EngineSupervisor, control: Control, faults: list[str]
) -> None:
    control.clear("loading")
    wait(lambda: pool.state == READY)
    talker = pool.begin()
    for _ in range(2):
        fail_over = pool.fail_over(talker, EngineError("hoarse"))
        assert fail_over is not None
        assert fail_over.name == "espeak"
        assert pool.state == FAILED
        assert pool.fail_over(fail_over, EngineError("worse")) is None
        assert pool.begin() is talker
        pool.spoke(talker)
        assert pool.state == READY
    assert faults == ["hoarse", "hoarse"]
    control.set("loading")
    for _ in range(2):
        pool.fail_over(talker, EngineError("mute"))
    assert pool.begin().name == "espeak"
    control.clear("loading")
    wait(lambda: pool.state == READY)
    assert pool.begin() is not talker
    assert faults == ["hoarse", "hoarse", "mute"]
    assert control.log.count("load") == 2
    assert control.log.count("close") == 1


def test_an_engine_that_hangs_is_made_anew_at_once(
    pool: EngineSupervisor, control: Control
) -> None:
    control.clear("loading")
    wait(lambda: pool.state == READY)
    talker = pool.begin()
    pool.abandon(talker)
    assert talker.abandoned.is_set()
    assert pool.fail_over(talker, EngineError("it hangs")) is not None
    wait(lambda: pool.state == READY)
    assert pool.begin() is not talker
    assert pool.begin().name == "fallible"


def test_a_fallback_that_hangs_is_made_anew(pool: EngineSupervisor) -> None:
    fallback = pool.begin()
    pool.abandon(fallback)
    assert pool.fail_over(fallback, EngineError("it hangs")) is None
    assert pool.begin() is not fallback
    assert pool.begin().name == "espeak"


def test_what_is_asked_of_an_engine_is_asked_once_it_is_there(control: Control) -> None:
    asked = threading.Event()

    def refuse(engine: Engine) -> None:
        assert engine.voices()
        asked.set()
        raise SettingError("parameter 'voice' names 'tenor'")

    recipe = EngineSpec("fallible", {"folder": control.folder})
    with closing(EngineSupervisor(recipe, EngineSpec("espeak"), accept=refuse)) as pool:
        wait(lambda: pool.fault is not None)
        assert asked.is_set()
        assert str(pool.fault) == "parameter 'voice' names 'tenor'"
        assert pool.begin().name == "espeak"
    with pytest.raises(SettingError, match="tenor"):
        EngineSupervisor(recipe, accept=refuse)


def test_without_a_fallback_it_is_loaded_at_once_or_not_at_all(control: Control) -> None:
    recipe = EngineSpec("fallible", {"folder": control.folder})
    with closing(EngineSupervisor(recipe)) as pool:
        talker = pool.begin()
        assert (pool.state, talker.name, pool.fallback_name) == (READY, "fallible", "")
        assert pool.fail_over(talker, EngineError("hoarse")) is None
        assert pool.state == FAILED
        pool.abandon(talker)
        assert pool.begin() is not talker
        pool.spoke(pool.begin())
        assert pool.state == READY
    control.set("unavailable", "it has no throat")
    with pytest.raises(EngineUnavailable, match="parameter 'engine' is 'fallible': it has no thr"):
        EngineSupervisor(recipe)


def test_what_can_never_work_is_told_at_once(control: Control) -> None:
    with pytest.raises(SettingError, match="has no option 'colour'"):
        EngineSupervisor(EngineSpec("fallible", {"colour": 1}), EngineSpec("espeak"))
    control.set("unavailable", "it has no throat")
    recipe = EngineSpec("fallible", {"folder": control.folder})
    with pytest.raises(EngineUnavailable, match="parameter 'fallback_engine' is 'fallible': it ha"):
        EngineSupervisor(EngineSpec("espeak"), recipe)


@pytest.mark.usefixtures("control")
def test_an_engine_that_hangs_while_it_is_loaded_does_not_hold_the_end(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.fallible import FallibleEngine

    never = threading.Event()
    monkeypatch.setattr(FallibleEngine, "load", lambda _: never.wait(SOON))
    pool = EngineSupervisor(
        EngineSpec("fallible", {"folder": control.folder}), EngineSpec("espeak")
    )
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 3.0
    never.set()
    pool._thread.join(SOON)
    assert not pool._thread.is_alive()


def test_memory_is_measured() -> None:
    before = resident_mib()
    held = bytearray(64 * 2**20)
    held[::4096] = b"x" * (len(held) // 4096)
    assert 32 < resident_mib() - before < 128
