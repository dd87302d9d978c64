"""What a value must keep before it is shipped: the bars of `dvp-mpc validate`, one row a preset."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dvp_mpc.errors import BadSetting, UnknownChoice, UsageError
from dvp_mpc.presets import PRESETS
from dvp_mpc.problem.reach import ReachTask


@dataclass(frozen=True)
class Bars:
    """All are shares or relative errors [-] where no unit is named."""

    loss: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """Nodes: closed-loop cost above the infinite-horizon optimum, median and 95th percentile, at most."""
    policy_gradient_error: float | None = None
    """What gradient errors cost a one-step policy, relative to the value, at most; unset: measured by the loops alone."""
    value_error: float | None = None
    """Relative error of V, median, at most."""
    gradient_error: float | None = None
    """Relative error of its gradient, median, at most."""
    position_excess: float = 0.0
    """Beyond a joint's position limit in closed loop, at worst, at most [rad]."""
    speed_share: float = 1.0
    """Of a joint's velocity limit in closed loop, at worst, 50 ms after the start and later, at most."""
    descent: float = 0.99
    """Share of states from which V falls as it should: its lower bound, at least."""
    detection: float = 0.95
    """Share of states outside the region that the score finds, at least."""
    false_alarms: float = 0.005
    """Share of the ticks of ordinary motions that it calls outside, at most."""

    def __post_init__(self) -> None:
        if not self.loss:
            raise BadSetting("loss", self.loss, "needs a horizon, with the median and the 95th percentile allowed")
        for n, pair in self.loss.items():
            if n < 1 or not all(share > 0 for share in pair):
                raise BadSetting("loss", {n: pair}, "needs at least one node and positive shares")


BARS: dict[str, Bars] = {
    "panda_reach": Bars({1: (1e-3, 1e-2), 2: (5e-4, 2e-3), 5: (3e-4, 1e-3), 10: (2e-4, 1e-3)}, 2e-4, 0.01, 0.05),
    "panda_brisk": Bars({1: (1e-2, 5e-2), 2: (5e-3, 3e-2), 5: (3e-3, 1.5e-2), 10: (2e-3, 1e-2)}),
    "panda_workspace": Bars({1: (3e-3, 2e-2), 2: (2e-3, 1e-2), 5: (1e-3, 5e-3), 10: (5e-4, 3e-3)}),
    "xarm7_workspace": Bars({1: (5e-3, 4e-2), 2: (3e-3, 2e-2), 5: (2e-3, 1e-2), 10: (1e-3, 5e-3)}),
    "iiwa_workspace": Bars({1: (5e-3, 4e-2), 2: (3e-3, 2e-2), 5: (2e-3, 1e-2), 10: (1e-3, 5e-3)}),
}


def find_bars(preset: str) -> Bars:
    """The bars of a preset; raises UnknownChoice."""
    if preset not in BARS:
        raise UnknownChoice("preset with bars", preset, BARS)
    return BARS[preset]


def bars_of(preset: object, task: ReachTask) -> Bars:
    """The bars of the preset that a value for this task was made by.

    Raises UsageError where it has none, or the task is not the preset's any more: bars for one box say nothing of another.
    """
    ways = f"presets with bars: {', '.join(BARS)}; choose one with --bars, or give bars with --loss"
    if not isinstance(preset, str) or preset not in BARS:
        raise UsageError(f"the preset {preset!r} that this value was made by has no bars; {ways}")
    if PRESETS[preset].task().digest != task.digest:
        raise UsageError(
            f"this value was made by preset {preset!r}, but for another arm, cost, box or time step; {ways}"
        )
    return BARS[preset]
