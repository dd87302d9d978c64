"""Targets over DDS: which are taken, and why the others are not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")  # the extra 'ros'

from dvp_mpc_ros.session import Session
from geometry_msgs.msg import PointStamped, PoseStamped

Start = Callable[..., Session]

pytestmark = pytest.mark.realtime


def test_targets_are_taken_or_refused_with_the_reason(start: Start) -> None:
    session = start()
    session.take_over()
    publishers = {
        PointStamped: session._goal,  # a second publisher of targets would be a fault
        PoseStamped: session.node.create_publisher(PoseStamped, "/mpc_controller/target_pose", 1),
    }
    assert session.spin_until(lambda: all(p.get_subscription_count() for p in publishers.values()), 20.0)
    session.spin(0.5)
    good = np.array([0.5, 0.1, 0.4])
    for message, words in bad_targets(good):
        publishers[type(message)].publish(message)
        assert session.spin_until(lambda: words in session.figures.get("target", ""), 20.0), words  # noqa: B023
    assert session.safety_state == "tracking"
    publishers[PoseStamped].publish(pose(good))
    assert session.spin_until(lambda: "0.5, 0.1, 0.4" in session.figures["goal_in_world"], 20.0)
    assert "target" not in session.figures


def point(xyz: np.ndarray, frame: str = "", sec: int = 0) -> PointStamped:
    message = PointStamped()
    message.header.frame_id, message.header.stamp.sec = frame, sec
    message.point.x, message.point.y, message.point.z = map(float, xyz)
    return message


def pose(xyz: np.ndarray, w: float = 1.0) -> PoseStamped:
    message = PoseStamped()
    message.header.frame_id = "panda_link0"
    message.pose.position.x, message.pose.position.y, message.pose.position.z = map(float, xyz)
    message.pose.orientation.w = w
    return message


def bad_targets(good: np.ndarray) -> list[tuple[Any, str]]:
    return [
        (point(good * np.nan), "not three finite numbers"),
        (point(good, frame="camera"), "'camera' is none of"),
        (point(good, frame="base_link"), "'base_link' is none of"),
        (point(good, sec=12), "s old"),
        (point(np.array([3.0, 0, 0.4])), "outside the trained box"),
        (pose(good, w=0.0), "orientation has norm 0"),
    ]
