"""Do the clocks of two machines agree? What a receiver can know of it."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable

from k2so_tts.audio import NANOSECONDS

EARLY_NS = 5_000_000
LATE_NS = 100_000_000
"""A message takes this long at most; and none comes earlier than it was sent."""
FAR_NS = 60 * NANOSECONDS
"""No stamp lies further from the moment it was sent, if both are of one clock."""
_MESSAGES = 16
_SENDERS = 64


class SenderClock:
    """How far a sender's clock is ahead of this node's ROS clock, from when its messages came.

    The last messages are looked at, and the one that was fastest tells most: a clock that is
    behind makes messages seem slow, one that is ahead makes them arrive before they were sent.
    """

    def __init__(self) -> None:
        self._delays: deque[int] = deque(maxlen=_MESSAGES)

    def note(self, sent_ns: int, arrived_ns: int) -> None:
        """A message that was sent at `sent_ns` by the sender's clock arrived just now."""
        self._delays.append(arrived_ns - sent_ns)

    @property
    def ahead_ns(self) -> int:
        """How far it is ahead, at least: the time that the message took is in it."""
        return -min(list(self._delays), default=0)

    @property
    def offset_ns(self) -> int:
        """The same, but 0 where the time that a message takes explains it."""
        return 0 if -LATE_NS <= self.ahead_ns <= EARLY_NS else self.ahead_ns


class StampClocks:
    """The clocks that publishers stamp their audio with, known by publisher.

    A stamp says when a sound is due, not when it was sent. The middleware tells that, by the system
    clock of the sender, which is the clock of its stamps as well unless they lie far apart (a
    simulated clock). What is left then is that a stamp can't lie far from now either.
    """

    def __init__(self) -> None:
        self._clocks: OrderedDict[Hashable, SenderClock] = OrderedDict()

    def note(self, source: Hashable, stamp_ns: int, sent_ns: int, arrived_ns: int) -> None:
        """A message with a stamp came, sent at `sent_ns` by the sender's system clock (0: not
        told).
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
        """How far the clock of a publisher is ahead of this node's; 0 if they agree or nothing
        can be told.
        """
        clock = self._clocks.get(source)
        return 0 if clock is None else clock.offset_ns


def describe_offset(who: str, offset_ns: int) -> str:
    """An offset in words."""
    side = "ahead of" if offset_ns > 0 else "behind"
    return f"the clock of {who} is {abs(offset_ns) / NANOSECONDS:.3f} s {side} this node's"
