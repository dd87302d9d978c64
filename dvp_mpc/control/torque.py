"""Torques that need no plan, and the limits that every torque must pass. Pure and clock-free."""

from dataclasses import dataclass

import numpy as np

from dvp_mpc.problem.arm import Arm

HOLD_TIME = (
    0.05  # [s] time constant with which HOLD brakes; fixed joint damping limit-cycles at 200 Hz with a few ms delay
)
TORQUE_RATE = 1000.0  # [N m/s] what Franka's own interface allows
BEYOND = 0.0087  # [rad] outside a position limit that a sensor may show and a stop may give: half a degree
LONGEST_STEP = 0.005  # [s] of a prediction
# [s] above a speed limit before it is more than a moment. `guarded` brakes from the first sample on and takes 1.5 times the
# limit below it in this time. A noisy sample is one sample; blows of 5 N s at the hand, which must not end a task, kept a
# joint above its limit for 11 ms at most, blows of 8 N s for 50 to 80 ms.
MOMENT = 0.02


def hold_torque(arm: Arm, q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """tau = nle(q, v) - M(q) v / HOLD_TIME: (7,) [N m]. The speed then decays as exp(-t / HOLD_TIME)."""
    return arm.nonlinear_effects(q, v) - arm.mass_matrix(q) @ v / HOLD_TIME


def predict(arm: Arm, q: np.ndarray, v: np.ndarray, torque: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the model is dt seconds after (q, v) under a constant torque: (7,) [rad], (7,) [rad/s]."""
    steps = max(1, int(np.ceil(dt / LONGEST_STEP - 1e-9)))
    for _ in range(steps):
        v = v + dt / steps * np.linalg.solve(arm.mass_matrix(q), torque - arm.nonlinear_effects(q, v))
        q = q + dt / steps * v
    return q, v


def guarded(arm: Arm, torque: np.ndarray, q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The torque without what would make a broken limit worse: (7,) [N m].

    At or beyond a position limit nothing pushes outward, over what carries the arm. Above a speed limit a joint gets at least
    the braking of HOLD.
    """
    outside, too_fast = (q <= arm.lower) | (q >= arm.upper), np.abs(v) > arm.velocity_limit
    if not (outside.any() or too_fast.any()):
        return torque
    carrying = arm.nonlinear_effects(q, v)
    torque = np.where(q >= arm.upper, np.minimum(torque, carrying), torque)
    torque = np.where(q <= arm.lower, np.maximum(torque, carrying), torque)
    braking = hold_torque(arm, q, v)
    torque = np.where(too_fast & (v > 0), np.minimum(torque, braking), torque)
    return np.where(too_fast & (v < 0), np.maximum(torque, braking), torque)


def beyond_limits(arm: Arm, q: np.ndarray) -> str:
    """Which joint is outside its position limits by more than half a degree, and where; "" if none is."""
    beyond = (q < arm.lower - BEYOND) | (q > arm.upper + BEYOND)
    if not beyond.any():
        return ""
    i = int(np.argmax(beyond))
    return (
        f"joint {arm.joint_names[i]} at {q[i]:.3f} rad is outside its limits [{arm.lower[i]:.3f}, {arm.upper[i]:.3f}]"
    )


class SpeedWatch:
    """Says which joint is faster than its limit, once one has been for MOMENT."""

    def __init__(self, arm: Arm):
        self._arm = arm
        self._lasts: float | None = None  # [s] since the first of the samples above; None: the last one was not

    def __call__(self, v: np.ndarray, elapsed: float) -> str:
        """Look at a measured v (7,) [rad/s], `elapsed` seconds after the last step; "" if all is well."""
        share = np.abs(v) / self._arm.velocity_limit
        i = int(share.argmax())
        if share[i] <= 1:
            self._lasts = None
            return ""
        self._lasts = 0.0 if self._lasts is None else self._lasts + elapsed
        if self._lasts < MOMENT - 1e-9:
            return ""
        return f"joint {self._arm.joint_names[i]} at {v[i]:.2f} rad/s is above its limit of {self._arm.velocity_limit[i]:.2f}"


@dataclass(frozen=True, eq=False)
class Limiter:
    """The last stage: whatever comes in, what goes out is finite, bounded and rate-limited."""

    torque_limit: np.ndarray  # (7,) [N m]
    period: float  # [s] between two outputs
    torque_rate: float = TORQUE_RATE  # [N m/s]

    def __call__(self, torque: np.ndarray, previous: np.ndarray, elapsed: float | None = None) -> np.ndarray:
        """The torque nearest to the one asked for: (7,) [N m]. A joint that is asked for NaN keeps its previous torque.

        A previous torque that is NaN counts as none: 0.
        elapsed: since the previous one [s]; unset: a period.
        """
        previous = np.where(np.isnan(previous), 0.0, previous)
        asked = np.where(np.isnan(torque), previous, torque)
        step = self.torque_rate * (self.period if elapsed is None else elapsed)
        return np.clip(np.clip(asked, previous - step, previous + step), -self.torque_limit, self.torque_limit)
