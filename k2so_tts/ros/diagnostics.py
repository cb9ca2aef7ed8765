"""`/diagnostics`: one status per node, every second and whenever an utterance is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from k2so_tts.metrics import Rolling

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
PERIOD_SECONDS = 1.0


@dataclass
class Health:
    """What a node has to say: values by key, and what is wrong, the worst first."""

    values: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add_rolling(self, name: str, rolling: Rolling, scale: float = 1.0) -> None:
        """p50, p95 and max as `name_p50` and so on."""
        for statistic, value in rolling.summary().items():
            self.values[f"{name}_{statistic}"] = value * scale


class Diagnostics:
    """Publishes what `examine` finds."""

    def __init__(self, node: Node, examine: Callable[[], Health]) -> None:
        self._node = node
        self._examine = examine
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        node.create_timer(PERIOD_SECONDS, self.publish)

    def publish(self) -> None:
        """Publish now, in the executor's thread."""
        health = self._examine()
        status = DiagnosticStatus()
        status.name = f"{self._node.get_fully_qualified_name()}: speech"
        status.hardware_id = self._node.get_fully_qualified_name().lstrip("/")
        status.level = ERROR if health.errors else WARN if health.warnings else OK
        status.message = "; ".join(health.errors + health.warnings) or "ready"
        status.values = [
            KeyValue(key=key, value=_text(value)) for key, value in health.values.items()
        ]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
