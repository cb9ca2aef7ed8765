"""The neural voices at real size: first audio, speed, memory, loading and likeness, in one run.

Models have random weights (they cost what trained ones cost) and speak at a natural pace, about 15
letters a second. `whole` is the traditional way: the library makes the whole text, then it is
heard. All else goes through `Synthesis`, as in the nodes: block by block as it is made, or from
disk. Each way is measured in a process of its own. Run it with `make bench-neural`; `--read FILE`
shows what an earlier run has left with `--json FILE`, and `--plot FILE` draws it (matplotlib).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import psutil
from rich.console import Console
from rich.table import Table

from k2so_tts.engines import NORMAL
from k2so_tts.engines.toolkit.disk_cache import cache_directory
from k2so_tts.synthesis.engine_supervisor import EngineSpec, load
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.phrase_cache import PhraseCache
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions

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
PACE = 1.6
CANCELS = 8
PATIENCE = 300.0
REAL_SIZE: dict[str, Any] = {
    "hidden_channels": 192,
    "hidden_channels_ffn_text_encoder": 768,
    "num_layers_text_encoder": 6,
    "num_layers_posterior_encoder": 16,
    "num_layers_flow": 4,
    "upsample_initial_channel_decoder": 512,
    "length_scale": PACE,
    "inference_noise_scale_dp": 0.0,
}
SEED = 1
COQUI: dict[str, Any] = {"device": "cpu", "seed": SEED}
WHOLE, PIPER_WHOLE, CACHED = "torch fp32, whole", "Piper, whole", "ONNX int8, said before"
INT8 = "ONNX int8, streamed"
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    WHOLE: ("coqui", COQUI),
    "torch fp32, streamed": ("coqui", COQUI),
    "ONNX fp32, streamed": ("coqui", {**COQUI, "runtime": "onnx"}),
    INT8: ("coqui", {**COQUI, "runtime": "onnx", "quantization": "int8"}),
    CACHED: ("coqui", {**COQUI, "runtime": "onnx", "quantization": "int8"}),
    PIPER_WHOLE: ("piper", {}),
    "Piper, streamed": ("piper", {}),
}
"""What is measured, and the engine and the options that it takes."""
XTTS_SIZE: dict[str, Any] = {
    "gpt_layers": 30,
    "gpt_n_model_channels": 1024,
    "gpt_n_heads": 16,
    "gpt_max_audio_tokens": 150,
    "gpt_num_audio_tokens": 1026,
    "gpt_start_audio_token": 1024,
    "gpt_stop_audio_token": 1025,
    "decoder_input_dim": 1024,
}
"""That of XTTS v2; one with random weights hardly ever stops, so it is cut off after 7 s."""
XTTS_WAYS = ("none", "int8")
SEED_FIGURES = {"whole": 5.2, "by sentence": 1.01, "streamed": 0.16}
"""K-2SO's own voice: seconds to the first word of 7.6 s of speech (and 22 s to load, 1.8 GB)."""
SEED_LOAD_S, SEED_MIB = 22.0, 1800.0


@dataclass
class Measured:
    """What one process measured. Times in seconds by the number of sentences, memory in MiB.

    `load_s` is from the start of the process until the first chunk could be made; `steps_s` are
    what that is made of. `distance_db` is the log-spectral distance to torch's whole text.
    """

    load_s: float = 0.0
    cold_s: float = 0.0
    convert_s: float = 0.0
    steps_s: dict[str, float] = field(default_factory=dict)
    first_s: dict[int, float] = field(default_factory=dict)
    factor: dict[int, float] = field(default_factory=dict)
    prebuffer_s: dict[int, float] = field(default_factory=dict)
    gaps: dict[int, int] = field(default_factory=dict)
    cancel_s: float = 0.0
    loaded_mib: float = 0.0
    peak_mib: float = 0.0
    file_mib: float = 0.0
    distance_db: float | None = None


def main() -> int:
    """Measure and print. The exit code is 1 when a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write every figure into this file")
    parser.add_argument("--read", type=Path, help="show what is in such a file")
    parser.add_argument("--plot", type=Path, help="draw the figures into this file")
    parser.add_argument("--task", choices=tuple(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=(*WAYS, *XTTS_WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--models", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        json.dump(TASKS[options.task](options.way, options.models, options.began), sys.stdout)
        return 0
    results = json.loads(options.read.read_text()) if options.read else measure()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    show(results)
    if options.plot:
        plot(results, options.plot)
    missed = [bar for bar, holds in bars(results["ways"]).items() if not holds]
    for bar in missed:
        print(f"missed: {bar}")
    return int(bool(missed))


def measure() -> dict[str, Any]:
    """Everything, in processes of its own."""
    facts = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    results: dict[str, Any] = {"machine": f"{facts}, load {os.getloadavg()[0]:.1f}", "ways": {}}
    with tempfile.TemporaryDirectory() as directory:
        models = Path(directory)
        os.environ["XDG_CACHE_HOME"] = str(models / "cache")
        in_process("make", WHOLE, models)
        for way in WAYS:
            convert_s = in_process("load", way, models)["load_s"] if way != CACHED else 0.0
            forget([models, *map(Path, site.getsitepackages()), *map(Path, sys.path)])
            cold_s = in_process("load", way, models)["load_s"]
            task = {CACHED: "cached", WHOLE: "whole", PIPER_WHOLE: "whole"}.get(way, "streamed")
            found = in_process(task, way, models)
            results["ways"][way] = {**found, "cold_s": cold_s, "convert_s": convert_s}
            print(f"{way}: measured", file=sys.stderr)
        in_process("make xtts", WHOLE, models)
        results["xtts"] = {way: in_process("xtts", way, models) for way in XTTS_WAYS}
        for way, distance in in_process("distances", WHOLE, models).items():
            results["ways"][way]["distance_db"] = distance
    return results


def in_process(task: str, way: str, models: Path) -> Any:
    """Run a task in a process; what it found."""
    command = [sys.executable, __file__, "--task", task, "--way", way, "--models", str(models)]
    command += ["--began", str(time.monotonic())]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=3 * PATIENCE)
    return json.loads(done.stdout.splitlines()[-1])


def forget(directories: Iterable[Path]) -> None:
    """Have the kernel forget what it has read of the files in some directories."""
    os.sync()
    for directory in directories:
        for path in directory.rglob("*") if directory.is_dir() else ():
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)


def show(results: Mapping[str, Any]) -> None:
    console = Console(width=140)
    console.print(results["machine"], "\n")
    ways = results["ways"]
    table = Table("first audio, ms", *(f"{count} sentences" for count in COUNTS), "factor, 8")
    for heading in ("of torch's time", "dB from torch", "gaps, 8", "cancel s"):
        table.add_column(heading)
    for way, found in ways.items():
        factor = found["factor"]["8"]
        distance = found["distance_db"]
        table.add_row(
            way,
            *(f"{1000 * seconds:.1f}" for seconds in found["first_s"].values()),
            f"{factor:.3f}",
            f"{100 * factor / ways[WHOLE]['factor']['8']:.0f} %",
            "" if distance is None else f"{distance:.2f}",
            gaps_of(found),
            f"{found['cancel_s']:.2f}" if found["cancel_s"] else "",
        )
    console.print(table)
    table = Table("memory and loading", "MiB loaded", "of torch's", "MiB at most", "of torch's")
    for heading in ("files MiB", "load s, warm", "cold", "first time"):
        table.add_column(heading)
    for way, found in ways.items():
        table.add_row(
            way,
            *share(found, ways[WHOLE], "loaded_mib"),
            *share(found, ways[WHOLE], "peak_mib"),
            f"{found['file_mib']:.0f}",
            *(f"{found[name]:.1f}" for name in ("load_s", "cold_s", "convert_s")),
        )
    console.print(table)
    names = list(ways[INT8]["steps_s"])
    table = Table("what a warm start takes, s", *names)
    for way, found in ways.items():
        if found["steps_s"]:
            table.add_row(way, *(f"{found['steps_s'][name]:.2f}" for name in names))
    console.print(table)
    table = Table("XTTS, a sentence", "first audio, s", "factor", "load s", "MiB", "at most")
    for way, found in results["xtts"].items():
        figures = [found["first_s"]["1"], found["factor"]["1"], found["load_s"]]
        memory = [found["loaded_mib"], found["peak_mib"]]
        table.add_row(
            way, *(f"{figure:.2f}" for figure in figures), *(f"{mib:.0f}" for mib in memory)
        )
    console.print(table)


def gaps_of(found: Mapping[str, Any]) -> str:
    if not found["gaps"]:
        return ""
    gaps = found["gaps"]["8"]
    return f"{gaps}, none with {found['prebuffer_s']['8']:.1f} s" if gaps else "0"


def share(found: Mapping[str, Any], torch: Mapping[str, Any], name: str) -> tuple[str, str]:
    return f"{found[name]:.0f}", f"{100 * found[name] / torch[name]:.1f} %"


def bars(ways: Mapping[str, Any]) -> dict[str, bool]:
    """What must hold, and whether it does."""
    torch, int8 = ways[WHOLE], ways[INT8]
    streamed, piper = ways["torch fp32, streamed"], ways["Piper, streamed"]
    return {
        "int8 takes at most 25 % of torch's memory": int8["loaded_mib"]
        <= 0.25 * torch["loaded_mib"]
        and int8["peak_mib"] <= 0.25 * torch["peak_mib"],
        "int8 is at least 30 % faster": int8["factor"]["8"] <= 0.7 * torch["factor"]["8"],
        "int8 loads within 2 s": int8["load_s"] <= 2.0,
        "int8 sounds as torch does, to 3 dB": int8["distance_db"] <= 3.0,
        "from disk within 5 ms": max(ways[CACHED]["first_s"].values()) <= 0.005,
        "8 sentences begin 97 % earlier": all(
            later["first_s"]["8"] <= 0.03 * whole["first_s"]["8"]
            for later, whole in ((streamed, torch), (int8, torch), (piper, ways[PIPER_WHOLE]))
        ),
        "a cancel takes at most a second": max(w["cancel_s"] for w in ways.values()) <= 1.0,
    }


def plot(results: Mapping[str, Any], path: Path) -> None:
    """First audio, memory and loading, the seed's figures beside them."""
    from matplotlib import pyplot as plt

    ways = results["ways"]
    panels: list[tuple[str, dict[str, float]]] = [
        (
            "first audio of 8 sentences, s",
            {
                **{f"K-2SO, {name}": seconds for name, seconds in SEED_FIGURES.items()},
                **{way: found["first_s"]["8"] for way, found in ways.items()},
            },
        ),
        (
            "resident at most, MiB",
            {"K-2SO": SEED_MIB, **{way: found["peak_mib"] for way, found in ways.items()}},
        ),
        (
            "load, warm, s",
            {"K-2SO": SEED_LOAD_S, **{way: found["load_s"] for way, found in ways.items()}},
        ),
    ]
    figure, axes = plt.subplots(1, len(panels), figsize=(16, 4.5), layout="constrained")
    for each, (title, values) in zip(axes, panels, strict=True):
        colours = ["tab:gray" if name.startswith("K-2SO") else "tab:blue" for name in values]
        drawn = each.barh(list(values), list(values.values()), color=colours)
        each.bar_label(drawn, fmt=lambda value: f" {value:.4g}")
        each.set(title=title, xscale="log")
        each.margins(x=0.25)
        each.invert_yaxis()
    figure.savefig(path, dpi=110)


def text_of(count: int) -> str:
    return " ".join(SENTENCES[:count])


def recipe_of(way: str, models: Path) -> EngineSpec:
    engine, options = WAYS[way]
    name = "voice" if engine == "piper" else "model"
    return EngineSpec(engine, {name: str(models / engine), **options})


def make(_: str, models: Path, __: float) -> None:
    """Make models of real size in the directory `models`."""
    from support.neural_models import PIPER_MEDIUM, make_piper, make_vits

    make_vits(models / "coqui", **REAL_SIZE)
    piper = {**REAL_SIZE, **PIPER_MEDIUM}
    make_piper(models / "piper", **piper)


def load_only(way: str, models: Path, began: float) -> dict[str, Any]:
    """How long it takes until the first chunk can be made."""
    if way in (WHOLE, PIPER_WHOLE):
        open_library(way, models)
    else:
        recipe = recipe_of(way, models)
        with closing(recipe.make()) as engine:
            load(recipe, engine)
            return asdict(Measured(load_s=time.monotonic() - began))
    return asdict(Measured(load_s=time.monotonic() - began))


def whole(way: str, models: Path, began: float) -> dict[str, Any]:
    """The traditional way: the library by itself makes a whole text."""
    speak, rate = open_library(way, models)
    measured = Measured(load_s=time.monotonic() - began, loaded_mib=resident_mib())
    measured.file_mib = size_mib(models / WAYS[way][0])
    speak("Warm up.")
    for count, runs in COUNTS.items():
        seconds, frames = [], 0
        for _ in range(runs):
            started = time.perf_counter()
            frames = len(speak(text_of(count)))
            seconds.append(time.perf_counter() - started)
        measured.first_s[count] = median(seconds)
        measured.factor[count] = median(seconds) / (frames / rate)
    measured.peak_mib = peak_mib()
    return asdict(measured)


def open_library(way: str, models: Path) -> tuple[Callable[[str], Any], int]:
    """What makes the samples of a text, shape (frames,), as a library by itself does, and their
    rate in Hz.
    """
    engine, _ = WAYS[way]
    if engine == "piper":
        import numpy as np
        from piper import PiperVoice

        voice = PiperVoice.load(models / engine / "voice.onnx")

        def speak(text: str) -> Any:
            return np.concatenate([part.audio_int16_array for part in voice.synthesize(text)])

        return speak, voice.config.sample_rate
    from TTS.utils.synthesizer import Synthesizer

    files = models / engine
    library = Synthesizer(tts_checkpoint=files / "model.pth", tts_config_path=files / "config.json")
    return lambda text: library.tts_model.synthesize(text)["wav"], library.output_sample_rate


def streamed(way: str, models: Path, began: float) -> dict[str, Any]:
    """Through `Synthesis`, as the nodes do."""
    recipe = recipe_of(way, models)
    measured = Measured(steps_s={"Python and k2so_tts": time.monotonic() - began})
    with closing(recipe.make()) as engine:
        talker = load_in_steps(recipe, engine, measured, began)
        measured.loaded_mib = resident_mib()
        for count in COUNTS:
            stream(talker, count, measured)
        measured.cancel_s = max(cancel(talker, step / CANCELS) for step in range(CANCELS))
        measured.peak_mib = peak_mib()
    converted = cache_directory() / "vits"
    if recipe.options.get("runtime") == "onnx":
        measured.file_mib = size_mib(max(converted.iterdir(), key=os.path.getatime))
    else:
        measured.file_mib = size_mib(models / recipe.name)
    return asdict(measured)


def load_in_steps(
    recipe: EngineSpec, engine: Any, measured: Measured, began: float
) -> LoadedEngine:
    """As `load` does, taking the time of each step."""
    marks = [time.monotonic()]
    if recipe.name == "coqui":
        if recipe.options.get("runtime") == "onnx":
            import k2so_tts.engines.coqui.vits_onnx
        else:
            import k2so_tts.engines.coqui.models  # noqa: F401 - to take the time
    marks.append(time.monotonic())
    loading = engine.load

    def load_and_mark() -> None:
        loading()
        marks.append(time.monotonic())

    with mock.patch.object(engine, "load", load_and_mark):
        talker = load(recipe, engine)
    marks.append(time.monotonic())
    names = ("libraries", "weights, first words", "warm-up")
    steps = (after - before for before, after in pairwise(marks))
    measured.steps_s.update(zip(names, steps, strict=True))
    measured.load_s = time.monotonic() - began
    return talker


def make_xtts(_: str, models: Path, __: float) -> None:
    """Make an XTTS of real size, and the recording of a voice to clone."""
    import numpy as np
    import soundfile
    from support.neural_models import make_xtts

    make_xtts(models / "xtts", **XTTS_SIZE)
    noise = np.random.default_rng(SEED).normal(0, 0.1, 2 * 22050)
    soundfile.write(models / "somebody.wav", noise, 22050)


def xtts(quantization: str, models: Path, began: float) -> dict[str, Any]:
    """One sentence of an XTTS, as the engine makes it."""
    options = {**COQUI, "quantization": quantization, "model": str(models / "xtts")}
    recipe = EngineSpec("coqui", {**options, "speaker_wav": str(models / "somebody.wav")})
    with closing(recipe.make()) as engine:
        engine.load()
        measured = Measured(load_s=time.monotonic() - began, loaded_mib=resident_mib())
        started = time.perf_counter()
        first, frames = 0.0, 0
        for block in engine.synthesise(text_of(1), engine.default_voice, NORMAL):
            first = first or time.perf_counter() - started
            frames += len(block.pcm)
        seconds = time.perf_counter() - started
        measured.first_s[1], measured.factor[1] = first, seconds / (frames / engine.sample_rate)
        measured.peak_mib = peak_mib()
    return asdict(measured)


def cached(way: str, models: Path, began: float) -> dict[str, Any]:
    """What was said once is said again, from disk."""
    recipe = recipe_of(way, models)
    phrases = PhraseCache()
    measured = Measured()
    with closing(recipe.make()) as engine:
        talker = load(recipe, engine, phrases)
        measured.load_s = time.monotonic() - began
        measured.loaded_mib = resident_mib()
        for count in COUNTS:
            stream(talker, count, Measured())
            stream(talker, count, measured)
        assert phrases.hits >= sum(COUNTS.values())
        measured.peak_mib = peak_mib()
    measured.file_mib = size_mib(phrases.path.parent) - size_mib(phrases.path.parent / "vits")
    return asdict(measured)


def stream(talker: LoadedEngine, count: int, measured: Measured) -> None:
    """Speak a text a few times: when its chunks came, and what a player would have made of it."""
    first, factor = [], []
    engine = talker.engine
    came: list[tuple[float, int]] = []
    for _ in range(COUNTS[count]):
        synthesis = Synthesis(
            talker, text_of(count), SynthesisOptions(engine.default_voice), ahead_seconds=PATIENCE
        )
        began = time.perf_counter()
        synthesis.start()
        came = []
        while synthesis.wait(PATIENCE) and (chunk := synthesis.take()) is not None:
            came.append((time.perf_counter() - began, len(chunk.pcm)))
        assert synthesis.error is None
        assert synthesis.join(PATIENCE)
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


def cancel(talker: LoadedEngine, share: float) -> float:
    """Cancel a long text after a share of a second: how long until the engine is idle (s)."""
    synthesis = Synthesis(talker, text_of(8) * 20, SynthesisOptions(talker.engine.default_voice))
    synthesis.start()
    time.sleep(share)
    began = time.perf_counter()
    synthesis.cancel()
    assert synthesis.join(PATIENCE)
    return time.perf_counter() - began


def distances(_: str, models: Path, __: float) -> dict[str, float]:
    """Log-spectral distances (dB) to torch's whole text, of those that make the same of noise."""
    import numpy as np
    import torch
    from support.neural_models import noise_of_torch
    from support.spectra import log_spectral_distance

    from k2so_tts.engines.coqui.vits_onnx import OnnxVits
    from k2so_tts.engines.toolkit.chunked_decoder import to_pcm

    speak, _rate = open_library(WHOLE, models)
    torch.manual_seed(SEED)
    expected = to_pcm(np.asarray(speak(text_of(1)), np.float32))
    found = {}
    with mock.patch.object(OnnxVits, "_noise", noise_of_torch):
        for way in ("torch fp32, streamed", "ONNX fp32, streamed", INT8):
            with closing(recipe_of(way, models).make()) as engine:
                engine.load()
                torch.manual_seed(SEED)
                blocks = engine.synthesise(text_of(1), engine.default_voice, NORMAL)
                heard = np.concatenate([block.pcm for block in blocks])
            found[way] = log_spectral_distance(expected, heard)
    return found


def size_mib(directory: Path) -> float:
    files = (path for path in directory.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files) / 2**20


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


TASKS: dict[str, Callable[[str, Path, float], Any]] = {
    "make": make,
    "load": load_only,
    "whole": whole,
    "streamed": streamed,
    "cached": cached,
    "distances": distances,
    "make xtts": make_xtts,
    "xtts": xtts,
}

if __name__ == "__main__":
    sys.exit(main())
