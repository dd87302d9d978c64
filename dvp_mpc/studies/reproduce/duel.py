"""DVP and PPO on one discounted problem, the unicycle's, for figures 7 and 8.

Both get the same dynamics, cost, discount, starts and size of network; neither sees the states and starts that judge them.
Their efforts are counted alike: in processor time, which other programs do not lengthen, and in evaluations of the dynamics.
A derivative counts as nx + nu + 1 evaluations, which is what it would cost who has to take differences, so that DVP is not
given its derivatives for nothing.
"""

import time
from dataclasses import dataclass, replace
from functools import partial

import crocoddyl
import numpy as np

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.errors import RunFailed, UsageError
from dvp_mpc.learning.settings import DvpSettings
from dvp_mpc.problem.discount import Discounted, DiscountedNode
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve, trajectory
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.studies.evaluation import run_loop
from dvp_mpc.studies.reproduce.duel_settings import UNICYCLE, DuelSettings
from dvp_mpc.studies.reproduce.figure import Json, Work
from dvp_mpc.studies.reproduce.runs import Quiet
from dvp_mpc.value import ValueFunction

STATES, STARTS = 307, 308  # first words of the seeds of what judges; training has others
DVP_KINDS = ("paper", "ours")


def problem(settings: DuelSettings) -> tuple[Discounted, Goal]:
    """The discounted unicycle and its goal."""
    task = Discounted(UNICYCLE.task, settings.discount)
    return task, task.sample_goal(np.random.default_rng(0))


def optimum(task: Discounted, goal: Goal, x0: np.ndarray, length: int) -> tuple[float, np.ndarray, np.ndarray]:
    """V*(x0), the optimal states (length+1, nx) and controls (length, nu).

    The cheaper of two solutions. From 40 random starts both were the same, and three more no better; but right beside its goal
    (x = 0, heading 0) a unicycle that begins by standing still finds nothing to gain by any small move and stays there.
    Raises RunFailed where neither converges.
    """
    found = build_problem(task, goal, x0, length, None)
    turning = [np.array([1.0, 0.5]) * (k < 2.0 / task.dt) for k in range(length)]
    guesses = (quasi_static_guess(found, goal.u), ([np.array(x) for x in found.rollout(turning)], turning))
    solutions = []
    for xs, us in guesses:
        solver = make_solver(found)
        if solve(solver, xs, us, iterations=500) is Status.CONVERGED:
            solutions.append(trajectory(solver, Status.CONVERGED))
    if not solutions:
        raise RunFailed(f"no optimum from {x0}")
    best = min(solutions, key=lambda solution: solution.cost)
    return best.cost, best.xs, best.us


def truth(settings: DuelSettings, work: Work) -> Json:
    """Optima at the states, from the starts, and for the first seed on a map with heading 0."""
    task, goal = problem(settings)

    def make() -> Json:
        states = sample_starts(task, np.random.default_rng([STATES, work.seed]), settings.states)
        starts = sample_starts(task, np.random.default_rng([STARTS, work.seed]), settings.starts)
        best = [optimum(task, goal, x0, settings.length) for x0 in starts]
        return {
            "states": states.tolist(),
            "values": [optimum(task, goal, x0, settings.length)[0] for x0 in states],
            "starts": starts.tolist(),
            "costs": [cost for cost, _, _ in best],
            "xs": [xs.tolist() for _, xs, _ in best],
            "us": [us.tolist() for _, _, us in best],
        }

    lines = [np.linspace(low, high, settings.map_points) for low, high in zip(*task.start_box, strict=True)]
    grid = [[float(x), float(y), 0.0] for y in lines[1] for x in lines[0]] if work.seed == 0 else []

    def make_map() -> Json:
        return [optimum(task, goal, np.array(x0), settings.length)[0] for x0 in grid]

    identity = (settings.states, settings.starts, settings.length, settings.map_points, task.digest)
    with work.alone("duel"):
        V = work.kept(f"duel-map-{_mode(work)}", (grid, settings.length, task.digest), make_map) if grid else []
        judged = work.kept(f"duel-truth-{_mode(work)}-seed{work.seed}", identity, make)
    return {**judged, "grid": grid, "map": V}


def dvp(settings: DuelSettings, work: Work, kind: str) -> Json:
    """DVP with the paper's settings or ours: its errors over iterations, its map, and the trajectories of its controller."""
    from dvp_mpc.learning.dvp import run

    task, goal = problem(settings)
    judge = truth(settings, work)
    effort = replace(settings.paper if kind == "paper" else settings.ours, seed=work.seed)

    def make() -> Json:
        found = run(
            task, effort, work.folder / f"duel-dvp-{kind}-{_mode(work)}-seed{work.seed}", Quiet(), time.process_time
        )
        each = evaluations(task, goal, effort, settings.counted)
        curve, seconds = [], 0.0
        for row, value in zip(found.rows, found.values, strict=True):
            seconds += row.seconds_labels + row.seconds_fit
            steps = each * effort.sampling.problems * (row.iteration + 1)
            curve.append({"steps": steps, "seconds": seconds, "values": at(value, goal, judge["states"])})
        value = found.values[-1]
        loops = [
            run_loop(task, goal, np.array(x0), value, MpcSettings(settings.nodes), settings.length)
            for x0 in judge["starts"]
        ]
        return {
            "curve": curve,
            "map": at(value, goal, judge["grid"]),
            "costs": [loop.cost for loop in loops],
            "xs": [loop.xs.tolist() for loop in loops],
            "us": [loop.us.tolist() for loop in loops],
        }

    identity = (
        settings.discount,
        effort,
        judge["states"],
        judge["starts"],
        judge["grid"],
        settings.nodes,
        settings.length,
    )
    with work.alone("duel"):
        return work.kept(f"duel-dvp-{kind}-{_mode(work)}-seed{work.seed}", identity, make)


def at(value: ValueFunction, goal: Goal, states: list[list[float]]) -> list[float]:
    """V at states (n, nx) of a task without a tool."""
    bound = value.at(goal.frame)
    return [bound.cost(np.array(x), np.zeros(0)) for x in states]


def ppo(settings: DuelSettings, work: Work) -> Json:
    """PPO: its critic and costs over its steps, its map, and the trajectories of its policy, as it is and as it explores."""
    try:
        from dvp_mpc.studies.reproduce.ppo import learn, load, play, stages
    except ImportError as error:
        raise UsageError(f"PPO needs the extra 'reproduce' (pip install '.[reproduce]'): {error}") from error
    task, goal = problem(settings)
    judge = truth(settings, work)
    states, starts = np.array(judge["states"]), np.array(judge["starts"])

    judges = (judge["states"], judge["starts"], judge["grid"], settings.length)
    identity = (settings.discount, settings.ppo, settings.looks, judges)
    name = f"duel-ppo-{_mode(work)}-seed{work.seed}"
    ends = stages(settings.ppo, settings.looks)
    files = [work.folder / f"{name}-stage{k}.zip" for k in range(len(ends))]

    def stage(k: int) -> Json:
        before = files[k - 1] if k else None
        agent, steps, seconds = learn(task, goal, settings.ppo, work.seed, before, ends[k], files[k])
        costs = play(agent, starts, settings.length, explore=False)[2]
        return {"steps": steps, "seconds": seconds, "values": agent.value(states).tolist(), "costs": costs.tolist()}

    def make() -> Json:
        curve = [work.kept(f"{name}-stage{k}", identity, partial(stage, k)) for k in range(len(ends))]
        seconds = np.cumsum([look["seconds"] for look in curve])
        agent = load(files[-1], task, goal, settings.ppo)
        xs, us, costs = play(agent, starts, settings.length, explore=False)
        agent.model.set_random_seed(work.seed)
        noisy = play(agent, starts, settings.length, explore=True)
        return {
            "curve": [look | {"seconds": float(so_far)} for look, so_far in zip(curve, seconds, strict=True)],
            "map": agent.value(np.array(judge["grid"])).tolist() if judge["grid"] else [],
            "costs": costs.tolist(),
            "xs": xs.tolist(),
            "us": us.tolist(),
            "noisy": {"us": noisy[1].tolist(), "costs": noisy[2].tolist()},
        }

    with work.alone("duel"):
        return work.kept(name, identity, make)


def evaluations(task: Discounted, goal: Goal, effort: DvpSettings, problems: int) -> int:
    """Evaluations of the dynamics for one problem of DVP's first iteration, counted on a few."""
    count = [0]
    counted = _Counted(task.base, task.discount, count, 1 + task.nx + task.nu)
    for x0 in sample_starts(task, np.random.default_rng([STARTS, 0, 0]), problems):
        found = build_problem(counted, goal, x0, effort.sampling.horizon, None)
        solve(make_solver(found), *quasi_static_guess(found, goal.u), iterations=effort.sampling.iterations)
    return round(count[0] / problems)


@dataclass(frozen=True, eq=False)
class _Counted(Discounted):
    count: list[int]
    derivative: int  # evaluations that one derivative counts as

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        return _CountedNode(self.base.running_model(goal), self.count, self.derivative)


class _CountedNode(DiscountedNode):
    def __init__(self, inner: crocoddyl.ActionModelAbstract, count: list[int], derivative: int):
        super().__init__(inner, 1.0)
        self._count, self._derivative = count, derivative

    def calc(self, data, x, u=None):  # type: ignore[no-untyped-def]
        self._count[0] += 1
        super().calc(data, x, u)

    def calcDiff(self, data, x, u=None):  # type: ignore[no-untyped-def]
        self._count[0] += self._derivative
        super().calcDiff(data, x, u)


def _mode(work: Work) -> str:
    return "quick" if work.quick else "full"
