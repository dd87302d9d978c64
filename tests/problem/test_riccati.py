"""The discrete Riccati equation: against SciPy, and where it has no solution."""

import numpy as np
import pytest
import scipy.linalg

from dvp_mpc.presets import PRESETS
from dvp_mpc.problem.riccati import riccati_solution


@pytest.mark.parametrize("preset", ["panda_reach", "panda_workspace", "xarm7_workspace", "iiwa_workspace"])
def test_scipy_finds_the_same(preset: str) -> None:
    task, rng = PRESETS[preset].task(), np.random.default_rng(71)
    for _ in range(5):
        goal = task.sample_goal(rng)
        model = task.running_model(goal)
        data = model.createData()
        model.calc(data, goal.x, goal.u)
        model.calcDiff(data, goal.x, goal.u)
        A, B, Q, R, N = data.Fx, data.Fu, data.Lxx, data.Luu, data.Lxu
        P = riccati_solution(A, B, Q, R, N)
        theirs = scipy.linalg.solve_discrete_are(A, B, Q, R, s=N)
        assert np.abs(P - theirs).max() < 1e-11 * np.abs(theirs).max()
        assert residual(P, A, B, Q, R, N) < 1e-13


def test_random_systems_with_a_cross_term() -> None:
    rng = np.random.default_rng(72)
    for _ in range(20):
        nx, nu = int(rng.integers(1, 9)), int(rng.integers(1, 4))
        A, B = rng.standard_normal((nx, nx)), rng.standard_normal((nx, nu))
        root = rng.standard_normal((nx + nu, nx + nu))
        cost = root @ root.T + 0.1 * np.eye(nx + nu)
        Q, R, N = cost[:nx, :nx], cost[nx:, nx:], cost[:nx, nx:]
        P = riccati_solution(A, B, Q, R, N)
        assert residual(P, A, B, Q, R, N) < 1e-9
        K = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A + N.T)
        assert np.abs(np.linalg.eigvals(A - B @ K)).max() < 1


@pytest.mark.parametrize("pole", [1.0, 1.2, 3.0])
def test_what_no_control_holds_has_no_solution(pole: float) -> None:
    A, B = np.diag([pole, 0.5]), np.array([[0.0], [1.0]])
    with pytest.raises(np.linalg.LinAlgError):
        riccati_solution(A, B, np.eye(2), np.eye(1), np.zeros((2, 1)))


def residual(P: np.ndarray, A: np.ndarray, B: np.ndarray, Q: np.ndarray, R: np.ndarray, N: np.ndarray) -> float:
    """By how much P misses the equation, as a share of its largest entry."""
    K = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A + N.T)
    return float(np.abs(Q + A.T @ P @ A - (A.T @ P @ B + N) @ K - P).max() / np.abs(P).max())
