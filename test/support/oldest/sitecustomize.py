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

"""rclpy calls subscriptions as in Humble (3.3), in all processes with this directory on their path.

There callbacks get the message alone, whatever their signature: `Executor._take_subscription` of
3.3.15 drops the message info.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_MODULE = "rclpy.subscription"


class _Finder(importlib.abc.MetaPathFinder):
    """Changes `rclpy.subscription` when it is imported, and imports nothing by itself."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                module.Subscription.callback = property(_callback_of, _set_callback)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _callback_of(subscription: Any) -> Callable[..., object]:
    callback: Callable[..., object] = subscription._callback
    return callback


def _set_callback(subscription: Any, callback: Callable[..., object]) -> None:
    subscription._callback = callback
    subscription._callback_type = subscription.CallbackType.MessageOnly


sys.meta_path.insert(0, _Finder())
