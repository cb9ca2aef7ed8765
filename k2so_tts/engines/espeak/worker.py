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

"""The worker process that holds espeak-ng: its licence (GPL-3), crashes and hangs stay in here.

Started by `EspeakEngine` (see `toolkit.worker_client.worker_command`) with LIBRARY and FD, its
control socket. It loads the library once, answers with one record, and then forks a child for each
connection that arrives there. Every text is spoken by a fresh espeak-ng, because its output depends
on what it said before and on how many voices it has loaded (in the end words are missing). The
child waits for its connection with the voice that spoke last loaded, so that no time is lost. It
reads one request, streams its records, and exits. It dies when the connection closes or this
process ends.

Requests and records are those of `toolkit.worker_protocol`: `R` ready (the sample rate in Hz, or
the voices, as JSON), `A` audio (int16), `W` a word mark, `X` an error (UTF-8), `.` the end.

This process runs on the standard library alone, without site-packages: it starts in milliseconds.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

from k2so_tts.engines.toolkit.time_stretch import TimeStretch
from k2so_tts.engines.toolkit.worker_protocol import (
    MARK,
    PR_SET_PDEATHSIG,
    next_connection,
    read_request,
    record,
    report_error,
)

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8_ENDPAUSE = 0x1001
_RATE, _PITCH = 1, 3
_EVENT_END_OF_LIST, _EVENT_WORD, _EVENT_END = 0, 1, 5
_BUFFER_MS = 60
_NORMAL_WPM, _SLOWEST_WPM = 175, 80
_CPU_SECONDS = 600
_FORK_DELAY_SECONDS = 0.02
"""Before the next child is forked, which would compete with this one's first sound for a core."""


class _EventId(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _voices(lib: ctypes.CDLL, spec: Any) -> Iterator[tuple[list[tuple[int, str]], str]]:
    """For each voice its languages, each with a priority (lower is better), and its identifier."""
    listed = lib.espeak_ListVoices(spec)
    index = 0
    while listed[index]:
        voice = listed[index].contents
        languages = []
        address = voice.languages
        while priority := ctypes.c_ubyte.from_address(address).value:
            tag = ctypes.string_at(address + 1)
            languages.append((priority, tag.decode("utf-8", "replace").lower()))
            address += 2 + len(tag)
        yield languages, voice.identifier.decode("utf-8", "replace")
        index += 1


def _list_voices(lib: ctypes.CDLL) -> bytes:
    lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    voices = [(tags, identifier) for tags, identifier in _voices(lib, None) if tags]
    text = ctypes.c_char_p(b"variant")
    spec = _Voice(languages=ctypes.cast(text, ctypes.c_void_p))
    variants = [name.rpartition("/")[2] for _, name in _voices(lib, ctypes.byref(spec))]
    return json.dumps({"voices": voices, "variants": variants}).encode()


class _Sender:
    """espeak-ng's callback: sends what it makes over a connection, until that is closed.

    `scale` is the factor by which `stretch` makes the sound longer.
    """

    def __init__(
        self, out: socket.socket, text: str, stretch: TimeStretch | None, scale: float
    ) -> None:
        self.is_closed = False
        self._out = out
        self._text = text
        self._stretch = stretch
        self._scale = scale
        self._word_end = 0

    def __call__(self, wav: Any, frames: int, events: Any) -> int:
        records = self._marks(events)
        if wav and frames > 0:
            pcm = ctypes.string_at(wav, 2 * frames)
            records += record(b"A", self._stretch(pcm) if self._stretch else pcm)
        try:
            self._out.sendall(records)
        except OSError:
            self.is_closed = True
        return int(self.is_closed)

    def _marks(self, events: Any) -> bytearray:
        """Marks for the words that have ended: where the next one or the clause's end begins."""
        records = bytearray()
        index = 0
        while (kind := events[index].type) != _EVENT_END_OF_LIST:
            event = events[index]
            start = event.text_position - 1
            is_new = kind == _EVENT_WORD and not self._is_same_word(start)
            if self._word_end and (is_new or kind == _EVENT_END):
                word_end = self._word_end + self._unreported(start)
                mark = MARK.pack(word_end, round(event.sample * self._scale))
                records += record(b"W", mark)
                self._word_end = 0
            if is_new:
                self._word_end = start + event.length
            index += 1
        return records

    def _unreported(self, start: int) -> int:
        """For how many characters what was spoken went on after the word that was reported.

        espeak-ng says some words together ("I am", "of the"), and reports the first one only. The
        end of a text is reported at its last character.
        """
        spoken = self._text[self._word_end : start]
        if spoken[-1:].isalnum():
            spoken += self._text[start : start + 1]
        return max((at for at, char in enumerate(spoken, 1) if char.isalnum()), default=0)

    def _is_same_word(self, start: int) -> bool:
        """Whether what begins at `start` still belongs to the word before.

        espeak-ng reports the second and third word of 3.14 at the space after it.
        """
        return start < self._word_end or self._text[start : start + 1].isspace()


def _speak(lib: ctypes.CDLL, rate: int, request: dict[str, Any], out: socket.socket) -> None:
    wpm = round(_NORMAL_WPM * request["rate"])
    stretch = TimeStretch(rate, wpm / _SLOWEST_WPM) if wpm < _SLOWEST_WPM else None
    voice = request["voice"]
    if voice and lib.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    lib.espeak_SetParameter(_RATE, max(wpm, _SLOWEST_WPM), 0)
    lib.espeak_SetParameter(_PITCH, min(99, round(50 * request["pitch"])), 0)
    text = request["text"]
    sender = _Sender(out, text, stretch, _SLOWEST_WPM / wpm if stretch else 1.0)
    callback = _CALLBACK(sender)
    lib.espeak_SetSynthCallback(callback)
    utf8 = text.encode("utf-8")
    failed = lib.espeak_Synth(utf8, len(utf8) + 1, 0, 1, 0, _CHARS_UTF8_ENDPAUSE, None, None)
    if failed:
        raise ValueError(f"espeak-ng refused the text (error {failed})")
    if stretch and not sender.is_closed:
        out.sendall(record(b"A", stretch.flush()))


def _answer(lib: ctypes.CDLL, rate: int, request: dict[str, Any], out: socket.socket) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    try:
        if "text" in request:
            _speak(lib, rate, request, out)
        else:
            out.sendall(record(b"R", _list_voices(lib)))
        out.sendall(record(b"."))
    except (ValueError, OSError) as error:
        report_error(out, error)


def main(library: str, descriptor: str) -> None:
    """Serve until the socket `descriptor` closes. `library` names the shared library."""
    control = socket.socket(fileno=int(descriptor))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        lib = ctypes.CDLL(library)
    except OSError as error:
        report_error(control, error)
        return
    rate = lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, None, _DONT_EXIT)
    if rate <= 0:
        report_error(control, "espeak-ng found no voice data (package espeak-ng-data)")
        return
    control.sendall(record(b"R", json.dumps(rate).encode()))
    voice = ""
    while (requested := _fork_for_one(lib, rate, control, voice)) is not None:
        voice = requested or voice


def _fork_for_one(lib: ctypes.CDLL, rate: int, control: socket.socket, voice: str) -> str | None:
    """Fork a child that waits for the next connection, with `voice` loaded.

    Returns the voice of its request once there is one; None when the engine closed the socket.
    """
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        try:
            os.close(read_end)
            _serve_one(lib, rate, control, voice, write_end)
        except (OSError, EOFError):
            pass
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as pipe:
        line = pipe.readline()
    time.sleep(_FORK_DELAY_SECONDS)
    return line.rstrip("\n") if line else None


def _serve_one(
    lib: ctypes.CDLL, rate: int, control: socket.socket, voice: str, report: int
) -> None:
    """Answer the next connection, after writing the voice of its request to the pipe `report`."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if voice and lib.espeak_SetVoiceByName(voice.encode()) != 0:
        voice = ""
    connection = next_connection(control)
    if connection is None:
        return
    control.close()
    request: dict[str, Any] = {}
    try:
        request = read_request(connection)
    finally:
        os.write(report, f"{request.get('voice', '')}\n".encode(errors="replace"))
        os.close(report)
    if request["voice"] == voice:
        request["voice"] = ""
    _answer(lib, rate, request, connection)
