"""Where training trajectories start: mostly in the trusted box, the rest where a short-horizon loop may find itself."""

import numpy as np

from dvp_mpc.learning.settings import Starts
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import make_solver, quasi_static_guess, solve, trajectory
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
        x = task.stoppable(goal.x + 10 ** rng.uniform(-2, 0) * half * rng.uniform(-1, 1, (1, task.nx)))[0]
    elif kind < starts.near + starts.wide:
        x = task.stoppable(np.clip(middle + 1.35 * half * rng.uniform(-1, 1, (1, task.nx)), *task.state_limits))[0]
    elif kind < starts.near + starts.wide + starts.kicked:
        x = _kick(task, goal, sample_starts(task, rng, 1)[0], rng)
    else:
        x = sample_starts(task, rng, 1)[0]
    if value is not None and rng.uniform() < starts.loop:
        x = follow(task, goal, x, value, 1, int(rng.integers(1, 61)))[0][-1]
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


def follow(
    task: Task, goal: Goal, x0: np.ndarray, value: ValueFunction, nodes: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the controller with `nodes` nodes and this value leads from x0 (nx,): xs (n+1, nx), us (n, nu).

    n is `steps`, less where a solve failed.
    """
    problem = build_problem(task, goal, x0, nodes, value)
    solver = make_solver(problem)
    guess = [np.array(part) for part in quasi_static_guess(problem, goal.u)]
    xs, us = [x0], []
    for k in range(steps):
        problem.x0 = guess[0][0] = xs[-1]
        if k == 0 or not (status := solve(solver, *guess, iterations=2)).usable:
            status = solve(solver, *guess, iterations=30)
        if not status.usable:
            break
        plan = trajectory(solver, status)
        xs.append(plan.xs[1])
        us.append(plan.us[0])
        guess = [np.concatenate([part[1:], part[-1:]]) for part in (plan.xs, plan.us)]
    return np.array(xs), np.array(us).reshape(len(us), task.nu)
