"""Ground truth for the paper's systems: long horizons with zero terminal cost, each checked by a longer one.

    V_T <= V, and V_T -> V:  exponentially for pendulum and cartpole; for the unicycle V - V_T ~ a / T, since the last of the
    sideways error costs a manoeuvre, and is left standing while T times its square costs less. Hence
        V ~ (T2 V_T2 - T1 V_T1) / (T2 - T1),    error: what this moves when T1, T2 are the next shorter pair of horizons.

DDP finds local optima. Every state is solved from several guesses, the best is carried on to the longer horizons, and it is
reported how often the cold start that training uses had missed it.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from dvp_mpc.errors import RunFailed
from dvp_mpc.learning.labels import Labels, from_solved, read_labels
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import Status, Trajectory, make_solver, quasi_static_guess, solve, trajectory
from dvp_mpc.problem.task import Task, sample_starts
from dvp_mpc.studies.reproduce.figure import Json, Work

HELD_OUT = 301  # first word of the seeds of held-out states; training has others


@dataclass(frozen=True)
class TruthSettings:
    """How ground truth is made."""

    states: int
    """Held-out states, uniform in the start box."""
    horizons: tuple[int, int, int]
    """Nodes, each twice the one before."""
    extrapolate: bool
    """Whether the tail falls like 1/T; otherwise the longest horizon is taken as it is."""
    guesses: int = 6
    """First guesses of each state, at the shortest horizon."""


FULL = {
    "pendulum": TruthSettings(100, (75, 150, 300), extrapolate=False),
    "cartpole": TruthSettings(100, (150, 300, 600), extrapolate=False, guesses=3),
    "unicycle": TruthSettings(100, (500, 1000, 2000), extrapolate=True),
}
QUICK = {
    "pendulum": TruthSettings(12, (50, 100, 200), extrapolate=False, guesses=2),
    "cartpole": TruthSettings(12, (100, 200, 400), extrapolate=False, guesses=2),
    "unicycle": TruthSettings(12, (250, 500, 1000), extrapolate=True, guesses=2),
}


class Truth(NamedTuple):
    """Held-out states with their value and how far to trust it."""

    labels: Labels  # at the states; V is the limit, derivatives are those of the longest horizon
    error: np.ndarray  # (n,) estimated |error| / V that remains
    missed: float  # share of states at which the cold start had ended above the best by more than 0.1 %


def ground_truth(work: Work, name: str, task: Task, settings: TruthSettings) -> Truth:
    """Of the task called `name`; the same for all seeds and figures."""
    made = work.kept(f"truth-{name}-{settings.states}", (task.digest, settings), lambda: _solve(task, settings))
    arrays = {key: np.array(value, dtype=np.float32) for key, value in made["columns"].items()}
    arrays |= {"Jt": np.zeros((settings.states, task.nt, task.nx), np.float32), "goal": arrays["goal"].astype(int)}
    return Truth(Labels(**arrays), np.array(made["error"]), made["missed"])


def _solve(task: Task, settings: TruthSettings) -> Json:
    rng = np.random.default_rng([HELD_OUT, settings.states])
    solved, values, missed = [], [], 0
    for x0 in sample_starts(task, rng, settings.states):
        tries = [_best_effort(task, x0, settings.horizons[0], k, rng) for k in range(settings.guesses)]
        path = min(tries, key=lambda found: found.cost)
        missed += not tries[0].cost < 1.001 * path.cost
        costs = [path.cost]
        for T in settings.horizons[1:]:
            goal, more = task.sample_goal(rng), T - len(path.us)
            problem = build_problem(task, goal, x0, T, None)
            solver = make_solver(problem)
            # Waiting at the goal, with a small gap to it: a rollout of the old controls would fall over.
            guess = [*path.xs, *[goal.x] * more], [*path.us, *[goal.u] * more]
            status = solve(solver, *guess, iterations=1000)
            path = trajectory(solver, status)
            if status is not Status.CONVERGED:
                raise RunFailed(f"ground truth did not converge from {x0.tolist()} over {T} nodes: {status.value}")
            costs.append(path.cost)
        solved.append(read_labels(task, task.sample_goal(rng), solver, np.array([0])))
        values.append(costs)
    V = np.array(values)
    limit, before = V[:, 2], V[:, 1]
    if settings.extrapolate:  # T2 = 2 T1
        limit, before = 2 * V[:, 2] - V[:, 1], 2 * V[:, 1] - V[:, 0]
    columns = {name: column.tolist() for name, column in from_solved(solved).arrays().items() if name != "Jt"}
    error = np.abs(limit - before) / limit
    return {"columns": {**columns, "V": limit.tolist()}, "error": error.tolist(), "missed": missed / len(V)}


def best_of(task: Task, x0: np.ndarray, T: int, guesses: int) -> Trajectory:
    """The best optimum over T nodes that the cold start and further guesses lead to."""
    rng = np.random.default_rng([HELD_OUT, T])
    return min((_best_effort(task, x0, T, k, rng) for k in range(guesses)), key=lambda found: found.cost)


def _best_effort(task: Task, x0: np.ndarray, T: int, k: int, rng: np.random.Generator) -> Trajectory:
    """The optimum that guess k leads to: 0 the cold start of training, the others pushes that fade; cost inf if none."""
    goal = task.sample_goal(rng)
    problem = build_problem(task, goal, x0, T, None)
    solver = make_solver(problem)
    guess = quasi_static_guess(problem, goal.u)
    if k > 0:
        fade = np.exp(-np.arange(T) / (T * 10 ** rng.uniform(-2, -0.5)))
        us = list(fade[:, None] * rng.normal(size=task.nu) * 10 ** rng.uniform(-1, 0.5))
        straight = [x0 * max(0.0, 1 - 4 * j / T) for j in range(T + 1)]  # states need not follow from controls
        guess = straight if k % 2 else list(problem.rollout(us)), us
    status = solve(solver, *guess, iterations=500)
    found = trajectory(solver, status)
    return found if status is Status.CONVERGED else replace(found, cost=float("inf"))


def median_gap(task: Task, states: Labels, T: int, most: int = 30) -> float:
    """Median of (V - V_T) / V over the first `most` states: what perfect training on a horizon of T nodes would leave."""
    gaps = []
    for i in range(min(most, len(states))):
        V = float(states.V[i])
        gaps.append((V - best_of(task, states.x[i].astype(float), T, 2).cost) / V)
    return float(np.median(gaps))
