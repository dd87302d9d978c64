"""An arm that is taken over without a target stays where it is, wherever that is, until a target comes."""

import numpy as np
import pytest

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.supervisor import State
from dvp_mpc.control.torque import predict
from dvp_mpc.errors import GoalError
from dvp_mpc.models import load_model
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.value import ValueFunction

SETTINGS = ControllerSettings(MpcSettings(1), arming=True)


@pytest.fixture(scope="module")
def learned() -> tuple[ReachTask, ValueFunction]:
    return load_model("panda_reach")[:2]


def moved(controller: Controller, q: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Run a resting arm from posture q (7,): how far each joint ever was from it [rad], and where it ends."""
    arm, x, farthest = controller.task.arm, np.concatenate([q, np.zeros(DOF)]), np.zeros(DOF)
    for _ in range(round(seconds * controller.rate_hz)):
        torque = controller.step(controller._now, x[:DOF], x[DOF:])
        x = np.concatenate(predict(arm, x[:DOF], x[DOF:], torque, 1 / controller.rate_hz))
        farthest = np.maximum(farthest, np.abs(x[:DOF] - q))
    return farthest, x[:DOF]


def test_a_turned_arm_stays_and_then_goes_where_it_is_told(learned: tuple[ReachTask, ValueFunction]) -> None:
    task, value = learned
    q = task.arm.home + np.array([0.2, 0.3, -0.2, 0.3, 0.3, -0.2, 1.2])
    here = task.arm.tool_in_world(q)
    other_way = Controller(task, value, here, SETTINGS)
    assert moved(other_way, q, 2.0)[0].max() > 0.3, "the posture that belongs to the point is another"

    controller = Controller(task, value, task.stay(q), SETTINGS)
    farthest, now = moved(controller, q, 2.0)
    assert farthest.max() < 1e-3
    assert controller.state is State.TRACKING
    assert not controller.trusted
    target = np.array([0.5, 0.1, 0.4])
    controller.set_goal(target)
    _, end = moved(controller, now, 4.0)
    assert np.linalg.norm(task.arm.tool_in_world(end) - target) < 1e-3
    assert controller.state is State.TRACKING
    assert controller.trusted


@pytest.mark.parametrize("seed", range(6))
def test_it_stays_where_no_goal_could_be(learned: tuple[ReachTask, ValueFunction], seed: int) -> None:
    """Anywhere within the limits: the tool outside the box, next to the base column, an elbow the other way round."""
    task, value = learned
    lower, upper = (limit[:DOF] for limit in task.state_limits)
    rng = np.random.default_rng(seed)
    while True:
        q = rng.uniform(lower, upper)
        try:
            task.goal(task.arm.tool_in_world(q))
        except GoalError:
            break
    controller = Controller(task, value, task.stay(q), SETTINGS)
    assert moved(controller, q, 1.5)[0].max() < 1e-3
    assert controller.state is State.TRACKING


def test_a_posture_in_the_margin_of_a_limit_is_left_for_the_nearest_outside_it(task: ReachTask) -> None:
    q = task.arm.home.copy()
    q[3] = task.arm.upper[3] - 1e-3
    goal: Goal = task.stay(q)
    assert not goal.trained
    assert goal.x[3] == pytest.approx(task.state_limits[1][3])
    np.testing.assert_array_equal(np.delete(goal.x[:DOF], 3), np.delete(q, 3))
    node = task.running_model(goal)
    data = node.createData()
    node.calc(data, goal.x, goal.u)
    assert data.cost < 1e-20
    np.testing.assert_allclose(data.xnext, goal.x, atol=1e-12)
