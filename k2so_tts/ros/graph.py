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

"""The ROS graph: who sent a message, which endpoints belong to one process, and whether a player
subscribes yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import Any

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

_PARTICIPANT_BYTES = 12
"""The prefix of a DDS GUID (RTPS 2.5, 8.2.4.1) that all endpoints of a participant share."""
_UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"
"""The node name that rmw_dds_common gives an endpoint which is discovered before its node."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def with_info(on_message: Callable[[Any, Mapping[str, Any]], None]) -> Callable[..., None]:
    """A callback for a subscription that gets a message and what rclpy knows of it.

    rclpy looks at the signature of a callback, and gives it the message info if there is a second
    parameter. Humble's (3.3) does not look, and gives all callbacks the message alone: then nothing
    is known.
    """

    @wraps(on_message)
    def callback(message: Any, info: Mapping[str, Any] = _NOTHING) -> None:
        on_message(message, info)

    return callback


def publisher_of(info: Mapping[str, Any]) -> bytes:
    """The GID of the publisher of a message; empty where rclpy does not report it (see
    `participant_of`).
    """
    publisher = info.get("publisher_gid") or {}
    return bytes(publisher.get("data", b""))


def participant_of(info: Mapping[str, Any]) -> bytes:
    """The DDS participant (process) that sent a message; empty where rclpy does not report it.

    rclpy reports the publisher's GID since Kilted. Unlike a node's name it distinguishes a process
    that was restarted from the one that was killed, which stays in the graph for a while.

    Args:
        info: the message info that rclpy passes to a subscription's callback.
    """
    return publisher_of(info)[:_PARTICIPANT_BYTES]


def player_subscribes(
    participant: bytes,
    publishers: Sequence[TopicEndpointInfo],
    subscriptions: Sequence[TopicEndpointInfo],
) -> bool:
    """Whether a player is known to subscribe: the one in `participant` if it is known, else any.

    Endpoints are matched by participant where GIDs contain it (DDS, not Zenoh), else by node name,
    which a player that was killed and its successor have in common.

    Args:
        participant: of the player that was heard of last (see `participant_of`); may be empty.
        publishers: the endpoints that publish `playhead`.
        subscriptions: the endpoints that subscribe to `audio`.
    """
    players = participants_of(publishers)
    subscribing = players & participants_of(subscriptions)
    if subscribing and participant in players:
        return participant in subscribing
    return bool(_nodes(publishers) & _nodes(subscriptions))


def participants_of(endpoints: Sequence[TopicEndpointInfo]) -> frozenset[bytes]:
    """The DDS participants (processes) that endpoints belong to."""
    return frozenset(bytes(endpoint.endpoint_gid)[:_PARTICIPANT_BYTES] for endpoint in endpoints)


def describe_rivals(node: Node, action: str) -> list[str]:
    """A complaint if other nodes offer an action that `node` offers: goals would reach both."""
    servers = node.get_publishers_info_by_topic(f"{action}/_action/status")
    names = [f"{each.node_namespace.rstrip('/')}/{each.node_name}" for each in servers]
    own = node.get_fully_qualified_name()
    if own in names:
        names.remove(own)
    complaint = (
        f"{', '.join(sorted(names))} offers the action {action} beside this node: goals reach both "
        "and get two answers; end one of them, or give it another namespace"
    )
    return [complaint] if names else []


def _nodes(endpoints: Sequence[TopicEndpointInfo]) -> set[tuple[str, str]]:
    """Namespace and name of the nodes that `endpoints` belong to, as far as they are known."""
    return {
        (endpoint.node_namespace, endpoint.node_name)
        for endpoint in endpoints
        if endpoint.node_name != _UNKNOWN_NODE
    }
