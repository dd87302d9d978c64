"""descent: does the value fall along the loop that it drives, by nearly what that loop pays?

    V(x') - V(x) + l(x, u) <= eps l(x, u) + tiny,  V >= 0,    u from the MPC of one node under V,  x' = f(x, u)

With eps = 0 and the true V it holds with equality: Bellman's equation. Where it holds along a motion, V is a Lyapunov
function of the loop and the motion costs at most V(x_0) / (1 - eps), the horizon however short (relaxed dynamic programming:
Lincoln and Rantzer, 2006; Gruene and Rantzer, 2008). No optimum is solved for, so ten thousand states take a minute or two.

eps is a share of the cost of the tick and not of V(x): V falls by a share of itself that shrinks with the time step and
differs between calm weights and brisk ones, so no share of V fits every task; with half the step, both sides here halve.
EPS = 0.2 leaves four fifths of the fall: stable with room to spare, and by this argument alone within 25 % of what V says.
How much is really lost is measured by evaluation.py and is far less, since the slack of most ticks is near zero, of either
sign. TIGHT = 0.05, which promises 5 %, is reported beside it. TINY is the solver's own stopping threshold: u is no better.

Held-out states: starts from the trusted box, one half left there, the other carried on for 1 to 40 ticks of the one-node
loop, where motions pass; each of its own motion. Four share a goal, since a goal takes as long to make as all the rest: for the
goals that were drawn the states are independent, if not alike, and then Clopper and Pearson's bound errs to the safe side.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from dvp_mpc.control.mpc import MPC, MpcSettings
from dvp_mpc.problem.discount import discount_of
from dvp_mpc.problem.task import Task, sample_starts
from dvp_mpc.studies.evaluation import Progress
from dvp_mpc.value import ValueFunction
from dvp_mpc.workers import results

DESCENT = 223  # first word of the seeds; training has others
EPS, TIGHT = 0.2, 0.05
TINY = 1e-7
AHEAD = 40  # ticks, the most
PER_GOAL = 4  # states
CHUNK = 12 * PER_GOAL  # states to a call of a worker
CONFIDENCE = 0.95  # one-sided


class Descent(NamedTuple):
    """How many states passed."""

    states: int
    held: int
    share: float
    bound: float
    """The share is at least this, with a confidence of 95 % (Clopper-Pearson)."""
    at_starts: float
    """Share of the states at a start."""
    on_motions: float
    """Share of the states on the way."""
    tight: float
    """Share that holds with a quarter of the allowance."""
    falls: float
    """Share of states from which V falls at all."""
    slack_p99: float | None
    """99th percentile of (V(x') - V(x) + l) / l; None where infinite."""


def clopper_pearson_lower(successes: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The share that `successes` of `trials` speak for at the least, one-sided."""
    return 0.0 if successes == 0 else float(beta.ppf(1 - confidence, successes, trials - successes + 1))


def descent(
    task: Task,
    value: ValueFunction,
    states: int,
    seed: int,
    jobs: int = -1,
    progress: Progress = lambda what, done, total: None,
) -> Descent:
    """The check on `states` held-out states. Raises RunFailed if a worker dies."""
    chunks = [range(k, min(k + CHUNK, states)) for k in range(0, states, CHUNK)]
    rows: list[tuple[bool, float, float, float]] = []
    for found in results(partial(_chunk, task, value, seed), chunks, jobs):
        rows += found
        progress("descent", len(rows), states)
    moved, V, V_next, cost = (np.array(column) for column in zip(*rows, strict=True))
    slack = V_next - V + cost
    # What falls without end is no Lyapunov function. False where anything is NaN.
    sound = np.minimum(V, V_next) >= -TINY
    held = sound & (slack <= EPS * cost + TINY)
    p99 = float(np.percentile(np.nan_to_num(slack / (cost + TINY), nan=np.inf), 99, method="higher"))
    return Descent(
        states,
        int(held.sum()),
        float(held.mean()),
        clopper_pearson_lower(int(held.sum()), states),
        float(held[~moved].mean()),
        float(held[moved].mean()) if moved.any() else 1.0,
        float((sound & (slack <= TIGHT * cost + TINY)).mean()),
        float((sound & (V_next < V)).mean()),
        p99 if np.isfinite(p99) else None,
    )


def _chunk(task: Task, value: ValueFunction, seed: int, numbers: range) -> list[tuple[bool, float, float, float]]:
    """For each number: whether it is on the way, V(x), gamma V(x') and l(x, u)."""
    rows, gamma = [], discount_of(task)
    for i in numbers:
        if i % PER_GOAL == 0:
            rng = np.random.default_rng([DESCENT, seed, i])
            goal = task.sample_goal(rng)
            mpc, bound, plant = MPC(task, goal, value, MpcSettings(1)), value.at(goal.frame), task.running_model(goal)
            data = plant.createData()
        x = sample_starts(task, rng, 1)[0]
        ahead = 0 if i % 2 == 0 else int(rng.integers(1, AHEAD + 1))
        mpc.forget()
        for k in range(ahead + 1):
            if k == ahead:
                mpc.forget()  # the last plan is iterated to the end, not for one step: u is V's, not the warm start's
            plan = mpc.plan(x, task.dt)
            u = np.clip(plan.solution.us[0], plant.u_lb, plant.u_ub)
            plant.calc(data, x, u)
            if k < ahead:
                x = np.array(data.xnext)
        V, V_next = bound.cost(x, task.tool(x)), gamma * bound.cost(data.xnext, task.tool(data.xnext))
        rows.append((ahead > 0, V, V_next if plan.status.usable else np.nan, float(data.cost)))
    return rows
