"""Region: where a value was trained, and how far from there a state lies.

    score(x, goal) = max_i |z_i - middle_i| / half_i,    z = [x; tool of the goal]

At most 1 inside, 1.2 where the farthest coordinate lies beyond the region by a fifth of its half-width. It is NaN, which no
comparison takes for inside, where a coordinate is.

A box, since the controller asks at every step and may spend microseconds; and since a box can be told to a person. It
reaches to the goal's own posture, which may lie far from every start: one goal in a hundred had an arm at rest called outside.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dvp_mpc.problem.task import Goal


@dataclass(frozen=True, eq=False)
class Region:
    """States (nx,) that motions to any goal pass through, what is added about the goal at hand, and goals (nt,)."""

    lower: np.ndarray  # (nx,)
    upper: np.ndarray  # (nx,)
    around: np.ndarray  # (nx,) about the goal state
    state_lower: np.ndarray  # (nx,) never beyond this, whatever the goal
    state_upper: np.ndarray  # (nx,)
    goal_lower: np.ndarray  # (nt,)
    goal_upper: np.ndarray  # (nt,)

    def bounds(self, goal: Goal | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The box of states on the way to this goal, or to any: (nx,), (nx,)."""
        if goal is None:
            return self.lower, self.upper
        lower = np.minimum(self.lower, np.maximum(goal.x - self.around, self.state_lower))
        return lower, np.maximum(self.upper, np.minimum(goal.x + self.around, self.state_upper))

    def score(self, x: np.ndarray, goal: Goal | None = None) -> float:
        """How far out x (nx,) lies, or the goal if that is farther: at most 1 inside."""
        middle, inverse, of_goal = _folded(self, goal)
        return float(np.maximum(np.abs((x - middle) * inverse).max(), of_goal))  # Python's max would lose a NaN

    def farthest(self, x: np.ndarray, goal: Goal | None = None) -> int:
        """The coordinate of x (nx,) that lies farthest out."""
        middle, inverse, _ = _folded(self, goal)
        return int(np.abs((x - middle) * inverse).argmax())


@lru_cache(maxsize=64)  # by identity, of region and goal: a controller keeps its goal for thousands of steps
def _folded(region: Region, goal: Goal | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Middle and 1/half of the states' box, and the goal's own score."""
    lower, upper = region.bounds(goal)
    of_goal = 0.0
    if goal is not None:
        half = (region.goal_upper - region.goal_lower) / 2
        of_goal = float(np.abs((goal.tool - region.goal_lower) / half - 1).max())
    return (lower + upper) / 2, 2 / (upper - lower), of_goal
