"""Observer: the joint torque that acts on the arm and that the model does not know, from the arm's momentum.

    p = M(q) v,    dp/dt = tau + C(q, v)' v - g(q) + d          d: payload, push, friction, bias of the motors ...
    dr/dt = K (d - r)

r is the estimate of d; it follows with the time constant 1 / K (De Luca and Mattone, ICRA 2003). Momentum needs no
acceleration, and what is constant is found without an error. Subtracted from the plan's torque r makes the arm behave as the
model, for which the plan is right: the offset is gone.
"""

import numpy as np

from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF

BANDWIDTH = 10.0  # [rad/s] K
MOST = 0.5  # [-] of the torque limits: what may be taken for a disturbance
LONGEST_GAP = 0.1  # [s] between two states, beyond which they say nothing of the torque in between


class MomentumObserver:
    """Fed with every state and the torque that led there."""

    def __init__(self, arm: Arm, bandwidth: float = BANDWIDTH):
        """bandwidth: K [rad/s]."""
        self.disturbance = np.zeros(DOF)
        """r: (7,) [N m]."""
        self._arm, self._bandwidth, self._most = arm, bandwidth, MOST * arm.torque_limit
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # p and C' v - g at the last step

    def step(self, x: np.ndarray, torque: np.ndarray | None, elapsed: float) -> None:
        """The arm came to x (14,) `elapsed` [s] after the step before, under a torque (7,) [N m].

        None: nobody knows which, or x is in doubt; nothing is learned from the step.
        """
        q, v = x[:DOF], x[DOF:]
        p, drift = self._arm.mass_matrix(q) @ v, self._arm.momentum_drift(q, v)
        if self._before is not None and torque is not None and 0 < elapsed <= LONGEST_GAP:
            p_before, drift_before = self._before
            d = (p - p_before) / elapsed - torque - (drift_before + drift) / 2  # its mean over the step
            share = 1 - np.exp(-self._bandwidth * elapsed)  # exact for a d that is constant meanwhile
            self.disturbance = np.clip(self.disturbance + share * (d - self.disturbance), -self._most, self._most)
        self._before = p, drift
