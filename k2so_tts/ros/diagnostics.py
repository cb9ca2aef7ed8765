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

"""`/diagnostics`: one status per node, every second and whenever an utterance has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from k2so_tts.metrics import Rolling
from k2so_tts.ros.messages import metric_qos

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
PERIOD_SECONDS = 1.0


class RollingMetric:
    """A quantity that is measured once per utterance: the last value, and percentiles.

    Args:
        name: the key of the last value in the diagnostics, with the unit in it.
        scale: how many of that unit make one unit of the values that are added.
    """

    def __init__(self, name: str, scale: float = 1.0) -> None:
        self.name = name
        self.last: float | None = None
        """Of the last utterance, in the unit of the name; None if it has no such value."""
        self._scale = scale
        self._rolling = Rolling()

    def add(self, value: float | None) -> None:
        """Take in the value of an utterance; None if it has no such value."""
        self.last = None if value is None else value * self._scale
        if self.last is not None:
            self._rolling.add(self.last)

    def values(self) -> dict[str, float]:
        """The last value under its name, and p50, p95 and max as `name_p50` and so on."""
        last = {} if self.last is None else {self.name: self.last}
        rolling = self._rolling.summary().items()
        return last | {f"{self.name}_{statistic}": value for statistic, value in rolling}


@dataclass
class StatusReport:
    """The state of a node: its values by key, and complaints, the worst of each kind first.

    `notes` are what a reader has to know to understand the values.
    """

    values: dict[str, object] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def message(self) -> str:
        """All complaints and notes on one line; "ready" if there are no complaints."""
        complaints = self.errors + self.warnings
        return "; ".join((complaints or ["ready"]) + self.notes)

    def assess_latency(self, latency_ms: float, limits: Mapping[str, Any], remedy: str) -> None:
        """Add a complaint if a latency is above `error_latency_ms` or `warn_latency_ms`.

        Args:
            latency_ms: the perceived latency of the last utterance.
            limits: both limits by name, in ms.
            remedy: where the latency comes from and what to do about it.
        """
        for name, complaints in (
            ("error_latency_ms", self.errors),
            ("warn_latency_ms", self.warnings),
        ):
            if latency_ms > limits[name]:
                complaints.append(
                    f"the last utterance was heard after {latency_ms:.0f} ms "
                    f"({name}: {limits[name]:g}): {remedy}"
                )
                return


class Diagnostics:
    """Publishes the report that `collect` makes, every `PERIOD_SECONDS` and on demand.

    Publishes: `/diagnostics` (diagnostic_msgs/DiagnosticArray).
    """

    def __init__(self, node: Node, collect: Callable[[], StatusReport]) -> None:
        self._node = node
        self._collect = collect
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", metric_qos())
        node.create_timer(PERIOD_SECONDS, self.publish)

    def publish(self) -> None:
        """Publish now, in the executor's thread."""
        report = self._collect()
        status = DiagnosticStatus()
        status.name = f"{self._node.get_fully_qualified_name()}: speech"
        status.hardware_id = self._node.get_fully_qualified_name().lstrip("/")
        status.level = ERROR if report.errors else WARN if report.warnings else OK
        status.message = report.message
        status.values = [
            KeyValue(key=key, value=_text(value)) for key, value in report.values.items()
        ]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def node_of(status: DiagnosticStatus) -> str:
    """The fully qualified name of the node that a status, as `Diagnostics` makes it, is about."""
    return str(status.name).partition(":")[0]


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    """The values of a status by their keys."""
    return {pair.key: pair.value for pair in status.values}


def values_by_node(message: DiagnosticArray) -> dict[str, dict[str, str]]:
    """The values of every status in a message, by the fully qualified names of the nodes."""
    return {node_of(status): values_of(status) for status in message.status}
