"""`k2so-tts voices`: list the engines that are installed, and their voices."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import closing

from k2so_tts.cli import arguments
from k2so_tts.cli.libraries import explain
from k2so_tts.engines import EngineError, EngineUnavailable, Voice, create_engine, engine_names
from k2so_tts.settings import SettingError

_NONE_USABLE = 2


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    arguments.add_engine(parser)
    arguments.add_engine_options(parser)


def run(options: Namespace) -> int:
    """List what each engine offers, or why it is unusable; 0 if at least one is usable, else 2.

    Raises:
        SettingError: an option of the engine is invalid, or given without the engine's name.
    """
    if options.engine_options and not options.engine:
        raise SettingError("-o is an option of one engine: name it with --engine NAME")
    given = dict(options.engine_options)
    names = [options.engine] if options.engine else engine_names()
    usable = [_list_voices(name, given) for name in names]
    return 0 if any(usable) else _NONE_USABLE


def _list_voices(name: str, given: Mapping[str, str]) -> bool:
    """Print the voices of an engine, or what it lacks; whether it is usable."""
    try:
        engine = create_engine(name, arguments.parse_engine_options(name, given))
        with closing(engine):
            engine.load()
            voices = engine.voices()
    except EngineError as error:
        print(f"{name}: {_reason(error)}")
        return False
    print(f"{name}: {engine.sample_rate} Hz, default {engine.default_voice}")
    for voice in voices:
        print(f"  {_name_of(voice)}")
    return True


def _reason(error: EngineError) -> str:
    """Why an engine is unusable; where that is a missing library, how to install it."""
    cause = error.__cause__
    if isinstance(error, EngineUnavailable) and isinstance(cause, ModuleNotFoundError):
        return explain(cause)
    return str(error)


def _name_of(voice: Voice) -> str:
    return voice.name if voice.name == voice.language else f"{voice.name} ({voice.language})"
