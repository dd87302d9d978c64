"""The bound on how fast a tool can arrive: what it promises, and that it moves the right way."""

from dataclasses import replace

import numpy as np
import pytest

from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies import fastest as module
from dvp_mpc.studies.fastest import ARRIVED, STOPPED, fastest


@pytest.fixture(scope="module")
def short(task: ReachTask) -> tuple[ReachTask, np.ndarray]:
    """A task and the state at rest 0.15 m from the goal below."""
    return task, task.goal(np.array([0.5, 0.15, 0.4])).x


def test_motion_arrives_within_all_limits_and_one_step_less_is_not_enough(short: tuple[ReachTask, np.ndarray]) -> None:
    task, x0 = short
    goal, arm = task.goal(np.array([0.5, 0.0, 0.4])), task.arm
    nodes = round(fastest(task, goal, x0) / task.dt)
    xs, us = module._motion(task, goal, x0, nodes, None) or (np.zeros((1, 14)), np.zeros((1, 7)))
    assert len(us) == nodes
    assert np.linalg.norm(task.tool(xs[-1]) - goal.tool) <= ARRIVED
    assert np.abs(xs[-1][DOF:]).max() <= STOPPED
    assert (np.abs(us) <= arm.torque_limit + 1e-9).all()
    assert (np.abs(xs[:, DOF:]) <= 1.001 * arm.velocity_limit).all()
    model = task.running_model(goal)
    data = model.createData()
    for x, u, after in zip(xs, us, xs[1:], strict=False):
        model.calc(data, x, u)
        assert np.array(data.xnext) == pytest.approx(after, abs=1e-9)
    assert module._motion(task, goal, x0, nodes // 2, None) is None


def test_weaker_arm_is_slower(short: tuple[ReachTask, np.ndarray]) -> None:
    task, x0 = short
    model = task.arm.model.copy()
    model.upperEffortLimit = 0.75 * model.upperEffortLimit  # enough to hold it, and less to move it
    weak = replace(task, arm=replace(task.arm, model=model))
    point = np.array([0.5, 0.0, 0.4])
    assert fastest(weak, weak.goal(point), x0) >= fastest(task, task.goal(point), x0)


def test_goal_that_no_time_is_enough_for(short: tuple[ReachTask, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    task, x0 = short
    monkeypatch.setattr(module, "LONGEST", 0.02)
    assert np.isnan(fastest(task, task.goal(np.array([0.5, -0.3, 0.4])), x0))
