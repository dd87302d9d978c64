"""How near a value is to held-out ground truth, in the metric that matters for control."""

from typing import NamedTuple

import numpy as np

from dvp_mpc.learning.labels import Labels
from dvp_mpc.value import ValueFunction

FLOOR = 0.01  # of w = V + floor, as in training


class Accuracy(NamedTuple):
    """Errors of a value on labels."""

    policy_gradient_error: float
    """Mean of ||C e||^2 / (V + 0.01): what gradient errors cost a one-step policy, relative to the value."""
    rel_error_median: float
    """Median of |V_net - V| / V."""
    gradient_error_median: float
    """Median of ||V_x,net - V_x|| / ||V_x||."""
    psd_share: float
    """Share of states at which the Hessian handed to the solver is positive semi-definite."""
    goal_value: float
    """Largest |V(goal)|, which should be 0 exactly."""


def assess(value: ValueFunction, labels: Labels) -> Accuracy:
    """Compare a value with labels, one by one, through the very code that the controller runs."""
    policy, relative, gradient, psd, at_goal = [], [], [], [], []
    last, bound = -1, None
    for i in range(len(labels)):
        if bound is None or labels.goal[i] != last:
            last, frame = labels.goal[i], labels.frame(i)
            bound = value.at(frame)
            at_goal.append(abs(bound.cost(frame.x, frame.tool)))
        x, t, Jt = (a[i].astype(float) for a in (labels.x, labels.t, labels.Jt))
        V, (Vx, Vxx) = bound.cost(x, t), bound.derivatives(x, t, Jt)
        e = Vx - labels.Vx[i]
        policy.append(np.sum((labels.C[i] @ e) ** 2) / (labels.V[i] + FLOOR))
        relative.append(abs(V - labels.V[i]) / labels.V[i])
        gradient.append(np.linalg.norm(e) / np.linalg.norm(labels.Vx[i]))
        eigenvalues = np.linalg.eigvalsh(Vxx)
        psd.append(eigenvalues[0] >= -1e-9 * max(abs(eigenvalues[-1]), 1.0))
    return Accuracy(
        float(np.mean(policy)),
        float(np.median(relative)),
        float(np.median(gradient)),
        float(np.mean(psd)),
        float(max(at_goal)),
    )
