"""What stands between the plan and the arm: the input gate, the hold torque and the limiter. Pure and clock-free.

Not a certified safety function: it bounds what this program asks of the arm, it cannot vouch for the arm.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from dvp_mpc.problem.arm import DOF, Arm

HOLD_TIME = (
    0.05  # [s] time constant with which HOLD brakes; fixed joint damping limit-cycles at 200 Hz with a few ms delay
)
TORQUE_RATE = 1000.0  # [N m/s] what Franka's own interface allows


class State(str, Enum):
    """What the torque of a step rests on."""

    TRACKING = "tracking"
    """A fresh plan and a fresh state."""
    DEGRADED = "degraded"
    """A fresh state with an older plan, or a fresh plan with a predicted state."""
    HOLD = "hold"
    """Neither: brake to rest and carry gravity."""


class Refusal(str, Enum):
    """Why a state was not accepted."""

    SHAPE = "shape"
    NOT_FINITE = "not finite"
    TIME = "time does not advance"


def refuse(t: float, q: np.ndarray, v: np.ndarray, t_last: float | None) -> Refusal | None:
    """The input gate: None when (t, q, v) may reach the solver."""
    if np.shape(q) != (DOF,) or np.shape(v) != (DOF,):
        return Refusal.SHAPE
    if not (np.isfinite(t) and np.isfinite(q).all() and np.isfinite(v).all()):
        return Refusal.NOT_FINITE
    if t_last is not None and t <= t_last:
        return Refusal.TIME
    return None


def hold_torque(arm: Arm, q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """tau = nle(q, v) - M(q) v / HOLD_TIME: (7,) [N m]. The speed then decays as exp(-t / HOLD_TIME)."""
    return arm.nonlinear_effects(q, v) - arm.mass_matrix(q) @ v / HOLD_TIME


def predict(arm: Arm, q: np.ndarray, v: np.ndarray, torque: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the model is dt seconds after (q, v) under a constant torque: (7,) [rad], (7,) [rad/s]."""
    v = v + dt * np.linalg.solve(arm.mass_matrix(q), torque - arm.nonlinear_effects(q, v))
    return q + dt * v, v


@dataclass(frozen=True, eq=False)
class Limiter:
    """The last stage: whatever comes in, what goes out is finite, bounded and rate-limited."""

    torque_limit: np.ndarray  # (7,) [N m]
    period: float  # [s] between two outputs
    torque_rate: float = TORQUE_RATE  # [N m/s]

    def __call__(self, torque: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """The torque nearest to the one asked for: (7,) [N m]. A joint that is asked for NaN keeps its previous torque."""
        asked = np.where(np.isnan(torque), previous, torque)
        step = self.torque_rate * self.period
        return np.clip(np.clip(asked, previous - step, previous + step), -self.torque_limit, self.torque_limit)
