"""Figure 2: unicycle motions over T = 20..100 nodes, with the learned value at their end and with nothing, beside the optimum.

Plans are single solutions over T nodes, as the paper draws them. Closed loops replan at every step for as long as the
reference lasts, so that their cost is never below the reference's: a plan that looks cheap since it stops early pays here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.presets import SYSTEMS
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import make_solver, quasi_static_guess, solve
from dvp_mpc.problem.task import Task
from dvp_mpc.studies.evaluation import run_loop
from dvp_mpc.studies.reproduce import truth
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.palette import LABEL, LEVELS, METHOD, save, sheet
from dvp_mpc.studies.reproduce.runs import METHODS, learn, settings_of
from dvp_mpc.value import ValueFunction

SHORT, BAR = 20, 0.05
"""Horizon at which a closed loop with the value must cost no more than this above the reference."""
LATE = 150
"""Steps after which the paper takes the motion for finished."""
ENDS = ("zero", *METHODS)


@dataclass(frozen=True)
class Settings:
    """What is run."""

    truth: truth.TruthSettings
    reference: int
    """Nodes of the reference and steps of the closed loops."""
    plans: tuple[int, ...]
    """Horizons of the plans."""
    loops: tuple[int, ...]
    """Horizons of the closed loops; among the plans'."""
    starts: int
    """Held-out starts for each seed."""
    effort: float
    presets: str = repr(SYSTEMS["unicycle"])


class _Plan(NamedTuple):
    cost: float
    xs: np.ndarray  # (T+1, 3)


def compute(settings: Settings, work: Work) -> Json:
    """Cost of closed loops and plans over the reference's, and how far plans are from it."""
    task = SYSTEMS["unicycle"].task
    held_out = truth.ground_truth(work, "unicycle", task, settings.truth)
    ends: dict[str, ValueFunction | None] = {"zero": None}
    for method in METHODS:
        ends[method] = learn(work, task, settings_of("unicycle", method, settings.effort), held_out.labels).values[-1]
    first = work.seed * settings.starts
    starts = held_out.labels.x[np.arange(first, first + settings.starts) % len(held_out.labels)].astype(float)
    reference = [truth.best_of(task, x0, settings.reference, 4) for x0 in starts]
    result: Json = {
        "reference": [path.cost for path in reference],
        "plan": {},
        "distance": {},
        "loop": {},
        "late": {},
        "drawn": {},
    }
    for end, terminal in ends.items():
        plans = {T: [_plan(task, x0, T, terminal) for x0 in starts] for T in settings.plans}
        result["plan"][end] = {
            str(T): [found.cost / path.cost - 1 for found, path in zip(many, reference, strict=True)]
            for T, many in plans.items()
        }
        result["distance"][end] = {
            str(T): [_distance(found.xs, path.xs) for found, path in zip(many, reference, strict=True)]
            for T, many in plans.items()
        }
        # Three starts are enough to look at.
        result["drawn"][end] = {str(T): [found.xs.round(4).tolist() for found in many[:3]] for T, many in plans.items()}
        result["loop"][end], result["late"][end] = {}, {}
        for T in settings.loops:
            costs = [_close_loop(task, x0, T, settings.reference, terminal) for x0 in starts]
            pairs = list(zip(costs, reference, strict=True))
            result["loop"][end][str(T)] = [cost.sum() / path.cost - 1 for cost, path in pairs]
            result["late"][end][str(T)] = [
                (cost[LATE:].sum() - _costs(task, path.xs, path.us)[LATE:].sum()) / path.cost for cost, path in pairs
            ]
    result["drawn"]["truth"] = [path.xs.round(4).tolist() for path in reference[:3]]
    return result


def _plan(task: Task, x0: np.ndarray, T: int, terminal: ValueFunction | None) -> _Plan:
    problem = build_problem(task, task.sample_goal(np.random.default_rng(0)), x0, T, terminal)
    solver = make_solver(problem)
    solve(solver, *quasi_static_guess(problem, np.zeros(task.nu)), iterations=300)
    return _Plan(float(solver.cost), np.array(solver.xs.tolist()))


def _distance(xs: np.ndarray, reference: np.ndarray) -> float:
    """Mean distance in the plane at equal times [m]."""
    return float(np.linalg.norm(xs[:, :2] - reference[: len(xs), :2], axis=1).mean())


def _close_loop(task: Task, x: np.ndarray, T: int, steps: int, terminal: ValueFunction | None) -> np.ndarray:
    """Costs (steps,) of MPC over T nodes on its own model."""
    goal = task.sample_goal(np.random.default_rng(0))
    run = run_loop(task, goal, x, terminal, MpcSettings(T, iterations=3, again_above=1e-8, first_iterations=200), steps)
    return np.full(steps, np.inf) if run.diverged else _costs(task, run.xs, run.us)


def _costs(task: Task, xs: np.ndarray, us: np.ndarray) -> np.ndarray:
    """Running costs along a motion: (steps,)."""
    plant = task.running_model(task.sample_goal(np.random.default_rng(0)))
    data, costs = plant.createData(), []
    for x, u in zip(xs, us, strict=False):  # one state more than controls
        plant.calc(data, x, u)
        costs.append(data.cost)
    return np.array(costs)


def summarise(settings: Settings, results: Sequence[Json]) -> Summary:
    """Losses and distances; a seed counts with the mean over its starts."""
    numbers: dict[str, Json] = {}
    kept, remarks = [], []
    loss = {
        end: {T: spread([100 * float(np.mean(r["loop"][end][str(T)])) for r in results]) for T in settings.loops}
        for end in ENDS
    }
    for end in ENDS:
        for T in settings.loops:
            numbers[f"{end}, T = {T}: closed-loop cost above the reference [%]"] = loss[end][T]
    for end in ENDS:
        for T in settings.plans:
            gap = spread([100 * float(np.median(r["plan"][end][str(T)])) for r in results])
            numbers[f"{end}, T = {T}: cost of the plan, its end included, above the reference, median [%]"] = gap
    seen = np.mean([1 + np.median(r["plan"]["zero"][str(SHORT)]) for r in results])
    remarks.append(
        f"With zero terminal cost a plan over {SHORT} nodes sees {100 * seen:.0f} % of the cost. The closed loop that follows "
        f"such plans pays {loss['zero'][SHORT]['mean']:.0f} % more than the reference: what a plan does not see is put off at "
        "every step anew."
    )
    for end in METHODS:
        short = loss[end][SHORT]
        late = spread([100 * float(np.mean(r["late"][end][str(SHORT)])) for r in results])
        numbers[f"{end}, T = {SHORT}: of this, paid after step {LATE} [%]"] = late
        kept.append(short["max"] <= 100 * BAR)
        if not kept[-1]:
            remarks.append(
                f"Missed: {LABEL[end]}, T = {SHORT}: closed loop {short['mean']:.2f} % above the reference, worst seed "
                f"{short['max']:.2f} % (bar {100 * BAR:g} %). {late['mean']:.2f} % are paid after step {LATE}, when the "
                "reference has parked: the error of the value near the goal holds the unicycle beside it."
            )
    for T in settings.plans:
        apart = {end: spread([float(np.median(r["distance"][end][str(T)])) for r in results]) for end in ENDS}
        for end in ENDS:
            numbers[f"{end}, T = {T}: mean distance of the plan from the reference, median [m]"] = apart[end]
        for end in METHODS:
            kept.append(apart[end]["mean"] < apart["zero"]["mean"])
            if not kept[-1]:
                remarks.append(
                    f"Missed: {LABEL[end]}, T = {T}: its plans are {apart[end]['mean']:.3f} m from the reference, those with "
                    f"zero terminal cost {apart['zero']['mean']:.3f} m."
                )
    return Summary(judge(kept), numbers, tuple(remarks))


def plot(settings: Settings, results: Sequence[Json], path: Path) -> None:
    """Plans in the plane with each end, first seed; closed-loop losses of all seeds."""
    drawing, axes = sheet(1, 4, (15, 4.2))
    drawn, colours = results[0]["drawn"], dict(zip(settings.plans, LEVELS[1:], strict=False))
    for ax, end in zip(axes[0], ENDS, strict=False):
        for T, colour in colours.items():
            for k, xs in enumerate(drawn[end][str(T)]):
                ax.plot(*np.array(xs)[:, :2].T, color=colour, lw=1.4, label=f"T = {T}" if k == 0 else None)
        for k, xs in enumerate(drawn["truth"]):
            points = np.array(xs)[:, :2]
            label = f"reference, T = {settings.reference}" if k == 0 else None
            ax.plot(*points.T, color=METHOD["truth"], lw=1.0, ls="--", label=label)
            ax.plot(*points[0], "o", color=METHOD["truth"], ms=5)
        ax.plot(0, 0, "*", color=METHOD["truth"], ms=11)
        ax.set(xlabel="px [m]", ylabel="py [m]", title=f"plans, {LABEL[end]}")
        ax.title.set_fontsize(10)
    axes[0, 0].legend(frameon=False, fontsize=7.5)
    last = axes[0, 3]
    for end in ENDS:
        runs = np.array([[100 * np.mean(r["loop"][end][str(T)]) for T in settings.loops] for r in results])
        last.plot(settings.loops, runs.mean(0), "o-", color=METHOD[end], label=LABEL[end], ms=4)
        last.fill_between(settings.loops, runs.min(0), runs.max(0), color=METHOD[end], alpha=0.18, lw=0)
    last.axhline(100 * BAR, color=METHOD["truth"], ls="--", lw=0.9, label="bar at T = 20")
    last.set(
        yscale="log", xlabel="horizon T [nodes]", ylabel="closed-loop cost above reference [%]", title="closed loop"
    )
    last.legend(frameon=False, fontsize=7.5)
    drawing.suptitle(
        "Unicycle: motions of the first seed from three held-out starts, and losses of all seeds", fontsize=11
    )
    save(drawing, path)


FIGURE = Figure(
    number=2,
    title="The value shortens the horizon (unicycle)",
    claim="With the learned value at their end, motions planned over T = 20 to 100 nodes bundle onto the reference of 1000 "
    "nodes; without it, short ones end far from it.",
    bars=f"Closed loop at T = {SHORT} with the value: cost over 1000 steps at most {100 * BAR:g} % above that of the "
    "reference, mean over held-out starts, every seed. Plans with the value are nearer to the reference than those without, at "
    "every T.",
    full=Settings(truth.FULL["unicycle"], 1000, (20, 30, 40, 60, 100), (20, 40), 10, 1.0),
    quick=Settings(truth.QUICK["unicycle"], 200, (20, 40), (20,), 3, 0.1),
    compute=compute,
    summarise=summarise,
    plot=plot,
)
