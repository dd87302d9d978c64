"""evaluate: closed-loop cost above the infinite-horizon optimum, for several horizons and terminal costs side by side.

The plant is the model, so all that is lost is lost by the short horizon and its terminal cost. Both the optimum and the
closed loop are carried over 4 s and ended by the Riccati value, which is exact there:

    suboptimality = ( sum_k l(x_k, u_k) + V_riccati(x_400) ) / V*(x_0) - 1
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dvp_mpc.arguments import require_jobs, require_seed
from dvp_mpc.control.mpc import MPC, MpcSettings
from dvp_mpc.control.statistics import percentiles_ms
from dvp_mpc.errors import BadSetting, RunFailed
from dvp_mpc.learning.accuracy import assess
from dvp_mpc.learning.dataset import collect, ground_truth_sampling
from dvp_mpc.learning.labels import Labels
from dvp_mpc.learning.settings import LABEL_NODES
from dvp_mpc.problem.discount import discount_of
from dvp_mpc.problem.optimum import TICKS, optimal_cost
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, Task, sample_starts
from dvp_mpc.value import RiccatiValue, ValueFunction

AT_FIRST = 0.05  # [s] in which a start beyond a velocity limit may come back
TERMINALS = ("value", "riccati", "zero")
# First words of the seeds here; training has others, so no start or goal of training comes up again.
EVALUATION, GROUND_TRUTH = 201, 202


class Case(NamedTuple):
    """One start and goal, with its optimal cost (NaN when the optimum was not found)."""

    x0: np.ndarray
    goal: Goal
    optimum: float


Outcomes = dict[tuple[int, str], "Outcome"]  # by nodes and terminal cost
Progress = Callable[[str, int, int], None]  # what, done, of


@dataclass(frozen=True)
class Outcome:
    """One closed loop."""

    suboptimality: float  # inf when it diverged
    tool_error_final: float  # [m]
    position_excess: float  # [rad] beyond the joints' own limits, at worst; 0 where a task has none
    speed_share: float  # of the joints' velocity limits, at worst, once 50 ms have passed
    rejected: int  # plans that were not usable


def make_case(task: Task, seed: int, i: int) -> Case:
    """Case i of a seed: start and goal drawn uniformly from the trusted box."""
    rng = np.random.default_rng([EVALUATION, seed, i])
    goal = task.sample_goal(rng)
    x0 = sample_starts(task, rng, 1)[0]
    return Case(x0, goal, optimal_cost(task, goal, x0))


def close_loop(task: Task, case: Case, terminal: ValueFunction | None, settings: MpcSettings) -> Outcome:
    """Run the MPC on its own model for TICKS steps and judge what it did."""
    return judge(task, case, run_loop(task, case.goal, case.x0, terminal, settings, TICKS))


def judge(task: Task, case: Case, run: "Loop") -> Outcome:
    """What a loop of TICKS steps did, against the case's optimum."""
    if run.diverged:
        return Outcome(float("inf"), float("inf"), float("inf"), float("inf"), run.rejected)
    tool = task.tool(run.xs[-1])
    cost = run.cost + RiccatiValue().at(case.goal.frame).cost(run.xs[-1], tool)
    error = float(np.linalg.norm(tool - case.goal.tool))
    return Outcome(cost / case.optimum - 1, error, *_against_limits(task, run.xs), run.rejected)


def _against_limits(task: Task, xs: np.ndarray) -> tuple[float, float]:
    """How far beyond its joints' limits a motion (n, nx) went, at worst: positions [rad], speeds as a share [-]."""
    if not isinstance(task, ReachTask):
        return 0.0, 0.0
    (q, v), arm = np.split(xs, 2, axis=1), task.arm
    settled = round(AT_FIRST / task.dt)
    beyond = np.maximum(q - arm.upper, arm.lower - q).max()
    return max(float(beyond), 0.0), float((np.abs(v[settled:]) / arm.velocity_limit).max())


class Loop(NamedTuple):
    """What a controller did on the model."""

    xs: np.ndarray  # (n+1, nx)
    us: np.ndarray  # (n, nu)
    cost: float  # sum of l, of gamma^k l where the task is discounted
    rejected: int  # plans that were not usable
    diverged: bool


def run_loop(
    task: Task, goal: Goal, x0: np.ndarray, terminal: ValueFunction | None, settings: MpcSettings, ticks: int
) -> Loop:
    """Run the MPC on its own model from x0 (nx,) for `ticks` steps, or until it diverges."""
    mpc = MPC(task, goal, terminal, settings)
    plant, gamma = task.running_model(goal), discount_of(task)
    data, cost, rejected = plant.createData(), 0.0, 0
    xs, us = [np.array(x0)], []
    last, age = None, 0
    for k in range(ticks):
        plan = mpc.plan(xs[-1], task.dt)
        if plan.status.usable:
            last, age = plan, 0
        else:
            rejected, age = rejected + 1, age + 1
        u = goal.u if last is None else last.torque(age * task.dt, xs[-1])
        us.append(np.clip(u, plant.u_lb, plant.u_ub))
        plant.calc(data, xs[-1], us[-1])
        xs.append(np.array(data.xnext))
        cost += gamma**k * data.cost
        if not np.isfinite(xs[-1]).all() or np.abs(xs[-1]).max() > 100:
            return Loop(np.array(xs), np.array(us), float("inf"), rejected, diverged=True)
    return Loop(np.array(xs), np.array(us), cost, rejected, diverged=False)


def closed_loops(
    task: Task,
    value: ValueFunction,
    nodes: tuple[int, ...],
    starts: int,
    seed: int,
    jobs: int = -1,
    progress: Progress = lambda what, done, total: None,
    *,
    terminals: tuple[str, ...] = TERMINALS,
) -> list[Outcomes]:
    """Outcomes of every case. Raises RunFailed when a case has no optimum to compare with: none is left out."""
    ends = {name: end for name, end in _terminals(value).items() if name in terminals}
    with joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
        calls = (joblib.delayed(_case_outcomes)(task, seed, i, nodes, ends) for i in range(starts))
        outcomes = []
        try:
            for done, runs in enumerate(joblib.Parallel(return_as="generator")(calls), start=1):
                outcomes.append(runs)
                progress("closed loops", done, starts)
        except TerminatedWorkerError as error:
            raise RunFailed(f"a worker process died after {len(outcomes)} of {starts} closed loops") from error
    return outcomes


def _case_outcomes(
    task: Task, seed: int, i: int, nodes: tuple[int, ...], terminals: dict[str, ValueFunction | None]
) -> Outcomes:
    case = make_case(task, seed, i)
    if not np.isfinite(case.optimum):
        raise RunFailed(f"case {i} of seed {seed}: the long-horizon optimum did not converge; choose another seed")
    return {(n, name): close_loop(task, case, terminals[name], MpcSettings(n)) for n in nodes for name in terminals}


def _terminals(value: ValueFunction) -> dict[str, ValueFunction | None]:
    return dict(zip(TERMINALS, (value, RiccatiValue(), None), strict=True))


def tick_seconds(
    task: Task, value: ValueFunction, nodes: tuple[int, ...], seed: int, goals: int = 4, ticks: int = 200
) -> dict[tuple[int, str], np.ndarray]:
    """Seconds per tick (plan and torque), every variant interleaved in one process so that noise hits all alike."""
    terminals = _terminals(value)
    seconds: dict[tuple[int, str], list[float]] = {(n, name): [] for n in nodes for name in terminals}
    for i in range(goals):
        rng = np.random.default_rng([EVALUATION, seed, i])
        goal, x0 = task.sample_goal(rng), sample_starts(task, rng, 1)[0]
        plant = task.running_model(goal)
        data = plant.createData()
        loops = {(n, name): MPC(task, goal, terminals[name], MpcSettings(n)) for n, name in seconds}
        states = dict.fromkeys(loops, x0)
        for tick in range(ticks):
            for key, mpc in loops.items():
                began = time.perf_counter()
                plan = mpc.plan(states[key], task.dt)
                u = plan.torque(0.0, states[key])
                spent = time.perf_counter() - began
                if tick > 0:  # the first tick has no warm start and iterates longer
                    seconds[key].append(spent)
                plant.calc(data, states[key], np.clip(u, plant.u_lb, plant.u_ub))
                states[key] = np.array(data.xnext)
    return {key: np.array(values) for key, values in seconds.items()}


def held_out_states(task: Task, states: int, seed: int, jobs: int, progress: Progress) -> tuple[Labels, Labels]:
    """Ground truth from `states` long solutions: at one random label node of each, and at the start of each."""
    sampling = replace(ground_truth_sampling(states), nodes=LABEL_NODES)
    with tempfile.TemporaryDirectory() as folder:
        labels = collect(
            task,
            RiccatiValue(),
            sampling,
            learned=False,
            seed=(GROUND_TRUTH, seed),
            folder=Path(folder),
            jobs=jobs,
            progress=lambda done, total, rejected: progress("ground truth", done, total),
        ).labels
    per_problem = len(LABEL_NODES)
    picks = np.random.default_rng([GROUND_TRUTH, seed]).integers(per_problem, size=len(labels) // per_problem)
    return labels.rows(np.arange(len(picks)) * per_problem + picks), labels.rows(np.arange(len(picks)) * per_problem)


def evaluate(
    task: Task,
    value: ValueFunction,
    nodes: tuple[int, ...],
    starts: int,
    seed: int,
    states: int = 500,
    jobs: int = -1,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Closed loops, tick times and accuracy of a value, as one plain report; infinite figures are given as None."""
    for name, number in (("starts", starts), ("states", states), *(("nodes", n) for n in nodes)):
        if number < 1:
            raise BadSetting(name, number, "must be at least 1")
    if not nodes:
        raise BadSetting("nodes", nodes, "name at least one horizon")
    require_jobs(jobs)
    require_seed(seed)
    outcomes = closed_loops(task, value, nodes, starts, seed, jobs, progress)
    seconds = tick_seconds(task, value, nodes, seed)
    rows = []
    for n, terminal in seconds:
        losses = np.array([case[n, terminal].suboptimality for case in outcomes])
        errors = np.array([case[n, terminal].tool_error_final for case in outcomes])
        excess = np.array([case[n, terminal].position_excess for case in outcomes])
        speeds = np.array([case[n, terminal].speed_share for case in outcomes])
        rows.append(
            {
                "nodes": n,
                "terminal": terminal,
                "suboptimality": _spread(losses, min=0, median=50, p95=95, max=100),
                "diverged": int(np.isinf(losses).sum()),
                "tool_error_final_m": _spread(errors, median=50, max=100),
                "position_excess_rad": _spread(excess, max=100)["max"],
                "speed_share": _spread(speeds, median=50, max=100),
                "rejected": sum(case[n, terminal].rejected for case in outcomes),
                "tick_ms": percentiles_ms(seconds[n, terminal]),
                "tick_ratio_to_zero": float(np.median(seconds[n, terminal]) / np.median(seconds[n, "zero"])),
            }
        )
    along, at_start = held_out_states(task, states, seed, jobs, progress)
    accuracy = {**assess(value, along)._asdict(), "at_starts": assess(value, at_start)._asdict(), "states": len(along)}
    riccati = assess(RiccatiValue(), along)._asdict()
    return {"seed": seed, "starts": starts, "rows": rows, "value": accuracy, "riccati": riccati}


def _spread(values: np.ndarray, **percentiles: float) -> dict[str, float | None]:
    """Percentiles that are never interpolated towards an infinite one; None where infinite."""
    found = {name: float(np.percentile(values, p, method="higher")) for name, p in percentiles.items()}
    return {name: number if np.isfinite(number) else None for name, number in found.items()}
