"""validation: the checks that stand between a trained value and its users, each with what was measured and its bar.

The samples are drawn with seeds of their own, whatever seed is given: no state or goal of training is among them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dvp_mpc.arguments import require_jobs, require_seed
from dvp_mpc.bars import Bars
from dvp_mpc.learning.accuracy import assess
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies.descent import descent
from dvp_mpc.studies.evaluation import Progress, closed_loops, held_out_states
from dvp_mpc.studies.outside import outside
from dvp_mpc.value import ValueFunction


class Sizes(NamedTuple):
    """How much is drawn."""

    starts: int
    """Closed loops, each with a start and goal of its own."""
    states: int
    """States along long-horizon optima."""
    descent: int
    """States of the descent check."""
    placed: int
    """States placed outside the trusted region."""
    motions: int
    """Closed loops that should stay inside it."""


FULL = Sizes(starts=200, states=500, descent=10_000, placed=10_000, motions=200)
# Two minutes on one core, half of it for the descent: fewer states cannot tell 99 % from 98 %.
QUICK = Sizes(starts=12, states=60, descent=10_000, placed=2000, motions=20)
# Labels are float32: a goal posture at a soft limit is rounded to as much as 2e-7 rad beyond it, where the barrier begins.
ZERO = 1e-9


class Check(NamedTuple):
    """One row of the gate."""

    name: str
    measured: float | None
    """None where it is infinite, or could not be had."""
    bar: float
    least: bool = False
    """Whether the bar is the least that is allowed, and not the most."""
    share: bool = True
    """Whether people read it in percent."""
    note: str = ""

    @property
    def passed(self) -> bool:
        if self.measured is None:
            return False
        return self.measured >= self.bar if self.least else self.measured <= self.bar


def validate(
    task: ReachTask,
    value: ValueFunction,
    bars: Bars,
    sizes: Sizes,
    seed: int,
    jobs: int = -1,
    progress: Progress = lambda what, done, total: None,
) -> list[Check]:
    """All checks of a value that loads. A check that breaks down counts as failed, and the others still run."""
    require_seed(seed)
    require_jobs(jobs)
    parts: dict[str, Callable[[], list[Check]]] = {
        "accuracy": lambda: _accuracy(task, value, bars, sizes, seed, jobs, progress),
        "closed loops": lambda: _losses(task, value, bars, sizes, seed, jobs, progress),
        "descent": lambda: _descent(task, value, bars, sizes, seed, jobs, progress),
        "outside": lambda: _outside(task, value, bars, sizes, seed, jobs, progress),
    }
    checks = []
    for name, part in parts.items():
        try:
            checks += part()
        except (np.linalg.LinAlgError, FloatingPointError) as error:  # infinite weights' work
            checks.append(Check(f"{name}: could be computed", None, 0.0, share=False, note=str(error)))
    return checks


def _accuracy(
    task: ReachTask, value: ValueFunction, bars: Bars, sizes: Sizes, seed: int, jobs: int, progress: Progress
) -> list[Check]:
    along, _ = held_out_states(task, sizes.states, seed, jobs, progress)
    found, note = assess(value, along), f"{len(along)} states along optima"
    errors = [
        ("policy-metric gradient error", found.policy_gradient_error, bars.policy_gradient_error, False),
        ("value error, median", found.rel_error_median, bars.value_error, True),
        ("gradient error, median", found.gradient_error_median, bars.gradient_error, True),
    ]
    return [
        Check("largest |V(goal)|", _finite(found.goal_value), ZERO, share=False, note=note),
        Check("Hessian positive semi-definite", found.psd_share, 1.0, least=True, note=note),
        *(
            Check(name, _finite(error), bar, share=share, note=note)
            for name, error, bar, share in errors
            if bar is not None
        ),
    ]


def _losses(
    task: ReachTask, value: ValueFunction, bars: Bars, sizes: Sizes, seed: int, jobs: int, progress: Progress
) -> list[Check]:
    nodes = tuple(sorted(bars.loss))
    outcomes = closed_loops(task, value, nodes, sizes.starts, seed, jobs, progress, terminals=("value",))
    losses = {n: np.array([case[n, "value"].suboptimality for case in outcomes]) for n in nodes}
    note = f"{sizes.starts} unseen starts"
    diverged = sum(int((~np.isfinite(loss)).sum()) for loss in losses.values())
    runs = [run for case in outcomes for run in case.values()]
    beyond, speed = max(run.position_excess for run in runs), max(run.speed_share for run in runs)
    checks = [
        Check("diverged", float(diverged), 0.0, share=False, note=note),
        Check("radians beyond a joint limit, worst", _finite(beyond), bars.position_excess, share=False, note=note),
        Check("speed / limit after 50 ms, worst", _finite(speed), bars.speed_share, share=False, note=note),
    ]
    for n, loss in losses.items():
        for k, (name, percentile) in enumerate((("median", 50), ("p95", 95))):
            # "higher": never between a finite loss and an infinite one.
            found = float(np.percentile(loss, percentile, method="higher"))
            checks.append(Check(f"loss at N={n}, {name}", _finite(found), bars.loss[n][k], note=note))
    return checks


def _descent(
    task: ReachTask, value: ValueFunction, bars: Bars, sizes: Sizes, seed: int, jobs: int, progress: Progress
) -> list[Check]:
    found = descent(task, value, sizes.descent, seed, jobs, progress)
    note = f"{found.held} of {found.states} states, 95 % bound"
    return [Check("descent, at least", found.bound, bars.descent, least=True, note=note)]


def _outside(
    task: ReachTask, value: ValueFunction, bars: Bars, sizes: Sizes, seed: int, jobs: int, progress: Progress
) -> list[Check]:
    found = outside(task, value, sizes.placed, sizes.motions, seed, jobs, progress)
    note = f"{found.ticks} ticks, {found.motions} motions"
    return [
        Check("outside: detected", found.detected, bars.detection, least=True, note=f"{found.placed} states"),
        Check("outside: false alarms", found.false_alarms, bars.false_alarms, note=note),
    ]


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None
