"""outside: does the score of the trusted region see what lies outside it, and leave ordinary motions alone?

detection      states drawn uniformly from the region, then one coordinate, of the state or of the goal, put beyond it by a
               fifth of its half-width: the share that is found. A box finds them all, and this keeps whatever follows the
               box to that.
false alarms   closed loops from unseen starts to unseen goals of the trusted boxes: the share of ticks called outside. It
               keeps the region from being drawn too tight.

Neither says that the value is right inside: descent.py and evaluation.py do.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.studies.evaluation import Progress, run_loop
from dvp_mpc.value import ValueFunction
from dvp_mpc.workers import results

PLACED, MOTIONS = 221, 222  # first words of the seeds; training has others
BEYOND = 0.2  # half-widths
GOALS = 200  # that the placed states share: one takes milliseconds to make
NODES = 2  # of the closed loops
TICKS = 200  # 2 s at 10 ms: later the arm is at its goal, and still ticks would flatter the share


class Outside(NamedTuple):
    """What the score found."""

    placed: int
    """States placed outside."""
    detected: float
    """Share of them that the score calls outside."""
    motions: int
    ticks: int
    false_alarms: float
    """Share of the ticks of ordinary motions that the score calls outside."""
    largest_score: float
    """The farthest that a motion went: far below 1 says that the region could be tighter."""
    motions_with_alarms: int


def placed_outside(
    task: ReachTask, rng: np.random.Generator, n: int, beyond: float = BEYOND
) -> Iterator[tuple[np.ndarray, Goal]]:
    """n states (nx,) with goals: one coordinate of the state, or of the goal's tool, lies beyond by that share."""
    goals = [task.sample_goal(rng) for _ in range(min(n, GOALS))]
    for k in range(n):
        goal = goals[k % len(goals)]
        (lower, upper), region = task.region.bounds(goal), task.region
        lower, upper = np.append(lower, region.goal_lower), np.append(upper, region.goal_upper)
        z = np.append(rng.uniform(lower[: task.nx], upper[: task.nx]), goal.tool)
        i, side = rng.integers(len(z)), rng.choice([-1, 1])
        z[i] = (lower[i] + upper[i]) / 2 + side * (1 + beyond) * (upper[i] - lower[i]) / 2
        yield z[: task.nx], replace(goal, tool=z[task.nx :])


def outside(
    task: ReachTask,
    value: ValueFunction,
    placed: int,
    motions: int,
    seed: int,
    jobs: int = -1,
    progress: Progress = lambda what, done, total: None,
) -> Outside:
    """Detection on `placed` states and false alarms along `motions` closed loops. Raises RunFailed if a worker dies."""
    detected = sum(
        not task.trusts(*case) for case in placed_outside(task, np.random.default_rng([PLACED, seed]), placed)
    )
    scores = []
    for found in results(partial(_scores, task, value, seed), range(motions), jobs):
        scores.append(found)
        progress("motions", len(scores), motions)
    alarms = [~(s <= 1) for s in scores]
    ticks = sum(map(len, scores))
    return Outside(
        placed,
        detected / placed,
        motions,
        ticks,
        float(sum(a.sum() for a in alarms) / ticks),
        float(max(s.max() for s in scores)),
        sum(bool(a.any()) for a in alarms),
    )


def _scores(task: ReachTask, value: ValueFunction, seed: int, i: int) -> np.ndarray:
    rng = np.random.default_rng([MOTIONS, seed, i])
    goal, x0 = task.sample_goal(rng), sample_starts(task, rng, 1)[0]
    run = run_loop(task, goal, x0, value, MpcSettings(NODES), TICKS)
    return np.array([task.region.score(x, goal) for x in run.xs])
