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

"""What uses rclpy uses nothing that Humble's (3.3.15) lacks.

The lists are the difference between its sources and those of Jazzy and Kilted (names of modules,
classes, functions and members). `make test-oldest` runs the nodes with its way of calling
subscriptions.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    itertools.chain(
        (ROOT / "k2so_tts/ros").rglob("*.py"),
        (ROOT / "k2so_tts/bench").rglob("*.py"),
        (ROOT / "examples").rglob("*.py"),
        [ROOT / "k2so_tts/client.py"],
    )
)
MODULES = (
    "rclpy.clock_type",
    "rclpy.destroyable",
    "rclpy.event_handler",
    "rclpy.experimental",
    "rclpy.logging_service",
    "rclpy.parameter_client",
    "rclpy.parameter_event_handler",
    "rclpy.service_introspection",
    "rclpy.subscription_content_filter_options",
    "rclpy.type_description_service",
    "rclpy.type_hash",
)
NAMES = {
    *("InitContextManager", "qos_profile_rosout_default", "SendGoalKWargs", "TimeJumpDictionary"),
    *("DestroyableType", "TimeHandle", "ClockHandle", "ContextHandle", "DurationType"),
    *("TimerCancelledError", "TimerInfo", "MessageInfo", "LoggingArgs", "LoggingFilterArgs"),
    *("get_logger_level", "AllowableParameterValue", "AllowableParameterValueT"),
    *("ContentFilterOptions", "LoggingService", "TypeDescriptionService", "EventHandler"),
    *("get_parameter_value", "parameter_dict_from_yaml_file", "DeadlineBestAvailable"),
    *("LivelinessLeaseDurationeBestAvailable", "qos_profile_default", "qos_profile_best_available"),
    *("QoSProfileAttributes", "FutureState", "S_TO_NS", "TypeHash", "TypeHashDictionary"),
}
MEMBERS = {
    *("BEST_AVAILABLE", "ParameterInput", "ROSOUT_DEFAULT", "configure_introspection"),
    *("add_post_set_parameters_callback", "add_pre_set_parameters_callback"),
    *("remove_post_set_parameters_callback", "remove_pre_set_parameters_callback"),
    *("count_clients", "count_services", "create_future", "get_content_filter"),
    *("get_fully_qualified_node_names", "get_publisher_count", "is_cft_enabled"),
    *("list_parameters", "logger_name", "logger_sublogger_namepair", "remove_done_callback"),
    *("service_name", "set_content_filter", "topic_type_hash", "track_node", "untrack_node"),
    "wait_for_node",
}


def guarded(tree: ast.Module) -> set[ast.AST]:
    """What is tried, and replaced where it can't be imported."""
    return {
        node
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try)
        and any(_name_of(handler.type) == "ImportError" for handler in attempt.handlers)
        for statement in attempt.body
        for node in ast.walk(statement)
    }


def _name_of(expression: ast.expr | None) -> str:
    return expression.id if isinstance(expression, ast.Name) else ""


def lacking(tree: ast.Module) -> Iterator[str]:
    """What a module uses that Humble has not."""
    ignored = guarded(tree)
    for node in ast.walk(tree):
        if node in ignored:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rclpy"):
            assert node.module is not None
            names = [alias.name for alias in node.names]
            if node.module.startswith(MODULES):
                yield node.module
            yield from NAMES.intersection(names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(MODULES))
        elif isinstance(node, ast.Attribute) and node.attr in MEMBERS:
            yield node.attr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_used_that_humble_lacks(path: Path) -> None:
    assert list(lacking(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from rclpy.event_handler import SubscriptionEventCallbacks",
        "from rclpy.executors import TimerCancelledError",
        "import rclpy.type_hash",
        "node.add_post_set_parameters_callback(check)",
    ],
)
def test_what_humble_lacks_is_found(source: str) -> None:
    assert len(list(lacking(ast.parse(source)))) == 1
    tried = f"try:\n    {source}\nexcept ImportError:\n    pass"
    assert list(lacking(ast.parse(tried))) == []
