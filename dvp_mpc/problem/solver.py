"""solve: one optimal control problem -> a Trajectory whose status explains itself.

BoxFDDP, because torque bounds are hard on the arm: with them inside the solve the value learns what saturation costs, and
the plan never asks for what the limiter would cut. Where native/ is built its box QP is ours, since Crocoddyl's now and then
misses its minimum. Joint limits are soft here (barrier in the running cost): a hard state bound may be violated by the
measured state itself, and a tick must have an answer then.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import crocoddyl
import numpy as np

from dvp_mpc import native

_compiled, _ = native.load()

Nodes = Sequence[np.ndarray] | np.ndarray
"""States or controls along a horizon, one row a node."""


class Status(Enum):
    """How a solve ended, and what its result may be used for."""

    CONVERGED = "converged: usable as a training label"
    ITERATION_LIMIT = "iterations exhausted: usable in a tick, not as a training label"
    NO_ITERATION = "the solver returned its warm start: NaN in the model or a state it could not leave; use nothing"
    OPEN_GAPS = "the states do not follow from the controls: use nothing, restart from a rolled out guess"
    WRONG_START = "the trajectory does not begin at the measured state: use nothing"
    NOT_FINITE = "cost, controls or gains are not finite: use nothing"

    @property
    def usable(self) -> bool:
        """Whether the trajectory may move an arm."""
        return self in (Status.CONVERGED, Status.ITERATION_LIMIT)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Copies of a solution; nothing here is a view into the solver."""

    xs: np.ndarray  # (N+1, nx)
    us: np.ndarray  # (N, nu)
    gains: np.ndarray  # (N, nu, nx): u = us[k] - gains[k] (x - xs[k])
    cost: float
    status: Status
    iterations: int


def quasi_static_guess(problem: crocoddyl.ShootingProblem, goal_control: np.ndarray) -> tuple[list, list]:
    """Stay at x0: xs (N+1 states), us (N controls)."""
    x0 = np.array(problem.x0)
    try:
        u = np.array(problem.runningModels[0].quasiStatic(problem.runningDatas[0], x0))
    except RuntimeError:  # a state with no equilibrium
        u = goal_control
    return [x0] * (problem.T + 1), [u] * problem.T


def make_solver(problem: crocoddyl.ShootingProblem, tolerance: float = 1e-7) -> crocoddyl.SolverAbstract:
    """The solver used everywhere, with its stopping threshold."""
    solver = crocoddyl.SolverBoxFDDP(problem) if _compiled is None else _compiled.BoxSolver(problem)
    solver.th_stop = tolerance
    return solver


def solve(solver: crocoddyl.SolverAbstract, xs: Nodes, us: Nodes, *, iterations: int, feasible: bool = False) -> Status:
    """Run the solver from a guess and judge the outcome; the result stays in the solver, see `trajectory`.

    feasible says that xs is where us leads; only another solution may claim it, since the solver believes it.
    FDDP itself cannot be asked whether it worked: it returns its warm start without a word when the model gives NaN, and
    False in every ordinary one-iteration tick.
    """
    if _compiled is not None:
        converged = _compiled.solve(solver, np.ravel(xs), np.ravel(us), iterations, feasible)
    else:
        converged = solver.solve(list(xs), list(us), iterations, feasible)
    if not np.isfinite(solver.cost):
        return Status.NOT_FINITE
    if solver.iter < 1 and not converged:
        return Status.NO_ITERATION
    if not solver.isFeasible:
        return Status.OPEN_GAPS
    if not np.array_equal(solver.xs[0], solver.problem.x0):
        return Status.WRONG_START
    return Status.CONVERGED if converged else Status.ITERATION_LIMIT


def trajectory(solver: crocoddyl.SolverAbstract, status: Status) -> Trajectory:
    """Copy the solver's solution out of its memory."""
    problem = solver.problem
    if _compiled is not None:
        xs, us, gains = _compiled.solution(solver)
    else:
        xs, us, gains = np.array(solver.xs.tolist()), np.array(solver.us.tolist()), np.array(solver.K.tolist())
    nodes, nx = problem.T, len(problem.x0)
    xs, us, gains = xs.reshape(nodes + 1, nx), us.reshape(nodes, -1), gains.reshape(nodes, -1, nx)
    if not (np.isfinite(xs).all() and np.isfinite(us).all() and np.isfinite(gains).all()):
        status = Status.NOT_FINITE
    return Trajectory(xs, us, gains, float(solver.cost), status, int(solver.iter))


def last_step(solver: crocoddyl.SolverAbstract) -> np.ndarray | None:
    """How far the last step moved the states of all nodes but the last: (N, nx).

    The solver ends with a step, so its V_x, V_xx, Q_uu and the like belong to where that step began. None where only another
    backward pass tells what they are at its states: the step was refused, or the solver is Crocoddyl's, which does not say.
    """
    if _compiled is None:
        return None
    problem = solver.problem
    tried = sum(data.cost for data in problem.runningDatas) + problem.terminalData.cost
    if not math.isclose(tried, solver.cost, rel_tol=1e-12):
        return None
    return np.array(solver.dx.tolist())
