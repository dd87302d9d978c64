"""Where training trajectories start: mostly in the trusted box, the rest where a short-horizon loop may find itself."""

import crocoddyl
import numpy as np

from dvp_mpc.learning.settings import Starts
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import make_solver, quasi_static_guess, solve
from dvp_mpc.problem.task import Goal, Task, sample_starts
from dvp_mpc.value import ValueFunction


def sample_training_start(
    task: Task, goal: Goal, starts: Starts, value: ValueFunction | None, rng: np.random.Generator
) -> np.ndarray:
    """One start state: (nx,)."""
    lower, upper = task.start_box
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    kind = rng.uniform()
    if kind < starts.near:
        x = goal.x + 10 ** rng.uniform(-2, 0) * half * rng.uniform(-1, 1, task.nx)
    elif kind < starts.near + starts.wide:
        x = np.clip(middle + 1.35 * half * rng.uniform(-1, 1, task.nx), *task.state_limits)
    elif kind < starts.near + starts.wide + starts.kicked:
        x = _kick(task, goal, sample_starts(task, rng, 1)[0], rng)
    else:
        x = sample_starts(task, rng, 1)[0]
    if value is not None and rng.uniform() < starts.loop:
        x = _loop(task, goal, value, x, int(rng.integers(1, 61)))
    return x


def _kick(task: Task, goal: Goal, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    model = task.running_model(goal)
    bound = np.where(np.isfinite(model.u_ub), model.u_ub, 1.0)
    lower, upper = task.state_limits
    data, u = model.createData(), rng.uniform(-bound, bound)
    for _ in range(rng.integers(1, 9)):
        if ((x < lower) | (x > upper)).any():
            break
        model.calc(data, x, u)
        x = np.array(data.xnext)
    return x


def _loop(task: Task, goal: Goal, value: ValueFunction, x: np.ndarray, steps: int) -> np.ndarray:
    problem = build_problem(task, goal, x, 1, value)
    solver: crocoddyl.SolverAbstract = make_solver(problem)
    _, us = quasi_static_guess(problem, goal.u)
    ahead = x
    for _ in range(steps):
        problem.x0 = x
        if not solve(solver, [x, ahead], us, iterations=2).usable:
            break
        us = [np.array(solver.us[0])]
        x = ahead = np.array(solver.xs[1])
    return x
