"""Text in, timed chunks out: with the real espeak-ng, and with engines of known output."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2so_tts.audio import CHUNK_FRAMES, Block, Chunk, Mark, Pcm, apply_gain
from k2so_tts.engines import NORMAL, EngineError, Prosody, Voice
from k2so_tts.engines.espeak import EspeakEngine
from k2so_tts.synthesis import Manner, Synthesis, samples_of
from k2so_tts.text import TextStream

MANNER = Manner("en-us")
TEXT = "The quick brown fox jumps over the lazy dog, again and again. " * 8
PATIENCE = 10.0
SOON = 5.0


@dataclass
class ScriptedEngine:
    """An engine of known blocks, the same ones for every text; it stops at a gate if it has one."""

    blocks: Sequence[Block] = (Block(np.ones(1000, np.int16)),)
    endless: bool = False
    error: Exception | None = None
    gate: threading.Event | None = None
    sample_rate: int = 1000
    default_voice: str = "any"
    asked: list[tuple[str, str, Prosody]] = field(default_factory=list)
    given: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    def load(self) -> None:
        raise NotImplementedError

    def voices(self) -> Sequence[Voice]:
        raise NotImplementedError

    def find_voice(self, name: str) -> str:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def synthesise(self, text: str, voice: str, prosody: Prosody) -> Iterator[Block]:
        self.asked.append((text, voice, prosody))
        try:
            while True:
                for block in self.blocks:
                    self.given += len(block.pcm)
                    yield block
                    if self.gate is not None:
                        self.gate.wait(SOON)
                if self.error is not None:
                    raise self.error
                if not self.endless:
                    return
        finally:
            self.closed.set()


@pytest.fixture(scope="module")
def espeak() -> Iterator[EspeakEngine]:
    engine = EspeakEngine()
    engine.load()
    yield engine
    engine.close()


def chunks_of(synthesis: Synthesis) -> list[Chunk]:
    """Everything that comes, up to the end."""
    chunks: list[Chunk] = []
    while not synthesis.exhausted:
        assert synthesis.wait(SOON)
        while (chunk := synthesis.take()) is not None:
            chunks.append(chunk)
    return chunks


def next_chunk(synthesis: Synthesis) -> Chunk:
    assert synthesis.wait(SOON)
    chunk = synthesis.take()
    assert chunk is not None
    return chunk


def spoken(synthesis: Synthesis) -> list[Chunk]:
    synthesis.start()
    chunks = chunks_of(synthesis)
    assert synthesis.join(SOON)
    return chunks


def pcm_of(chunks: Sequence[Chunk]) -> Pcm:
    return np.concatenate([chunk.pcm for chunk in chunks])


def whole(engine: EspeakEngine, text: str) -> Pcm:
    return np.concatenate([block.pcm for block in engine.synthesise(text, "en-us", NORMAL)])


@pytest.mark.parametrize("text", [TEXT, "One."])
@pytest.mark.parametrize("volume", [1.0, 0.3, 0.0])
def test_the_chunks_are_what_the_engine_makes(
    espeak: EspeakEngine, text: str, volume: float
) -> None:
    synthesis = Synthesis(espeak, text, Manner("en-us", volume=volume))
    chunks = spoken(synthesis)
    np.testing.assert_array_equal(pcm_of(chunks), apply_gain(whole(espeak, text), volume))
    sizes = [len(chunk.pcm) for chunk in chunks]
    assert set(sizes[:-2]) <= {CHUNK_FRAMES}
    assert 0 < sizes[-2] <= CHUNK_FRAMES
    assert sizes[-1] == 0, "nothing follows"
    assert [chunk.start for chunk in chunks] == [sum(sizes[:index]) for index in range(len(sizes))]
    assert synthesis.frames == sum(sizes)
    assert synthesis.heard_text(synthesis.frames) == text


def test_voice_and_prosody_reach_the_engine() -> None:
    engine = ScriptedEngine()
    spoken(Synthesis(engine, "text", Manner("de+f3", Prosody(2.0, 0.5))))
    assert engine.asked == [("text", "de+f3", Prosody(2.0, 0.5))]
    assert engine.closed.is_set()


def test_nothing_but_space_is_not_given_to_the_engine() -> None:
    engine = ScriptedEngine()
    assert spoken(Synthesis(engine, " \n ", MANNER)) == []
    assert engine.asked == []


def test_an_endless_text_is_made_no_further_than_ahead() -> None:
    engine = ScriptedEngine(endless=True)
    synthesis = Synthesis(engine, "on and on", MANNER, chunk_frames=100, ahead_seconds=5.0)
    most = 5000 + 100 + 1000  # ahead, a chunk more, and the block it was cut from
    synthesis.start()
    taken = 0
    for _ in range(200):
        taken += len(next_chunk(synthesis).pcm)
        assert engine.given - taken <= most
    while synthesis.frames - taken <= 5000:
        assert synthesis.wait(SOON)
    assert synthesis.frames - taken == 5100
    assert not synthesis.join(0.05)
    assert engine.given - taken <= most
    synthesis.cancel()
    assert synthesis.join(SOON)
    assert engine.closed.is_set()


def test_cancel_returns_at_once_however_deep_the_engine_is() -> None:
    engine = ScriptedEngine(gate=threading.Event())
    synthesis = Synthesis(engine, "deep", MANNER, chunk_frames=100)
    synthesis.start()
    next_chunk(synthesis)
    synthesis.cancel()
    assert not synthesis.done
    assert engine.gate is not None
    engine.gate.set()
    assert synthesis.join(SOON)
    assert synthesis.error is None
    assert engine.closed.is_set()


def test_cancel_frees_one_that_waits_for_the_engine() -> None:
    lock = threading.Lock()
    engine = ScriptedEngine()
    synthesis = Synthesis(engine, "text", MANNER, engine_lock=lock)
    with lock:
        synthesis.start()
        synthesis.cancel()
        assert synthesis.join(SOON)
    assert engine.asked == []


def test_two_take_turns_with_one_engine(espeak: EspeakEngine) -> None:
    lock = threading.Lock()
    both = [Synthesis(espeak, TEXT, MANNER, engine_lock=lock) for _ in range(2)]
    for synthesis in both:
        synthesis.start()
    first, second = (pcm_of(chunks_of(synthesis)) for synthesis in both)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("error", "message"),
    [(EngineError("it broke"), "it broke"), (ZeroDivisionError("oh"), "ZeroDivisionError: oh")],
)
def test_an_error_of_the_engine_is_told(error: Exception, message: str) -> None:
    changes: list[None] = []
    synthesis = Synthesis(
        ScriptedEngine(error=error),
        "text",
        MANNER,
        chunk_frames=300,
        on_change=lambda: changes.append(None),
    )
    chunks = spoken(synthesis)
    assert str(synthesis.error) == message
    assert synthesis.done
    assert [len(chunk.pcm) for chunk in chunks] == [300, 300, 300]
    assert len(changes) == len(chunks) + 1
    assert synthesis.heard_text(1000) == ""


def test_the_time_that_making_took_is_measured() -> None:
    now = iter([100.0, 107.0])
    synthesis = Synthesis(ScriptedEngine(), "text", MANNER, clock=lambda: next(now))
    spoken(synthesis)
    assert synthesis.seconds == 7.0


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 400)), min_size=1, max_size=8))
def test_no_word_counts_as_heard_before_its_mark(words: list[tuple[int, int]]) -> None:
    """Each word has a length in characters and a duration in frames."""
    names = [chr(97 + index) * length for index, (length, _) in enumerate(words)]
    blocks, text_end, frame = [], -1, 0
    for length, frames in words:
        text_end, frame = text_end + 1 + length, frame + frames
        blocks.append(Block(np.ones(frames, np.int16), (Mark(text_end, frame),)))
    synthesis = Synthesis(ScriptedEngine(blocks), " ".join(names), MANNER, chunk_frames=100)
    spoken(synthesis)
    ends = [sum(frames for _, frames in words[: index + 1]) for index in range(len(words))]
    for heard in sorted({0, *ends, *(end - 1 for end in ends), frame + 1}):
        expected = [name for name, end in zip(names, ends, strict=True) if end <= heard]
        assert synthesis.heard_text(heard) == " ".join(expected)


def test_marks_are_known_as_soon_as_their_frames(espeak: EspeakEngine) -> None:
    synthesis = Synthesis(espeak, TEXT, MANNER)
    chunks = spoken(synthesis)
    heard = [synthesis.heard_text(chunk.start) for chunk in chunks]
    assert heard == sorted(heard, key=len)
    assert all(TEXT.startswith(text) for text in heard)
    assert heard[len(heard) // 2].count(" ") == pytest.approx(TEXT.count(" ") / 2, rel=0.1)
    synthesis.cancel()
    assert synthesis.heard_text(0) == ""
    assert synthesis.heard_text(synthesis.frames) == TEXT.rstrip()


def test_a_clause_is_spoken_before_the_text_ends(espeak: EspeakEngine) -> None:
    stream = TextStream(PATIENCE)
    synthesis = Synthesis(espeak, stream, MANNER)
    synthesis.start()
    stream.feed("The first clause, and th")
    first = [next_chunk(synthesis)]
    while len(first[-1].pcm):
        first.append(next_chunk(synthesis))
    assert synthesis.starved
    assert not synthesis.done
    np.testing.assert_array_equal(pcm_of(first), whole(espeak, "The first clause,"))
    stream.feed("e second.")
    stream.end()
    second = chunks_of(synthesis)
    assert second[0].start == first[-1].end
    np.testing.assert_array_equal(pcm_of(second), whole(espeak, " and the second."))
    assert synthesis.heard_text(first[-1].end) == "The first clause,"
    assert synthesis.heard_text(synthesis.frames) == "The first clause, and the second."


def test_it_is_told_that_a_starved_text_goes_on() -> None:
    changed = threading.Event()
    engine = ScriptedEngine()
    lock = threading.Lock()
    stream = TextStream(PATIENCE)
    synthesis = Synthesis(engine, stream, MANNER, engine_lock=lock, on_change=changed.set)
    synthesis.start()
    stream.feed("One, ")
    while len(next_chunk(synthesis).pcm):
        pass
    changed.clear()
    with lock:
        stream.feed("two, ")
        assert changed.wait(SOON)
        assert not synthesis.starved
    synthesis.cancel()
    assert synthesis.join(SOON)


def test_a_text_that_is_not_fed_any_more_ends() -> None:
    stream = TextStream(0.05)
    synthesis = Synthesis(ScriptedEngine(), stream, MANNER)
    stream.feed("One, two")
    assert len(pcm_of(spoken(synthesis))) == 2000
    assert stream.ended
    assert synthesis.heard_text(2000) == "One, two"


@pytest.mark.parametrize("pieces", [[], ["One, and"]])
def test_a_text_that_is_still_written_can_be_cancelled(pieces: list[str]) -> None:
    stream = TextStream(PATIENCE)
    synthesis = Synthesis(ScriptedEngine(), stream, MANNER)
    synthesis.start()
    for piece in pieces:
        stream.feed(piece)
    synthesis.cancel()
    assert synthesis.join(SOON)
    assert stream.cancelled
    assert synthesis.done


def test_what_never_began_can_be_ended() -> None:
    synthesis = Synthesis(ScriptedEngine(), "text", MANNER)
    synthesis.cancel()
    assert synthesis.join(0.0)
    assert synthesis.take() is None
    assert not synthesis.wait(0.0)


def test_traditionally_nothing_is_given_before_all_is_made() -> None:
    engine = ScriptedEngine(
        [Block(np.full(100, n, np.int16)) for n in range(50)], gate=threading.Event()
    )
    assert engine.gate is not None
    synthesis = Synthesis(
        engine, "text", MANNER, chunk_frames=100, ahead_seconds=0.1, streaming=False
    )
    synthesis.start()
    assert not synthesis.wait(0.1)
    assert synthesis.take() is None
    engine.gate.set()
    chunks = chunks_of(synthesis)
    assert [int(chunk.pcm[0]) for chunk in chunks if len(chunk.pcm)] == list(range(50))
    assert synthesis.error is None
    assert synthesis.join(SOON)


def test_both_ways_give_the_same_samples(espeak: EspeakEngine) -> None:
    streamed, whole = (
        list(samples_of(Synthesis(espeak, TEXT, MANNER, streaming=streaming)))
        for streaming in (True, False)
    )
    assert [pcm.tobytes() for pcm in streamed] == [pcm.tobytes() for pcm in whole]


def test_a_traditional_synthesis_can_be_cancelled() -> None:
    engine = ScriptedEngine(endless=True)
    synthesis = Synthesis(engine, "on and on", MANNER, chunk_frames=100, streaming=False)
    synthesis.start()
    synthesis.cancel()
    assert synthesis.join(SOON)
    assert engine.closed.is_set() or not engine.asked
