"""Estimate: where the arm is now. Measured; or predicted from the last measurement with the torques given since."""

from collections import deque

import numpy as np

from dvp_mpc.control.supervisor import AT_REST, LOST
from dvp_mpc.control.torque import predict
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF

NOW = 0.001  # [s] a sample younger than this is not predicted forward
LONGEST = 0.1  # [s] that can be bridged by prediction: a gap, or a sample's way to us


class Estimate:
    """x: (14,) state, None before the first measurement. All times are on the caller's base."""

    def __init__(self, arm: Arm, period: float):
        """period: of the torques [s]."""
        self._arm = arm
        self.x: np.ndarray | None = None
        self.measured_at = -np.inf
        """When the last accepted sample was measured [s]."""
        self._past: deque[tuple[float, np.ndarray]] = deque(maxlen=round(LONGEST / period) + 2)

    @property
    def at_rest(self) -> bool:
        """Whether every joint is slower than 0.05 rad/s."""
        return self.x is not None and bool((np.abs(self.x[DOF:]) < AT_REST).all())

    def gave(self, now: float, torque: np.ndarray) -> None:
        """Note the torque (7,) [N m] that holds from now on."""
        if self.x is not None:  # before the first state nothing is given out
            self._past.append((now, torque))

    def believe(self, x: np.ndarray) -> None:
        """A state that may be looked at, though it counts as no measurement."""
        self.x = x

    def measure(self, at: float, x: np.ndarray, now: float) -> None:
        """A state that was measured at `at` [s]. One that took a while to come is brought to now.

        Even one that is too old for tracking: HOLD on the state of 80 ms ago shakes the arm apart.
        """
        self.x, self.measured_at = x, min(at, now)
        if not self._past or not NOW < now - at <= LONGEST:
            return
        q, v = x[:DOF], x[DOF:]
        ends = [given for given, _ in list(self._past)[1:]] + [now]
        for (_, torque), end in zip(self._past, ends, strict=True):
            if end > at:
                q, v = predict(self._arm, q, v, torque, end - at)
                at = end
        self.x = np.concatenate([q, v])

    def predict(self, elapsed: float, now: float) -> None:
        """No measurement came: move on by `elapsed` [s], to now, with the torque given last.

        Not for longer than LOST, after which nobody acts on it: a torque that is given no more would carry it off for ever.
        """
        if self.x is not None and self._past and elapsed <= LONGEST and now - self.measured_at <= LOST:
            self.x = np.concatenate(predict(self._arm, self.x[:DOF], self.x[DOF:], self._past[-1][1], elapsed))
