"""The classic baseline: computed torque along a smooth path to the goal posture.

    tau = h(q, v) + M(q) (a_r + 2 w (v_r - v) + w^2 (q_r - q))

The path (q_r, v_r, a_r) is a quintic from where the arm is to the goal posture, as fast as half the velocity limits allow; it
is followed with critically damped errors of natural frequency w. Torque along M keeps the joints from shaking each other: a
stiffness and damping chosen joint by joint (7 tau_max / rad, critical on the diagonal of M) was tried first, and diverged when
commands came 5 ms late. It knows the model as well as the MPC does; what it lacks is a plan that answers to a disturbance.
"""

from typing import NamedTuple

import numpy as np

from dvp_mpc.control.planner import Planned
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.task import Goal

FREQUENCY = 15.0  # [rad/s] w
SPEED_SHARE = 0.5  # [-] of the velocity limits, at the fastest point of a path from rest to rest
SHORTEST = 1.0  # [s]


class Path(NamedTuple):
    """q_r(t) = sum_k coefficients[k] t^k for 0 <= t <= duration, then at rest."""

    coefficients: np.ndarray  # (6, 7)
    duration: float  # [s]

    def at(self, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """q_r (7,) [rad], v_r (7,) [rad/s], a_r (7,) [rad/s^2]."""
        powers = np.arange(6.0)
        t = min(max(t, 0.0), self.duration)
        q = t**powers @ self.coefficients
        v = (powers[1:] * t ** powers[:-1]) @ self.coefficients[1:]
        a = (powers[2:] * powers[1:-1] * t ** powers[:-2]) @ self.coefficients[2:]
        return q, v, a


def quintic(q: np.ndarray, v: np.ndarray, q_goal: np.ndarray, duration: float) -> Path:
    """From (q, v) without acceleration to rest at q_goal."""
    T = duration
    c = np.zeros((6, DOF))
    c[0], c[1] = q, v
    ends = np.stack([q_goal - q - T * v, -v, np.zeros(DOF)])
    c[3:] = np.linalg.solve([[T**3, T**4, T**5], [3 * T**2, 4 * T**3, 5 * T**4], [6 * T, 12 * T**2, 20 * T**3]], ends)
    return Path(c, T)


class ComputedTorque(NamedTuple):
    """The torque along a path that began `since` [s] before the state that it was asked for."""

    arm: Arm
    path: Path
    since: float

    def torque(self, age: float, x: np.ndarray) -> np.ndarray:
        """(7,) [N m]."""
        q, v = x[:DOF], x[DOF:]
        q_r, v_r, a_r = self.path.at(self.since + age)
        a = a_r + 2 * FREQUENCY * (v_r - v) + FREQUENCY**2 * (q_r - q)
        return self.arm.nonlinear_effects(q, v) + self.arm.mass_matrix(q) @ a


class ComputedTorquePlanner:
    """A planner as the controller knows it; its answer is there at once."""

    latency = 0
    failure = ""

    def __init__(self, arm: Arm):
        self._arm = arm
        self._goal: Goal | None = None
        self._path: Path
        self._began = 0.0
        self._answer: Planned | None = None

    def request(self, t: float, x: np.ndarray, torque: np.ndarray, goal: Goal, trusted: bool) -> None:
        """A policy for the state x (14,) at t [s]; a new path only for a new goal."""
        arm, q_goal = self._arm, goal.x[:DOF]
        if goal is not self._goal:
            q, v = (x[:DOF], x[DOF:]) if self._goal is None else self._path.at(t - self._began)[:2]
            fastest = 15 / 8 * np.abs(q_goal - q) / (SPEED_SHARE * arm.velocity_limit)  # of a quintic from rest to rest
            self._goal, self._began = goal, t
            self._path = quintic(q, v, q_goal, max(SHORTEST, float(fastest.max())))
        self._answer = Planned(t, ComputedTorque(arm, self._path, t - self._began), "", 0.0)

    def newest(self) -> Planned | None:
        answer, self._answer = self._answer, None
        return answer

    def restart(self) -> None:
        """It does not fail."""

    def close(self) -> None:
        """Nothing to end."""
