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

"""A client that stands still (SIGSTOP) for longer than the lease of a DDS participant."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from support.ros import TIMEOUT, Observer, running

LEASE_SECONDS = 20.0
"""After which Fast DDS takes a participant for gone of which it hears nothing."""
STOPPED_SECONDS = LEASE_SECONDS + 6.0
TEXT = "Hello there, robot."
LONG = " ".join(f"Number {n} is spoken." for n in range(20))
SPEAK = """
import sys
from k2so_tts.client import Speaker
with Speaker() as speaker:
    spoken = speaker.say(sys.argv[1], on_word=lambda _: print("heard", flush=True))
print(spoken.complete, spoken.heard == sys.argv[1])
"""
SAY = """
import sys
from contextlib import closing
from k2so_tts.ros.client import SpeechClient
with closing(SpeechClient()) as client:
    assert client.wait_for_server(20.0)
    said = client.say(sys.argv[1], on_heard=lambda _: print("heard", flush=True))
print(said.status == "succeeded", said.text == sys.argv[1])
"""


@pytest.mark.timeout(180)
def test_a_client_that_stood_still_gets_its_result(observer: Observer) -> None:
    """Though it was taken for gone meanwhile, and what was sent to it was dropped: of texts that
    were heard to their end meanwhile, and of one that is still spoken when it goes on.
    """
    with (
        running("audio_player", device="null"),
        running("speak_server"),
        ExitStack() as stack,
    ):
        observer.wait_for_nodes()
        clients = []
        for code, text in ((SPEAK, TEXT), (SAY, TEXT), (SPEAK, LONG)):
            command = [sys.executable, "-u", "-c", code, text]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            clients.append(stack.enter_context(process))
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "heard\n"
            process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_SECONDS)
        for client in clients:
            client.send_signal(signal.SIGCONT)
        for client in clients:
            out, _ = client.communicate(timeout=2 * TIMEOUT)
            assert out.splitlines()[-1] == "True True"
