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

"""A node's parameters: declared once from `Setting`s, checked at startup and at every change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from k2so_tts.settings import Setting, SettingError, Value


class Parameters:
    """The parameters of a node and their values.

    Args:
        node: the node that declares them.
        settings: what is declared, with defaults and what is allowed.

    Raises:
        SettingError: a value given at startup is not allowed.
    """

    def __init__(self, node: Node, settings: Iterable[Setting]) -> None:
        self._node = node
        self._settings: dict[str, Setting] = {}
        self._values: dict[str, Value] = {}
        self._on_change: Callable[[Mapping[str, Value]], None] | None = None
        self.declare(settings)
        node.add_on_set_parameters_callback(self._on_set)

    def declare(self, settings: Iterable[Setting]) -> None:
        """Declare further parameters. Raises `SettingError` if a given value is not allowed."""
        for setting in settings:
            descriptor = ParameterDescriptor(
                description=setting.description,
                additional_constraints=setting.allowed,
                dynamic_typing=True,
            )
            given = self._node.declare_parameter(setting.name, setting.default, descriptor)
            self._values[setting.name] = setting.check(given.value)
            self._settings[setting.name] = setting

    def __getitem__(self, name: str) -> Value:
        """The value of a parameter."""
        return self._values[name]

    @property
    def values(self) -> Mapping[str, Value]:
        """The values of all parameters, by name."""
        return self._values

    def on_change(self, apply: Callable[[Mapping[str, Value]], None]) -> None:
        """Have `apply` called with checked changes before they take effect.

        It may raise `SettingError` to reject them all.
        """
        self._on_change = apply

    def _on_set(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        try:
            checked = {
                change.name: self._check_change(change)
                for change in changes
                if change.name in self._settings
            }
            if checked and self._on_change is not None:
                self._on_change(checked)
        except SettingError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values.update(checked)
        return SetParametersResult(successful=True)

    def _check_change(self, change: Parameter[Any]) -> Value:
        setting = self._settings[change.name]
        value = setting.check(change.value)
        if not setting.live and value != self._values[change.name]:
            raise SettingError(
                f"parameter '{change.name}' can't change while the node runs; "
                f"set it in the parameter file and restart the node"
            )
        return value
