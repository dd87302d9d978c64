"""Labels: gradients, curvatures and the policy metric that a solved problem gives."""

import numpy as np
import pytest

from dvp_mpc import native
from dvp_mpc.learning.labels import Labels, Solved, concatenate, from_solved, read_labels
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.solver import Status, last_step, make_solver, quasi_static_guess, solve
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal, Task, sample_starts
from dvp_mpc.value import RiccatiValue

HORIZON = 15
NODES = np.array([0, 1, 4, 9])


def solved(task: Task, goal: Goal, x0: np.ndarray, nodes: int) -> object:
    """A solver that has converged as far as numbers go."""
    problem = build_problem(task, goal, x0, nodes, RiccatiValue())
    solver = make_solver(problem, 1e-13)
    assert solve(solver, *quasi_static_guess(problem, goal.u), iterations=200) is Status.CONVERGED
    return solver


@pytest.fixture(scope="module")
def start(task: ReachTask) -> np.ndarray:
    return sample_starts(task, np.random.default_rng(41), 1)[0]


@pytest.fixture(scope="module")
def reach(task: ReachTask, goal: Goal, start: np.ndarray) -> Solved:
    return read_labels(task, goal, solved(task, goal, start, HORIZON), NODES)


def test_value_is_the_cost_to_go(task: ReachTask, goal: Goal, reach: Solved) -> None:
    for k, node in enumerate(NODES):
        tail = solved(task, goal, reach.columns["x"][k], HORIZON - node)
        assert reach.columns["V"][k] == pytest.approx(tail.cost, rel=1e-9)  # type: ignore[attr-defined]


@pytest.mark.parametrize("saturated", [False, True])
def test_gradient_is_that_of_solving_again(task: ReachTask, goal: Goal, start: np.ndarray, saturated: bool) -> None:
    x0 = (  # at 0.95 the barrier begins, and there V has no third derivative
        np.concatenate([task.arm.home, 0.9 * task.arm.velocity_limit]) if saturated else goal.x + 0.1 * (start - goal.x)
    )
    solver, step = solved(task, goal, x0, HORIZON), 1e-4
    at_bound = np.abs(np.array(solver.us.tolist())) > task.arm.torque_limit - 1e-6  # type: ignore[attr-defined]
    assert at_bound.any() == saturated
    columns = read_labels(task, goal, solver, np.array([0, 4])).columns
    for x, Vx, nodes in zip(columns["x"], columns["Vx"], (HORIZON, HORIZON - 4), strict=True):
        both = [
            [solved(task, goal, x + side * step * e, nodes).cost for e in np.eye(task.nx)]  # type: ignore[attr-defined]
            for side in (1, -1)
        ]
        numeric = (np.array(both[0]) - both[1]) / (2 * step)
        # Central differences of V: its third derivative times 1e-8, and solves that stop within 1e-13.
        assert numeric == pytest.approx(Vx, abs=1e-6 * np.abs(Vx).max())


def test_labels_belong_to_the_trajectory_they_are_read_from(task: ReachTask, goal: Goal, start: np.ndarray) -> None:
    """The last backward pass of a solve was made before its last step; after a coarse solve the difference shows."""
    problem = build_problem(task, goal, start, HORIZON, RiccatiValue())
    solver = make_solver(problem, 1e-2)
    solve(solver, *quasi_static_guess(problem, goal.u), iterations=3)
    last = np.array([HORIZON])
    stale = np.array(solver.Vx[HORIZON])
    columns = read_labels(task, goal, solver, last).columns
    x, bound = np.array(solver.xs[HORIZON]), RiccatiValue().at(goal.frame)
    gradient, _ = bound.derivatives(x, *task.tool_jacobian(x))
    assert not np.allclose(stale, gradient, rtol=1e-6)
    assert columns["Vx"][0] == pytest.approx(gradient, rel=1e-12, abs=1e-12)
    assert columns["V"][0] == bound.cost(x, task.tool(x))


@pytest.mark.skipif(native.load()[0] is None, reason="Crocoddyl's own solver does not say what its last step was")
def test_labels_without_another_backward_pass(task: ReachTask, goal: Goal) -> None:
    """What the gradients then lack costs a one-step policy a tenth of the 1e-4 of V that a fitted one does, at most."""
    nodes, lost = np.array([1, 4, 9]), {"carried": [], "stale": []}
    for start in sample_starts(task, np.random.default_rng(43), 10):
        problem = build_problem(task, goal, start, HORIZON, RiccatiValue())
        solver = make_solver(problem, 1e-3)  # the coarsest of the presets
        assert solve(solver, *quasi_static_guess(problem, goal.u), iterations=100) is Status.CONVERGED
        stale = np.array(solver.Vx.tolist())[nodes]
        carried = read_labels(task, goal, solver, nodes).columns
        passed = read_labels(task, goal, solver, np.append(nodes, HORIZON)).columns  # the last node asks for the pass
        truth, C = passed["Vx"][:3], passed["C"][:3]
        assert np.array_equal(carried["x"], passed["x"][:3])
        assert carried["V"] == pytest.approx(passed["V"][:3], rel=1e-12)
        for kind, Vx in (("carried", carried["Vx"]), ("stale", stale)):
            lost[kind] += list(((C @ (Vx - truth)[:, :, None]) ** 2).sum(axis=(1, 2)) / 2 / carried["V"])
    assert max(lost["carried"]) < 1e-5
    assert np.median(lost["carried"]) < np.median(lost["stale"]) / 10


@pytest.mark.skipif(native.load()[0] is None, reason="Crocoddyl's own solver does not say what its last step was")
def test_a_step_that_was_refused_is_not_the_last(task: ReachTask, goal: Goal, start: np.ndarray) -> None:
    problem = build_problem(task, goal, start, HORIZON, RiccatiValue())
    solver = make_solver(problem)
    solve(solver, *quasi_static_guess(problem, goal.u), iterations=3)
    assert last_step(solver) is not None
    solver.tryStep(0.5)  # tried, and not taken
    assert last_step(solver) is None


def test_tool_columns(task: ReachTask, reach: Solved) -> None:
    for x, t, Jt in zip(*(reach.columns[name] for name in ("x", "t", "Jt")), strict=True):
        assert np.array_equal(t, task.tool(x))
        assert np.array_equal(Jt, task.tool_jacobian(x)[1])


def test_labels_of_the_linear_task_are_the_riccati_solution(linear: LinearTask) -> None:
    goal, x0 = linear.origin, np.array([0.8, -0.5])
    columns = read_labels(linear, goal, solved(linear, goal, x0, 10), np.arange(10)).columns
    P = 2 * goal.root @ goal.root.T
    for x, V, Vx, Vxx in zip(*(columns[name] for name in ("x", "V", "Vx", "Vxx")), strict=True):
        # The solver adds 1e-9 to Q_uu, which is of order 0.03.
        assert Vxx == pytest.approx(P, rel=1e-6)
        assert Vx == pytest.approx(P @ x, rel=1e-6, abs=1e-9)
        assert pytest.approx(x @ P @ x / 2, rel=1e-6, abs=1e-12) == V


def test_policy_metric_is_the_cost_of_a_wrong_gradient(linear: LinearTask) -> None:
    """A one-step policy that believes in V_x + e loses ||C e||^2 / 2, exactly so for the linear task."""
    goal = linear.origin
    columns = read_labels(linear, goal, solved(linear, goal, np.array([0.8, -0.5]), 10), np.array([1, 3])).columns
    P, rng = 2 * goal.root @ goal.root.T, np.random.default_rng(42)
    A, B, Q, R = linear.A, linear.B, linear.Q, linear.R

    def total(x: np.ndarray, u: np.ndarray) -> float:
        after = A @ x + B @ u
        return float(x @ Q @ x + u @ R @ u + after @ P @ after) / 2

    before = read_labels(linear, goal, solved(linear, goal, np.array([0.8, -0.5]), 10), np.array([0, 2])).columns["x"]
    for x, C in zip(before, columns["C"], strict=True):
        e = rng.standard_normal(2)
        best = -np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A @ x)
        misled = -np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A @ x + B.T @ e)
        lost = total(x, misled) - total(x, best)
        assert lost > 1e-4  # there is something to measure
        assert np.sum((C @ e) ** 2) / 2 == pytest.approx(lost, rel=1e-6)  # regularisation of 1e-9, as above


def test_saturated_controls_do_not_count_in_the_policy_metric(task: ReachTask, goal: Goal) -> None:
    """A joint whose torque is at its bound does not move for a small gradient error."""
    x0 = np.concatenate([task.arm.home, 0.9 * task.arm.velocity_limit])
    solver = solved(task, goal, x0, HORIZON)
    us = np.array(solver.us.tolist())  # type: ignore[attr-defined]
    columns = read_labels(task, goal, solver, np.arange(1, HORIZON)).columns
    bound = np.abs(us[: HORIZON - 1]) > task.arm.torque_limit - 1e-6
    assert bound.any()
    assert not bound.all()
    assert np.array_equal(~columns["C"].any(axis=2), bound)


def test_labels_are_copies(task: ReachTask, goal: Goal, start: np.ndarray) -> None:
    solver = solved(task, goal, start, HORIZON)
    first = read_labels(task, goal, solver, NODES)
    kept = {name: column.copy() for name, column in first.columns.items()}
    solver.problem.x0 = goal.x  # type: ignore[attr-defined]
    solve(solver, *quasi_static_guess(solver.problem, goal.u), iterations=30)  # type: ignore[attr-defined]
    read_labels(task, goal, solver, NODES)
    assert all(np.array_equal(first.columns[name], kept[name]) for name in kept)


def test_putting_labels_together(task: ReachTask, goals: list[Goal], start: np.ndarray) -> None:
    parts = [
        read_labels(task, goal, solved(task, goal, start, HORIZON), NODES[: 2 + k]) for k, goal in enumerate(goals)
    ]
    together = concatenate([from_solved(parts[:1]), from_solved(parts[1:])])
    assert len(together) == 2 + 3 + 4
    assert together.goal.tolist() == [0] * 2 + [1] * 3 + [2] * 4
    row = 0
    for part, goal in zip(parts, goals, strict=True):
        for k in range(len(part.columns["V"])):
            frame = together.frame(row)
            for mine, other in zip(frame, goal.frame, strict=True):
                assert np.array_equal(mine, other.astype(np.float32))
            assert together.V[row] == np.float32(part.columns["V"][k])
            row += 1
    picked = together.rows(np.array([8, 2]))
    assert picked.V.tolist() == [together.V[8], together.V[2]]
    assert np.array_equal(picked.frame(0).x, together.frame(8).x)
    assert {array.dtype for name, array in together.arrays().items() if name != "goal"} == {np.dtype(np.float32)}
    assert isinstance(together, Labels)
