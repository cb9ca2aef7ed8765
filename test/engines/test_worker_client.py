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


"""The process that a library works in, as its client sees it."""

from __future__ import annotations

import sys

import psutil
from support.processes import eventually, is_gone

from k2so_tts.engines.toolkit.worker_client import WorkerClient

WORKER = """
import os, signal, socket, sys
control = socket.socket(fileno=int(sys.argv[-1]))
child = os.fork()
if child == 0:
    signal.pause()
body = str(child).encode()
control.sendall(b"R" + len(body).to_bytes(4, "little") + body)
control.recv(1)
"""
"""Tells the process id of its child, which would outlive it."""


def test_the_children_of_a_worker_are_killed_with_it_even_if_they_are_stopped() -> None:
    command = [sys.executable, "-c", WORKER]
    client = WorkerClient("it", command, "none", start_seconds=30, stall_seconds=30)
    child = psutil.Process(int(client.start()))
    child.suspend()
    client.close()
    try:
        assert eventually(lambda: is_gone(child))
    finally:
        if not is_gone(child):
            child.kill()
    assert client.pid is None
