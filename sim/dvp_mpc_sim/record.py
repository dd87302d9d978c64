"""Record: what a run with faults left behind, on the plant's clock, and the invariant that every sample of it must keep."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dvp_mpc.control.supervisor import AGE_LIMIT, AT_REST
from dvp_mpc.control.torque import TORQUE_RATE
from dvp_mpc.problem.arm import Arm

ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Record:
    """One row per plant step; row k is the state at t[k], and what was asked for and given from there to t[k + 1]."""

    t: np.ndarray
    """(n,) [s]"""
    q: np.ndarray
    """(n, 7) [rad]"""
    v: np.ndarray
    """(n, 7) [rad/s]"""
    applied: np.ndarray
    """(n, 7) what the plant's watchdog let through or put in its place [N m]"""
    commanded: np.ndarray
    """(n, 7) the newest published torque, NaN before the first [N m]"""
    ticked: np.ndarray
    """(n,) whether the controller ran in this row"""
    published: np.ndarray
    """(n,) whether a torque was published in this row; a controller that knows nothing of the arm is silent"""
    tool_in_world: np.ndarray
    """(n, 3) [m]"""
    goal_in_world: np.ndarray
    """(n, 3) [m]"""
    state: np.ndarray
    """(n,) of the controller, text"""
    reason: np.ndarray
    """(n,) text"""
    mode: np.ndarray
    """(n,) of the watchdog, text"""
    period: float
    """Between two calls of the controller [s]."""
    gravity_in_command: bool
    """Whether `commanded` carries the arm's weight."""
    reads: list[Any]
    """What became of each message that was taken from the channel."""
    refused: Counter[str]
    """Samples refused by the intake or by the gate, by reason."""
    refused_events: Counter[str]
    """Goals and other requests that were refused."""

    @property
    def dt(self) -> float:
        """Between two rows [s]."""
        return float(self.t[1] - self.t[0])

    def tool_error(self) -> np.ndarray:
        """Distance from tool to goal: (n,) [m]."""
        return np.asarray(np.linalg.norm(self.tool_in_world - self.goal_in_world, axis=1))

    def states(self, begin: float = 0.0, end: float = np.inf) -> set[str]:
        """The controller's states in a span [s]."""
        inside = self.ticked & (self.t >= begin - ROUNDING) & (self.t < end - ROUNDING)
        return set(self.state[inside].tolist())

    def first(self, states: str | Iterable[str], after: float = 0.0) -> float:
        """When the controller first was in one of these states from `after` on [s]; infinite if it never did."""
        wanted = [states] if isinstance(states, str) else list(states)
        rows = np.flatnonzero(self.ticked & (self.t >= after - ROUNDING) & np.isin(self.state, wanted))
        return float(self.t[rows[0]]) if len(rows) else np.inf

    def stopped(self, after: float) -> float:
        """When all joints came below 0.05 rad/s for good, `after` [s] or later; infinite if they did not."""
        moving = np.flatnonzero(~(np.abs(self.v) < AT_REST).all(axis=1))
        if len(moving) and moving[-1] + 1 == len(self.t):
            return np.inf
        return max(after, float(self.t[moving[-1] + 1]) if len(moving) else 0.0)

    def travel(self, begin: float) -> float:
        """Farthest that the tool came from where it was at `begin` [s]: [m]."""
        tool = self.tool_in_world[self.t >= begin - ROUNDING]
        return float(np.linalg.norm(tool - tool[0], axis=1).max())

    def violations(self, arm: Arm) -> int:
        """Published samples that break the invariant.

        Finite, within the torque limits, at most 1000 N m/s from the one before, and at a joint limit nothing that pushes
        outward, over what carries the arm there. After a silence of more than AGE_LIMIT there is none before: the driver has
        braked by itself, and the arm is elsewhere. The torque and rate limits are the stronger laws: a torque that already
        brakes with all there is, or is on its way back as fast as it may be, could do no better.
        """
        torque, q, v = self.commanded[self.published], self.q[self.published], self.v[self.published]
        bad = ~(np.isfinite(torque) & (np.abs(torque) <= arm.torque_limit + ROUNDING)).all(axis=1)
        step = np.diff(torque, axis=0, prepend=torque[:1])
        most = TORQUE_RATE * self.period
        anew = np.diff(self.t[self.published], prepend=-np.inf) > AGE_LIMIT + ROUNDING
        bad |= ~(np.abs(step) <= most + ROUNDING).all(axis=1) & ~anew
        for k in np.flatnonzero(((q >= arm.upper) | (q <= arm.lower)).any(axis=1)):
            carrying = arm.nonlinear_effects(q[k], v[k])
            over = torque[k] - carrying + (0.0 if self.gravity_in_command else arm.gravity_torque(q[k]))
            least, greatest = (limit * arm.torque_limit for limit in (-1 + ROUNDING, 1 - ROUNDING))
            up = (q[k] >= arm.upper) & (over > ROUNDING) & (step[k] > -most + ROUNDING) & (torque[k] > least)
            down = (q[k] <= arm.lower) & (over < -ROUNDING) & (step[k] < most - ROUNDING) & (torque[k] < greatest)
            bad[k] |= (up | down).any()
        return int(bad.sum())
