"""build_problem: the one place where a task, a goal and a terminal value become an optimal control problem.

    minimise  sum_{k<N} l(x_k, u_k; goal) + V(x_N; goal)                                            (paper, eq. 3 and 6)

or, for a discounted task,  sum_{k<N} gamma^k l(x_k, u_k; goal) + gamma^N V(x_N; goal).

Training, evaluation and control all come through here, so the problem a value was trained on is the problem it serves.
"""

import crocoddyl
import numpy as np

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.discount import DiscountedNode, discount_of, undiscounted
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.problem.terminal import CompiledValueNode, ValueNode, value_node, zero_node
from dvp_mpc.value import ValueFunction


def build_problem(
    task: Task, goal: Goal, x0: np.ndarray, nodes: int, terminal: ValueFunction | None, *, own_bounds: bool = False
) -> crocoddyl.ShootingProblem:
    """The problem from x0 (nx,) over `nodes` steps of task.dt, ended by `terminal` (None: zero terminal cost).

    own_bounds: each node of an arm has torque bounds that can be set without touching the others'.
    """
    if nodes < 1:
        raise BadSetting("nodes", nodes, "the horizon needs at least one node")
    running, gamma = task.running_model(goal), discount_of(task)
    horizon = [_twin(running) for _ in range(nodes)] if own_bounds else [running] * nodes
    last = zero_node(task) if terminal is None else value_node(task, goal, terminal)
    if gamma < 1:
        horizon, last = [DiscountedNode(running, gamma**k) for k in range(nodes)], DiscountedNode(last, gamma**nodes)
    problem = crocoddyl.ShootingProblem(x0, horizon, last)
    # One thread: Crocoddyl's default (all cores, deaf to OMP_NUM_THREADS) makes a solve 8 to 12 times slower as soon as
    # another process runs. Parallel work is done over processes instead.
    if problem.nthreads != 1:  # with a Python node it is 1 already, and setting it again prints a warning
        problem.nthreads = 1
    return problem


def _twin(node: crocoddyl.IntegratedActionModelEuler) -> crocoddyl.IntegratedActionModelEuler:
    """The same node, dynamics and cost shared, with bounds of its own."""
    twin = crocoddyl.IntegratedActionModelEuler(node.differential, node.dt)
    twin.u_lb, twin.u_ub = node.u_lb, node.u_ub
    return twin


def retarget(problem: crocoddyl.ShootingProblem, task: Task, goal: Goal) -> None:
    """Move a problem made by build_problem to another goal, in place."""
    task.retarget(problem.runningModels[0], goal)  # what it moves serves the whole horizon
    last = undiscounted(problem.terminalModel)
    if isinstance(last, ValueNode | CompiledValueNode):
        last.retarget(goal)
