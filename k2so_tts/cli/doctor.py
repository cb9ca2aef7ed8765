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

"""`k2so-tts doctor`: check what speaking needs, and say how to install what is missing.

It starts on the standard library alone: every library is imported by the check that needs it.
"""

from __future__ import annotations

import ctypes
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import closing, suppress
from ctypes.util import find_library
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from k2so_tts.cli.libraries import (
    ESPEAK,
    PORTAUDIO,
    LibraryMissingError,
    explain,
    module_of,
)
from k2so_tts.engines import EngineUnavailable, create_engine

_ESPEAK_LIBRARY = "libespeak-ng.so.1"
_NO_DEVICE = (
    "PortAudio finds no output; start a sound server (PipeWire) or connect a device "
    "(--device null and --device wav:FILE work without one)"
)


@dataclass(frozen=True)
class Check:
    """One thing that is checked.

    `find` returns what was found, and raises any exception if that is unusable. `modules` are the
    Python modules it is about; if another one is missing, the check of that one reports it. No text
    can be spoken on this machine if one of the `required` checks fails.
    """

    name: str
    find: Callable[[], str]
    modules: tuple[str, ...] = ()
    required: bool = True


def add_arguments(_: ArgumentParser) -> None:
    """Add nothing: the command has no arguments."""


def run(_: Namespace) -> int:
    """Print one line for each check; 0 if a text can be spoken without ROS, else 1."""
    speaks = True
    for check in CHECKS:
        usable, words = _examine(check)
        speaks = speaks and (usable or not check.required)
        print(f"{'ok' if usable else 'missing':<8}{check.name:<19}{words}")
    return 0 if speaks else 1


def _examine(check: Check) -> tuple[bool, str]:
    """Whether a check succeeds, and what was found or how to get it, on one line."""
    try:
        return True, check.find()
    except ImportError as error:
        module = module_of(error)
        if module and module not in check.modules:
            return False, f"cannot be checked without {module}"
        return False, explain(error)
    except Exception as error:  # noqa: BLE001 - a broken library may raise anything
        return False, " ".join(str(error).split()) or type(error).__name__


def _python_package(name: str) -> str:
    import_module(name)
    return _version(name)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"


def _sounddevice() -> str:
    """Its import fails with OSError where only PortAudio is missing, which has its own check."""
    with suppress(OSError):
        import_module("sounddevice")
    return _version("sounddevice")


def _portaudio() -> str:
    library = find_library("portaudio")
    if library is None:
        raise LibraryMissingError(PORTAUDIO)
    return library


def _espeak() -> str:
    """The number of voices; only the name of the library where the engine cannot be imported."""
    try:
        ctypes.CDLL(_ESPEAK_LIBRARY)
    except OSError as error:
        raise LibraryMissingError(ESPEAK) from error
    try:
        engine = create_engine("espeak")
    except EngineUnavailable as error:
        if isinstance(error.__cause__, ImportError):
            return _ESPEAK_LIBRARY
        raise
    with closing(engine):
        engine.load()
        return f"{len(engine.voices())} voices at {engine.sample_rate} Hz"


def _piper() -> str:
    """The voices, without loading one."""
    from k2so_tts.engines import require
    from k2so_tts.engines.piper.engine import INSTALL
    from k2so_tts.engines.piper.voices import MODULES, installed_voices

    require("piper", MODULES, INSTALL)
    files, faults = installed_voices()
    if not files:
        because = f" ({'; '.join(faults)})" if faults else ""
        raise EngineUnavailable(f"no voice{because}; get one with 'k2so-tts voices install joe'")
    names = ", ".join(file.name for file in files)
    return f"{_version('piper-tts')}, onnxruntime {_version('onnxruntime')}, {names}"


def _coqui() -> str:
    """The libraries, by which runtimes can be used, without importing them."""
    from k2so_tts.engines import require
    from k2so_tts.engines.coqui.engine import INSTALL, MODULES, ONNX_MODULES

    runtimes = {"torch": MODULES, "onnx": ONNX_MODULES}
    usable = [name for name, modules in runtimes.items() if all(map(find_spec, modules))]
    if not usable:
        require("coqui", MODULES, INSTALL)
    return (
        f"{_version('coqui-tts')}, runtime {' or '.join(usable)}; models are given by coqui.model"
    )


def _devices() -> str:
    from k2so_tts.playback.devices import DeviceError, output_devices

    devices = output_devices()
    if not devices:
        raise DeviceError(_NO_DEVICE)
    return ", ".join(f"{device.index} {device.name}" for device in devices)


def _rclpy() -> str:
    return str(import_module("rclpy").__path__[0])


def _interfaces() -> str:
    return str(import_module("k2so_tts.ros.messages").AudioStamped.__module__)


def _own_interfaces() -> str:
    messages = import_module("k2so_tts.ros.messages")
    messages.require_speak()
    return str(messages.Speak.__module__)


CHECKS = (
    Check("numpy", partial(_python_package, "numpy"), ("numpy",)),
    Check("soxr", partial(_python_package, "soxr"), ("soxr",)),
    Check("regex", partial(_python_package, "regex"), ("regex",)),
    Check("rich", partial(_python_package, "rich"), ("rich",)),
    Check("sentencex", partial(_python_package, "sentencex"), ("sentencex",), required=False),
    Check("sounddevice", _sounddevice, ("sounddevice",)),
    Check("PortAudio", _portaudio),
    Check("espeak-ng", _espeak),
    Check("piper", _piper, required=False),
    Check("coqui", _coqui, required=False),
    Check("sound device", _devices),
    Check("rclpy (ROS 2)", _rclpy, ("rclpy",), required=False),
    Check("audio_common_msgs", _interfaces, ("audio_common_msgs",), required=False),
    Check("k2so_tts_msgs", _own_interfaces, ("k2so_tts_msgs",), required=False),
)
"""In this order. Neural engines, Piper among them, take sentencex as well; espeak-ng does not."""
