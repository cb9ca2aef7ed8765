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

"""A private PipeWire sound server with one virtual loudspeaker, and recordings of what it plays.

Nothing here touches the machine's own sound: the server lives in a temporary ``XDG_RUNTIME_DIR``
of its own, needs no D-Bus and no sound card, and knows one sink, a null sink that keeps real
time. Programs under test find it through :attr:`SoundServer.env`. Needs PipeWire and WirePlumber
0.4 (Debian 12, Ubuntu 22.04 and 24.04; WirePlumber 0.5 reads another kind of configuration).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.recording import (
    CHANNELS,
    Recording,
    SoundServerError,
    end_process,
    wait_until,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Recording", "SoundServer", "SoundServerError", "missing_programs", "no_server_env"]

SINK = "loudspeaker"
PROGRAMS = ("pipewire", "wireplumber", "pw-record", "stdbuf")

STEADY_CYCLE = 4096
"""Frames per cycle of the sound card whose recordings are judged frame by frame.

A virtual machine may stand still for tens of milliseconds; with short cycles any player, even one
in C, misses some of them then (docs/measurements/player.md)."""
STEADY: dict[str, Any] = {
    "device_latency": 0.3,
    "block_frames": STEADY_CYCLE,
    "warn_latency_ms": 1000.0,
}
"""Parameters of a player for that card."""

_START_TIMEOUT = 20.0  # seconds

_PIPEWIRE_CONF = """
context.properties = {{
    core.daemon = true
    core.name = pipewire-0
    support.dbus = false
    log.level = 2
    default.clock.rate = {rate}
    default.clock.allowed-rates = [ {rate} ]
    default.clock.quantum = {quantum}
    default.clock.min-quantum = {min_quantum}
    default.clock.max-quantum = {max_quantum}
}}
context.spa-libs = {{
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}}
context.modules = [
    {{ name = libpipewire-module-rt
       args = {{ nice.level = -11 rt.prio = 88 rtkit.enabled = false rtportal.enabled = false }}
       flags = [ ifexists nofail ] }}
    {{ name = libpipewire-module-protocol-native }}
    {{ name = libpipewire-module-profiler }}
    {{ name = libpipewire-module-metadata }}
    {{ name = libpipewire-module-spa-node-factory }}
    {{ name = libpipewire-module-client-node }}
    {{ name = libpipewire-module-access }}
    {{ name = libpipewire-module-adapter }}
    {{ name = libpipewire-module-link-factory }}
    {{ name = libpipewire-module-session-manager }}
]
context.objects = [
    {{ factory = adapter
       args = {{
           factory.name = support.null-audio-sink
           node.name = {sink}
           node.description = "Virtual loudspeaker"
           media.class = Audio/Sink
           audio.position = [ FL FR ]
           audio.rate = {rate}
           priority.session = 2000
           priority.driver = 2000
           object.linger = true
       }} }}
]
"""

# The session manager only has to link streams to the sink, so it loads nothing else: no device
# monitors (a developer's real sound card stays alone), no D-Bus, no stored state.
_WIREPLUMBER_CONF = """
context.properties = {
    log.level = 2
    support.dbus = false
    wireplumber.script-engine = lua-scripting
    wireplumber.export-core = false
}
context.spa-libs = {
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}
context.modules = [
    { name = libpipewire-module-protocol-native }
    { name = libpipewire-module-client-node }
    { name = libpipewire-module-client-device }
    { name = libpipewire-module-adapter }
    { name = libpipewire-module-metadata }
    { name = libpipewire-module-session-manager }
]
wireplumber.components = [
    { name = libwireplumber-module-lua-scripting, type = module }
    { name = linker.lua, type = config/lua }
]
"""
_WIREPLUMBER_LUA = """
components = {}
for _, name in ipairs { "metadata", "si-node", "si-audio-adapter", "si-audio-endpoint",
                        "si-standard-link" } do
  components[name] = { "libwireplumber-module-" .. name, type = "module" }
end
components["create-item.lua"] = { "create-item.lua", type = "script/lua", args = {} }
components["policy-node.lua"] = {
  "policy-node.lua", type = "script/lua", args = { ["move"] = false, ["follow"] = false } }
"""


def missing_programs() -> list[str]:
    """Name the programs that a :class:`SoundServer` needs and this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def no_server_env(directory: Path) -> dict[str, str]:
    """Return variables with which a process finds no sound server (``directory`` is empty)."""
    return {
        "XDG_RUNTIME_DIR": str(directory),
        "PIPEWIRE_RUNTIME_DIR": str(directory),
        "JACK_NO_START_SERVER": "1",
    }


def _clean_environment() -> dict[str, str]:
    """Return this process's environment without settings of other PipeWire servers."""
    prefixes = ("PIPEWIRE_", "WIREPLUMBER_", "DBUS_", "XDG_")
    return {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}


class SoundServer:
    """A sound server of its own with one virtual stereo loudspeaker.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. Like a sound card, the
    sink works in cycles of ``quantum`` frames whatever its clients ask for: what is heard then
    keeps one time line while clients come and go. With ``min_quantum`` and ``max_quantum`` (a
    desktop has 1024, 32 and 2048) the client that asks for the shortest cycle rules, and time
    jumps by up to a cycle when that changes.
    """

    def __init__(
        self,
        rate: int = 48_000,
        *,
        quantum: int = 256,
        min_quantum: int | None = None,
        max_quantum: int | None = None,
    ) -> None:
        """Prepare a server whose sink runs at ``rate`` Hz; nothing is started yet."""
        self.rate = rate
        self._quanta = (quantum, min_quantum or quantum, max_quantum or quantum)
        self._directory: Path | None = None
        self._pipewire: subprocess.Popen[bytes] | None = None
        self._wireplumber: subprocess.Popen[bytes] | None = None
        self._recordings: list[Recording] = []
        self._started_recordings = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- life ------------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """The private runtime directory; it exists from start to stop."""
        if self._directory is None:
            raise SoundServerError("the sound server is not started")
        return self._directory

    @property
    def running(self) -> bool:
        """Whether the sound server process is alive."""
        return self._pipewire is not None and self._pipewire.poll() is None

    @property
    def processes(self) -> list[int]:
        """Process ids of the sound server, the session manager and the recorders alive now."""
        children = [self._pipewire, self._wireplumber, *(r.process for r in self._recordings)]
        return [c.pid for c in children if c is not None and c.poll() is None]

    @property
    def env(self) -> dict[str, str]:
        """Variables that lead a process's PortAudio (ALSA ``default``, ``pipewire``) here."""
        return {**no_server_env(self.directory), "PIPEWIRE_REMOTE": "pipewire-0"}

    def start(self) -> Self:
        """Start the server; return when sound can be played and recorded."""
        if missing := missing_programs():
            raise SoundServerError(f"programs are missing: {', '.join(missing)}")
        if self._directory is not None:
            raise SoundServerError("the sound server is started already")
        # In memory where that is possible: a recorder that waits for a disk loses frames.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
        self._directory = Path(tempfile.mkdtemp(prefix="sound-", dir=memory))
        try:
            self._write_configuration()
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process of this server, wait for them, and remove the directory."""
        for recording in self._recordings:
            recording.stop()
        self._recordings.clear()
        end_process(self._wireplumber, signal.SIGTERM)
        end_process(self._pipewire, signal.SIGTERM)
        self._wireplumber = self._pipewire = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def kill(self) -> None:
        """Kill the sound server as a crash would (SIGKILL); the directory and socket file stay."""
        end_process(self._pipewire, signal.SIGKILL)
        # These lose their server and leave by themselves, or nearly.
        for process in (self._wireplumber, *(r.process for r in self._recordings)):
            end_process(process, signal.SIGTERM)
        self._wireplumber = self._pipewire = None

    def restart(self) -> None:
        """Start a new server where :meth:`kill` left none; clients find it at the same place."""
        if self.running:
            self.kill()
        self._launch()

    def _write_configuration(self) -> None:
        """Write the configuration of both daemons into the runtime directory."""
        quantum, min_quantum, max_quantum = self._quanta
        text = _PIPEWIRE_CONF.format(
            rate=self.rate,
            sink=SINK,
            quantum=quantum,
            min_quantum=min_quantum,
            max_quantum=max_quantum,
        )
        (self.directory / "pipewire.conf").write_text(text)
        (self.directory / "wireplumber.conf").write_text(_WIREPLUMBER_CONF)
        (self.directory / "linker.lua.d").mkdir()
        (self.directory / "linker.lua.d" / "linker.lua").write_text(_WIREPLUMBER_LUA)

    def _launch(self) -> None:
        """Start both daemons and wait until the sink's monitor delivers samples."""
        conf = str(self.directory / "pipewire.conf")
        debug = {"PIPEWIRE_DEBUG": "2,pw.node:4"}  # lets the log tell of missed cycles
        self._pipewire = self._spawn("pipewire", ["pipewire", "-c", conf], debug)
        self._wait_for("the server's socket", self._answers)
        self._wireplumber = self._spawn(
            "wireplumber", ["wireplumber"], {"WIREPLUMBER_CONFIG_DIR": str(self.directory)}
        )
        self.record().stop()

    def _answers(self) -> bool:
        """Whether somebody listens at the socket (a killed server leaves a dead file behind)."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.directory / "pipewire-0")) == 0

    def _spawn(
        self, name: str, command: list[str], extra: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a daemon that logs to ``<name>.log`` in the runtime directory."""
        home = str(self.directory)
        private = {"XDG_CONFIG_HOME": home, "XDG_STATE_HOME": home, "HOME": home}
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env={**_clean_environment(), **self.env, **private, **extra},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait for ``condition``; fail with the daemons' logs when one of them ends before."""

        def done() -> bool:
            for name, process in (("pipewire", self._pipewire), ("wireplumber", self._wireplumber)):
                if process is not None and process.poll() is not None:
                    raise SoundServerError(f"{name} ended, waiting for {what}\n{self.log()}")
            return condition()

        try:
            wait_until(what, done, _START_TIMEOUT)
        except TimeoutError as error:
            raise SoundServerError(f"{error}\n{self.log()}") from error

    # -- listening -------------------------------------------------------------------------

    def record(self) -> Recording:
        """Start recording what the sink plays; return when the first frames have arrived."""
        if not self.running:
            raise SoundServerError("the sound server does not run")
        self._recordings = [r for r in self._recordings if r.running]
        self._started_recordings += 1
        path = self.directory / f"recording-{self._started_recordings}.f32"
        options = ["--rate", str(self.rate), "--channels", str(CHANNELS), "--format", "f32"]
        # stdbuf: samples are in the file as soon as the server's cycle is over, not 4 KiB later.
        command = ["stdbuf", "-o0", "pw-record", *options, "--target", SINK]
        command += ["-P", "{ stream.capture.sink=true node.name=recorder }", *_raw_option(), "-"]
        with path.open("wb") as output, (self.directory / "pw-record.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**_clean_environment(), **self.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
            )
        # It writes from its main thread, and loses cycles when that waits for a busy core.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(50))
        recording = Recording(path, process, self.rate)
        self._recordings.append(recording)

        def capturing() -> bool:
            if not recording.running:
                raise SoundServerError(f"pw-record ended with {process.returncode}\n{self.log()}")
            return recording.frames > 0

        try:
            self._wait_for("the first recorded frames", capturing)
        except BaseException:
            recording.stop()
            raise
        return recording

    # -- looking inside --------------------------------------------------------------------

    def xruns(self) -> int:
        """Return how many cycles the server knows some client missed, since the first start.

        A lower bound, from the server's log: it reports one such cycle at once and those of the
        next two seconds with the report after that. A client that joins may cost one.
        """
        text = (self.directory / "pipewire.log").read_text(errors="replace")
        reports = max(text.count("graph not finished"), text.count("client too slow"))
        return reports + sum(map(int, re.findall(r"(\d+) (?:events )?suppressed", text)))

    @property
    def real_time(self) -> bool:
        """Whether the server's audio thread runs under a real-time policy."""
        if self._pipewire is None:
            return False
        threads = Path(f"/proc/{self._pipewire.pid}/task").iterdir()
        policies = {os.sched_getscheduler(int(t.name)) & ~os.SCHED_RESET_ON_FORK for t in threads}
        return os.SCHED_FIFO in policies

    def log(self) -> str:
        """Return the end of what the daemons and recorders wrote."""
        parts = []
        for path in sorted(self.directory.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()
            told = [line for line in lines if not line.startswith(("[D]", "[I]"))]
            parts.append("\n".join([f"--- {path.name}", *told[-20:]]))
        return "\n".join(parts)


def _raw_option() -> list[str]:
    """Return the option that makes ``pw-record -`` write bare samples (implied before 1.4)."""
    text = subprocess.run(["pw-record", "--help"], capture_output=True, text=True, check=False)
    return ["--raw"] if "--raw" in text.stdout else []
