"""Taking over, and again after a fault: where the arm stays, whom else the node refuses to share it with."""

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("rclpy")  # the extra 'ros'

from dvp_mpc_ros.session import PLANT, Process, Session
from geometry_msgs.msg import PointStamped, PoseStamped

from dvp_mpc.models import load_model

Start = Callable[..., Session]

pytestmark = pytest.mark.realtime

TARGET = np.array([0.5, 0.1, 0.4])


def test_without_a_target_a_turned_arm_stays_where_it_is_until_one_comes(start: Start) -> None:
    arm = load_model("panda_reach")[0].arm
    q = arm.home + np.array([0.2, 0.3, -0.2, 0.3, 0.3, -0.2, 1.2])
    session = start(plant={"q0": q.tolist()})
    session.take_over()
    assert session.spin_until(lambda: session.figures.get("goal") == "the posture of the activation", 20.0)
    session.spin(1.0)
    sent = session.send_goal(TARGET)
    assert session.spin_until(lambda: session.figures.get("goal") == "a target", 20.0)
    session.spin(3.0)
    session.end()
    record = session.record()
    before = record["t"] < sent
    assert (record["mode"][before] == 1).sum() > 200, "it was followed"
    assert np.abs(record["q"][before] - q).max() < 5e-3
    assert np.linalg.norm(arm.tool_in_world(record["q"][-1]) - TARGET) < 5e-3


def test_two_who_send_targets_are_one_too_many(start: Start) -> None:
    session = start()
    assert session.configure(), session.safety_state
    second = session.node.create_publisher(PointStamped, "/mpc_controller/target_position", 1)
    session.spin(1.0)
    assert not session.activate()
    assert session.spin_until(lambda: "2 publishers on /mpc_controller/target_position" in session.safety_state, 2.0)
    session.node.destroy_publisher(second)
    session.spin(1.0)
    assert session.activate(), session.safety_state
    assert session.spin_until(lambda: session.safety_state == "tracking", 10.0)

    pair = [session.node.create_publisher(PoseStamped, "/mpc_controller/target_pose", 1) for _ in range(2)]
    assert session.spin_until(lambda: session.safety_state.startswith("fault: 2 publishers"), 5.0)
    done, why = session.reset_fault()
    assert not done
    assert "2 publishers on /mpc_controller/target_pose" in why
    session.node.destroy_publisher(pair.pop())
    session.spin(1.0)
    assert session.reset_fault()[0]
    assert session.spin_until(lambda: session.safety_state == "tracking", 10.0)


def test_a_driver_that_was_started_anew_is_taken_after_a_reset(start: Start) -> None:
    session = start()
    session.take_over()
    session.plant.end()
    assert session.spin_until(lambda: session.safety_state.startswith("fault"), 5.0)
    done, why = session.reset_fault()
    assert not done
    assert "nobody publishes on /joint_states" in why
    session.plant = Process(PLANT, {}, session.folder, "another plant", session._environment)
    assert session.spin_until(lambda: session.node.count_publishers("/joint_states") == 1, 20.0)
    session.spin(1.0)
    assert session.safety_state.startswith("fault"), "nobody asked"
    done, why = session.reset_fault()
    assert done, why
    assert session.spin_until(lambda: session.safety_state == "tracking", 10.0), session.safety_state
