"""How fast could the tool be at the goal at all? A bound to hold a controller's settling time against.

    least T with   ||p(q_T) - p_g|| <= 1 cm,  |v_T| <= 0.1 rad/s,   torques and speeds within the arm's limits

Found by bisection over the horizon of a problem that minimises nothing but what it misses at its end. Torque bounds are hard
inside the solve; a solution counts only if it keeps the speed and position limits, too. The solver is a local one, so a shorter
motion than the one found may exist: the bound is what the same optimiser reaches when nothing but time counts.
"""

import crocoddyl
import numpy as np

from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.solver import make_solver, quasi_static_guess, solve
from dvp_mpc.problem.task import Goal

ARRIVED = 0.01  # [m] of the tool
STOPPED = 0.1  # [rad/s] of every joint
OVER = 1e-3  # share of a limit that counts as kept
LONGEST = 3.0  # [s]


def fastest(task: ReachTask, goal: Goal, x0: np.ndarray) -> float:
    """Least time [s] from x0 (14,) to the goal found, to one time step; NaN when not even LONGEST is enough."""
    nodes, few, guess = round(LONGEST / task.dt), 1, None
    many = nodes
    if (found := _motion(task, goal, x0, nodes, None)) is None:
        return float("nan")
    guess = found
    while many - few > 1:
        middle = (few + many) // 2
        found = _motion(task, goal, x0, middle, _resampled(guess, middle)) or _motion(task, goal, x0, middle, None)
        few, many, guess = (few, middle, found) if found else (middle, many, guess)
    return many * task.dt


Motion = tuple[np.ndarray, np.ndarray]


def _motion(task: ReachTask, goal: Goal, x0: np.ndarray, nodes: int, guess: Motion | None) -> Motion | None:
    """A motion of `nodes` steps that arrives, xs (n+1, 14) and us (n, 7), or None."""
    running, end = _node(task, goal, task.dt, last=False), _node(task, goal, 0.0, last=True)
    problem = crocoddyl.ShootingProblem(x0, [running] * nodes, end)
    problem.nthreads = 1
    solver = make_solver(problem)
    xs, us = quasi_static_guess(problem, goal.u) if guess is None else guess
    solve(solver, xs, us, iterations=150)
    X, U = np.array(solver.xs.tolist()), np.array(solver.us.tolist())
    (q, v), arm = np.split(X, 2, axis=1), task.arm
    kept = (np.abs(v) <= (1 + OVER) * arm.velocity_limit).all() and (q <= arm.upper).all() and (q >= arm.lower).all()
    there = np.linalg.norm(task.tool(X[-1]) - goal.tool) <= ARRIVED and np.abs(v[-1]).max() <= STOPPED
    return (X, U) if solver.isFeasible and kept and there else None


def _node(task: ReachTask, goal: Goal, dt: float, last: bool) -> crocoddyl.ActionModelAbstract:
    state, nu = task.state, task.nu
    lower, upper = task.state_limits
    costs = crocoddyl.CostModelSum(state, nu)
    bounds = crocoddyl.ActivationModelQuadraticBarrier(crocoddyl.ActivationBounds(lower, upper))
    costs.addCost("limits", crocoddyl.CostModelResidual(state, bounds, crocoddyl.ResidualModelState(state, nu)), 1e4)
    if last:
        tool = crocoddyl.ResidualModelFrameTranslation(state, task.arm.tool_id, goal.tool, nu)
        costs.addCost("tool", crocoddyl.CostModelResidual(state, tool), 1e5)
        still = crocoddyl.ActivationModelWeightedQuad(np.repeat([0.0, 1.0], DOF))
        rest = crocoddyl.ResidualModelState(state, np.zeros(task.nx), nu)
        costs.addCost("rest", crocoddyl.CostModelResidual(state, still, rest), 1e2)
    else:  # so little that it only settles between motions that arrive alike
        effort = crocoddyl.ResidualModelControlGrav(state, nu)
        costs.addCost("torque", crocoddyl.CostModelResidual(state, effort), 1e-5)
    actuation = crocoddyl.ActuationModelFull(state)
    dynamics = crocoddyl.DifferentialActionModelFreeFwdDynamics(state, actuation, costs)
    node = crocoddyl.IntegratedActionModelEuler(dynamics, dt)
    node.u_lb, node.u_ub = -task.arm.torque_limit, task.arm.torque_limit
    return node


def _resampled(motion: Motion, nodes: int) -> Motion:
    """The motion in `nodes` steps: a first guess."""
    xs, us = motion
    at = np.linspace(0, 1, nodes + 1)
    X = np.array([np.interp(at, np.linspace(0, 1, len(xs)), column) for column in xs.T]).T
    U = np.array([np.interp(at[:-1], np.linspace(0, 1, len(us)), column) for column in us.T]).T
    return X, U
