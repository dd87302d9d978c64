"""What of labels training looks at: the network's inputs, and roots of their Hessians. No torch."""

import numpy as np

from dvp_mpc.learning.labels import Labels
from dvp_mpc.value import Layout, turn


def inputs(layout: Layout, labels: Labels, limits: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """z of value.py before scaling: (n, nz)."""
    g, at = labels.goal, layout.blocks
    dx = labels.x - labels.goal_x[g]
    z = np.zeros((len(labels), layout.nz), np.float32)
    z[:, at["dx"]], z[:, at["dt"]], z[:, at["context"]] = dx, labels.t - labels.goal_tool[g], labels.goal_context[g]
    z[:, at["turn"]] = turn(labels.x[:, : layout.angles]) - turn(labels.goal_x[g, : layout.angles])
    if layout.riccati:
        z[:, at["y"]] = np.einsum("nij,ni->nj", labels.goal_root[g], dx)
    if layout.barrier:
        z[:, at["b"]] = np.maximum(labels.x - limits[1], 0) + np.maximum(limits[0] - labels.x, 0)
    return z


def inverse_root(Vxx: np.ndarray) -> np.ndarray:
    """K^-1 with K K' = V_xx (n, nx, nx), a little lifted."""
    jitter = 1e-5 * np.maximum(np.einsum("nii->ni", Vxx), 1e-9)
    try:
        return np.linalg.inv(np.linalg.cholesky(Vxx + jitter[:, None, :] * np.eye(Vxx.shape[1])))
    except np.linalg.LinAlgError:  # labels that end in a feedforward value, whose Hessian may be indefinite
        values, vectors = np.linalg.eigh(Vxx)
        floor = 1e-5 * np.maximum(values[:, -1:], 1e-9)
        return vectors.transpose(0, 2, 1) / np.sqrt(np.maximum(values, floor))[:, :, None]
