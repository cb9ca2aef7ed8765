"""Parameters: declared once with what is allowed, checked at start and at every change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

Value = Any
Check = Callable[[Value], str | None]


class ParameterError(ValueError):
    """A parameter makes no sense; the message names it, its value and what is allowed."""


@dataclass(frozen=True)
class Parameter:
    """One parameter. `live` ones can change while the node runs.

    A number lies between `low` and `high` (both allowed), a string is one of `choices` if there
    are any.
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        if self.choices:
            return " | ".join(self.choices)
        kind = {float: "a number", int: "a whole number", bool: "true or false", str: "a string"}
        words = kind[type(self.default)]
        return words if self.low is None else f"{words} from {self.low:g} to {self.high:g}"

    def check(self, value: Value) -> Value:
        """The value, in the type of the default. Raises `ParameterError`."""
        if isinstance(self.default, float) and type(value) is int:
            value = float(value)
        if isinstance(self.default, str) and not self.choices and type(value) is int:
            value = str(value)  # device:=5 is an index, and YAML takes it for a number
        fits = type(value) is type(self.default)
        if fits and self.low is not None and self.high is not None:
            fits = math.isfinite(value) and self.low <= value <= self.high
        if not fits or (self.choices and value not in self.choices):
            raise ParameterError(f"parameter '{self.name}' is {value!r}; allowed: {self.allowed}")
        return value


class Parameters:
    """The parameters of a node and their values. `on_change` hears of live changes, checked.

    Raises:
        ParameterError: a value given at the start is not allowed.
    """

    def __init__(self, node: Node, parameters: tuple[Parameter, ...]) -> None:
        self._parameters = {parameter.name: parameter for parameter in parameters}
        self._values: dict[str, Value] = {}
        self._on_change: Callable[[Mapping[str, Value]], None] | None = None
        for parameter in parameters:
            descriptor = ParameterDescriptor(
                description=parameter.description,
                additional_constraints=parameter.allowed,
                dynamic_typing=True,
            )
            value = node.declare_parameter(parameter.name, parameter.default, descriptor).value
            self._values[parameter.name] = parameter.check(value)
        node.add_on_set_parameters_callback(self._set)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    @property
    def values(self) -> Mapping[str, Value]:
        return self._values

    def on_change(self, apply: Callable[[Mapping[str, Value]], None]) -> None:
        """Call `apply` with changed values before they count; it may raise `ParameterError`."""
        self._on_change = apply

    def _set(self, changes: list[RosParameter[Any]]) -> SetParametersResult:
        try:
            checked = {
                change.name: self._check_change(change)
                for change in changes
                if change.name in self._parameters
            }
            if checked and self._on_change is not None:
                self._on_change(checked)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values.update(checked)
        return SetParametersResult(successful=True)

    def _check_change(self, change: RosParameter[Any]) -> Value:
        parameter = self._parameters[change.name]
        value = parameter.check(change.value)
        if not parameter.live and value != self._values[change.name]:
            raise ParameterError(
                f"parameter '{change.name}' can't change while the node runs; "
                f"set it in the parameter file and start the node again"
            )
        return value
