"""Figure 6: the gradient of the unicycle's value on a slice of its states, by the solver and by networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvp_mpc.learning.labels import Labels, from_solved, read_labels
from dvp_mpc.presets import SYSTEMS
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.fits import WAYS, Data, fitted, labels
from dvp_mpc.studies.reproduce.palette import METHOD, save, sheet

SHOWN = ("residual, Sobolev", "feedforward, Sobolev", "ours")


@dataclass(frozen=True)
class Settings:
    """What is fitted and where it is looked at."""

    data: Data
    samples: int
    epochs: int
    side: int
    """Points of the slice along px and along py."""
    heading: float = 0.5
    """[rad] Of the slice; at 0 half of it lies on the kink of V."""
    ways: str = repr(WAYS)


def grid(settings: Settings) -> np.ndarray:
    """States of the slice: (side^2, 3)."""
    side = np.linspace(-1.9, 1.9, settings.side)
    return np.array([[px, py, settings.heading] for py in side for px in side])


def compute(settings: Settings, work: Work) -> Json:
    """Gradients on the slice, of the solver and of every network."""
    points = grid(settings)
    true = work.kept(
        f"slice-{settings.side}", (settings.data, settings.heading), lambda: _solve(settings.data.horizon, points)
    )
    train, unseen = labels(work, "unicycle", settings.data, settings.samples)
    result: Json = {"truth": true, "networks": {}}
    for way in SHOWN:
        bound = fitted(work, "unicycle", way, train, unseen, settings.epochs).at(train.frame(0))
        found = [bound.derivatives(x, np.zeros(0), np.zeros((0, 3)))[0].tolist() for x in points]
        result["networks"][way] = found
    return result


def _solve(horizon: int, points: np.ndarray) -> Json:
    """V_x at the points, from the better of two guesses."""
    task = SYSTEMS["unicycle"].task
    goal, found = task.origin, []
    for x in points:
        tries = []
        for scale in (0.0, 1.0):
            problem = build_problem(task, goal, x, horizon, None)
            solver = make_solver(problem)
            xs, us = quasi_static_guess(problem, goal.u)
            xs = [x * (1 - scale * min(1.0, 4 * k / horizon)) for k in range(horizon + 1)]
            if solve(solver, xs, us, iterations=500) is Status.CONVERGED:
                tries.append(from_solved([read_labels(task, goal, solver, np.array([0]))]))
        best: Labels = min(tries, key=lambda one: float(one.V[0]))
        found.append(best.Vx[0].tolist())
    return found


def _errors(result: Json) -> dict[str, np.ndarray]:
    """Relative error of each network at each point: (points,)."""
    true = np.array(result["truth"])
    scale = np.linalg.norm(true, axis=1)
    return {way: np.linalg.norm(np.array(g) - true, axis=1) / scale for way, g in result["networks"].items()}


def summarise(settings: Settings, results: Sequence[Json]) -> Summary:
    """Median and 90th percentile of the relative gradient error over the slice."""
    found = [_errors(result) for result in results]
    median = {way: spread([100 * float(np.median(e[way])) for e in found]) for way in SHOWN}
    high = {way: spread([100 * float(np.percentile(e[way], 90)) for e in found]) for way in SHOWN}
    numbers: dict[str, Json] = {}
    for way in SHOWN:
        numbers[f"{way}: gradient error on the slice, median [%]"] = median[way]
        numbers[f"{way}: the same, 90th percentile [%]"] = high[way]
    ours, plain = SHOWN[0], SHOWN[1]
    kept = [part[ours]["mean"] < part[plain]["mean"] for part in (median, high)]
    ahead = sum(float(np.median(e[ours])) < float(np.median(e[plain])) for e in found)
    numbers["seeds with the residual network ahead (median)"] = f"{ahead} of {len(found)}"
    kept.append(ahead == len(found))
    remarks = () if all(kept) else (f"The residual network is ahead with {ahead} of {len(found)} seeds.",)
    return Summary(judge(kept), numbers, remarks)


def plot(settings: Settings, results: Sequence[Json], path: Path) -> None:
    """The field of the first seed, a panel per source; colour: error relative to the true gradient."""
    drawing, axes = sheet(1, 4, (14, 3.9))
    points, true, errors = grid(settings), np.array(results[0]["truth"]), _errors(results[0])
    length = np.linalg.norm(true[:, :2], axis=1).max()
    titles = {"truth": "solver", **{way: WAYS[way].label for way in SHOWN}}
    for ax, (name, title) in zip(axes[0], titles.items(), strict=True):
        g = true if name == "truth" else np.array(results[0]["networks"][name])
        shade = np.zeros(len(g)) if name == "truth" else 100 * errors[name]
        side = settings.side
        mesh = ax.pcolormesh(
            points[:side, 0],
            points[::side, 1],
            shade.reshape(side, side),
            cmap="Oranges",
            vmin=0,
            vmax=50,
            shading="nearest",
        )
        ax.quiver(*points[:, :2].T, *g[:, :2].T, color=METHOD["truth"], scale=9 * length, width=0.004)
        ax.set(xlabel="px [m]", title=title, aspect="equal")
        ax.title.set_fontsize(10)
        ax.grid(False)
    axes[0, 0].set_ylabel("py [m]")
    drawing.colorbar(mesh, ax=list(axes[0]), label="error / |V_x|, with the heading's share [%]", shrink=0.8)
    about = f"at heading {settings.heading:g} rad, T = {settings.data.horizon}, {settings.samples} samples, first seed"
    drawing.suptitle(f"dV/d(px, py) {about}", fontsize=11)
    save(drawing, path)


FIGURE = Figure(
    number=6,
    title="Gradients of residual and plain networks",
    claim="The gradient of a residual network is nearer to the solver's than that of a plain feedforward one (unicycle, 100 "
    "samples over 50 nodes, 50 000 epochs).",
    bars="Relative gradient error over a slice of states at one heading: the residual network is ahead in the median with "
    "every seed, and ahead in the mean over seeds of median and of 90th percentile. After 3000 epochs.",
    full=Settings(Data(), 100, 3000, 13),
    quick=Settings(Data(50, 60), 50, 100, 7),
    compute=compute,
    summarise=summarise,
    plot=plot,
)
