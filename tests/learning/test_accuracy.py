"""assess: a value that is wrong by a known amount."""

import numpy as np
import pytest

from dvp_mpc.learning.accuracy import assess
from dvp_mpc.learning.labels import Labels, from_solved, read_labels
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import make_solver, quasi_static_guess, solve
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.value import BoundValue, GoalFrame, RiccatiValue


@pytest.fixture(scope="module")
def truth(linear: LinearTask) -> Labels:
    goal, rng, solved = linear.origin, np.random.default_rng(81), []
    for _ in range(5):
        problem = build_problem(linear, goal, rng.uniform(-1, 1, 2), 10, RiccatiValue())
        solver = make_solver(problem)
        solve(solver, *quasi_static_guess(problem, goal.u), iterations=20)
        solved.append(read_labels(linear, goal, solver, np.array([0, 3])))
    return from_solved(solved)


class Scaled:
    """factor times the true value, plus a constant."""

    def __init__(self, factor: float, constant: float = 0.0):
        self.factor, self.constant = factor, constant

    def at(self, goal: GoalFrame) -> BoundValue:
        self.exact = RiccatiValue().at(goal)
        return self

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        return self.factor * self.exact.cost(x, t) + self.constant

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        Vx, Vxx = self.exact.derivatives(x, t, Jt)
        return self.factor * Vx, self.factor * Vxx


def test_true_value(truth: Labels) -> None:
    found = assess(RiccatiValue(), truth)
    assert found[:3] == pytest.approx((0, 0, 0), abs=1e-6)  # labels are float32
    assert (found.psd_share, found.goal_value) == (1, 0)


def test_value_that_is_ten_percent_high(truth: Labels) -> None:
    found = assess(Scaled(1.1), truth)
    assert found.rel_error_median == pytest.approx(0.1, rel=1e-4)  # labels are float32
    assert found.gradient_error_median == pytest.approx(0.1, rel=1e-4)
    lost = [np.sum((C @ (0.1 * Vx)) ** 2) / (V + 0.01) for C, Vx, V in zip(truth.C, truth.Vx, truth.V, strict=True)]
    assert found.policy_gradient_error == pytest.approx(np.mean(lost), rel=1e-4)


def test_value_upside_down(truth: Labels) -> None:
    found = assess(Scaled(-1.0, constant=0.3), truth)
    assert found.psd_share == 0
    assert found.goal_value == pytest.approx(0.3, rel=1e-12)
