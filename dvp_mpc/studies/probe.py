"""A few closed loops with the value of an iteration, so that a run can be watched by what it is for.

Starts and goals are the same for every iteration and every run of a task, and neither those of training nor of evaluation.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.files import write_table
from dvp_mpc.problem.optimum import optimal_cost
from dvp_mpc.problem.task import Task, sample_starts
from dvp_mpc.studies.evaluation import Case, close_loop
from dvp_mpc.value import ValueFunction

PROBE = 203  # first word of the seeds
NODES = (1, 2)
FIRST_ITERATIONS = 5  # of a tick without a warm start: a value that cannot control has no other, and would take minutes


class Probe:
    """Closed-loop cost above the optimum, on `starts` cases."""

    def __init__(self, task: Task, starts: int = 8):
        self._task, self._starts = task, starts
        self._rows: dict[int, dict[str, float]] = {}

    @cached_property
    def _cases(self) -> list[Case]:
        cases = []
        for i in range(self._starts):
            rng = np.random.default_rng([PROBE, i])
            goal, x0 = self._task.sample_goal(rng), sample_starts(self._task, rng, 1)[0]
            cases.append(Case(x0, goal, optimal_cost(self._task, goal, x0)))
        return [case for case in cases if np.isfinite(case.optimum)]

    def __call__(self, iteration: int, value: ValueFunction) -> dict[str, float]:
        """loss_N_median and loss_N_worst [-] for every N of NODES; inf where one diverged, NaN where no optimum was found."""
        row: dict[str, float] = {"iteration": iteration}
        for n in NODES:
            losses = [
                close_loop(self._task, case, value, MpcSettings(n, first_iterations=FIRST_ITERATIONS)).suboptimality
                for case in self._cases
            ]
            losses = losses or [float("nan")]
            row |= {f"loss_{n}_median": float(np.median(losses)), f"loss_{n}_worst": float(np.max(losses))}
        self._rows[iteration] = row
        return row

    def write(self, path: Path) -> None:
        """All rows so far as CSV."""
        rows: Iterable[dict[str, float]] = self._rows.values()
        write_table(path, list(next(iter(self._rows.values()))), [row.values() for row in rows])
