"""The discounted problem, where its value is known exactly: the linear one, by value iteration."""

import numpy as np
import pytest

from dvp_mpc.control.mpc import MPC, MpcSettings
from dvp_mpc.errors import BadSetting
from dvp_mpc.learning.labels import read_labels
from dvp_mpc.problem.discount import Discounted, discount_of
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.riccati import riccati_root
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve, trajectory
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.value import RiccatiValue, ValueFunction

GAMMA = 0.95
NODES = np.array([0, 1, 3, 7])


@pytest.fixture(scope="module")
def discounted(linear: LinearTask) -> Discounted:
    return Discounted(linear, GAMMA)


@pytest.fixture(scope="module")
def exact(linear: LinearTask) -> np.ndarray:
    """P of V = 1/2 x'P x, by repeating V = min l + gamma V(f) until it stands still."""
    A, B, P = linear.A, linear.B, np.zeros((2, 2))
    for _ in range(2000):
        H = linear.R + GAMMA * B.T @ P @ B
        P = linear.Q + GAMMA * A.T @ P @ A - GAMMA**2 * A.T @ P @ B @ np.linalg.solve(H, B.T @ P @ A)
    return P


def solved(task: Discounted, x0: np.ndarray, nodes: int, terminal: ValueFunction | None) -> object:
    goal = task.sample_goal(np.random.default_rng(0))
    problem = build_problem(task, goal, x0, nodes, terminal)
    solver = make_solver(problem, 1e-13)
    assert solve(solver, *quasi_static_guess(problem, goal.u), iterations=50) is Status.CONVERGED
    return solver


def test_riccati_root_is_the_value_that_iteration_finds(discounted: Discounted, exact: np.ndarray) -> None:
    root = discounted.sample_goal(np.random.default_rng(0)).root
    assert 2 * root @ root.T == pytest.approx(exact, rel=1e-9)


def test_a_long_horizon_costs_what_the_value_says(discounted: Discounted, exact: np.ndarray) -> None:
    x0 = np.array([0.7, -0.4])
    assert solved(discounted, x0, 200, None).cost == pytest.approx(x0 @ exact @ x0 / 2, rel=1e-9)  # type: ignore[attr-defined]


@pytest.mark.parametrize("nodes", [1, 2, 12])
def test_a_short_horizon_that_ends_in_the_value_is_a_long_one(
    discounted: Discounted, exact: np.ndarray, nodes: int
) -> None:
    x0 = np.array([-0.9, 0.5])
    solver = solved(discounted, x0, nodes, RiccatiValue())
    long = trajectory(solved(discounted, x0, 200, None), Status.CONVERGED)
    assert solver.cost == pytest.approx(x0 @ exact @ x0 / 2, rel=1e-9)  # type: ignore[attr-defined]
    assert trajectory(solver, Status.CONVERGED).us == pytest.approx(long.us[:nodes], abs=1e-7)


def test_labels_are_those_of_the_value_at_every_node(
    discounted: Discounted, linear: LinearTask, exact: np.ndarray
) -> None:
    goal = discounted.sample_goal(np.random.default_rng(0))
    solver = solved(discounted, np.array([0.8, 0.6]), 12, RiccatiValue())
    found = read_labels(discounted, goal, solver, NODES).columns
    for x, V, Vx, Vxx, C in zip(*(found[name] for name in ("x", "V", "Vx", "Vxx", "C")), strict=True):
        assert pytest.approx(x @ exact @ x / 2, rel=1e-9) == V
        assert Vx == pytest.approx(exact @ x, rel=1e-7)
        assert Vxx == pytest.approx(exact, rel=1e-6)  # the solver adds 1e-9 to a Q_uu of 0.02
        # A gradient error e turns Q_u = l_u + gamma B'V_x by gamma B'e, at a price of 1/2 e_u' Q_uu^-1 e_u.
        Quu = linear.R + GAMMA * linear.B.T @ exact @ linear.B
        assert pytest.approx(GAMMA**2 * linear.B @ np.linalg.solve(Quu, linear.B.T), rel=1e-6) == C.T @ C


def test_mpc_ends_in_the_discounted_optimum(discounted: Discounted, linear: LinearTask, exact: np.ndarray) -> None:
    """One node with the exact value follows the optimal policy: the cost of its loop is the value."""
    goal, x = discounted.sample_goal(np.random.default_rng(0)), np.array([0.5, 0.9])
    mpc = MPC(discounted, goal, RiccatiValue(), MpcSettings(nodes=1))
    expected, cost = x @ exact @ x / 2, 0.0
    for k in range(300):
        u = mpc.plan(x, discounted.dt).torque(0.0, x)
        cost += GAMMA**k * (x @ linear.Q @ x + u @ linear.R @ u) / 2
        x = linear.A @ x + linear.B @ u
    assert cost == pytest.approx(expected, rel=1e-9)


def test_discount_near_one_is_the_task_without(linear: LinearTask) -> None:
    almost = Discounted(linear, 1 - 1e-9)
    x, u = np.zeros(2), np.zeros(1)
    root = riccati_root(linear.running_model(linear.origin), x, u)
    assert almost.sample_goal(np.random.default_rng(0)).root == pytest.approx(root, rel=1e-6)


def test_native_nodes_keep_bounds_equilibrium_and_goal(task: ReachTask, goals: list[Goal]) -> None:
    """An arm's node inside: torque bounds stay hard, the quasi-static guess is there, retargeting reaches every node."""
    arm = Discounted(task, 0.99)
    problem = build_problem(arm, goals[0], goals[0].x, 5, None)
    plain = build_problem(task, goals[0], goals[0].x, 5, None)
    us = quasi_static_guess(problem, goals[0].u)[1]
    assert np.array(us) == pytest.approx(np.array(quasi_static_guess(plain, goals[0].u)[1]), abs=1e-9)
    assert np.array_equal(problem.runningModels[3].u_ub, task.arm.torque_limit)
    arm.retarget(problem.runningModels[0], goals[1])
    task.retarget(plain.runningModels[0], goals[1])
    states = [goals[0].x] * 6
    weights = 0.99 ** np.arange(5)
    costs = [problem.calc(states, us) and data.cost for data in problem.runningDatas]
    expected = [plain.calc(states, us) and data.cost for data in plain.runningDatas]
    assert np.array(costs) == pytest.approx(weights * np.array(expected), rel=1e-12)


def test_two_discounts_are_two_problems(linear: LinearTask) -> None:
    assert len({linear.digest, Discounted(linear, 0.9).digest, Discounted(linear, 0.95).digest}) == 3
    assert (discount_of(linear), discount_of(Discounted(linear, 0.9))) == (1.0, 0.9)
    for wrong in (0.0, 1.0, 1.5):
        with pytest.raises(BadSetting, match="discount"):
            Discounted(linear, wrong)
