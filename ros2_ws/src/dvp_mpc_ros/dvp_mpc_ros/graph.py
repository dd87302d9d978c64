"""Who else is on the topics: exactly one publisher of states, nobody else who commands, and nobody who cannot hear us."""

from collections.abc import Iterable
from itertools import product
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSCompatibility, qos_check_compatible
from rclpy.subscription import Subscription


def objections_to_states(node: Node, states: Subscription) -> list[str]:
    """Why the state topic cannot be relied on."""
    publishers = node.get_publishers_info_by_topic(states.topic_name)
    if not publishers:
        return [f"nobody publishes on {states.topic_name}"]
    if len(publishers) > 1:
        return [f"{len(publishers)} publishers on {states.topic_name}: {_names(publishers)}"]
    for mine in _mine(node, node.get_subscriptions_info_by_topic(states.topic_name)):
        verdict, reason = qos_check_compatible(publishers[0].qos_profile, mine.qos_profile)
        if verdict == QoSCompatibility.ERROR:
            return [f"the quality of service of {_names(publishers)} on {states.topic_name} does not fit: {reason}"]
    return []


def objections_to_commands(node: Node, commands: Publisher) -> list[str]:
    """Why commands would not arrive, or not alone."""
    found = _others(node, commands)
    listeners = node.get_subscriptions_info_by_topic(commands.topic_name)
    if not listeners:
        found.append(f"nobody listens on {commands.topic_name}")
    # From the graph, where "no deadline" is said alike on both sides; a profile as it was written says it otherwise.
    for listener, mine in product(listeners, _mine(node, node.get_publishers_info_by_topic(commands.topic_name))):
        verdict, reason = qos_check_compatible(mine.qos_profile, listener.qos_profile)
        if verdict == QoSCompatibility.ERROR:
            found.append(f"{_names([listener])} on {commands.topic_name} cannot hear this node: {reason}")
    return found


def strangers(node: Node, states: Subscription, commands: Publisher, targets: Iterable[Subscription]) -> list[str]:
    """Who publishes where somebody already does."""
    return _others(node, commands) + objections_to_targets(node, (states, *targets))


def objections_to_targets(node: Node, targets: Iterable[Subscription]) -> list[str]:
    """Whose targets would contradict each other."""
    found = []
    for subscription in targets:
        publishers = node.get_publishers_info_by_topic(subscription.topic_name)
        if len(publishers) > 1:
            found.append(f"{len(publishers)} publishers on {subscription.topic_name}: {_names(publishers)}")
    return found


def _others(node: Node, commands: Publisher) -> list[str]:
    publishers = node.get_publishers_info_by_topic(commands.topic_name)
    mine = _mine(node, publishers)
    others = [info for info in publishers if info not in mine]
    if len(mine) > 1:
        return [f"another node with this node's name publishes on {commands.topic_name}"]
    return [f"{_names(others)} also publishes on {commands.topic_name}"] if others else []


def _mine(node: Node, infos: list[Any]) -> list[Any]:
    me = (node.get_name(), node.get_namespace())
    return [info for info in infos if (info.node_name, info.node_namespace) == me]


def _names(infos: Iterable[Any]) -> str:
    return ", ".join(f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos)
