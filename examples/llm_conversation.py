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

"""A conversation with a language model that is interrupted, and then knows what was heard of it.

Run `speak_server` and `audio_player`, then `python examples/llm_conversation.py`. The model is a
stand-in that needs no network: put yours in the place of `written_by_model`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
from collections.abc import AsyncIterator

from k2so_tts.client import AsyncSpeaker, AsyncUtterance, SpeechError, Spoken

QUESTION = "What is a droid?"
LONG_ANSWER = (
    "A droid is a machine with a mind of its own. Some translate, some repair, and a few fly. "
    "I was made to analyse strategy, which is to say that I am usually right. Now, as to the "
    "history of droids, we should begin some thousand years ago."
)
INTERRUPTION = "Stop! Shorter, please."
SHORT_ANSWER = "A machine that is usually right."
FIRST_TOKEN_SECONDS = 0.3
TOKENS_PER_SECOND = 25.0


def main() -> int:
    """Hold the conversation; 0 when it was spoken, 1 when it could not be, 130 at Ctrl-C."""
    parser = argparse.ArgumentParser(description="a conversation that is interrupted")
    parser.add_argument("--namespace", default="", help="the namespace of speak_server")
    parser.add_argument("--interrupt-after", type=int, default=8, metavar="WORDS")
    arguments = parser.parse_args()
    try:
        asyncio.run(converse(arguments.namespace, arguments.interrupt_after))
    except (SpeechError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def converse(namespace: str, interrupt_after: int) -> None:
    """Print what the model should be sent as history, line by line as it comes about."""
    async with AsyncSpeaker(namespace) as speaker:
        for question, reply, patience in (
            (QUESTION, LONG_ANSWER, interrupt_after),
            (INTERRUPTION, SHORT_ANSWER, None),
        ):
            print(f'user: "{question}"', flush=True)
            spoken = await answer(speaker, reply, patience)
            note = "" if spoken.complete else " [interrupted by the user]"
            print(f'assistant: "{spoken.heard}"{note}', flush=True)


async def answer(speaker: AsyncSpeaker, reply: str, patience: int | None) -> Spoken:
    """Speak a reply while it is being written, to a user of so much patience (words)."""
    async with speaker.utterance() as utterance:
        user = asyncio.create_task(listen(utterance, patience))
        async for token in written_by_model(reply):
            if utterance.result is not None:
                break
            await utterance.write(token)
    await user
    return await utterance.wait()


async def listen(utterance: AsyncUtterance, patience: int | None) -> None:
    """Stand in for a user who interrupts, as a detector of voice activity would tell."""
    words = 0
    async for _ in utterance.words():
        words += 1
        if words == patience:
            await utterance.cancel()


async def written_by_model(reply: str) -> AsyncIterator[str]:
    """Stand in for a language model: yield a reply token by token, at an uneven pace."""
    await asyncio.sleep(FIRST_TOKEN_SECONDS)
    for token in re.findall(r"\s?\S{1,5}", reply):
        yield token
        await asyncio.sleep(random.uniform(0.0, 2.0) / TOKENS_PER_SECOND)  # noqa: S311 - no secret


if __name__ == "__main__":
    sys.exit(main())
