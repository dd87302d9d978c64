"""The value near the goal, exactly: the discrete Riccati equation of the running model linearised at the equilibrium.

    l ~ 1/2 [dx; du]' [Q N; N' R] [dx; du],   dx+ = A dx + B du   =>   V ~ 1/2 dx' P dx = ||L' dx||^2,   L L' = P / 2

With a discount gamma, V = l + gamma V+ is the equation of sqrt(gamma) A and sqrt(gamma) B without one.

No learning at all, a millisecond per goal: the baseline that a learned value has to beat, and the core it is built around.
"""

import crocoddyl
import numpy as np

DOUBLINGS = 50  # an arm's equation takes ten; 2^50 steps of a hundredth of a second are half a million years


def riccati_root(
    model: crocoddyl.ActionModelAbstract, x: np.ndarray, u: np.ndarray, discount: float = 1.0
) -> np.ndarray:
    """Cholesky factor L (nx, nx) with V(x + dx) ~ ||L' dx||^2 for the equilibrium (x, u) of a running model.

    Raises LinAlgError where the equation has no solution, because no control holds the state.
    """
    data = model.createData()
    model.calc(data, x, u)
    model.calcDiff(data, x, u)
    B, N = (np.reshape(matrix, (len(x), len(u))) for matrix in (data.Fu, data.Lxu))  # flat when there is one control
    scale = np.sqrt(discount)
    P = riccati_solution(scale * data.Fx, scale * B, data.Lxx, np.reshape(data.Luu, (len(u), len(u))), N)
    return np.linalg.cholesky((P + P.T) / 4)


def riccati_solution(A: np.ndarray, B: np.ndarray, Q: np.ndarray, R: np.ndarray, N: np.ndarray) -> np.ndarray:
    """P (nx, nx) = Q + A' P A - (A' P B + N) (R + B' P B)^-1 (B' P A + N'), the stabilising solution.

    By doubling (Chu, Fan, Lin & Wang, Int. J. Control 77, 2004): each step makes the value of 2k nodes out of that of k. A goal
    is drawn for one problem or a few, and SciPy's solver, by eigenvalues, takes two to four times as long (tests/problem/
    test_riccati.py holds one against the other). Raises LinAlgError where there is none.
    """
    n, eye = len(A), np.eye(len(A))
    R_inv = np.linalg.solve(R, np.hstack([B.T, N.T]))
    A, G, H = A - B @ R_inv[:, n:], B @ R_inv[:, :n], Q - N @ R_inv[:, n:]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(DOUBLINGS):
            W = np.linalg.solve(eye + G @ H, np.hstack([A, G]))
            step = A.T @ H @ W[:, :n]
            A, G, H = A @ W[:, :n], G + A @ W[:, n:] @ A.T, H + step
            largest = np.abs(H).max()
            if not np.isfinite(largest):
                break
            if np.abs(step).max() <= 1e-15 * largest:
                return H
    raise np.linalg.LinAlgError("the Riccati equation has no stabilising solution: its value grows with every step")
