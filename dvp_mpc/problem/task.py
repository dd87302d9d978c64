"""Task: what every other layer needs to know about a problem, whichever system it moves.

    minimise  sum_k l(x_k, u_k; goal)   subject to  x_{k+1} = f(x_k, u_k)                              (paper, eq. 2)

A goal is an equilibrium (x_g, u_g) at which l vanishes; only then does the infinite sum exist.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import crocoddyl
import numpy as np

from dvp_mpc.value import GoalFrame


@dataclass(frozen=True, eq=False)
class Goal:
    """An equilibrium to be reached."""

    x: np.ndarray  # (nx,) state
    u: np.ndarray  # (nu,) control that keeps it
    tool: np.ndarray  # (nt,) what the tool map gives at x; for an arm the tool position in the world [m]
    context: np.ndarray  # (nc,) what a value is told about this goal
    root: np.ndarray  # (nx, nx) L with V(x) ~ ||L'(x - x_g)||^2 near the goal
    trained: bool = True  # whether values are trained on goals like this one; to any other the Riccati value leads

    @cached_property
    def frame(self) -> GoalFrame:
        """The goal as a value sees it."""
        return GoalFrame(self.x, self.tool, self.context, self.root)


class Task(Protocol):
    """A family of optimal control problems, one per goal, with one dynamics and one running cost."""

    @property
    def dt(self) -> float:
        """Time step [s]."""

    @property
    def nx(self) -> int: ...
    @property
    def nu(self) -> int: ...
    @property
    def nt(self) -> int: ...
    @property
    def nc(self) -> int: ...
    @property
    def angles(self) -> int:
        """How many of the first states are angles of an arm's joints."""

    @property
    def state_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Limits (nx,), (nx,) beyond which the running cost has a barrier; infinite where it has none."""

    @property
    def start_box(self) -> tuple[np.ndarray, np.ndarray]:
        """Box (nx,), (nx,) of start states that a value is trained for and trusted on."""

    @property
    def digest(self) -> str:
        """Fingerprint of dynamics, cost and time step; two problems with one digest share their value."""

    def describe(self) -> dict[str, object]:
        """Facts behind the digest, for a value's card."""

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """One node of the running cost and the dynamics, for this goal."""

    def retarget(self, model: crocoddyl.ActionModelAbstract, goal: Goal) -> None:
        """Move a node made by running_model to another goal, in place."""

    def tool(self, x: np.ndarray) -> np.ndarray:
        """Tool map t(x): (nt,)."""

    def tool_jacobian(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """t(x): (nt,) and dt/dx: (nt, nx)."""

    def sample_goal(self, rng: np.random.Generator) -> Goal:
        """A goal from the trusted box."""

    def stoppable(self, x: np.ndarray) -> np.ndarray:
        """States (n, nx) of the start box, with those speeds taken out from which no control keeps within the limits."""


def sample_starts(task: Task, rng: np.random.Generator, n: int) -> np.ndarray:
    """States drawn uniformly from the trusted box: (n, nx)."""
    lower, upper = task.start_box
    return task.stoppable(rng.uniform(lower, upper, size=(n, task.nx)))
