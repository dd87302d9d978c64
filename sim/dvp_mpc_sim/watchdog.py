"""Watchdog: what stands between a stream of commands and the arm's motors. Pure and clock-free.

    NO COMMAND --arming--> FOLLOW --no command for 20 ms--> BRAKE --arming--> FOLLOW

    FOLLOW             tau = the newest command
    NO COMMAND, BRAKE  tau = nle(q, v) - M(q) v / 50 ms, within the torque limits: brake to rest and carry the arm
    arming             a fresh command within 5 N m per joint of that torque, while all |v| < 0.05 rad/s

It trusts nobody: the usual effort controller holds its last command for ever, and the process that sent it may be gone. A
command that comes back to a moving arm, or from a sender who does not know that the arm is being held, changes nothing.
"""

from enum import Enum

import numpy as np

from dvp_mpc.control.supervisor import AT_REST
from dvp_mpc.control.torque import hold_torque
from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF

LIMIT = 0.02  # [s] a torque that is 20 ms old moves the hand by 20 mm at most; Franka's own limit is 20 packets of 1 ms
NEAR = 5.0  # [N m] from command to brake torque: what an arm at rest may be handed over with
ROUNDING = 1e-6  # [s], [N m]


class Follow(str, Enum):
    """Whose torque the arm gets."""

    NO_COMMAND = "no command"
    """The brake's: nobody was armed yet."""
    FOLLOW = "follow"
    """The commanded one."""
    BRAKE = "brake"
    """The brake's: commands stopped."""


class Watchdog:
    """limit: age [s] beyond which a command is dead. All times are on one monotonic base, the caller's."""

    def __init__(self, arm: Arm, limit: float = LIMIT):
        if not limit > 0:
            raise BadSetting("limit", limit, "must be positive [s]")
        self.arm, self.limit = arm, limit
        self.mode = Follow.NO_COMMAND
        self.accepted = 0
        """Commands that were fit to be followed."""
        self.refused = 0
        """Commands that were not: of another length, not finite, or beyond the torque limits."""
        self._time = -np.inf
        self._newest = np.zeros(DOF)

    def command(self, t: float, torque: np.ndarray) -> None:
        """A command (7,) [N m] arrived at t [s]. One that no joint could follow is refused: it keeps nothing alive."""
        asked = np.asarray(torque, dtype=float)
        if asked.shape == (DOF,) and (np.abs(asked) <= self.arm.torque_limit + ROUNDING).all():  # NaN compares false
            self._time, self._newest = t, asked.copy()
            self.accepted += 1
        else:
            self.refused += 1

    def torque(self, t: float, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """What the motors get at t [s] in the state q (7,) [rad], v (7,) [rad/s]: (7,) [N m]."""
        fresh = t - self._time <= self.limit + ROUNDING
        if self.mode is Follow.FOLLOW and fresh:
            return self._newest.copy()
        brake = np.clip(hold_torque(self.arm, q, v), -self.arm.torque_limit, self.arm.torque_limit)
        if self.mode is Follow.FOLLOW:
            self.mode = Follow.BRAKE
        elif fresh and (np.abs(v) < AT_REST).all() and (np.abs(self._newest - brake) <= NEAR).all():
            self.mode = Follow.FOLLOW
            return self._newest.copy()
        return brake
