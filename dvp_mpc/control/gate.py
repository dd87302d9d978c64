"""The input gate: which samples are the arm's state, now. Pure and clock-free.

A sample is judged three times: is it a measurement at all (shape, finite, range), does its stamp fit the time that passed,
and does it fit the samples before it:

    jump           |q - (q' + v' dt)| > JUMP + 2 v_max dt      one is ignored, a second that agrees with it is an alarm
    disagreement   |S| > DISAGREEMENT,  S <- exp(-dt / T) S + (q - q') - (v + v') dt / 2      a stuck or foreign sensor
"""

from enum import Enum
from typing import NamedTuple

import numpy as np

from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF

LATE = 0.1  # [s] how much later than counted a sample may come
RESYNC = 0.1  # [s] for which another time base must run before it is believed
JUMP = 0.02  # [rad] beyond what twice the speed limit allows
DISAGREEMENT = (
    0.01  # [rad] 0.2 rad/s frozen for 60 ms; a blow that changes v by 3 rad/s between two samples makes 0.0075
)
MEMORY = 0.08  # [s] T
CONTIGUOUS = 0.01  # [s] samples further apart say nothing of each other's velocity


class Refusal(str, Enum):
    """Why a sample was not accepted."""

    SHAPE = "shape"
    NAMES = "joint names"
    NOT_FINITE = "not finite"
    RANGE = "out of range"
    TIME = "time does not fit"
    STAMP_ZERO = "stamp zero"
    STAMP_FUTURE = "stamp in the future"
    STAMP_OLD = "stamp too old"
    REPEATED = "repeated or reordered"
    JUMP = "jump"
    DISAGREEMENT = "position and velocity disagree"


class Verdict(NamedTuple):
    """What the gate makes of a sample."""

    refusal: Refusal | None
    x: np.ndarray | None
    """(14,) the measured state, if posture and velocity can be believed; they can when only the stamp is wrong."""
    late: float = 0.0
    """Time that passed beyond what was counted since the last accepted sample [s]."""
    alarm: str = ""
    """Why the arm should be held, though this sample may be right."""


class Gate:
    """Judges samples one after the other.

    A stamp must be newer than the last one, by no more than the time in between and LATE. One wild stamp is refused and
    forgotten; a stream that runs RESYNC long on another time base is taken over, or a clock step would blind us for good.
    """

    def __init__(self, arm: Arm):
        margin, speed = np.pi, 10 * arm.velocity_limit  # far beyond any arm: what fails here is no measurement
        self._lower = np.concatenate([arm.lower - margin, -speed])
        self._upper = np.concatenate([arm.upper + margin, speed])
        self._fastest = 2 * arm.velocity_limit
        self._t: float | None = None  # last accepted stamp
        self._counted = 0.0  # [s] since then
        self._other: float | None = None  # last stamp on another time base
        self._other_for = 0.0  # [s] for which that base has been running
        self._x: np.ndarray | None = None  # last state that passed
        self._x_ago = 0.0  # [s]
        self._jumped_to: np.ndarray | None = None  # the ignored sample
        self._raw: np.ndarray | None = None  # last measurement, accepted or not
        self._raw_t, self._raw_ago = 0.0, 0.0  # [s] its stamp, and how long ago it came
        self._sum = np.zeros(DOF)  # S

    def wait(self, elapsed: float) -> None:
        """No sample came for another `elapsed` seconds."""
        self._counted += elapsed
        self._x_ago += elapsed
        self._raw_ago += elapsed

    def __call__(self, t: float, q: np.ndarray, v: np.ndarray, elapsed: float) -> Verdict:
        """Judge a sample that came `elapsed` seconds after the last call; never raises, whatever the arguments are."""
        self.wait(elapsed)
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
        refusal, late = self._judge_time(stamp, elapsed)
        if refusal is Refusal.REPEATED:
            return Verdict(refusal, None)
        unlike = self._judge_motion(x, stamp)
        if unlike.refusal is not None:
            return unlike
        return Verdict(refusal, x, late, unlike.alarm)

    def _judge_time(self, stamp: float, elapsed: float) -> tuple[Refusal | None, float]:
        ahead = self._counted if self._t is None else stamp - self._t
        if 0 < ahead <= self._counted + LATE:
            late = max(0.0, ahead - self._counted)
            self._accept(stamp)
            return None, late
        if ahead == 0:
            return Refusal.REPEATED, 0.0  # the same sample again says nothing new
        runs_on = self._other is not None and 0 < stamp - self._other <= elapsed + LATE
        self._other_for = self._other_for + elapsed if runs_on else elapsed
        self._other = stamp
        if self._other_for < RESYNC:
            return Refusal.TIME, 0.0
        self._accept(stamp)
        return None, 0.0

    def _accept(self, stamp: float) -> None:
        self._t, self._counted, self._other, self._other_for = stamp, 0.0, None, 0.0

    def _judge_motion(self, x: np.ndarray, stamp: float) -> Verdict:
        raw, between = self._raw, stamp - self._raw_t
        # What lies between two measurements is said by their stamps, unless one of those is wild.
        ago = between if 0 < between <= self._raw_ago + LATE else self._raw_ago
        late = ago - self._raw_ago
        self._raw, self._raw_t, self._raw_ago = x, stamp, 0.0
        if raw is not None:
            excess = x[:DOF] - raw[:DOF] - (x[DOF:] + raw[DOF:]) * ago / 2
            kept = np.exp(-ago / MEMORY) * self._sum
            # A jump has an alarm of its own, and would drown this one.
            small = ago <= CONTIGUOUS and (np.abs(excess) < JUMP).all()
            self._sum = kept + excess if small else kept
        alarm = ""
        if self._x is not None and self._strays(self._x, x, self._x_ago + late):
            if self._jumped_to is None or self._strays(self._jumped_to, x, ago):
                self._jumped_to = x
                return Verdict(Refusal.JUMP, None)
            alarm = "the state jumped"
        self._jumped_to = None
        self._x, self._x_ago = x, 0.0
        if (np.abs(self._sum) > DISAGREEMENT).any():
            return Verdict(
                Refusal.DISAGREEMENT, None, alarm="position and velocity disagree: a stuck or foreign sensor"
            )
        return Verdict(None, x, alarm=alarm)

    def _strays(self, before: np.ndarray, x: np.ndarray, ago: float) -> bool:
        away = np.abs(x[:DOF] - before[:DOF] - before[DOF:] * ago)
        return bool((away > JUMP + self._fastest * ago).any())
