"""MPC: one state -> one Plan, by one Newton step, or as many as a limit in the way asks for, on a short problem that ends in
a value.

minimise  sum_{k<N} l(x_k, u_k; goal) + V(x_N; goal),   x_0 = x,   warm-started from the plan before

On an arm the torque may not jump, and a plan that does not know that shakes its joints: heavy ones lag behind, and the light
ones, which obey at once, are thrown past their speed limits. So u_k keeps to what the torque can be on average over node k:

    |u_k - u| <= rate (k dt + dt/2),   u the torque at the moment of the state

V does not know of that: it believes that any torque can act from x_N on. Where one is still under way then, the horizon is too
short: see `under_way` and `lengthen`.
"""

from dataclasses import dataclass

import numpy as np

from dvp_mpc.errors import BadSetting
from dvp_mpc.problem.ocp import build_problem, retarget
from dvp_mpc.problem.solver import Nodes, Status, Trajectory, make_solver, quasi_static_guess, solve, trajectory
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.value import ValueFunction


@dataclass(frozen=True)
class MpcSettings:
    """Effort of the solver."""

    nodes: int = 10
    """Nodes of the horizon."""
    iterations: int = 1
    """Iterations per tick."""
    again_above: float = 0.0001
    """Difference between the decrease of the cost that a tick's last iteration promised and the one that it made, above which
    it takes one more. Where the cost is smooth a Newton step keeps its promise, and what is left to gain is less than the
    difference; barriers and torque bounds make kinks, and along a limit one step may pass a joint's speed limit by 15 %. It
    holds for plans that serve a node's time; for a tenth of it ten times as much will do, since the next tick comes so soon."""
    again_at_most: int = 9
    """Such iterations of a tick, at most."""
    first_iterations: int = 30
    """Iterations of a tick without a warm start."""

    def __post_init__(self) -> None:
        for name, least in (("nodes", 1), ("iterations", 1), ("again_at_most", 0), ("first_iterations", 1)):
            if getattr(self, name) < least:
                raise BadSetting(name, getattr(self, name), f"must be at least {least}")


@dataclass(frozen=True, eq=False)
class Plan:
    """A solution with the feedback around it, good for a few nodes' time."""

    solution: Trajectory
    dt: float  # [s] time step of the nodes

    @property
    def status(self) -> Status:
        return self.solution.status

    def torque(self, age: float, x: np.ndarray) -> np.ndarray:
        """u = u_k - K_k (x - x_k): the plan's policy, linearised at the node k that holds at `age` [s]: (nu,).

        Not about a reference that moves from x_k to x_{k+1}: the policy hardly depends on time, so the torque would be reset
        at every new plan, and ripple at the plan rate under any push.
        """
        k = min(max(int(age / self.dt + 1e-9), 0), len(self.solution.us) - 1)
        return self.solution.us[k] - self.solution.gains[k] @ (x - self.solution.xs[k])


class MPC:
    """A short-horizon controller for one task; `retarget` changes the goal without rebuilding anything."""

    def __init__(
        self,
        task: Task,
        goal: Goal,
        terminal: ValueFunction | None,
        settings: MpcSettings,
        torque_rate: float | None = None,
    ):
        """torque_rate: how fast the torque may change [N m/s], for plans that are told what it is; None: it may jump."""
        self.task, self.goal, self.settings = task, goal, settings
        self._rate = torque_rate
        self._problem = build_problem(task, goal, goal.x, settings.nodes, terminal, own_bounds=torque_rate is not None)
        self._solver = make_solver(self._problem)
        self._nodes = list(self._problem.runningModels)
        self._bounds = np.array(self._nodes[0].u_lb), np.array(self._nodes[0].u_ub)
        self._enough = settings.again_above
        self._last: Trajectory | None = None

    def retarget(self, goal: Goal) -> None:
        """Aim at another goal from the next plan on; the warm start is kept."""
        retarget(self._problem, self.task, goal)
        self.goal = goal

    def forget(self) -> None:
        """Drop the warm start: the next plan begins afresh."""
        self._last = None

    def plan(self, x: np.ndarray, elapsed: float, torque: np.ndarray | None = None) -> Plan:
        """Plan from state x: (nx,), `elapsed` seconds after the plan before.

        torque: the torque (nu,) at x, from which it departs at the torque rate; None only where it may jump.
        The plan's status says whether it may move the arm. A warm start that leads to none that may is given up for a fresh
        one at once: after a step of the goal it can be worse than nothing.
        """
        lower, upper = self._begin(x, elapsed, torque)
        solution = None
        if self._last is not None:
            xs, us = shifted(self._last, x, elapsed / self.task.dt)
            within = np.clip(us, lower, upper)
            led = not np.array_equal(within, us)
            start = self._rollout(within) if led else xs
            solution = self._refined(start, within, self.settings.iterations, feasible=led)
        if solution is None or not solution.status.usable:
            still, carrying = quasi_static_guess(self._problem, self.goal.u)
            solution = self._refined(still, np.clip(carrying, lower, upper), self.settings.first_iterations)
        self._last = solution if solution.status.usable else None
        return Plan(solution, self.task.dt)

    def lengthen(self, plan: Plan, elapsed: float, torque: np.ndarray) -> Plan:
        """A plan over this horizon from a shorter one's, with the same state, `elapsed` and torque.

        It begins where the shorter plan leads with its last torque held, or where the longer one before leads from here,
        whichever costs less. A torque that is held for 0.1 s at speed may end where one Newton step does not come back from.
        """
        short, more = plan.solution, self.settings.nodes - len(plan.solution.us)
        x = short.xs[0]
        bounds = self._begin(x, elapsed, torque)
        guesses = [np.concatenate([short.us, np.repeat(short.us[-1:], more, axis=0)])]
        if self._last is not None:
            guesses.append(shifted(self._last, x, elapsed / self.task.dt)[1])
        starts = [(self._rollout(us), list(us)) for us in (np.clip(guess, *bounds) for guess in guesses)]
        xs, us = min(starts, key=lambda start: self._problem.calc(*start))
        solution = self._refined(xs, us, self.settings.iterations, feasible=True)
        self._last = solution if solution.status.usable else None
        return Plan(solution, self.task.dt)

    def under_way(self, plan: Plan) -> bool:
        """Whether a torque of the newest plan still changes as fast as it may at the end: at a bound that is not its own."""
        u, end, (lowest, highest), close = plan.solution.us[-1], self._nodes[-1], self._bounds, 1e-9
        lower, upper = end.u_lb, end.u_ub
        return bool((((u < lower + close) & (lower > lowest)) | ((u > upper - close) & (upper < highest))).any())

    def _begin(self, x: np.ndarray, elapsed: float, torque: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Set the start, how well to solve, and the bounds of every node to what the torque can be in it; returns these."""
        self._problem.x0 = x
        dt, (lowest, highest), count = self.task.dt, self._bounds, len(self._nodes)
        self._enough = self.settings.again_above / min(max(elapsed / dt, 0.1), 1.0)
        if torque is None:
            return self._bounds
        if self._rate is None:
            raise BadSetting("torque_rate", None, "must be set for plans that depart from a torque")
        # Half of the first node, or all the time that this plan has to serve where that is longer.
        first = min(max(elapsed, dt / 2), dt)
        away = self._rate * (np.arange(count)[:, None] * dt + first)
        torque = np.clip(torque, lowest, highest)
        lower, upper = np.maximum(lowest, torque - away), np.minimum(highest, torque + away)
        for node, low, high in zip(self._nodes, lower, upper, strict=True):
            node.u_lb, node.u_ub = low, high
        return lower, upper

    def _rollout(self, us: np.ndarray) -> Nodes:
        """The states (N+1) that the torques (N, nu) lead to."""
        return self._problem.rollout(list(us)).tolist()

    def _refined(self, xs: Nodes, us: Nodes, iterations: int, *, feasible: bool = False) -> Trajectory:
        """Solve; from where the controls lead where gaps were left, and on while steps do not keep their promise."""
        solution = self._solve(xs, us, iterations=iterations, feasible=feasible)
        if solution.status is Status.OPEN_GAPS:
            # A gap may pay: from where the arm was believed to be, the goal is nearer. No step that closes it makes the cost
            # less, so the line search refuses them all. Where the guessed controls lead from here, there is no gap.
            us = np.asarray(us)
            return self._solve(self._rollout(us), us, iterations=self.settings.first_iterations, feasible=True)
        for _ in range(self.settings.again_at_most):
            promised, made = self._solver.stop, self._solver.dV
            if not solution.status.usable or abs(promised - made) <= self._enough:
                break
            again = self._solve(solution.xs, solution.us, iterations=1, feasible=True)
            if not (again.status.usable and again.cost < solution.cost):
                break  # at a kink there may be nothing left to gain
            solution = again
        return solution

    def _solve(self, xs: Nodes, us: Nodes, iterations: int, feasible: bool = False) -> Trajectory:
        return trajectory(self._solver, solve(self._solver, xs, us, iterations=iterations, feasible=feasible))


def shifted(last: Trajectory, x: np.ndarray, elapsed_nodes: float) -> tuple[np.ndarray, np.ndarray]:
    """A solution read `elapsed_nodes` further on, from state x: xs (N+1, nx), us (N, nu)."""
    whole, share = divmod(elapsed_nodes, 1.0)
    xs, us = (_advance(values, int(whole), share) for values in (last.xs, last.us))
    xs[0] = x
    return xs, us


def _advance(values: np.ndarray, whole: int, share: float) -> np.ndarray:
    """values (n, m) read `whole + share` rows further on, the last row held."""
    rows = np.minimum(np.arange(len(values)) + whole, len(values) - 1)
    if share < 1e-9:
        return values[rows]
    return (1 - share) * values[rows] + share * values[np.minimum(rows + 1, len(values) - 1)]
