"""The neural engines at real size: first audio, speed, cancel and memory, whole and streamed.

Models have random weights (they cost what trained ones cost) and speak at a natural pace, about 15
letters a second. `whole` is the traditional way: the library makes the whole text, then it is
heard. `streamed` goes through `Synthesis`, as the nodes do. Each is measured in a process of its
own. Run it with `make bench-neural`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))

from k2so_tts.engines.pool import Recipe, load
from k2so_tts.engines.talker import Talker
from k2so_tts.synthesis import Manner, Synthesis

SENTENCES = (
    "I am the robot of this house, and I am here to help you with whatever you need.",
    "The kitchen is at the end of the corridor, on the left, behind the glass door.",
    "Please follow me, but keep a little distance, because I may have to stop at once.",
    "If you would like to rest, there is a bench in front of the window over there.",
    "Your guests have arrived, and they are waiting for you downstairs in the hall.",
    "I have put the parcels on the table, and the letters into the upper drawer.",
    "It will rain in the afternoon, so you had better take an umbrella with you.",
    "That is all I know for now, and I shall call you when there is more to tell.",
)
COUNTS = {1: 3, 2: 3, 8: 1}
"""Texts, by their number of sentences, and how often each is spoken: the median counts."""
PREBUFFER = 3
PACE = 3.0
CANCELS = 8
PATIENCE = 300.0
BAR_PERCENT, BAR_CANCEL_S = 97.0, 1.0
ENGINES = ("coqui", "piper")
REAL_SIZE: dict[str, Any] = {
    "hidden_channels": 192,
    "hidden_channels_ffn_text_encoder": 768,
    "num_layers_text_encoder": 6,
    "num_layers_posterior_encoder": 16,
    "num_layers_flow": 4,
    "upsample_initial_channel_decoder": 512,
    "length_scale": PACE,
}


@dataclass
class Measured:
    """What one process measured. Times in seconds by the number of sentences, memory in MiB."""

    load_s: float = 0.0
    first_s: dict[int, float] = field(default_factory=dict)
    factor: dict[int, float] = field(default_factory=dict)
    prebuffer_s: dict[int, float] = field(default_factory=dict)
    gaps: dict[int, int] = field(default_factory=dict)
    cancel_s: float = 0.0
    loaded_mib: float = 0.0
    peak_mib: float = 0.0


def main() -> int:
    """Measure and print. The exit code is 1 when a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, help="only this one")
    parser.add_argument("--measure", choices=tuple(MEASURES), help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        json.dump(asdict(MEASURES[options.measure](options.engine, options.model)), sys.stdout)
        return 0
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}\n"
    )
    missed = False
    for engine in [options.engine] if options.engine else ENGINES:
        with tempfile.TemporaryDirectory() as directory:
            in_process(["--engine", engine, "--measure", "make", "--model", directory])
            measured = [
                in_process(["--engine", engine, "--measure", way, "--model", directory])
                for way in ("whole", "streamed")
            ]
        missed = report(engine, *measured) or missed
    return int(missed)


def in_process(arguments: list[str]) -> Any:
    """Run this program with `arguments`; what it measured."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=3 * PATIENCE)
    return json.loads(done.stdout.splitlines()[-1])


def report(engine: str, whole: Any, streamed: Any) -> bool:
    """Print a table; whether a bar was missed."""
    print(f"## {engine}\n")
    print("| sentences | whole ms | streamed ms | earlier % | factor whole | streamed | gaps |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    earlier = 0.0
    for count in map(str, COUNTS):
        first, later = streamed["first_s"][count], whole["first_s"][count]
        earlier = 100 * (1 - first / later)
        gaps = streamed["gaps"][count]
        needed = f" (none with {streamed['prebuffer_s'][count]:.1f} s)" if gaps else ""
        print(
            f"| {count} | {1000 * later:.0f} | {1000 * first:.0f} | {earlier:.1f} "
            f"| {whole['factor'][count]:.2f} | {streamed['factor'][count]:.2f} | {gaps}{needed} |"
        )
    print(
        f"\nload {whole['load_s']:.1f} s and {streamed['load_s']:.1f} s; resident "
        f"{whole['loaded_mib']:.0f} MiB and {streamed['loaded_mib']:.0f} MiB after loading, "
        f"{whole['peak_mib']:.0f} MiB and {streamed['peak_mib']:.0f} MiB at most; cancel to an "
        f"idle engine {streamed['cancel_s']:.2f} s at most\n",
        flush=True,
    )
    return earlier < BAR_PERCENT or streamed["cancel_s"] > BAR_CANCEL_S


def text_of(count: int) -> str:
    return " ".join(SENTENCES[:count])


def make(engine: str, model: Path) -> Measured:
    """Make a model of real size in the directory `model`."""
    from support.neural_models import PIPER_MEDIUM, make_piper, make_vits

    if engine == "coqui":
        make_vits(model, **REAL_SIZE)
    else:
        make_piper(model, **{**REAL_SIZE, **PIPER_MEDIUM})
    return Measured()


def whole(engine: str, model: Path) -> Measured:
    """The traditional way: the library by itself makes a whole text."""
    began = time.perf_counter()
    speak, rate = (whole_coqui if engine == "coqui" else whole_piper)(model)
    measured = Measured(load_s=time.perf_counter() - began, loaded_mib=resident_mib())
    speak("Warm up.")
    for count, runs in COUNTS.items():
        seconds, frames = [], 0
        for _ in range(runs):
            began = time.perf_counter()
            frames = speak(text_of(count))
            seconds.append(time.perf_counter() - began)
        measured.first_s[count] = median(seconds)
        measured.factor[count] = median(seconds) / (frames / rate)
    measured.peak_mib = peak_mib()
    return measured


def whole_coqui(model: Path) -> tuple[Callable[[str], int], int]:
    from TTS.utils.synthesizer import Synthesizer

    library = Synthesizer(tts_checkpoint=model / "model.pth", tts_config_path=model / "config.json")
    vits = library.tts_model
    return lambda text: len(vits.synthesize(text)["wav"]), library.output_sample_rate


def whole_piper(model: Path) -> tuple[Callable[[str], int], int]:
    from piper import PiperVoice

    voice = PiperVoice.load(model / "voice.onnx")

    def speak(text: str) -> int:
        return sum(len(sentence.audio_int16_array) for sentence in voice.synthesize(text))

    return speak, voice.config.sample_rate


def streamed(name: str, model: Path) -> Measured:
    """Through `Synthesis`, as the nodes do."""
    began = time.perf_counter()
    options = {"coqui": {"model": str(model)}, "piper": {"voice": str(model)}}
    recipe = Recipe(name, options[name])
    with closing(recipe.make()) as engine:
        talker = load(recipe, engine)
        measured = Measured(load_s=time.perf_counter() - began, loaded_mib=resident_mib())
        for count in COUNTS:
            stream(talker, count, measured)
        measured.cancel_s = max(cancel(talker, step / CANCELS) for step in range(CANCELS))
        measured.peak_mib = peak_mib()
    return measured


def stream(talker: Talker, count: int, measured: Measured) -> None:
    """Speak a text a few times: when its chunks came, and what a player would have made of it."""
    first, factor = [], []
    engine = talker.engine
    came: list[tuple[float, int]] = []
    for _ in range(COUNTS[count]):
        synthesis = Synthesis(
            talker, text_of(count), Manner(engine.default_voice), ahead_seconds=PATIENCE
        )
        began = time.perf_counter()
        synthesis.start()
        came = []
        while synthesis.wait(PATIENCE) and (chunk := synthesis.take()) is not None:
            came.append((time.perf_counter() - began, len(chunk.pcm)))
        assert synthesis.error is None
        first.append(came[0][0])
        factor.append(came[-1][0] / (synthesis.frames / engine.sample_rate))
    measured.first_s[count] = median(first)
    measured.factor[count] = median(factor)
    measured.gaps[count] = gaps(came, engine.sample_rate)
    measured.prebuffer_s[count] = prebuffer_s(came, engine.sample_rate)


def gaps(came: list[tuple[float, int]], rate: int) -> int:
    """How often a player that starts with `PREBUFFER` chunks would run dry."""
    ends = came[min(PREBUFFER, len(came)) - 1][0]
    found = 0
    for at, frames in came:
        found += at > ends
        ends = max(at, ends) + frames / rate
    return found


def prebuffer_s(came: list[tuple[float, int]], rate: int) -> float:
    """Seconds of audio that a player has to hold before it starts, never to run dry."""
    position, start = 0.0, 0.0
    for at, frames in came:
        start = max(start, at - position)
        position += frames / rate
    return sum(frames for at, frames in came if at <= start) / rate


def cancel(talker: Talker, share: float) -> float:
    """Cancel a long text after a share of a second: how long until the engine is idle (s)."""
    synthesis = Synthesis(talker, text_of(8) * 20, Manner(talker.engine.default_voice))
    synthesis.start()
    time.sleep(share)
    began = time.perf_counter()
    synthesis.cancel()
    assert synthesis.join(PATIENCE)
    return time.perf_counter() - began


def resident_mib() -> float:
    """Resident memory of this process and its children."""
    this = psutil.Process()
    family = [this, *this.children(recursive=True)]
    return float(sum(process.memory_info().rss for process in family)) / 2**20


def peak_mib() -> float:
    """The most that this process and its children ever held, each by itself, added up."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for process in psutil.Process().children(recursive=True):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        peak += int(line.split()[1]) / 1024
    return peak


MEASURES: dict[str, Callable[[str, Path], Measured]] = {
    "make": make,
    "whole": whole,
    "streamed": streamed,
}

if __name__ == "__main__":
    sys.exit(main())
