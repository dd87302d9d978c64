"""Tick times of every horizon and terminal cost, whole and by stage, interleaved on the same states.

All variants plan along one recorded motion, each from its own last plan, so they differ in horizon and terminal cost only;
and each state is visited by all of them in an order that is drawn anew, so noise of the machine, and what a long horizon
leaves of the caches, hit all alike.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dvp_mpc.control.gate import Gate
from dvp_mpc.control.mpc import MPC, MpcSettings, Plan, shifted
from dvp_mpc.control.torque import Limiter
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.solver import Status, make_solver, trajectory
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.problem.terminal import CompiledValueNode, ValueNode
from dvp_mpc.studies.evaluation import Progress, run_loop
from dvp_mpc.value import ValueFunction

BENCH = 211  # first word of the seeds here
RECORDED_WITH = 10  # nodes
STAGES = ("update", "calc", "calcDiff", "terminal", "backward", "forward", "copy", "torque", "gate", "limiter")

Variant = tuple[int, str]  # nodes, terminal cost


class Motion(NamedTuple):
    """A closed loop of the value on its own model, a state per node's time."""

    goal: Goal
    x: np.ndarray  # (n+1, nx)
    u: np.ndarray  # (n, nu)


class Times(NamedTuple):
    """Seconds of one variant: (ticks,), and per stage."""

    tick: np.ndarray
    stages: dict[str, np.ndarray]


def record(task: ReachTask, value: ValueFunction | None, seed: int, i: int, ticks: int) -> Motion:
    """Motion i of a seed, `ticks` nodes long."""
    rng = np.random.default_rng([BENCH, seed, i])
    goal, x = task.sample_goal(rng), sample_starts(task, rng, 1)[0]
    run = run_loop(task, goal, x, value, MpcSettings(RECORDED_WITH), ticks)
    return Motion(goal, run.xs, run.us)


def tick_times(
    task: ReachTask,
    terminals: dict[str, ValueFunction | None],
    variants: list[Variant],
    seed: int,
    motions: int,
    ticks: int,
    progress: Progress = lambda what, done, total: None,
) -> dict[Variant, Times]:
    """Seconds per tick (plan and torque) of every variant on every state; the first tick of a motion is left out."""
    seconds: dict[Variant, list[float]] = {variant: [] for variant in variants}
    parts: dict[Variant, dict[str, list[float]]] = {variant: defaultdict(list) for variant in variants}
    for i in range(motions):
        motion = record(task, terminals["value"], seed, i, ticks)
        loops = {v: MPC(task, motion.goal, terminals[v[1]], MpcSettings(v[0])) for v in variants}
        taken_apart = {v: Stages(task, motion.goal, terminals[v[1]], v[0]) for v in variants}
        rng = np.random.default_rng([BENCH, seed, i, 1])
        for k in range(ticks):
            for variant in (variants[j] for j in rng.permutation(len(variants))):
                began = time.perf_counter()
                plan = loops[variant].plan(motion.x[k], task.dt)
                plan.torque(0.0, motion.x[k])
                spent = time.perf_counter() - began
                if k > 0:
                    seconds[variant].append(spent)
                if k % 4 == 1 and plan.status.usable:
                    for name, part in taken_apart[variant](plan, motion, k).items():
                        parts[variant][name].append(part)
            progress("ticks", i * ticks + k + 1, motions * ticks)
    return {v: Times(np.array(seconds[v]), {name: np.array(p) for name, p in parts[v].items()}) for v in variants}


class Stages:
    """A tick taken apart: the calls of one Newton step, made one by one on a solver of its own."""

    def __init__(self, task: ReachTask, goal: Goal, terminal: ValueFunction | None, nodes: int):
        self._solver = make_solver(build_problem(task, goal, goal.x, nodes, terminal))
        self._solver.preg = self._solver.dreg = self._solver.reg_min  # as `solve` begins
        self._end = self._solver.problem.terminalModel.createData()
        self._gate, self._limiter = Gate(task.arm), Limiter(task.arm.torque_limit, task.dt)
        self._dt = task.dt

    def __call__(self, plan: Plan, motion: Motion, k: int) -> dict[str, float]:
        """Seconds of each of STAGES, in a step from state k on, warm-started with the plan that was made there."""
        solver, problem = self._solver, self._solver.problem
        marks: dict[str, float] = {}

        def timed(name: str, call: Callable[[], object]) -> object:
            began = time.perf_counter()
            result = call()
            marks[name] = time.perf_counter() - began
            return result

        x = motion.x[k + 1]

        def update() -> None:
            problem.x0 = x
            guess = shifted(plan.solution, x, 1.0)
            solver.setCandidate(list(guess[0]), list(guess[1]), False)

        timed("update", update)
        xs, us = solver.xs, solver.us
        timed("calc", lambda: problem.calc(xs, us))
        timed("calcDiff", lambda: problem.calcDiff(xs, us))
        last, end = problem.terminalModel, xs[len(xs) - 1]
        timed("terminal calc", lambda: last.calc(self._end, end))
        timed("terminal calcDiff", lambda: last.calcDiff(self._end, end))
        solver.computeDirection(True)  # the first one of a solver makes room
        timed("backward", lambda: solver.computeDirection(False))
        timed("forward", lambda: solver.tryStep(1.0))
        timed("copy", lambda: trajectory(solver, Status.ITERATION_LIMIT))
        u = timed("torque", lambda: plan.torque(0.0, x))
        nq = len(x) // 2
        timed("gate", lambda: self._gate(k * self._dt, x[:nq], x[nq:], self._dt))
        timed("limiter", lambda: self._limiter(np.asarray(u), motion.u[k]))
        before, after = marks.pop("terminal calc"), marks.pop("terminal calcDiff")
        marks["terminal"] = 0.0
        if isinstance(last, ValueNode | CompiledValueNode):  # the zero node costs nothing but our own call to it
            # The solver calls it with the other nodes in calc and calcDiff, and again at the end of the forward pass.
            marks["calc"] -= before
            marks["calcDiff"] -= after
            marks["forward"] -= before
            marks["terminal"] = 2 * before + after
        return {name: marks[name] for name in STAGES}
