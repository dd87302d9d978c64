"""Figure 10: from many starts the short-horizon controller brings the tool to its goal.

Closed loop on the model for 4 s, each start and goal from the box of the shipped value, joints moving at up to 1.5 rad/s. V is
ours, and one made the paper's way (arm_paper.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.errors import RunFailed
from dvp_mpc.learning.settings import DvpSettings
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.problem.optimum import TICKS, optimal_cost
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.studies.evaluation import run_loop
from dvp_mpc.studies.reproduce import arm_paper
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.palette import INK, LABEL, METHOD, save, sheet
from dvp_mpc.value import RiccatiValue, ValueFunction

MANY_STARTS = 310  # first word of the seed: neither training, evaluation nor simulation draws from it
REACHED = 0.01  # [m] final distance that counts as success
SHARE = 0.99  # of the starts
METHODS = ("ours", "paper", "riccati", "zero")
EVERY = 5  # ticks between two points of a kept curve


@dataclass(frozen=True)
class Settings:
    """What is run."""

    nodes: tuple[int, ...] = (1, 2, 10)
    starts: int = 25  # of each seed
    ticks: int = TICKS
    paper: DvpSettings = arm_paper.FULL


def compute(settings: Settings, work: Work) -> Json:
    """Final distance [m], cost over the optimum, and distance over time of every start, horizon and terminal cost."""
    task, value, _ = load_model(DEFAULT_MODEL)
    paper = load_model(arm_paper.paper_model(settings.paper, work))[1]
    terminals: dict[str, ValueFunction | None] = dict(
        zip(METHODS, (value, paper, RiccatiValue(), None), strict=True),
    )
    rows = []
    for i in range(settings.starts):
        rng = np.random.default_rng([MANY_STARTS, work.seed, i])
        goal, x0 = task.sample_goal(rng), sample_starts(task, rng, 1)[0]
        optimum = optimal_cost(task, goal, x0)
        if not np.isfinite(optimum):
            raise RunFailed(f"start {i} of seed {work.seed}: the long-horizon optimum did not converge")
        for nodes in settings.nodes:
            for name, terminal in terminals.items():
                rows.append(
                    {"nodes": nodes, "terminal": name, **_run(task, goal, x0, terminal, nodes, optimum, settings.ticks)}
                )
    return {"rows": rows, "dt": task.dt}


def _run(
    task: ReachTask,
    goal: Goal,
    x0: np.ndarray,
    terminal: ValueFunction | None,
    nodes: int,
    optimum: float,
    ticks: int,
) -> dict[str, Json]:
    run = run_loop(task, goal, x0, terminal, MpcSettings(nodes), ticks)
    away = np.array([np.linalg.norm(task.tool(x) - goal.tool) for x in run.xs[::EVERY]])
    if run.diverged:  # None: infinite
        return {"final": None, "loss": None, "away": [], "rejected": run.rejected}
    cost = run.cost + RiccatiValue().at(goal.frame).cost(run.xs[-1], task.tool(run.xs[-1]))
    final = float(np.linalg.norm(task.tool(run.xs[-1]) - goal.tool))
    return {
        "final": final,
        "loss": cost / optimum - 1,
        "away": np.round(away, 6).tolist(),
        "rejected": run.rejected,
    }


def _column(one: Json, nodes: int, terminal: str, what: str) -> np.ndarray:
    """A figure of all starts of one seed: (starts,), infinite where the run diverged."""
    rows = [row for row in one["rows"] if (row["nodes"], row["terminal"]) == (nodes, terminal)]
    return np.array([np.inf if row[what] is None else row[what] for row in rows], dtype=float)


def summarise(settings: Settings, results: Sequence[Json]) -> Summary:
    """Kept when each horizon with either V brings nearly every start home; what learning nothing does stands beside it."""
    numbers: dict[str, Json] = {"starts": len(results) * settings.starts}
    bars = []
    for nodes in settings.nodes:
        for name in METHODS:
            finals = [_column(one, nodes, name, "final") for one in results]
            losses = np.concatenate([_column(one, nodes, name, "loss") for one in results])
            every = np.concatenate(finals)
            key = f"N = {nodes}, {LABEL[name]}"
            numbers[f"{key}: success (within {1e2 * REACHED:g} cm) in %"] = spread(
                [100 * float((final <= REACHED).mean()) for final in finals]
            )
            numbers[f"{key}: final distance in mm, median / worst"] = [_finite(1e3 * q) for q in _median_and_max(every)]
            numbers[f"{key}: cost above the optimum in %, median / worst"] = [
                _finite(1e2 * q) for q in _median_and_max(losses)
            ]
            if name in ("ours", "paper"):
                bars.append(_arrived(results, nodes, name) >= SHARE)
    for name in ("ours", "paper"):
        rejected = sum(row["rejected"] for one in results for row in one["rows"] if row["terminal"] == name)
        numbers[f"{LABEL[name]}: plans that were not usable"] = rejected
    return Summary(judge(bars), numbers, _remarks(settings, results))


def _remarks(settings: Settings, results: Sequence[Json]) -> tuple[str, ...]:
    remarks = []
    for name in ("paper", "ours"):
        arrived = {nodes: _arrived(results, nodes, name) for nodes in settings.nodes}
        if min(arrived.values()) < SHARE:
            shares = ", ".join(f"{100 * share:.0f} % at N = {nodes}" for nodes, share in arrived.items())
            remarks.append(f"Missed: {LABEL[name]}: {shares} of the starts arrive.")
    if _arrived(results, settings.nodes[0], "riccati") >= SHARE:
        remarks.append(
            "Arriving is not what takes learning: the Riccati matrix of the goal arrives as well. What V adds is the cost of "
            "the way there."
        )
    return tuple(remarks)


def _arrived(results: Sequence[Json], nodes: int, terminal: str) -> float:
    """Share of all starts."""
    return float(np.mean(np.concatenate([_column(one, nodes, terminal, "final") for one in results]) <= REACHED))


def _median_and_max(values: np.ndarray) -> tuple[float, float]:
    median, most = np.percentile(values, [50, 100], method="higher")  # nothing is interpolated towards infinity
    return float(median), float(most)


def _finite(value: float) -> Json:
    return value if np.isfinite(value) else "infinite"


def plot(settings: Settings, results: Sequence[Json], path: Path) -> None:
    """Distance to the goal over time with the longest and the shortest horizon, and the spread of the cost."""
    drawing, axes = sheet(1, 3, (14.5, 4.0))
    for panel, nodes in zip(axes[0], (settings.nodes[0], settings.nodes[-1]), strict=False):
        for name in reversed(METHODS):
            rows = [r for one in results for r in one["rows"] if (r["nodes"], r["terminal"]) == (nodes, name)]
            for k, row in enumerate(rows):
                t = np.arange(len(row["away"])) * EVERY * results[0]["dt"]
                label = LABEL[name] if k == 0 else None
                panel.semilogy(t, 1e3 * np.array(row["away"]), color=METHOD[name], lw=0.5, alpha=0.35, label=label)
        panel.axhline(1e3 * REACHED, color=INK, lw=0.8, ls=":")
        panel.set(xlabel="time [s]", ylabel="distance of the tool [mm]", title=f"closed loop, N = {nodes}")
        for line in panel.legend(frameon=False, fontsize=7).get_lines():
            line.set(alpha=1, lw=1.5)
    loss = axes[0, 2]
    for name in METHODS:
        for nodes in settings.nodes:
            values = np.sort(np.concatenate([_column(one, nodes, name, "loss") for one in results]))
            share = (np.arange(len(values)) + 1) / len(values)
            shade = 0.4 + 0.6 * settings.nodes.index(nodes) / max(len(settings.nodes) - 1, 1)
            keep = np.isfinite(values)
            above = np.maximum(1e2 * values[keep], 1e-3)
            loss.semilogx(
                above, 1e2 * share[keep], color=METHOD[name], alpha=shade, lw=1.3, label=f"{LABEL[name]}, N = {nodes}"
            )
    loss.set(
        xlabel="cost above the optimum [%]", ylabel="starts [%]", title="share of the starts with at most this loss"
    )
    loss.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
    save(drawing, path)


FIGURE = Figure(
    10,
    "Arm: many starts reach",
    "The controller with the learned terminal cost brings the end effector to the goal from many starting configurations.",
    f"With V at every horizon of 1, 2 and 10 nodes, at least {100 * SHARE:g} % of the starts end within {100 * REACHED:g} cm, "
    "with our settings and with the paper's.",
    Settings(),
    Settings(nodes=(1, 10), starts=1, ticks=300, paper=arm_paper.QUICK),
    compute,
    summarise,
    plot,
)
