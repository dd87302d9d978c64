"""What stands between the plan and the arm: the input gate, the hold torque and the limiter. Pure and clock-free.

Not a certified safety function: it bounds what this program asks of the arm, it cannot vouch for the arm.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np

from dvp_mpc.problem.arm import DOF, Arm

HOLD_TIME = (
    0.05  # [s] time constant with which HOLD brakes; fixed joint damping limit-cycles at 200 Hz with a few ms delay
)
TORQUE_RATE = 1000.0  # [N m/s] what Franka's own interface allows
LATE = 0.1  # [s] how much later than counted a sample may come
RESYNC = 0.2  # [s] for which another time base must run before it is believed


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
    RANGE = "out of range"
    TIME = "time does not fit"


class Verdict(NamedTuple):
    """What the gate makes of a sample."""

    refusal: Refusal | None
    x: np.ndarray | None
    """(14,) the measured state, if posture and velocity can be believed; they can when only the stamp is wrong."""
    late: float = 0.0
    """Time that passed beyond the steps counted since the last accepted sample [s]."""


class Gate:
    """The input gate: which samples are the arm's state, now.

    A stamp must be newer than the last one, by no more than the steps in between and LATE. One wild stamp is refused and
    forgotten; a stream that runs RESYNC long on another time base is taken over, or a clock step would blind us for good.
    """

    def __init__(self, arm: Arm, period: float):
        margin, speed = np.pi, 10 * arm.velocity_limit  # far beyond any arm: what fails here is no measurement
        self._lower = np.concatenate([arm.lower - margin, -speed])
        self._upper = np.concatenate([arm.upper + margin, speed])
        self._period = period
        self._t: float | None = None  # last accepted stamp
        self._steps = 0  # since then
        self._other: float | None = None  # last stamp on another time base
        self._other_steps = 0  # for which that base has been running

    def __call__(self, t: float, q: np.ndarray, v: np.ndarray) -> Verdict:
        """Judge a sample; never raises, whatever the arguments are."""
        self._steps += 1
        try:
            stamp, x = float(t), np.concatenate([np.asarray(q, dtype=float), np.asarray(v, dtype=float)])
        except (TypeError, ValueError):
            return Verdict(Refusal.SHAPE, None)
        if np.shape(q) != (DOF,) or np.shape(v) != (DOF,):
            return Verdict(Refusal.SHAPE, None)
        if not (np.isfinite(stamp) and np.isfinite(x).all()):
            return Verdict(Refusal.NOT_FINITE, None)
        if (x < self._lower).any() or (x > self._upper).any():
            return Verdict(Refusal.RANGE, None)
        counted = self._steps * self._period
        ahead = counted if self._t is None else stamp - self._t
        if 0 < ahead <= counted + LATE:
            self._accept(stamp)
            return Verdict(None, x, max(0.0, ahead - counted))
        if ahead == 0:
            return Verdict(Refusal.TIME, None)  # the same sample again says nothing new
        runs_on = self._other is not None and 0 < stamp - self._other <= self._period + LATE
        self._other_steps = self._other_steps + 1 if runs_on else 1
        self._other = stamp
        if self._other_steps * self._period < RESYNC:
            return Verdict(Refusal.TIME, x)
        self._accept(stamp)
        return Verdict(None, x)

    def _accept(self, stamp: float) -> None:
        self._t, self._steps, self._other, self._other_steps = stamp, 0, None, 0


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
