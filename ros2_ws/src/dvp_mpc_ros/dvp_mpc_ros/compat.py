"""Everything that differs between ROS distributions or touches rclpy's inner parts.

Jazzy and newer: a message info without "publisher_gid" (before Kilted) means that the sender is not known.
"""

from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.subscription import Subscription

MOST_TAKES = 8  # in a row; a flood must not keep the caller taking for ever


class Polled(CallbackGroup):
    """The group of a subscription that no executor serves: whoever made it takes the messages himself."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


def take_newest(subscription: Subscription) -> tuple[bytes, dict[str, Any]] | None:
    """The newest serialised message that has come and what the middleware knows of it, or None; never waits."""
    newest: tuple[bytes, dict[str, Any]] | None = None
    with subscription.handle:
        for _ in range(MOST_TAKES):
            taken: Any = subscription.handle.take_message(subscription.msg_type, True)
            if taken is None:
                break
            newest = taken
    return newest
