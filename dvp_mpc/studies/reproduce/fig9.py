"""Figure 9: a truncated arm problem that ends in V has the motion of the infinite horizon.

Each case is a start and a goal from the box of the shipped value. The reference is solved over 1000 nodes without a terminal
cost; every other solution is compared with its first T nodes. Times are nodes of 10 ms: the paper's are 30 ms, so that our 200
nodes see 2 s far and its own 6 s, where a plain solution is already near; hence also T = 50 and 10.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvp_mpc.errors import RunFailed
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import Status, Trajectory, make_solver, quasi_static_guess, solve, trajectory
from dvp_mpc.problem.task import Goal, Task, sample_starts
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.palette import INK, LABEL, METHOD, save, sheet
from dvp_mpc.value import RiccatiValue, ValueFunction

ARM_STARTS = 309  # first word of the seed: neither training, evaluation nor simulation draws from it
NEAR_MM, NEAR_COST = 1.0, 1e-3
"""A motion coincides with the reference when no node is further off than this, and no cost more than this share."""


@dataclass(frozen=True)
class Settings:
    """What is solved."""

    reference: int = 1000  # nodes
    horizons: tuple[int, ...] = (10, 50, 200)  # nodes; the last is the paper's
    cases: int = 10  # starts and goals of each seed
    iterations: int = 500


def solved(task: Task, goal: Goal, x0: np.ndarray, nodes: int, terminal: ValueFunction | None, most: int) -> Trajectory:
    """Solve from x0 (nx,); raises RunFailed where the solver does not converge, since no case may be left out."""
    problem = build_problem(task, goal, x0, nodes, terminal)
    solver = make_solver(problem)
    status = solve(solver, *quasi_static_guess(problem, goal.u), iterations=most)
    if status is not Status.CONVERGED:
        raise RunFailed(f"a solution over {nodes} nodes is not a reference: {status.value}")
    return trajectory(solver, status)


def compute(settings: Settings, work: Work) -> Json:
    """Largest distance of the tool [mm] and relative difference in cost of every case, horizon and terminal cost."""
    task, value, _ = load_model(DEFAULT_MODEL)
    terminals: dict[str, ValueFunction | None] = {"ours": value, "riccati": RiccatiValue(), "zero": None}
    rng = np.random.default_rng([ARM_STARTS, work.seed])
    rows, paths = [], []
    for case in range(settings.cases):
        goal, x0 = task.sample_goal(rng), sample_starts(task, rng, 1)[0]
        reference = solved(task, goal, x0, settings.reference, None, settings.iterations)
        tool = _tool(task, reference.xs)
        for nodes in settings.horizons:
            for name, terminal in terminals.items():
                found = solved(task, goal, x0, nodes, terminal, settings.iterations)
                here = _tool(task, found.xs)
                away = np.linalg.norm(here - tool[: nodes + 1], axis=1)
                cost = found.cost / reference.cost - 1
                rows.append({"nodes": nodes, "terminal": name, "mm": 1e3 * float(away.max()), "cost": cost})
                if case == 0 and name != "riccati":
                    paths.append({"nodes": nodes, "terminal": name, "tool": here.tolist()})
        if case == 0:
            paths.append({"nodes": settings.reference, "terminal": "truth", "tool": tool[: 2 * nodes + 1].tolist()})
    return {"rows": rows, "paths": paths, "dt": task.dt}


def _tool(task: Task, xs: np.ndarray) -> np.ndarray:
    """Tool positions (n, 3) [m] of states (n, nx)."""
    return np.array([task.tool(x) for x in xs])


def _worst(results: Sequence[Json], nodes: int, terminal: str, what: str) -> list[float]:
    """Of each seed, the largest absolute figure among its cases."""
    picked = [[r for r in one["rows"] if (r["nodes"], r["terminal"]) == (nodes, terminal)] for one in results]
    return [max(abs(row[what]) for row in rows) for rows in picked]


def summarise(settings: Settings, results: Sequence[Json]) -> Summary:
    """Kept when no case of any seed is off; what a shorter horizon and other terminal costs do stands beside it."""
    longest = settings.horizons[-1]
    mm, cost = _worst(results, longest, "ours", "mm"), _worst(results, longest, "ours", "cost")
    numbers: dict[str, Json] = {}
    for nodes in settings.horizons:
        for name in ("ours", "riccati", "zero"):
            key = f"T = {nodes}, {LABEL[name]}"
            numbers[f"{key}: largest tool difference in mm, worst case of a seed"] = spread(
                _worst(results, nodes, name, "mm")
            )
            numbers[f"{key}: cost difference in %, worst case of a seed"] = spread(
                [100 * share for share in _worst(results, nodes, name, "cost")]
            )
    numbers["cases"] = len(results) * settings.cases
    remark = (
        "With a zero terminal cost the solver's cost lacks what lies beyond its horizon, so its difference says how much that "
        "is; with V the two costs are of the same thing."
    )
    return Summary(judge([max(mm) <= NEAR_MM, max(cost) <= NEAR_COST]), numbers, (remark,))


def plot(settings: Settings, results: Sequence[Json], path: Path) -> None:
    """One case over time, position and speed, and the largest differences of all cases."""
    drawing, axes = sheet(1, 3, (13.0, 4.0))
    one, dt = results[0]["paths"], results[0]["dt"]
    position, speed, worst = axes[0]
    for p in sorted(one, key=lambda p: (p["terminal"] != "truth", -p["nodes"])):
        tool, truth = np.array(p["tool"]), p["terminal"] == "truth"
        t = np.arange(len(tool)) * dt
        style = {"color": METHOD[p["terminal"]], "lw": 4.0 if truth else 1.4, "alpha": 0.35 if truth else 1.0}
        style["ls"] = {settings.horizons[0]: ":", settings.horizons[-1]: "--"}.get(p["nodes"], "-")
        style["ls"] = "-" if truth else style["ls"]
        if not truth and p["nodes"] not in (settings.horizons[0], settings.horizons[-1]):
            continue
        name = f"{LABEL[p['terminal']]}, T = {p['nodes']}"
        for axis in range(3):
            position.plot(t, tool[:, axis], **style, label=name if axis == 0 else None)
        speed.plot(t[1:], np.linalg.norm(np.diff(tool, axis=0), axis=1) / dt, **style)
    position.set(xlabel="time [s]", ylabel="tool position x, y, z [m]", title="one case", xlim=(0, None))
    speed.set(xlabel="time [s]", ylabel="tool speed [m/s]", title="the same case")
    position.legend(frameon=False, fontsize=7)
    width = 0.25
    for k, name in enumerate(("ours", "riccati", "zero")):
        for j, nodes in enumerate(settings.horizons):
            mm = [r["mm"] for o in results for r in o["rows"] if (r["nodes"], r["terminal"]) == (nodes, name)]
            x = j + (k - 1) * width + np.linspace(-0.08, 0.08, len(mm))
            worst.semilogy(x, mm, ".", ms=4, color=METHOD[name], label=LABEL[name] if j == 0 else None)
    worst.axhline(NEAR_MM, color=INK, lw=0.8, ls=":")
    worst.set_xticks(range(len(settings.horizons)), [str(nodes) for nodes in settings.horizons])
    worst.set(xlabel="horizon T [nodes]", ylabel="largest tool difference [mm]", title="all cases")
    worst.legend(frameon=False, fontsize=7)
    save(drawing, path)


FIGURE = Figure(
    9,
    "Arm: a short horizon with V moves as a long one",
    "The arm's end-effector trajectory over 200 nodes with the learned terminal cost coincides with that over 1000 nodes.",
    f"At T = 200 no case of any seed is further from the reference than {NEAR_MM:g} mm, and no cost differs by more than "
    f"{100 * NEAR_COST:g} %.",
    Settings(),
    Settings(reference=400, horizons=(10, 100), cases=1),
    compute,
    summarise,
    plot,
)
