"""evaluate, where the answer is known: the linear problem, whose exact value is the Riccati one."""

import os
from dataclasses import replace

import numpy as np
import pytest

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.errors import BadSetting, RunFailed
from dvp_mpc.models import load_model
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.studies.evaluation import EVALUATION, _spread, close_loop, closed_loops, evaluate, make_case, run_loop
from dvp_mpc.value import GoalFrame, RiccatiValue


class Repelling:
    """A terminal cost that is least far away: it drives the state off."""

    def at(self, goal: GoalFrame) -> "Repelling":
        return self

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        return float(1e4 - 50 * x @ x)

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -100 * x, 1e-6 * np.eye(len(x))


def test_exact_value_loses_nothing_and_zero_terminal_does(linear: LinearTask) -> None:
    for outcomes in closed_loops(linear, RiccatiValue(), (1, 3), starts=3, seed=4, jobs=1):
        for n in (1, 3):
            assert outcomes[n, "value"].suboptimality == pytest.approx(0, abs=1e-9)
            assert outcomes[n, "value"].suboptimality == outcomes[n, "riccati"].suboptimality
            assert outcomes[n, "zero"].suboptimality > 0.1


def test_optimum_is_the_infinite_horizon_one(linear: LinearTask) -> None:
    case = make_case(linear, 4, 0)
    exact = RiccatiValue().at(case.goal.frame).cost(case.x0, np.zeros(0))
    assert case.optimum == pytest.approx(exact, rel=1e-9)


def test_an_optimum_that_the_first_guess_does_not_lead_to_is_found_by_way_of_a_shorter_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Crocoddyl's solver: with our box QP the first guess leads there too.
    monkeypatch.setattr("dvp_mpc.problem.solver._compiled", None)
    task, value, _ = load_model("panda_workspace")
    task = replace(task, weights=replace(task.weights, limits=1000.0, limit_margin=0.02))  # where it was met
    case = make_case(task, 2026, 109)
    problem = build_problem(task, case.goal, case.x0, 400, RiccatiValue())
    solver = make_solver(problem)
    assert solve(solver, *quasi_static_guess(problem, case.goal.u), iterations=500) is not Status.CONVERGED
    loop = run_loop(task, case.goal, case.x0, value, MpcSettings(10), 400)
    assert solve(solver, loop.xs, loop.us, iterations=500) is Status.CONVERGED
    assert case.optimum == pytest.approx(solver.cost, rel=1e-6)


def test_a_diverged_start_counts_as_infinite_and_is_never_dropped(linear: LinearTask) -> None:
    outcome = close_loop(linear, make_case(linear, 4, 0), Repelling(), MpcSettings(1))
    assert outcome.suboptimality == np.inf
    report = evaluate(linear, Repelling(), (1,), starts=2, seed=4, states=2, jobs=1)
    row = next(row for row in report["rows"] if row["terminal"] == "value")
    assert row["diverged"] == 2
    assert row["suboptimality"] == {"min": None, "median": None, "p95": None, "max": None}


def test_a_worker_that_dies_ends_the_evaluation_in_one_line(linear: LinearTask) -> None:
    class Dying(LinearTask):  # local, so that it pickles by value
        def sample_goal(self, rng: np.random.Generator) -> Goal:
            os._exit(9)

    dying = Dying(linear.A, linear.B, linear.Q, linear.R, linear.dt)
    with pytest.raises(RunFailed, match="a worker process died after 0 of 3 closed loops"):
        closed_loops(dying, RiccatiValue(), (1,), starts=3, seed=4, jobs=2)


def test_percentiles_lean_to_the_bad_side() -> None:
    assert _spread(np.array([0.0, 1.0, 2.0, np.inf]), median=50, p95=95) == {"median": 2.0, "p95": None}


def test_seeds_of_evaluation_are_none_of_training() -> None:
    dvp = pytest.importorskip("dvp_mpc.learning.dvp")
    assert EVALUATION not in (dvp.TRAINING, dvp.VALIDATION, dvp.FITTING)


@pytest.mark.parametrize(
    ("nodes", "starts", "states", "jobs", "field"),
    [((), 1, 1, 1, "nodes"), ((0,), 1, 1, 1, "nodes"), ((1,), 0, 1, 1, "starts"), ((1,), 1, 1, 0, "jobs")],
)
def test_settings_are_refused_by_name(
    linear: LinearTask, nodes: tuple[int, ...], starts: int, states: int, jobs: int, field: str
) -> None:
    with pytest.raises(BadSetting, match=field):
        evaluate(linear, RiccatiValue(), nodes, starts, 0, states, jobs)
