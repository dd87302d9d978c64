"""A value seen as Crocoddyl's terminal node: in Python for any task, compiled for an arm and a residual value."""

from functools import lru_cache
from typing import Any

import crocoddyl
import numpy as np

from dvp_mpc import native
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.value import BoundResidual, Kind, Value, ValueFunction


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


_compiled, _ = native.load()
_Base: type = object if _compiled is None else _compiled.ResidualValue


class CompiledValueNode(_Base):
    """The same node, compiled; made by `value_node` only."""

    def __init__(self, task: ReachTask, goal: Goal, value: Value):
        super().__init__(*task.arm.screws, task.nu, _layers(value))
        self._value = value
        self.retarget(goal)

    def retarget(self, goal: Goal) -> None:
        bound = self._value.at(goal.frame)
        assert isinstance(bound, BoundResidual)
        self.bind(bound.arrays())


@lru_cache(maxsize=8)
def _layers(value: Value) -> Any:
    """The layers that no goal changes, once for all nodes."""
    hidden, last = value.layers
    return _compiled.Layers(hidden, last)  # type: ignore[union-attr]


def value_node(task: Task, goal: Goal, value: ValueFunction) -> ValueNode | CompiledValueNode:
    """The node that ends a problem in `value`: the compiled one where it can serve."""
    if _compiled and isinstance(task, ReachTask) and isinstance(value, Value) and value.layout.kind is Kind.RESIDUAL:
        return CompiledValueNode(task, goal, value)
    return ValueNode(task, goal, value)


def zero_node(task: Task) -> crocoddyl.ActionModelAbstract:
    """A terminal node that costs nothing, native, so that it also costs no time."""
    nx, nu = task.nx, task.nu
    zero = np.zeros
    return crocoddyl.ActionModelLQR(
        np.eye(nx), zero((nx, nu)), zero((nx, nx)), zero((nu, nu)), zero((nx, nu)), zero(nx), zero(nx), zero(nu)
    )
