"""The compiled terminal node is the Python one, the box QP finds its minimum; and what is said where they are missing."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import crocoddyl
import numpy as np
import pytest

from dvp_mpc import native
from dvp_mpc.native.__main__ import main
from dvp_mpc.problem.ocp import build_problem, retarget
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.solver import make_solver, quasi_static_guess, solve, trajectory
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.problem.terminal import CompiledValueNode, ValueNode, value_node
from dvp_mpc.value import Kind, RiccatiValue, Value

compiled, WHY_NOT = native.load()
needs_it = pytest.mark.skipif(compiled is None, reason=WHY_NOT)

LAYOUTS = {
    "usual": {},
    "one layer": {"hidden": (19,)},
    "odd sizes": {"hidden": (7, 1, 13), "nr": 15},
    "no Riccati core": {"riccati": False, "nr": 3},
    "no barrier": {"barrier": False},
    "no anchor": {"anchor": False},
    "angles": {"angles": 7},
}


def states(task: ReachTask, n: int) -> np.ndarray:
    """Random states, half of them with some joints or speeds beyond the soft limits."""
    rng = np.random.default_rng(5)
    x = sample_starts(task, rng, n)
    lower, upper = task.state_limits
    for row in x[::2]:
        k = rng.choice(task.nx, 3, replace=False)
        row[k] = np.where(rng.random(3) < 0.5, lower[k] - 0.3 * rng.random(3), upper[k] + 0.3 * rng.random(3))
    return x


def outcome(node: crocoddyl.ActionModelAbstract, x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    data = node.createData()
    node.calc(data, x)
    node.calcDiff(data, x)
    return data.cost, np.array(data.Lx), np.array(data.Lxx)


@needs_it
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_results_are_those_of_the_python_node(
    layout: dict, task: ReachTask, goals: list[Goal], make_value: Callable[..., Value]
) -> None:
    value = make_value(3, **layout)
    for goal in goals:
        ours, theirs = CompiledValueNode(task, goal, value), ValueNode(task, goal, value)
        for x in states(task, 40):
            for a, b in zip(outcome(ours, x), outcome(theirs, x), strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * np.abs(b).max())


@needs_it
def test_derivatives_at_another_state_than_the_last_cost(task: ReachTask, goals: list[Goal], value: Value) -> None:
    """As after a line search that was turned down, and after a change of goal between the two calls."""
    node, (x, y) = CompiledValueNode(task, goals[0], value), states(task, 2)
    data = node.createData()
    node.calc(data, y)
    node.calcDiff(data, x)
    np.testing.assert_array_equal(data.Lxx, outcome(node, x)[2])
    node.retarget(goals[1])
    node.calcDiff(data, x)
    np.testing.assert_array_equal(data.Lx, outcome(CompiledValueNode(task, goals[1], value), x)[1])


@needs_it
def test_one_node_serves_several_threads(task: ReachTask, goal: Goal, value: Value) -> None:
    node, points = CompiledValueNode(task, goal, value), states(task, 200)
    alone = [outcome(node, x)[0] for x in points]
    with ThreadPoolExecutor(4) as pool:
        assert [cost for cost, *_ in pool.map(lambda x: outcome(node, x), points)] == alone


@needs_it
def test_not_a_number_stays_visible(task: ReachTask, goal: Goal, value: Value) -> None:
    x = states(task, 2)[1]
    x[3] = np.nan
    cost, Lx, Lxx = outcome(CompiledValueNode(task, goal, value), x)
    assert np.isnan(cost)
    assert np.isnan(Lx).all()
    assert np.isnan(Lxx).any()


@needs_it
def test_a_solve_ends_where_it_ends_with_the_python_node(
    task: ReachTask, goals: list[Goal], value: Value, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for _ in range(2):
        problem = build_problem(task, goals[0], states(task, 2)[1], 5, value)
        retarget(problem, task, goals[1])
        solver = make_solver(problem)
        status = solve(solver, *quasi_static_guess(problem, goals[1].u), iterations=5)
        found.append((type(problem.terminalModel), trajectory(solver, status)))
        monkeypatch.setattr("dvp_mpc.problem.terminal._compiled", None)
    (first, ours), (second, theirs) = found
    assert (first, second) == (CompiledValueNode, ValueNode)
    assert (ours.status, ours.iterations) == (theirs.status, theirs.iterations)
    for name in ("xs", "us", "gains"):
        a, b = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * np.abs(b).max())


@needs_it
def test_arrays_of_a_wrong_size_are_refused(task: ReachTask, goal: Goal, value: Value) -> None:
    node, arrays = CompiledValueNode(task, goal, value), value.at(goal.frame).arrays()  # type: ignore[attr-defined]
    for name, array in arrays.items():
        with pytest.raises(ValueError, match="do not fit each other"):
            node.bind(arrays | {name: array[:-1]})
    node.bind(arrays)
    with pytest.raises(ValueError, match="another size"):
        node.calc(node.createData(), np.zeros(task.nx - 1))


@needs_it
def test_products_of_every_kind_of_processor() -> None:
    rng = np.random.default_rng(6)
    assert "plain" in compiled.kinds()
    for kind, rows, inner in itertools.product(compiled.kinds(), (1, 2, 7, 8, 9, 24), (1, 3, 8, 13, 128)):
        W, B = rng.standard_normal((rows, inner)), rng.standard_normal((inner, 16))
        c, x, slope = (rng.standard_normal(n) for n in (rows, inner, rows))
        for s in (slope, np.zeros(0)):
            y, C = compiled.products(kind, W, c, x, B, s)
            np.testing.assert_allclose(np.ravel(y), W @ x + c, rtol=0, atol=1e-13 * inner)
            whole = (s[:, None] if len(s) else 1.0) * (W @ B)
            np.testing.assert_allclose(np.reshape(C, whole.shape), whole, rtol=0, atol=1e-13 * inner)


@needs_it
def test_who_gets_the_compiled_node(task: ReachTask, goal: Goal, make_value: Callable[..., Value]) -> None:
    assert isinstance(value_node(task, goal, make_value()), CompiledValueNode)
    assert isinstance(value_node(task, goal, make_value(kind=Kind.FEEDFORWARD)), ValueNode)
    assert isinstance(value_node(task, goal, RiccatiValue()), ValueNode)


@pytest.mark.parametrize("file", ["absent", "garbage"])
def test_without_it_the_python_node_serves(file: str, tmp_path: Path) -> None:
    path = tmp_path / "node.so"
    if file == "garbage":
        path.write_text("nothing that a linker made")
    code = f"""
import pathlib
from dvp_mpc import native
native.binary = lambda: pathlib.Path({str(path)!r})
print(native.load()[1])
from dvp_mpc.models import load_model
from dvp_mpc.problem.terminal import value_node
task, value, _ = load_model("panda_reach")
print(type(value_node(task, task.goal([0.5, 0.1, 0.4]), value)).__name__)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert ("python -m dvp_mpc.native builds it" if file == "absent" else "does not load") in said[0]
    assert said[1] == "ValueNode"


@pytest.mark.parametrize(
    ("compiler", "words"), [("no-such-compiler", "no C++ compiler"), ("false", "false failed")], ids=["none", "broken"]
)
def test_build_that_fails_says_why_in_one_place(
    compiler: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setattr("dvp_mpc.native.__main__.binary", lambda: tmp_path / "node.so")
    assert main() == 1
    said = capsys.readouterr()
    assert words in said.err
    assert "ticks will be slower" in said.err
    assert not os.listdir(tmp_path)


def box_qps(n: int) -> Iterator[tuple[np.ndarray, ...]]:
    """H, g, lower, upper of problems as ill-conditioned as an arm's at its speed limits, zero within bounds, often on one."""
    rng = np.random.default_rng(7)
    for _ in range(n):
        basis = np.linalg.qr(rng.standard_normal((7, 7)))[0]
        H = (basis * 10 ** rng.uniform(-4, 0, 7)) @ basis.T
        g = rng.standard_normal(7) * 10 ** rng.uniform(-3, 0)
        lower, upper = -(10 ** rng.uniform(-2, 2, 7)), 10 ** rng.uniform(-2, 2, 7)
        lower[rng.random(7) < 0.3] = 0.0
        upper[(rng.random(7) < 0.3) & (lower < 0)] = 0.0
        yield (H + H.T) / 2, g, lower, upper


@needs_it
def test_the_box_qp_finds_its_minimum() -> None:
    """Karush, Kuhn and Tucker: no slope where a control is free, none inward where it is at a bound."""
    bound_in_all = 0
    for H, g, lower, upper in box_qps(2000):
        x, bound = compiled.box_minimum(H, g, lower, upper)
        slope, zero = g + H @ x, 1e-9 * np.abs(g).max()
        assert ((lower <= x) & (x <= upper)).all()
        for i, at_bound in enumerate(bound):
            bound_in_all += at_bound
            if at_bound:
                assert (x[i] == lower[i] and slope[i] >= -zero) or (x[i] == upper[i] and slope[i] <= zero)
            else:
                assert abs(slope[i]) <= zero
    assert 0.2 < bound_in_all / (2000 * 7) < 0.9


def test_crocoddyls_does_not() -> None:
    """Why there is one of ours: when this fails, Crocoddyl's may serve again."""
    misses = 0
    for H, g, lower, upper in box_qps(2000):
        x = np.array(crocoddyl.BoxQP(7, 100, 0.1, 1e-5, 0.0).solve(H, g, lower, upper, np.zeros(7)).x)
        misses += x @ H @ x / 2 + g @ x > 0  # more than at zero, where it began
    assert misses > 0


@needs_it
def test_a_box_without_room_and_a_hessian_that_is_none() -> None:
    bound = np.array([0.5, -0.5])
    x, at_bound = compiled.box_minimum(np.eye(2), np.array([-1.0, -1.0]), bound, bound)
    np.testing.assert_array_equal(x, bound)
    assert all(at_bound)
    with pytest.raises(ValueError, match="positive definite"):
        compiled.box_minimum(-np.eye(2), np.ones(2), -np.ones(2), np.ones(2))


@needs_it
def test_a_step_to_a_bound_promises_what_it_makes(linear: LinearTask) -> None:
    """One node, all linear: the first step is the solution, V_x its slope. Crocoddyl leaves out the control at its bound."""
    goal, x0 = linear.origin, np.array([0.9, 0.7])
    problem = build_problem(linear, goal, x0, 1, RiccatiValue())
    node = problem.runningModels[0]
    free = make_solver(problem)
    solve(free, [x0] * 2, [np.zeros(1)], iterations=5)
    half = abs(float(free.us[0][0])) / 2
    node.u_lb, node.u_ub = np.array([-half]), np.array([half])
    solver = make_solver(problem)
    rolled = [x0, linear.A @ x0]
    solve(solver, rolled, [np.zeros(1)], iterations=1, feasible=True)
    assert abs(float(solver.us[0][0])) == pytest.approx(half)
    assert solver.stop == pytest.approx(solver.dV, rel=1e-6)  # the solver regularises with 1e-9
    u, P = np.array(solver.us[0]), 2 * goal.frame.root @ goal.frame.root.T
    slope = linear.Q @ x0 + linear.A.T @ P @ (linear.A @ x0 + linear.B @ u)
    np.testing.assert_allclose(solver.Vx[0], slope, rtol=1e-6)
