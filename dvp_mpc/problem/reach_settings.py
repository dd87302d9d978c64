"""Settings of a reaching task: the weights of its cost, and the box of goals and starts it is for."""

from dataclasses import asdict, dataclass

import numpy as np

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.arms import DOF


@dataclass(frozen=True)
class ReachWeights:
    """Weights of the running cost, per second."""

    tool: float = 20.0
    """Tool position error [1/(m^2 s)]."""
    posture: float = 0.2
    """Distance from the goal posture [1/(rad^2 s)]."""
    velocity: float = 0.3
    """Joint velocity [s/rad^2]."""
    torque: float = 2e-3
    """Torque beyond gravity [1/((N m)^2 s)]."""
    limits: float = 3000.0
    """Excess over the soft position and velocity limits [1/(rad^2 s), s/rad^2]."""
    limit_margin: float = 0.05
    """Share of each limit kept free by the barrier [-]."""

    def __post_init__(self) -> None:
        for name in ("tool", "posture", "velocity", "torque", "limits"):
            if not (getattr(self, name) >= 0 and np.isfinite(getattr(self, name))):
                raise BadSetting(f"weights.{name}", getattr(self, name), "must not be negative")
        for name in ("posture", "velocity", "torque"):  # without them the goal's Riccati equation has no solution
            if getattr(self, name) == 0:
                raise BadSetting(f"weights.{name}", 0, "must be positive")
        if not 0 <= self.limit_margin < 1:
            raise BadSetting("weights.limit_margin", self.limit_margin, "must lie in [0, 1)")


@dataclass(frozen=True)
class ReachBox:
    """Goals and starts that the value is trained for, evaluated on and trusted on."""

    goal_lower: tuple[float, float, float] = (0.3, -0.4, 0.15)
    """Lower corner of the goals in the world frame [m]."""
    goal_upper: tuple[float, float, float] = (0.7, 0.4, 0.75)
    """Upper corner of the goals in the world frame [m]."""
    posture: tuple[float, ...] = (1.2, 0.8, 1.2, 0.8, 1.2, 0.8, 1.2)
    """Start postures: home plus or minus this, cut at the joint limits [rad]."""
    speed: float = 1.5
    """Start speeds of every joint: plus or minus this [rad/s]."""
    margin: float = 0.03
    """Start postures keep this far from the joint limits [rad]."""
    column: float = 0.0
    """Goals keep this far from the vertical through the base [m]."""
    braking: float | None = None
    """Start speeds are cut to what each joint can lose before its soft limit, slowing down by this [rad/s^2]; unset: they are
    not, which only a box well inside the limits can afford."""
    postures: int = 1
    """Seeds of the inverse kinematics, of whose goal postures the nearest to home is taken."""

    def __post_init__(self) -> None:
        if not all(low < up for low, up in zip(self.goal_lower, self.goal_upper, strict=True)):
            raise BadSetting("box.goal_lower", self.goal_lower, f"must lie below goal_upper = {self.goal_upper}")
        if len(self.posture) != DOF or not all(half > 0 for half in self.posture):
            raise BadSetting("box.posture", self.posture, f"needs {DOF} positive half-widths [rad]")
        for name in ("speed", "margin"):
            if not getattr(self, name) > 0:
                raise BadSetting(f"box.{name}", getattr(self, name), "must be positive")
        if not self.column >= 0:
            raise BadSetting("box.column", self.column, "must not be negative")
        if self.braking is not None and not self.braking > 0:
            raise BadSetting("box.braking", self.braking, "must be positive, or unset")
        if self.postures < 1:
            raise BadSetting("box.postures", self.postures, "must be at least 1")

    def describe(self) -> dict[str, object]:
        """As plain data; what was added later appears only where it is used, so that older values keep their digest."""
        facts = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in facts.items() if (k, v) not in (("column", 0.0), ("braking", None), ("postures", 1))}
