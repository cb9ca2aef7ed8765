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

"""Two hosts on one machine: network namespaces with a cable between them that can be pulled out.

A namespace has no name and lives as long as somebody is in it, or holds it: nothing is left behind
by a test, however it ends. Needs root and `ip` (iproute2).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import inspect
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from support.recording import wait_until

ENVIRONMENT = {
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
    "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",
}
"""How nodes find each other over the cable, and talk over nothing else: Fast DDS would take both
hosts for one, and use the memory that they share.
"""
_INTERFACE = "cable"
_NAMESPACE = Path("/proc/thread-self/ns/net")
_CLONE_NEWNET = 0x40000000
_CARRIER_SECONDS = 10.0

_libc = ctypes.CDLL(None, use_errno=True)


def why_no_hosts() -> str:
    """Why there can be no hosts on this machine; empty if there can."""
    if shutil.which("ip") is None:
        return "the program ip (iproute2) is missing"
    try:
        Host("192.0.2.1/24").close()
    except PermissionError as error:
        return f"network namespaces take root's rights: {error}"
    return ""


def alone(test: Callable[..., None]) -> Callable[..., None]:
    """Decorate a test that is to run in a process of its own: Fast DDS looks once in a process
    at the network of its host.
    """

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as processes:
            processes.submit(_call, test.__module__, test.__name__, arguments).result()

    return run


def _call(module: str, name: str, arguments: dict[str, Any]) -> None:
    inspect.unwrap(getattr(importlib.import_module(module), name))(**arguments)


class Host:
    """A network namespace with one end of a cable, and its address there."""

    def __init__(self, address: str) -> None:
        self._address = address
        with _back_afterwards():
            _check(_libc.unshare(_CLONE_NEWNET))
            self._namespace = os.open(_NAMESPACE, os.O_RDONLY)
        self.path = f"/proc/{os.getpid()}/fd/{self._namespace}"

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread opens and starts meanwhile is on this host, and stays there."""
        with _back_afterwards():
            _check(_libc.setns(self._namespace, _CLONE_NEWNET))
            yield

    def connect(self) -> None:
        """Give this end of the cable its address, and wait until it carries."""
        with self.inside():
            _ip("address", "add", self._address, "dev", _INTERFACE)
            _ip("link", "set", "lo", "up")
            self.plug_in()

    def plug_in(self) -> None:
        with self.inside():
            _ip("link", "set", _INTERFACE, "up")

    def pull_out(self) -> None:
        with self.inside():
            _ip("link", "set", _INTERFACE, "down")

    def is_connected(self) -> bool:
        with self.inside():
            return " UP " in _ip("-brief", "link", "show", _INTERFACE)

    def packets(self) -> int:
        """How many have come over the cable so far."""
        with self.inside():
            counters = Path("/proc/thread-self/net/dev").read_text().splitlines()
        (line,) = (line for line in counters if line.split(":")[0].strip() == _INTERFACE)
        return int(line.split()[2])

    def close(self) -> None:
        os.close(self._namespace)


@contextlib.contextmanager
def connected_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts with a cable between them."""
    with (
        contextlib.closing(Host("192.0.2.1/24")) as here,
        contextlib.closing(Host("192.0.2.2/24")) as there,
    ):
        with here.inside():
            peer = ["peer", "name", _INTERFACE, "netns", there.path]
            _ip("link", "add", _INTERFACE, "type", "veth", *peer)
        for host in (here, there):
            host.connect()
        for host in (here, there):
            wait_until("a carrier", host.is_connected, _CARRIER_SECONDS)
        yield here, there


@contextlib.contextmanager
def _back_afterwards() -> Iterator[None]:
    before = os.open(_NAMESPACE, os.O_RDONLY)
    try:
        yield
    finally:
        left = _libc.setns(before, _CLONE_NEWNET)
        os.close(before)
    _check(left)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
