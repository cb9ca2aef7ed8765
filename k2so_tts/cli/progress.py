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

"""The progress bar of a text that is being spoken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_SECONDS_PER_CHARACTER = 0.075
_LEAST_SECONDS = 0.5
_MOST_ESTIMATED = 0.95
"""How full an estimate can make the bar: only the end of the speech completes it."""


@contextmanager
def speaking_progress(text: str, rate: float) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on standard output; yields what is to be called with the seconds heard.

    The duration is estimated from the length of the text and `rate`, a multiple of the normal
    speaking rate.
    """
    estimate = max(_LEAST_SECONDS, len(text) * _SECONDS_PER_CHARACTER / rate)
    columns = (TextColumn("speaking"), BarColumn(), TextColumn("{task.fields[heard]:.1f} s"))
    with Progress(*columns, console=Console(highlight=False)) as bar:
        task = bar.add_task("", total=1.0, heard=0.0)

        def on_heard(seconds: float) -> None:
            bar.update(task, completed=min(_MOST_ESTIMATED, seconds / estimate), heard=seconds)

        yield on_heard
        bar.update(task, completed=1.0)
