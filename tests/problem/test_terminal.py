"""The terminal node: a value's derivatives as Crocoddyl sees them, and the problem built around it."""

import os
import subprocess
import sys
from collections.abc import Callable

import crocoddyl
import numpy as np
import pytest

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.problem.terminal import ValueNode, zero_node
from dvp_mpc.value import Value


@pytest.fixture(scope="module")
def states(task: ReachTask) -> np.ndarray:
    """Three states inside the soft limits and one beyond two of them."""
    x = sample_starts(task, np.random.default_rng(11), 4)
    x[3, [0, 9]] = task.state_limits[1][[0, 9]] + 0.2
    return x


def test_derivatives_against_crocoddyls_numeric_ones(
    task: ReachTask, goal: Goal, value: Value, states: np.ndarray, slope: Callable[..., np.ndarray]
) -> None:
    node = ValueNode(task, goal, value)
    numeric = crocoddyl.ActionModelNumDiff(node)
    data, numeric_data = node.createData(), numeric.createData()
    u = np.zeros(task.nu)
    bound = value.at(goal.frame)
    for x in states:
        node.calc(data, x)
        node.calcDiff(data, x)
        numeric.calc(numeric_data, x, u)
        numeric.calcDiff(numeric_data, x, u)
        assert data.cost == numeric_data.cost
        # Crocoddyl's one-sided differences, with a step of 1e-8 relative.
        assert data.Lx == pytest.approx(numeric_data.Lx, abs=1e-5 * np.abs(data.Lx).max())
        # Its numeric Hessian is that of V. Ours leaves the residual's curvature out: 2 J'J, with J by differences.
        J = slope(lambda x: bound.residual(x, task.tool(x)), x)  # type: ignore[attr-defined]
        assert data.Lxx == pytest.approx(2 * J.T @ J, abs=1e-7 * np.abs(data.Lxx).max())


def test_cost_is_the_residuals_square_without_one_half(
    task: ReachTask, goal: Goal, value: Value, states: np.ndarray
) -> None:
    node, bound = ValueNode(task, goal, value), value.at(goal.frame)
    data = node.createData()
    for x in states:
        node.calc(data, x)
        r = bound.residual(x, task.tool(x))  # type: ignore[attr-defined]
        assert data.cost == pytest.approx(r @ r, rel=1e-12)


def test_two_data_of_one_node_do_not_mix(task: ReachTask, goal: Goal, value: Value, states: np.ndarray) -> None:
    """After a line search that was turned down, derivatives are asked for at a state other than the last calc's."""
    node = ValueNode(task, goal, value)
    here, there = node.createData(), node.createData()
    node.calc(here, states[0])
    node.calc(there, states[1])
    node.calcDiff(here, states[0])
    fresh = node.createData()
    node.calc(fresh, states[0])
    node.calcDiff(fresh, states[0])
    assert here.cost == fresh.cost != there.cost
    assert np.array_equal(here.Lx, fresh.Lx)
    assert np.array_equal(here.Lxx, fresh.Lxx)


def test_retargeted_node_is_a_fresh_one(task: ReachTask, goals: list[Goal], value: Value, states: np.ndarray) -> None:
    moved, fresh = ValueNode(task, goals[0], value), ValueNode(task, goals[1], value)
    data, fresh_data = moved.createData(), fresh.createData()
    moved.calc(data, states[0])
    before = data.cost
    moved.retarget(goals[1])
    moved.calc(data, states[0])
    fresh.calc(fresh_data, states[0])
    assert data.cost == fresh_data.cost != before


def test_zero_node_costs_nothing(task: ReachTask, states: np.ndarray) -> None:
    node = zero_node(task)
    data = node.createData()
    node.calc(data, states[3])
    node.calcDiff(data, states[3])
    assert data.cost == 0
    assert not np.any(data.Lx)
    assert not np.any(data.Lxx)


FRESH = """
import crocoddyl, numpy as np
from dvp_mpc.problem.arm import load_arm
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
task = ReachTask(load_arm("panda"))
goal = task.goal(np.array([0.5, 0.1, 0.4]))
running = task.running_model(goal)
print(crocoddyl.ShootingProblem(goal.x, [running] * 3, running).nthreads)
print(build_problem(task, goal, goal.x, 3, None).nthreads)
"""


def test_problem_runs_on_one_thread() -> None:
    """In a process of its own: Crocoddyl keeps to one thread for good once it has seen a node written in Python."""
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    default, ours = map(int, done.stdout.split())
    assert default > 1 or os.cpu_count() == 1  # or else there was nothing to set
    assert ours == 1


def test_problem_is_as_long_as_asked(linear: LinearTask) -> None:
    problem = build_problem(linear, linear.origin, np.ones(2), 7, None)
    assert problem.T == 7
    assert np.array_equal(problem.x0, np.ones(2))
    with pytest.raises(BadSetting, match="nodes = 0"):
        build_problem(linear, linear.origin, np.ones(2), 0, None)
