"""What a motion costs, and the least that it could: the scale on which every controller of this project is measured.

Optimum and closed loop are carried over TICKS steps and ended by the Riccati value, which is exact there.
"""

import numpy as np

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve, trajectory
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.value import RiccatiValue

TICKS = 400  # nodes


def optimal_cost(task: Task, goal: Goal, x0: np.ndarray) -> float:
    """Infinite-horizon optimal cost V*(x0); NaN when the solver did not find it."""
    problem = build_problem(task, goal, x0, TICKS, RiccatiValue())
    solver = make_solver(problem)
    status = solve(solver, *quasi_static_guess(problem, goal.u), iterations=500)
    if status is not Status.CONVERGED:
        # A fast start leads far astray over all these nodes; over half of them the solver finds its way.
        half = build_problem(task, goal, x0, TICKS // 2, RiccatiValue())
        shorter = make_solver(half)
        found = trajectory(shorter, solve(shorter, *quasi_static_guess(half, goal.u), iterations=500))
        rest = TICKS - half.T
        xs = np.concatenate([found.xs, np.repeat(found.xs[-1:], rest, axis=0)])
        us = np.concatenate([found.us, np.repeat(goal.u[None], rest, axis=0)])
        status = solve(solver, xs, us, iterations=500)
    return float(solver.cost) if status is Status.CONVERGED else float("nan")


def running_cost(task: ReachTask, x: np.ndarray, u: np.ndarray, goal_in_world: np.ndarray, dt: float) -> float:
    """Running cost of a recorded motion, summed at the task's own time step.

    x: (n, 14) states, u: (n, 7) torques [N m], goal_in_world: (n, 3) [m], all every dt [s], which must not be above task.dt.
    """
    stride = round(task.dt / dt)
    if stride < 1:
        raise BadSetting("dt", task.dt, f"must not be below the plant's step {dt:g} s")
    point = goal_in_world[0]
    model = task.running_model(task.goal(point))
    data, total = model.createData(), 0.0
    for row in range(0, len(x), stride):
        if not np.array_equal(goal_in_world[row], point):  # a goal takes milliseconds to make
            point = goal_in_world[row]
            task.retarget(model, task.goal(point))
        model.calc(data, x[row], u[row])
        total += data.cost
    return total
