"""Motors: what becomes of a torque between the command and the joint.

tau_joint = clip( rate( tau ), share tau_max ) + bias + noise          rate: |d tau / dt| <= its limit
"""

from dataclasses import dataclass, field

import numpy as np

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF


@dataclass(frozen=True)
class Actuation:
    """What is wrong with the motors; the defaults are ideal ones."""

    delay: float = 0.0
    """How long a command is on its way [s]."""
    rate: float = np.inf
    """Fastest change that the motors can give [N m/s]."""
    share: float = np.inf
    """Of its torque limit, the most that a motor gives [-]."""
    bias: tuple[float, ...] = field(default=(0.0,) * DOF)
    """Added to each joint [N m]."""
    noise: float = 0.0
    """Standard deviation of what is added in each step [N m], white."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("delay", "noise"):
            if not getattr(self, name) >= 0:
                raise BadSetting(f"actuation.{name}", getattr(self, name), "must not be negative")
        for name in ("rate", "share"):
            if not getattr(self, name) > 0:
                raise BadSetting(f"actuation.{name}", getattr(self, name), "must be positive")
        if len(self.bias) != DOF:
            raise BadSetting("actuation.bias", self.bias, f"needs {DOF} numbers [N m]")

    def motors(self, arm: Arm, dt: float) -> "Motors":
        """The motors of an arm that is stepped every dt [s]."""
        return Motors(self, arm, dt)


class Motors:
    """Called once in each step of the plant."""

    def __init__(self, actuation: Actuation, arm: Arm, dt: float):
        self._bias, self._noise = np.array(actuation.bias), actuation.noise
        self._step, self._most = actuation.rate * dt, actuation.share * arm.torque_limit
        self._rng = np.random.default_rng(actuation.seed)
        self._last: np.ndarray | None = None

    def __call__(self, torque: np.ndarray, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """What the joints get (7,) [N m] when `torque` (7,) is asked of them."""
        if self._last is not None:
            torque = np.clip(torque, self._last - self._step, self._last + self._step)
        self._last = torque = np.clip(torque, -self._most, self._most)
        return torque + self._bias + self._noise * self._rng.standard_normal(DOF)
