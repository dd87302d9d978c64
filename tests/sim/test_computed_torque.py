"""The classic baseline: a path that goes where it should, and errors that die as critically damped ones do."""

import numpy as np
import pytest
from dvp_mpc_sim.computed_torque import FREQUENCY, SPEED_SHARE, ComputedTorque, ComputedTorquePlanner, Path, quintic

from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal

RNG = np.random.default_rng(8)


def test_a_quintic_begins_and_ends_as_asked_and_its_derivatives_are_derivatives() -> None:
    q, v, end = RNG.normal(size=(3, 7))
    path = quintic(q, v, end, 1.7)
    np.testing.assert_allclose(path.at(0.0), [q, v, np.zeros(7)], atol=1e-12)
    np.testing.assert_allclose(path.at(1.7), [end, np.zeros(7), np.zeros(7)], atol=1e-9)
    np.testing.assert_allclose(path.at(5.0), [end, np.zeros(7), np.zeros(7)], atol=1e-9)
    h = 1e-6
    for k in (0, 1):
        slope = (path.at(0.9 + h)[k] - path.at(0.9 - h)[k]) / (2 * h)
        np.testing.assert_allclose(slope, path.at(0.9)[k + 1], atol=1e-7)


def test_a_path_from_rest_keeps_its_share_of_the_speed_limits(panda: Arm, goal: Goal) -> None:
    planner = ComputedTorquePlanner(panda)
    x = np.concatenate([panda.upper - 0.3, np.zeros(7)])
    planner.request(0.0, x, goal.u, goal, trusted=True)
    planned = planner.newest()
    assert planned is not None
    assert planner.newest() is None
    assert isinstance(planned.plan, ComputedTorque)
    path = planned.plan.path
    speeds = np.array([np.abs(path.at(t)[1]) / panda.velocity_limit for t in np.linspace(0, path.duration, 501)])
    assert speeds.max() == pytest.approx(SPEED_SHARE, rel=1e-3)


def test_a_new_goal_begins_where_the_old_path_is(panda: Arm, goals: list[Goal]) -> None:
    planner = ComputedTorquePlanner(panda)
    x = np.concatenate([panda.home, np.zeros(7)])
    planner.request(0.0, x, goals[0].u, goals[0], trusted=True)
    first = planner.newest()
    planner.request(0.4, x, goals[0].u, goals[0], trusted=True)
    same = planner.newest()
    planner.request(0.5, x, goals[1].u, goals[1], trusted=True)
    second = planner.newest()
    assert first is not None
    assert same is not None
    assert second is not None
    old, kept, new = first.plan, same.plan, second.plan
    assert isinstance(old, ComputedTorque)
    assert isinstance(kept, ComputedTorque)
    assert isinstance(new, ComputedTorque)
    assert kept.path is old.path
    assert kept.since == pytest.approx(0.4)
    np.testing.assert_allclose(new.path.at(0.0)[:2], old.path.at(0.5)[:2], atol=1e-9)


def test_errors_obey_the_equation_that_is_promised(task: ReachTask) -> None:
    arm = task.arm
    q, v, q_r = arm.home + 0.1, RNG.normal(size=7), arm.home
    still = Path(np.vstack([q_r, np.zeros((5, 7))]), 1.0)
    torque = ComputedTorque(arm, still, 0.0).torque(0.2, np.concatenate([q, v]))
    acceleration = np.linalg.solve(arm.mass_matrix(q), torque - arm.nonlinear_effects(q, v))
    np.testing.assert_allclose(acceleration, FREQUENCY**2 * (q_r - q) - 2 * FREQUENCY * v, rtol=1e-9)
