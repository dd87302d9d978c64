"""Targets: the newest wish of the two target topics, taken at the node's own pace, so that a flood costs nothing."""

from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.node import Node

from dvp_mpc.control.controller import Controller
from dvp_mpc.control.target import read_target
from dvp_mpc.errors import GoalError


class Targets:
    """Keeps the newest target; `serve` gives it to a controller."""

    def __init__(self, node: Node, frames: Sequence[str]):
        """frames: names under which the world goes."""
        self._node, self._frames = node, frames
        self._newest: tuple[str, Any, Any] | None = None
        self.refused = ""
        """Why the last target was not taken, "" if it was."""
        self.subscriptions = [
            node.create_subscription(PointStamped, "~/target_position", self._on_position, 1),
            node.create_subscription(PoseStamped, "~/target_pose", self._on_pose, 1),
        ]

    def forget(self) -> None:
        """Drop what came before the arm was under control."""
        self._newest, self.refused = None, ""

    def serve(self, controller: Controller | None) -> None:
        """Give the newest target, if there is a new one, to the controller; keep the one before if it is no good."""
        target, self._newest = self._newest, None
        if target is None:
            return
        name, message, quaternion = target
        position, stamp = message.point if quaternion is None else message.pose.position, message.header.stamp
        try:
            if controller is None:
                raise GoalError("the node is not active", float("nan"))
            point = read_target(
                message.header.frame_id,
                (position.x, position.y, position.z),
                stamp.sec * 1_000_000_000 + stamp.nanosec,
                self._node.get_clock().now().nanoseconds,
                self._frames,
                quaternion,
            )
            controller.set_goal(point)
            self.refused = ""
        except GoalError as error:
            self.refused = f"{name} refused, the goal before is kept: {error}"
            self._node.get_logger().warning(self.refused)

    def close(self) -> None:
        """End the subscriptions."""
        for subscription in self.subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_position(self, message: PointStamped) -> None:
        self._newest = ("target_position", message, None)

    def _on_pose(self, message: PoseStamped) -> None:
        turn = message.pose.orientation
        self._newest = ("target_pose", message, (turn.x, turn.y, turn.z, turn.w))
