"""A value seen as Crocoddyl's terminal node."""

import crocoddyl
import numpy as np

from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.value import ValueFunction


class ValueNode(crocoddyl.ActionModelAbstract):
    """Terminal cost V(x, goal). `retarget` moves it to another goal."""

    def __init__(self, task: Task, goal: Goal, value: ValueFunction):
        super().__init__(crocoddyl.StateVector(task.nx), task.nu, 1)
        self._task, self._value = task, value
        self.retarget(goal)

    def retarget(self, goal: Goal) -> None:
        self._bound = self._value.at(goal.frame)

    def calc(self, data: crocoddyl.ActionDataAbstract, x: np.ndarray, u: np.ndarray | None = None) -> None:
        data.cost = self._bound.cost(x, self._task.tool(x))  # V = ||r||^2: the paper's has no 1/2

    def calcDiff(self, data: crocoddyl.ActionDataAbstract, x: np.ndarray, u: np.ndarray | None = None) -> None:
        data.Lx, data.Lxx = self._bound.derivatives(x, *self._task.tool_jacobian(x))


def zero_node(task: Task) -> crocoddyl.ActionModelAbstract:
    """A terminal node that costs nothing, native, so that it also costs no time."""
    nx, nu = task.nx, task.nu
    zero = np.zeros
    return crocoddyl.ActionModelLQR(
        np.eye(nx), zero((nx, nu)), zero((nx, nx)), zero((nu, nu)), zero((nx, nu)), zero(nx), zero(nx), zero(nu)
    )
