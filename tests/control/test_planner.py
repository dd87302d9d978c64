"""The solver behind a planner: which horizon and which terminal cost a request gets."""

import numpy as np
import pytest

from dvp_mpc.control.mpc import MPC, MpcSettings
from dvp_mpc.control.planner import LONGER_NODES, Planned, Solver
from dvp_mpc.control.torque import TORQUE_RATE
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.value import RiccatiValue, ValueFunction


def nodes(planned: Planned) -> int:
    assert planned.plan is not None, planned.refusal
    return len(planned.plan.solution.us)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def swinging(task: ReachTask, goal: Goal) -> tuple[np.ndarray, np.ndarray]:
    """A state at rest at the goal, and a torque from which 20 ms are too short to come back."""
    return goal.x, goal.u + np.array([0.0, 40.0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("short", [1, 2])
def test_while_a_torque_is_under_way_the_horizon_is_longer(
    task: ReachTask, goal: Goal, swinging: tuple[np.ndarray, np.ndarray], short: int
) -> None:
    solver, (x, torque) = Solver(task, goal, RiccatiValue(), MpcSettings(short)), swinging
    assert nodes(solver(0.0, x, goal.u, goal, True)) == short
    planned = solver(0.01, x, torque, goal, True)
    assert nodes(planned) == LONGER_NODES
    own = MPC(task, goal, RiccatiValue(), MpcSettings(LONGER_NODES), TORQUE_RATE).plan(x, 0.01, torque)
    found = planned.plan.solution  # type: ignore[union-attr]
    assert found.status.usable
    assert found.cost == pytest.approx(own.solution.cost, rel=1e-3), "as good as had it been planned so at once"
    assert nodes(solver(0.02, x, goal.u, goal, True)) == short


def test_the_longer_horizon_follows_the_goal(
    task: ReachTask, goals: list[Goal], swinging: tuple[np.ndarray, np.ndarray]
) -> None:
    x, torque = swinging
    costs = []
    for first in goals:
        solver = Solver(task, first, RiccatiValue(), MpcSettings(2))
        costs.append(solver(0.0, x, torque, goals[1], True).plan.solution.cost)  # type: ignore[union-attr]
    assert costs[0] == pytest.approx(costs[1], rel=1e-9)


@pytest.mark.parametrize(
    ("terminal", "settings"), [(None, MpcSettings(2)), (RiccatiValue(), MpcSettings(LONGER_NODES + 2))]
)
def test_a_horizon_that_is_asked_for_is_not_lengthened(
    task: ReachTask,
    goal: Goal,
    swinging: tuple[np.ndarray, np.ndarray],
    terminal: ValueFunction | None,
    settings: MpcSettings,
) -> None:
    """Without a value a horizon is what it is; one that is long sees the torque come back."""
    solver, (x, torque) = Solver(task, goal, terminal, settings), swinging
    assert nodes(solver(0.0, x, torque, goal, True)) == settings.nodes


def test_outside_the_trusted_region_the_riccati_value_ends_a_long_horizon(
    task: ReachTask, goal: Goal, swinging: tuple[np.ndarray, np.ndarray]
) -> None:
    solver = Solver(task, goal, RiccatiValue(), MpcSettings(2))
    assert nodes(solver(0.0, swinging[0], goal.u, goal, False)) == LONGER_NODES
