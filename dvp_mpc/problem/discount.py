"""The discounted problem, on which methods of reinforcement learning stand (paper, sec. IV-D).

    minimise  sum_k gamma^k l(x_k, u_k; goal)   subject to  x_{k+1} = f(x_k, u_k),     V(x) = min_u l(x, u) + gamma V(f(x, u))

Inside a horizon node k weighs gamma^k and the terminal value gamma^N. A solver's cost-to-go at node k is then gamma^k V(x_k).
Where gamma^k falls to the solver's regularisation of 1e-9 it can solve no more: horizons end well before.
"""

import hashlib
import json
from dataclasses import dataclass, replace

import crocoddyl
import numpy as np

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.riccati import riccati_root
from dvp_mpc.problem.task import Goal, Task


@dataclass(frozen=True, eq=False)
class Discounted:
    """A task whose cost at each step counts gamma times that of the step before."""

    base: Task
    discount: float
    """gamma [-]."""

    def __post_init__(self) -> None:
        if not 0 < self.discount < 1:
            raise BadSetting(
                "discount", self.discount, "must lie in (0, 1); without a discount the task itself will do"
            )

    @property
    def dt(self) -> float:
        """Time step [s]."""
        return self.base.dt

    @property
    def nx(self) -> int:
        return self.base.nx

    @property
    def nu(self) -> int:
        return self.base.nu

    @property
    def nt(self) -> int:
        return self.base.nt

    @property
    def nc(self) -> int:
        return self.base.nc

    @property
    def angles(self) -> int:
        return self.base.angles

    @property
    def state_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The task's own."""
        return self.base.state_limits

    @property
    def start_box(self) -> tuple[np.ndarray, np.ndarray]:
        """The task's own."""
        return self.base.start_box

    def describe(self) -> dict[str, object]:
        """The task's facts and the discount."""
        return {**self.base.describe(), "discount": self.discount}

    @property
    def digest(self) -> str:
        """Another one than the task's: the two have different values."""
        return hashlib.sha256(json.dumps([self.base.digest, self.discount]).encode()).hexdigest()

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """The task's own node, of weight one; `DiscountedNode` gives it another."""
        return self.base.running_model(goal)

    def retarget(self, model: crocoddyl.ActionModelAbstract, goal: Goal) -> None:
        """All nodes of a horizon share the task's node, so moving one moves them all."""
        self.base.retarget(undiscounted(model), goal)

    def tool(self, x: np.ndarray) -> np.ndarray:
        """The task's own."""
        return self.base.tool(x)

    def tool_jacobian(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The task's own."""
        return self.base.tool_jacobian(x)

    def stoppable(self, x: np.ndarray) -> np.ndarray:
        """The task's own."""
        return self.base.stoppable(x)

    def sample_goal(self, rng: np.random.Generator) -> Goal:
        """A goal of the task, with the discounted problem's Riccati root.

        It exists even where the linearised system cannot be controlled, as the unicycle sideways: what is left to itself
        costs Q / (1 - gamma) instead of growing for ever.
        """
        goal = self.base.sample_goal(rng)
        return replace(goal, root=riccati_root(self.running_model(goal), goal.x, goal.u, self.discount))


def discount_of(task: Task) -> float:
    """gamma of a task: 1 unless it is Discounted."""
    return task.discount if isinstance(task, Discounted) else 1.0


class DiscountedNode(crocoddyl.ActionModelAbstract):
    """A node whose cost counts `weight` times."""

    def __init__(self, inner: crocoddyl.ActionModelAbstract, weight: float):
        super().__init__(inner.state, inner.nu, inner.nr)
        self.inner, self.weight = inner, weight
        self.u_lb, self.u_ub = inner.u_lb, inner.u_ub

    def createData(self) -> "DiscountedData":
        return DiscountedData(self)

    def calc(self, data: "DiscountedData", x: np.ndarray, u: np.ndarray | None = None) -> None:
        if u is None:  # how Crocoddyl asks for a node without a control
            self.inner.calc(data.inner, x)
        else:
            self.inner.calc(data.inner, x, u)
            data.xnext = data.inner.xnext
        data.cost = self.weight * data.inner.cost

    def calcDiff(self, data: "DiscountedData", x: np.ndarray, u: np.ndarray | None = None) -> None:
        inner = data.inner
        if u is None:
            self.inner.calcDiff(inner, x)
        else:
            self.inner.calcDiff(inner, x, u)
            data.Fx, data.Fu = inner.Fx, inner.Fu
            data.Lu, data.Luu, data.Lxu = self.weight * inner.Lu, self.weight * inner.Luu, self.weight * inner.Lxu
        data.Lx, data.Lxx = self.weight * inner.Lx, self.weight * inner.Lxx


def undiscounted(node: crocoddyl.ActionModelAbstract) -> crocoddyl.ActionModelAbstract:
    """The node inside a DiscountedNode, or the node itself."""
    return node.inner if isinstance(node, DiscountedNode) else node


class DiscountedData(crocoddyl.ActionDataAbstract):
    """Scratch of a DiscountedNode, with that of the node inside."""

    def __init__(self, model: DiscountedNode):
        super().__init__(model)
        self.inner = model.inner.createData()
