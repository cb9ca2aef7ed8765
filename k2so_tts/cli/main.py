"""`k2so-tts`: speak, with and without ROS, and find out what a machine lacks for it."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from k2so_tts.audio import Pcm
from k2so_tts.bench.utterance import MeasureError
from k2so_tts.cli import bench, cache, compare
from k2so_tts.engines import (
    Engine,
    EngineError,
    Prosody,
    Voice,
    checked_options,
    create_engine,
    engine_names,
    engine_options,
)
from k2so_tts.playback import DeviceError, PlayerSettings, play
from k2so_tts.playback.devices import SPECIFICATIONS, output_devices
from k2so_tts.settings import SettingError
from k2so_tts.synthesis.engine_supervisor import EngineSpec
from k2so_tts.synthesis.loaded_engine import LoadedEngine
from k2so_tts.synthesis.synthesis import Synthesis, SynthesisOptions, stream_pcm
from k2so_tts.text.stream import clean

_SECONDS_PER_CHARACTER = 0.075
_SERVER_SECONDS = 5.0
_INTERRUPTED = 130

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `k2so-tts`."""
    parser = _parser()
    _run(parser, parser.parse_args(arguments))


def send_main() -> None:
    """`ros2 run k2so_tts say TEXT`: the same as `k2so-tts send TEXT`."""
    parser = argparse.ArgumentParser(prog="say", description="Have speak_server say something.")
    _add_send_arguments(parser)
    from k2so_tts.ros import own_arguments

    _run(parser, parser.parse_args(own_arguments(sys.argv[1:])))


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        sys.exit(options.command(options))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except (
        EngineError,
        DeviceError,
        MeasureError,
        SettingError,
        ImportError,
        OSError,
    ) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="k2so-tts", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    say = commands.add_parser("say", help="speak a text on this machine, without ROS")
    say.add_argument("text", help="what to say; - reads it from standard input")
    say.add_argument("--wav", metavar="FILE", help="write a WAV file instead of playing")
    say.add_argument("--engine", default="espeak", choices=engine_names())
    _add_options(say)
    say.add_argument("--voice", default="", help="a voice or language of the engine")
    say.add_argument("--device", default="auto", help=SPECIFICATIONS)
    _add_manner(say)
    say.set_defaults(command=_say)

    send = commands.add_parser("send", help="have speak_server say something")
    _add_send_arguments(send)

    compare.add_arguments(
        commands.add_parser("compare", help="speak one text whole and streamed, and compare")
    )

    bench.add_arguments(
        commands.add_parser("bench", help="measure latency and cost, over ROS and without it")
    )

    kept = commands.add_parser("cache", help="phrases on disk, which sound at once")
    actions = kept.add_subparsers(required=True, metavar="ACTION")
    warm = actions.add_parser("warm", help="make the phrases of a file before they are needed")
    warm.add_argument("--engine", required=True, choices=engine_names())
    _add_options(warm)
    warm.add_argument("--voice", default="", help="a voice or language of the engine")
    _add_rate(warm)
    cache.add_warm_arguments(warm)
    warm.set_defaults(command=_warm)
    actions.add_parser("info", help="what there is").set_defaults(command=cache.info)
    actions.add_parser("clear", help="throw it all away").set_defaults(command=cache.clear)

    voices = commands.add_parser("voices", help="list the engines and voices at hand")
    voices.add_argument("--engine", choices=engine_names(), help="only this one")
    _add_options(voices)
    voices.set_defaults(command=_voices)

    doctor = commands.add_parser("doctor", help="check what speaking needs, and say how to get it")
    doctor.set_defaults(command=_doctor)
    return parser


def _add_send_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", help="what to say; - reads it from standard input")
    parser.add_argument("--language", default="", help="a voice alias, voice or language")
    parser.add_argument("--namespace", default="", help="the namespace of speak_server")
    parser.add_argument(
        "--wait", type=float, default=_SERVER_SECONDS, help="seconds to wait for speak_server"
    )
    _add_manner(parser)
    parser.set_defaults(command=_send)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--option",
        dest="engine_options",
        metavar="NAME=VALUE",
        type=_name_and_value,
        action="append",
        default=[],
        help="an option of the engine (docs/engines.md); may be repeated",
    )


def _name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _add_manner(parser: argparse.ArgumentParser) -> None:
    _add_rate(parser)
    parser.add_argument("--volume", type=_between(0.0, 1.0), default=1.0, help="0.0 to 1.0")


def _add_rate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=_between(0.25, 4.0), default=1.0, help="0.25 to 4.0")


def _between(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        if low <= (value := float(text)) <= high:
            return value
        raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")

    return number


def _text(options: argparse.Namespace) -> str:
    return clean(sys.stdin.read() if options.text == "-" else options.text)


def _say(options: argparse.Namespace) -> int:
    text = _text(options)
    engine = _create_engine(options.engine, dict(options.engine_options))
    with closing(engine):
        engine.load()
        voice = engine.find_voice(options.voice or engine.default_voice)
        manner = SynthesisOptions(voice, Prosody(options.rate), options.volume)
        chunks = stream_pcm(Synthesis(LoadedEngine(engine), text, manner))
        if options.wav:
            _write_wav(options.wav, engine.sample_rate, chunks)
            return 0
        with progress(text, options.rate) as tell:
            play(chunks, engine.sample_rate, PlayerSettings(device=options.device), tell)
    return 0


def _warm(options: argparse.Namespace) -> int:
    given = _parsed(options.engine, dict(options.engine_options))
    return cache.warm(options, EngineSpec(options.engine, checked_options(options.engine, given)))


def _create_engine(name: str, texts: Mapping[str, str]) -> Engine:
    """An engine with options as they were typed. Raises `SettingError`."""
    return create_engine(name, _parsed(name, texts))


def _parsed(name: str, texts: Mapping[str, str]) -> dict[str, object]:
    """Options of an engine as they were typed. Raises `SettingError`."""
    known = engine_options(name)
    return {
        option: known[option].parse(text) if option in known else text
        for option, text in texts.items()
    }


def _write_wav(path: str, rate: int, chunks: Iterator[Pcm]) -> None:
    """Write all of it. A file that can't be written to its end is removed."""
    opened = Path(path).open("wb")  # noqa: SIM115 - one that can't be opened is left as it is
    try:
        with opened, closing(wave.open(opened, "wb")) as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            for pcm in chunks:
                file.writeframes(pcm.tobytes())
    except BaseException as error:
        if Path(path).is_file():
            Path(path).unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, path) from error
        raise


@contextmanager
def progress(text: str, rate: float) -> Iterator[Callable[[float], None]]:
    """A bar that fills as a text is heard. How long that takes is an estimate till the end."""
    estimate = max(0.5, len(text) * _SECONDS_PER_CHARACTER / rate)
    columns = (TextColumn("speaking"), BarColumn(), TextColumn("{task.fields[heard]:.1f} s"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=1.0, heard=0.0)

        def tell(seconds: float) -> None:
            bar.update(task, completed=min(0.95, seconds / estimate), heard=seconds)

        yield tell
        bar.update(task, completed=1.0)


def _send(options: argparse.Namespace) -> int:
    from k2so_tts.ros.client import SpeechClient, SpeechRefused

    text = _text(options)
    try:
        with closing(SpeechClient(options.namespace)) as client:
            if not client.wait_for_server(options.wait):
                raise SpeechRefused(
                    f"no speak_server offers the action 'say' (waited {options.wait:g} s)"
                )
            with progress(text, options.rate) as tell:
                measured = client.say(
                    text,
                    language=options.language,
                    volume=options.volume,
                    rate=options.rate,
                    on_heard=tell,
                )
    except (SpeechRefused, TimeoutError) as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 1
    if measured.status != "succeeded":
        errors.print(f"{measured.status} after: {measured.text}", markup=False)
        return 1
    return 0


def _voices(options: argparse.Namespace) -> int:
    if options.engine_options and not options.engine:
        raise SettingError("-o needs to know whose option it is: --engine NAME")
    texts = dict(options.engine_options)
    for name in [options.engine] if options.engine else engine_names():
        console.print(f"{name}: {_describe(name, texts)}", markup=False, soft_wrap=True)
    return 0


def _describe(name: str, texts: Mapping[str, str]) -> str:
    """What an engine has to offer, or what is missing here and how to get it."""
    try:
        with closing(_create_engine(name, texts)) as engine:
            engine.load()
            voices = engine.voices()
            begin = f"{engine.sample_rate} Hz, default {engine.default_voice}"
    except EngineError as error:
        return str(error)
    return "\n  ".join([begin, *(_name_of(voice) for voice in voices)])


def _name_of(voice: Voice) -> str:
    return voice.name if voice.name == voice.language else f"{voice.name} ({voice.language})"


def _doctor(_: argparse.Namespace) -> int:
    """Check everything; the exit code is 0 if a text can be spoken without ROS."""
    table = Table("", "what", "found, or how to get it")
    spoken = True
    for needed, name, check in (
        (True, "engine espeak", _check_espeak),
        (True, "sound device", _check_devices),
        (False, "rclpy (ROS 2)", _check_rclpy),
        (False, "audio_common_msgs", _check_interfaces),
    ):
        found, words = _try(check)
        spoken = spoken and (found or not needed)
        table.add_row("[green]ok[/]" if found else "[red]missing[/]", name, words)
    console.print(table)
    return 0 if spoken else 1


def _try(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except (EngineError, DeviceError, ImportError) as error:
        return False, str(error)


def _check_espeak() -> str:
    engine = create_engine("espeak")
    with closing(engine):
        engine.load()
        return f"{len(engine.voices())} voices at {engine.sample_rate} Hz"


def _check_devices() -> str:
    devices = output_devices()
    if not devices:
        raise DeviceError(
            "PortAudio finds none; start a sound server (PipeWire) or plug one in; "
            "device null or wav:FILE works without"
        )
    return ", ".join(f"{device.index} {device.name}" for device in devices)


def _check_rclpy() -> str:
    try:
        rclpy = importlib.import_module("rclpy")
    except ImportError as error:
        raise ImportError("source ROS 2's setup.bash, or '. ./env.sh' after 'make'") from error
    return str(rclpy.__path__[0])


def _check_interfaces() -> str:
    return str(importlib.import_module("k2so_tts.ros.messages").AudioStamped.__module__)
