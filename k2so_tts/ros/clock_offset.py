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

"""Estimates whether the clocks of two machines agree, from the messages one gets of the other."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable

from k2so_tts.audio import NANOSECONDS

EARLY_NS = 5_000_000
"""How much earlier than it was sent a message may seem to arrive while the clocks agree."""
LATE_NS = 100_000_000
"""How long a message may seem to take while the clocks agree."""
FAR_NS = 60 * NANOSECONDS
"""No stamp is further from the time at which it was sent, if both are of one clock."""
_MESSAGES = 16
_SENDERS = 64


class SenderClock:
    """Estimates how far a sender's clock is ahead of this node's ROS clock.

    Of the last 16 messages the fastest one tells most: a clock that is behind makes messages seem
    slow, one that is ahead makes them arrive before they were sent.
    """

    def __init__(self) -> None:
        self._delays: deque[int] = deque(maxlen=_MESSAGES)

    def note(self, sent_ns: int, arrived_ns: int) -> None:
        """Take in a message: sent at `sent_ns` (sender's clock), arrived at `arrived_ns` (ours)."""
        self._delays.append(arrived_ns - sent_ns)

    @property
    def ahead_ns(self) -> int:
        """By how much the sender's clock is ahead at least; transport time is not deducted."""
        return -min(list(self._delays), default=0)

    @property
    def offset_ns(self) -> int:
        """As `ahead_ns`, but 0 where transport time explains it."""
        return 0 if -LATE_NS <= self.ahead_ns <= EARLY_NS else self.ahead_ns


class StampClocks:
    """Estimates how far the clocks are ahead that publishers stamp their audio with.

    A stamp says when a sound is due, not when it was sent. The middleware tells the latter, by the
    sender's system clock. That is the clock of its stamps as well, unless they lie far apart (a
    simulated clock); then all that is known is that a stamp can't lie far from now either.
    """

    def __init__(self) -> None:
        self._clocks: OrderedDict[Hashable, SenderClock] = OrderedDict()

    def note(self, source: Hashable, stamp_ns: int, sent_ns: int, arrived_ns: int) -> None:
        """Take in a stamped message.

        Args:
            source: the publisher.
            stamp_ns: the message's stamp.
            sent_ns: when it was sent, by the sender's system clock; 0: unknown.
            arrived_ns: when it arrived, by this node's ROS clock.
        """
        clock = self._clocks.setdefault(source, SenderClock())
        self._clocks.move_to_end(source)
        if len(self._clocks) > _SENDERS:
            self._clocks.popitem(last=False)
        if sent_ns and abs(sent_ns - stamp_ns) <= FAR_NS:
            clock.note(sent_ns, arrived_ns)
        elif abs(arrived_ns - stamp_ns) <= FAR_NS:
            clock.note(arrived_ns, arrived_ns)
        else:
            clock.note(stamp_ns, arrived_ns)

    def offset_ns(self, source: Hashable) -> int:
        """How far a publisher's clock is ahead of this node's; 0 if they agree or it is unknown."""
        clock = self._clocks.get(source)
        return 0 if clock is None else clock.offset_ns


def describe_offset(owner: str, offset_ns: int) -> str:
    """An offset in words: "the clock of `owner` is ... ahead of this node's"."""
    side = "ahead of" if offset_ns > 0 else "behind"
    return f"the clock of {owner} is {abs(offset_ns) / NANOSECONDS:.3f} s {side} this node's"
