"""What figure 9 asks of the authors' arm: its costs beside theirs, and short horizons with a value made the paper's way."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dvp_mpc.errors import RunFailed
from dvp_mpc.learning.settings import DvpSettings, Sampling
from dvp_mpc.presets import BOX_ONLY, IIWA_PAPER
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import Status, Trajectory, make_solver, quasi_static_guess, solve, trajectory
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.studies.reproduce.authors_arm import GOAL, START, THEIR_ERROR_MM, THEIRS, AuthorsArm
from dvp_mpc.studies.reproduce.figure import Json, Work, spread
from dvp_mpc.studies.reproduce.palette import LABEL
from dvp_mpc.studies.reproduce.runs import Quiet, shortened
from dvp_mpc.value import ValueFunction

UNSEEN = 311  # first word of the seed of held-out starts; training has others
HORIZONS = (50, 200)  # nodes
QUICK = shortened(IIWA_PAPER, problems=10, horizon=20)


def solved(task: Task, goal: Goal, x0: np.ndarray, nodes: int, terminal: ValueFunction | None, most: int) -> Trajectory:
    """Solve from x0 (nx,); raises RunFailed where nothing usable comes out, since no case may be left out."""
    problem = build_problem(task, goal, x0, nodes, terminal)
    solver = make_solver(problem)
    status = solve(solver, *quasi_static_guess(problem, goal.u), iterations=most)
    if not status.usable:
        raise RunFailed(f"no solution over {nodes} nodes: {status.value}")
    return trajectory(solver, status)


def reference(task: Task, goal: Goal, x0: np.ndarray, nodes: int, most: int) -> Trajectory:
    """A long solution without a terminal cost; raises RunFailed where it did not converge."""
    found = solved(task, goal, x0, nodes, None, most)
    if found.status is not Status.CONVERGED:
        raise RunFailed(f"a solution over {nodes} nodes is no reference: {found.status.value}")
    return found


def compute(settings: DvpSettings, nodes: int, most: int, work: Work) -> Json:
    """Costs over every horizon of theirs, tool errors, and distances [mm] and costs with and without V."""
    task = AuthorsArm()
    goal, x0 = task.sample_goal(np.random.default_rng(0)), np.concatenate([START, np.zeros(DOF)])
    value = _value(task, replace(settings, seed=work.seed), work)
    long = reference(task, goal, x0, nodes, most)
    tool, rows, paths = task.tools(long.xs), [], []
    for T in HORIZONS:
        for name, terminal in (("paper", value), ("zero", None)):
            found = solved(task, goal, x0, T, terminal, most)
            here = task.tools(found.xs)
            mm = 1e3 * float(np.linalg.norm(here - tool[: T + 1], axis=1).max())
            rows.append({"nodes": T, "terminal": name, "mm": mm, "cost": found.cost / long.cost - 1})
            paths.append({"nodes": T, "terminal": name, "error": _distance(here)})
    paths.append({"nodes": nodes, "terminal": "truth", "error": _distance(tool[: HORIZONS[-1] + 1])})
    seconds = {str(t): _distance(tool[[round(t / task.dt)]])[0] for t in THEIR_ERROR_MM}
    costs = {str(T): reference(task, goal, x0, T, most).cost for T in THEIRS if nodes >= T}
    return {"rows": rows, "paths": paths, "costs": costs, "errors": seconds, "dt": task.dt}


def _distance(tools: np.ndarray) -> list[float]:
    """From the goal [mm] of tool positions (n, 3)."""
    return [float(1e3 * d) for d in np.linalg.norm(tools - GOAL, axis=1)]


def _value(task: AuthorsArm, settings: DvpSettings, work: Work) -> ValueFunction:
    from dvp_mpc.learning.dataset import collect
    from dvp_mpc.learning.dvp import run

    folder = work.part("authors-arm", (task.digest, settings))
    # Without a terminal cost: the goal has no Riccati matrix that could stand for what lies beyond.
    unseen = Sampling(settings.validation, 200, nodes=(0,), starts=BOX_ONLY, iterations=300)
    truth = collect(task, None, unseen, learned=False, seed=(UNSEEN,), folder=folder / "unseen", jobs=1).labels
    return run(task, settings, folder / "run", Quiet(), truth=truth).values[-1]


def numbers(results: Sequence[Json]) -> dict[str, Json]:
    """For the page."""
    first = results[0]
    found: dict[str, Json] = {}
    for T, cost in first["costs"].items():
        theirs = THEIRS[int(T)]
        found[f"authors' arm, T = {T}, zero terminal cost: cost, theirs, difference in %"] = [
            f"{cost:.6f}",
            f"{theirs:.6f}",
            f"{100 * (cost / theirs - 1):+.2f}",
        ]
    for t, mm in first["errors"].items():
        found[f"authors' arm, tool error after {t} s in mm, theirs"] = [f"{mm:.1f}", f"{THEIR_ERROR_MM[int(t)]:.1f}"]
    for T in HORIZONS:
        for name in ("paper", "zero"):
            key = f"authors' arm, T = {T}, {LABEL[name]}"
            found[f"{key}: largest tool difference in mm"] = spread(of(results, T, name, "mm"))
            found[f"{key}: cost difference in %"] = spread([100 * c for c in of(results, T, name, "cost")])
    return found


def of(results: Sequence[Json], nodes: int, terminal: str, what: str) -> list[float]:
    """A figure of every seed."""
    return [row[what] for one in results for row in one["rows"] if (row["nodes"], row["terminal"]) == (nodes, terminal)]
