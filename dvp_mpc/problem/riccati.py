"""The value near the goal, exactly: the discrete Riccati equation of the running model linearised at the equilibrium.

    l ~ 1/2 [dx; du]' [Q N; N' R] [dx; du],   dx+ = A dx + B du   =>   V ~ 1/2 dx' P dx = ||L' dx||^2,   L L' = P / 2

With a discount gamma, V = l + gamma V+ is the equation of sqrt(gamma) A and sqrt(gamma) B without one.

No learning at all, a millisecond per goal: the baseline that a learned value has to beat, and the core it is built around.
"""

import crocoddyl
import numpy as np
import scipy.linalg


def riccati_root(
    model: crocoddyl.ActionModelAbstract, x: np.ndarray, u: np.ndarray, discount: float = 1.0
) -> np.ndarray:
    """Cholesky factor L (nx, nx) with V(x + dx) ~ ||L' dx||^2 for the equilibrium (x, u) of a running model."""
    data = model.createData()
    model.calc(data, x, u)
    model.calcDiff(data, x, u)
    B, N = (np.reshape(matrix, (len(x), len(u))) for matrix in (data.Fu, data.Lxu))  # flat when there is one control
    scale = np.sqrt(discount)
    P = scipy.linalg.solve_discrete_are(
        scale * data.Fx, scale * B, data.Lxx, np.reshape(data.Luu, (len(u), len(u))), s=N
    )
    return np.linalg.cholesky((P + P.T) / 4)
