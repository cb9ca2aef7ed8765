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

"""What engines with networks share: blocks and their context, pieces of a text, the cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from k2so_tts.audio import CHUNK_FRAMES, Block, Mark, Pcm
from k2so_tts.engines import EngineError, Prosody
from k2so_tts.engines.toolkit.chunked_decoder import ReceptiveField, decode_windows, to_pcm
from k2so_tts.engines.toolkit.disk_cache import cached_arrays, cached_directory
from k2so_tts.engines.toolkit.long_text import speak_pieces, split_text, stretch_for

RATE = 22050


def convolve(
    signal: NDArray[np.bool_], kernel: int, dilation: int, padding: int
) -> NDArray[np.bool_]:
    """Which outputs of a convolution depend on the inputs that are set."""
    padded = np.pad(signal, padding)
    length = len(padded) - dilation * (kernel - 1)
    taps = [padded[tap * dilation : tap * dilation + length] for tap in range(kernel)]
    depends: NDArray[np.bool_] = np.any(taps, axis=0)
    return depends


def upsample(
    signal: NDArray[np.bool_], kernel: int, stride: int, padding: int
) -> NDArray[np.bool_]:
    """Which outputs of a transposed convolution depend on the inputs that are set."""
    out = np.zeros((len(signal) - 1) * stride + kernel, bool)
    for step in np.flatnonzero(signal):
        out[step * stride : step * stride + kernel] = True
    return out[padding : len(out) - padding]


@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 4),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_the_reach_is_what_a_sample_depends_on(
    kernel: int, dilation: int, stride: int, surplus: int, last_kernel: int, last_dilation: int
) -> None:
    """A frame is set, and the samples that depend on it are found by running the layers."""
    up_kernel = stride + surplus
    first = (kernel, dilation, dilation * (kernel - 1) // 2)
    second = (up_kernel, stride, surplus // 2)
    third = (last_kernel, last_dilation, last_dilation * (last_kernel - 1) // 2)
    reach = (
        ReceptiveField()
        .before_convolution(*third)
        .before_upsampling(*second)
        .before_convolution(*first)
    )
    frames, at = 81, 40
    signal = np.zeros(frames, bool)
    signal[at] = True
    samples = convolve(upsample(convolve(signal, *first), *second), *third)
    dependent = np.flatnonzero(samples) // stride
    assert at - reach.right <= dependent.min()
    assert dependent.max() <= at + reach.left
    assert dependent.max() - dependent.min() >= reach.left + reach.right - 1


@given(
    st.integers(1, 5000), st.integers(0, 30), st.integers(0, 30), st.sampled_from([64, 256, 300])
)
def test_parts_cover_every_frame_once_with_its_context(
    frames: int, left: int, right: int, frame_samples: int
) -> None:
    found = list(decode_windows(frames, ReceptiveField(left, right), frame_samples))
    assert [part.start for part in found] == [0, *(part.end for part in found[:-1])]
    assert found[-1].end == frames
    for part in found:
        assert part.first == max(0, part.start - left)
        assert part.last == min(frames, part.end + right)
    assert (found[0].end - 1) * frame_samples < CHUNK_FRAMES
    assert max(part.end - part.start for part in found) * frame_samples < 7 * CHUNK_FRAMES


def test_samples_are_rounded_and_clipped() -> None:
    samples = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 0.6 / 32767], np.float32)
    assert to_pcm(samples).tolist() == [0, 32767, -32767, 32767, -32768, 1]


@given(st.text(alphabet="ab .", max_size=200), st.integers(1, 40))
def test_pieces_joined_are_the_text(text: str, longest: int) -> None:
    found = list(split_text(text, longest))
    assert "".join(piece for _, piece in found) == text
    assert [start for start, _ in found] == [
        sum(len(piece) for _, piece in found[:index]) for index in range(len(found))
    ]
    assert all(len(piece) <= longest for _, piece in found)


def test_pieces_are_cut_between_words() -> None:
    assert [piece for _, piece in split_text("one two three", 8)] == ["one two", " three"]
    assert [piece for _, piece in split_text("unbroken", 3)] == ["unb", "rok", "en"]


def test_each_piece_ends_with_a_mark() -> None:
    blocks = list(
        speak_pieces("one two", 4, lambda piece: iter([Block(np.ones(len(piece), np.int16))]))
    )
    assert [block.marks for block in blocks if block.marks] == [
        (Mark(3, 3),),
        (Mark(7, 7),),
    ]


def test_marks_within_pieces_count_from_the_start_of_the_text() -> None:
    def speak(_: str) -> Iterator[Block]:
        yield Block(np.zeros(RATE, np.int16), (Mark(1, 300),))

    stretch = stretch_for(RATE, Prosody(2.0), has_rate=False)
    for how, speed in ((None, 1), (stretch, 2)):
        marks = [m for block in speak_pieces("a bc", 3, speak, how) for m in block.marks]
        first = marks[1].frame
        assert first == pytest.approx(RATE / speed, rel=0.02)
        assert [mark.text_end for mark in marks] == [1, 1, 2, 4]
        assert (marks[0].frame, marks[2].frame) == (300 // speed, first + 300 // speed)


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_network_without_a_rate_of_its_own_is_stretched(rate: float) -> None:
    tone: Pcm = to_pcm(np.sin(2 * np.pi * 200 / RATE * np.arange(RATE)).astype(np.float32))
    stretch = stretch_for(RATE, Prosody(rate), has_rate=False)
    blocks: list[Block] = list(speak_pieces("a", 9, lambda _: iter([Block(tone)]), stretch))
    made = np.concatenate([block.pcm for block in blocks])
    assert len(made) == pytest.approx(RATE / rate, rel=0.02)
    assert blocks[-1].marks == (Mark(1, len(made)),)
    assert np.argmax(np.abs(np.fft.rfft(made))) * RATE / len(made) == pytest.approx(200, abs=5)


@pytest.mark.parametrize(("pitch", "heard"), [(2.0, 400), (0.0, 100)])
def test_pitch_is_raised_and_lowered_by_an_octave(pitch: float, heard: float) -> None:
    tone: Pcm = to_pcm(np.sin(2 * np.pi * 200 / RATE * np.arange(RATE)).astype(np.float32))
    stretch = stretch_for(RATE, Prosody(pitch=pitch), has_rate=True)
    blocks = speak_pieces("a", 9, lambda _: iter([Block(tone)]), stretch)
    made = np.concatenate([block.pcm for block in blocks])
    assert np.argmax(np.abs(np.fft.rfft(made))) * RATE / len(made) == pytest.approx(heard, rel=0.05)


def test_nothing_is_stretched_that_need_not_be() -> None:
    assert stretch_for(RATE, Prosody(), has_rate=False) is None
    assert stretch_for(RATE, Prosody(2.0), has_rate=True) is None


# The cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "k2so_tts"


def numbered(numbers: list[int]) -> dict[str, NDArray[np.int64]]:
    """Gives another array each time."""
    numbers.append(len(numbers))
    return {"number": np.array(numbers)}


def test_what_was_computed_once_is_kept(cache: Path) -> None:
    asked: list[int] = []
    for _ in range(3):
        kept = cached_arrays("a/b.npz", ["number"], lambda: numbered(asked))
        assert kept["number"].tolist() == [0]
    assert [path.name for path in (cache / "a").iterdir()] == ["b.npz"]


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_made_again(cache: Path, damage: bytes | None) -> None:
    asked: list[int] = []
    cached_arrays("b.npz", ["number"], lambda: numbered(asked))
    file = cache / "b.npz"
    file.write_bytes(file.read_bytes()[:-30] if damage is None else damage)
    assert cached_arrays("b.npz", ["number"], lambda: numbered(asked))["number"].tolist() == [0, 1]
    assert cached_arrays("b.npz", ["number"], lambda: numbered(asked))["number"].tolist() == [0, 1]


def test_where_nothing_can_be_written_nothing_is_kept(cache: Path) -> None:
    cache.write_text("a file, where a directory would have to be")
    asked: list[int] = []
    cached_arrays("b.npz", ["number"], lambda: numbered(asked))
    assert cached_arrays("b.npz", ["number"], lambda: numbered(asked))["number"].tolist() == [0, 1]


def fingerprint(names: list[str]) -> Callable[[Path], None]:
    """Fills a directory with one file, of another content each time, which `names` gets too."""

    def make(directory: Path) -> None:
        names.append(f"content {len(names)}")
        (directory / "file").write_text(names[-1])

    return make


def read_content(directory: Path) -> str:
    content = (directory / "file").read_text()
    if not content.startswith("content"):
        raise ValueError(content)
    return content


def test_a_directory_is_made_once_and_again_when_it_is_damaged(cache: Path) -> None:
    made: list[str] = []
    for _ in range(2):
        assert cached_directory("a/b", fingerprint(made), read_content) == "content 0"
    (cache / "a" / "b" / "file").write_text("nonsense")
    for _ in range(2):
        assert cached_directory("a/b", fingerprint(made), read_content) == "content 1"
    (cache / "a" / "b" / "file").unlink()
    assert cached_directory("a/b", fingerprint(made), read_content) == "content 2"
    assert [path.name for path in (cache / "a").iterdir()] == ["b"]


def test_a_directory_that_is_not_made_whole_does_not_appear(cache: Path) -> None:
    def fail(directory: Path) -> None:
        (directory / "file").write_text("content of a half")
        raise EngineError("in the middle")

    with pytest.raises(EngineError, match="in the middle"):
        cached_directory("a/b", fail, read_content)
    assert list((cache / "a").iterdir()) == []


def test_a_directory_that_can_not_be_put_in_place_is_an_error(cache: Path) -> None:
    def make(directory: Path) -> None:
        (directory / "file").write_text("content")
        (cache / "a" / "b").write_text("a file of the same name")

    with pytest.raises(NotADirectoryError):
        cached_directory("a/b", make, read_content)


def test_a_directory_that_another_process_has_made_meanwhile_is_used(cache: Path) -> None:
    def make(directory: Path) -> None:
        (directory / "file").write_text("content of ours")
        (cache / "a" / "b").mkdir()
        (cache / "a" / "b" / "file").write_text("content of theirs")

    assert cached_directory("a/b", make, read_content) == "content of theirs"


def test_the_directories_that_were_used_last_are_kept(cache: Path) -> None:
    made: list[str] = []
    for moment, name in enumerate(["one", "two", "three", "one", "four"]):
        cached_directory(f"a/{name}", fingerprint(made), read_content, keep=3)
        if name != "four":
            os.utime(cache / "a" / name, (moment, moment))
    assert sorted(path.name for path in (cache / "a").iterdir()) == ["four", "one", "three"]
    assert len(made) == 4
