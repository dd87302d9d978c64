"""Differential Value Programming (paper, sec. III): solve, fit, repeat.

    iteration n:   V_n <- fit( solutions over T nodes that end in V_{n-1} )                                     (eq. 6)

V_{-1} is the Riccati value of each goal (or zero, as in the paper). Iteration n sees n+1 horizons far plus what the first
terminal cost saw, so a good one saves iterations. The run stops when two successive values agree (Bellman residual), and
keeps the value with the least policy-gradient error on long-horizon ground truth.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from dvp_mpc.learning.accuracy import Accuracy, assess
from dvp_mpc.learning.dataset import collect, ground_truth_sampling
from dvp_mpc.learning.labels import Labels, concatenate
from dvp_mpc.learning.run_folder import Row, RunFolder
from dvp_mpc.learning.settings import DvpSettings, First, Net, Sampling
from dvp_mpc.learning.training import find_device, fit, fresh_value
from dvp_mpc.problem.task import Task
from dvp_mpc.value import Layout, RiccatiValue, Value, ValueFunction
from dvp_mpc.workers import Workers, unordered

# First word of every seed. Evaluation and simulation have words of their own, so that whatever seed a user picks, no start
# or goal of training comes up again.
TRAINING, VALIDATION, FITTING = 101, 102, 103


class Run(NamedTuple):
    """A finished run."""

    value: Value
    best: int  # iteration that is kept
    rows: list[Row]
    accuracy: Accuracy  # of the kept value, on the validation set
    values: list[Value]  # of every iteration


class Watch(Protocol):
    """Who looks on."""

    def labels(self, what: str, done: int, total: int, rejected: int) -> None: ...
    def step(self, iteration: int, steps: int, row: dict[str, float]) -> None: ...
    def row(self, row: Row, value: Value) -> None: ...
    def died(self, workers: int) -> None: ...


def run(
    task: Task,
    settings: DvpSettings,
    path: Path,
    watch: Watch,
    clock: Callable[[], float] = time.monotonic,
    *,
    first: ValueFunction | None = None,
    truth: Labels | None = None,
    workers: Workers = unordered,
) -> Run:
    """Make a value from nothing, or go on where an interrupted run in the folder `path` stopped, with the same result.

    first: terminal cost of the first iteration instead of settings.first, truth: ground truth where the Riccati value does
    not end a long horizon well, workers: who solves the problems; none is part of what the folder knows a run by.

    Raises UsageError when the folder holds another run, and RunFailed when no problem could be solved.
    """
    folder = RunFolder(path, task.digest, settings)
    collected = partial(collect, task, jobs=settings.jobs, workers=workers)
    layout_of(task, settings.net), find_device(settings.fit)  # refused now, and not after hours of solving
    if truth is None:
        ground_truth = collected(
            RiccatiValue(),
            ground_truth_sampling(settings.validation),
            learned=False,
            seed=(VALIDATION, settings.seed),
            folder=folder.validation,
            progress=partial(watch.labels, "validation problems"),
        )
        truth = ground_truth.labels
        if ground_truth.worker_deaths:
            watch.died(ground_truth.worker_deaths)
    if first is None and settings.first is First.RICCATI:
        first = RiccatiValue()
    value: Value | None = None
    labels: list[Labels] = []
    rows: list[Row] = []
    values: list[Value] = []
    for n in range(settings.iterations):
        began = clock()
        terminal: ValueFunction | None = value or first
        data = collected(
            terminal,
            sampling_of(settings, n),
            learned=value is not None,
            seed=(TRAINING, settings.seed, n),
            folder=folder.labels(n),
            progress=partial(watch.labels, f"iteration {n}: problems"),
        )
        labels.append(data.labels)
        if data.worker_deaths:
            watch.died(data.worker_deaths)
        solved = clock()
        if (finished := folder.fitted(n)) is not None:
            weights, row = finished
            value = Value(layout_of(task, settings.net), task.state_limits, weights)
        else:
            last = n == settings.iterations - 1
            recent = labels if settings.window is None else labels[-settings.window :]
            value, curve = _fit(task, settings, n, last, value, concatenate(recent), truth, watch)
            accuracy, residual = assess(value, truth), bellman_residual(value, terminal, truth)
            share, seconds = data.rejected / data.problems, (solved - began, clock() - solved)
            row = Row(n, len(data.labels), share, residual, *accuracy[:3], *seconds)
            folder.keep(dict(value.weights), row, curve)
        rows.append(row)
        values.append(value)
        folder.write_table(rows)
        watch.row(row, value)
        if row.bellman_residual < settings.tolerance:
            break
    best = int(np.argmin([row.policy_gradient_error for row in rows]))
    return Run(values[best], best, rows, assess(values[best], truth), values)


def _fit(
    task: Task,
    settings: DvpSettings,
    n: int,
    last: bool,
    before: Value | None,
    data: Labels,
    truth: Labels,
    watch: Watch,
) -> tuple[Value, list[dict[str, float]]]:
    rng = np.random.default_rng([FITTING, settings.seed, n])
    start = before or fresh_value(layout_of(task, settings.net), data, task.state_limits, rng)
    steps = round((settings.last_fit if last else 1.0) * settings.fit.steps)
    return fit(start, data, truth, replace(settings.fit, steps=steps), rng, partial(watch.step, n, steps))


def sampling_of(settings: DvpSettings, n: int) -> Sampling:
    """What iteration n solves."""
    sampling = settings.sampling
    if n > 0:
        return sampling
    return replace(
        sampling,
        problems=settings.first_problems or sampling.problems,
        horizon=settings.first_horizon or sampling.horizon,
        nodes=settings.first_nodes or sampling.nodes,
    )


def layout_of(task: Task, net: Net) -> Layout:
    """The value's sizes for a task."""
    switches = (net.riccati, net.barrier, net.anchor, task.angles if net.angles else 0)
    return Layout(task.nx, task.nt, task.nc, net.hidden, net.residuals, net.kind, *switches)


def bellman_residual(new: ValueFunction, old: ValueFunction | None, states: Labels) -> float:
    """mean |V_new - V_old| / mean |V_new| over the states of a label set (paper, sec. IV-B)."""
    pairs = []
    for i in range(len(states)):
        frame, x, t = states.frame(i), states.x[i].astype(float), states.t[i].astype(float)
        pairs.append((new.at(frame).cost(x, t), old.at(frame).cost(x, t) if old else 0.0))
    V_new, V_old = np.array(pairs).T
    return float(np.abs(V_new - V_old).mean() / np.abs(V_new).mean())
