"""A ROS graph of players whose facts a test sets."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass
class Graph:
    """One that is known: who subscribes to the audio, and who publishes a playhead."""

    listeners: int = 0
    reporting: frozenset[Hashable] = frozenset()
    subscribed: bool = True

    def subscribers(self) -> int:
        return self.listeners

    def players(self) -> int:
        return len(self.reporting)

    def player_ids(self) -> frozenset[Hashable]:
        return self.reporting

    def players_subscribe(self) -> bool:
        return self.subscribed
