"""Figure 1: DVP converges on pendulum, cartpole and unicycle, by the Bellman residual and by the distance to ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvp_mpc.presets import SYSTEMS
from dvp_mpc.studies.reproduce import truth
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.palette import LABEL, METHOD, band, save, sheet
from dvp_mpc.studies.reproduce.runs import METHODS, curves, learn, settings_of

BARS = {"pendulum": (1, 0.01), "cartpole": (5, 0.02), "unicycle": (10, 0.05)}
"""Iteration by which the median relative value error must be this small, with every seed."""


@dataclass(frozen=True)
class Settings:
    """What is run."""

    truth: dict[str, truth.TruthSettings]
    effort: float
    """Share of the presets' problems and training steps."""
    presets: str = repr(SYSTEMS)


def compute(settings: Settings, work: Work) -> Json:
    """Curves of every system and method."""
    result: Json = {}
    for system, how in settings.truth.items():
        task = SYSTEMS[system].task
        held_out = truth.ground_truth(work, system, task, how)
        result[system] = {
            method: curves(
                learn(work, task, settings_of(system, method, settings.effort), held_out.labels), held_out.labels
            )
            for method in METHODS
        }
        result[system]["truth"] = {"error": float(held_out.error.max()), "missed": held_out.missed}
    return result


def summarise(settings: Settings, results: Sequence[Json]) -> Summary:
    """Error at the iteration of the bar, for each system and method."""
    numbers: dict[str, Json] = {}
    kept, remarks = [], []
    for system, (n, bar) in BARS.items():
        for method in METHODS:
            runs = [result[system][method] for result in results]
            error = spread([100 * run["error"][n] for run in runs])
            numbers[f"{system}, {method}: median value error at iteration {n} [%], bar {100 * bar:g}"] = error
            numbers[f"{system}, {method}: the same at the last iteration, {len(runs[0]['error']) - 1} [%]"] = spread(
                [100 * run["error"][-1] for run in runs]
            )
            numbers[f"{system}, {method}: Bellman residual at iteration {n} [-]"] = spread(
                [run["bellman"][n] for run in runs]
            )
            kept.append(error["max"] <= 100 * bar)
            if not kept[-1]:
                late = [next((k for k, e in enumerate(run["error"]) if e <= bar), None) for run in runs]
                when = ", ".join("never" if k is None else str(k) for k in late)
                remarks.append(
                    f"Missed: {system}, {LABEL[method]}: {error['mean']:.2f} % at iteration {n} (bar {100 * bar:g} %, every "
                    f"seed). The bar is first reached at iteration {when}."
                )
        trust = results[0][system]["truth"]
        numbers[f"{system}: error that remains in ground truth, worst state [%]"] = 100 * trust["error"]
        numbers[f"{system}: states at which the cold start missed the best optimum found [%]"] = 100 * trust["missed"]
    return Summary(judge(kept), numbers, tuple(remarks))


def plot(settings: Settings, results: Sequence[Json], path: Path) -> None:
    """A row per measure, a column per system."""
    drawing, axes = sheet(2, 3, (11, 6.2))
    for column, (system, (n, bar)) in enumerate(BARS.items()):
        for row, (key, what) in enumerate(
            (("bellman", "Bellman residual [-]"), ("error", "|V_θ - V| / V, median [-]"))
        ):
            ax = axes[row, column]
            for method in METHODS:
                runs = np.array([result[system][method][key] for result in results])
                band(ax, np.arange(runs.shape[1]), np.maximum(runs, 1e-6), METHOD[method], LABEL[method])
            ax.set(yscale="log", xlabel="DVP iteration [-]", ylabel=what, title=system)
            ax.xaxis.get_major_locator().set_params(integer=True)
        axes[1, column].axhline(bar, color=METHOD["truth"], lw=0.9, ls="--", label="bar")
        axes[1, column].axvline(n, color=METHOD["truth"], lw=0.9, ls=":")
    axes[1, 0].legend(frameon=False, fontsize=8)
    drawing.suptitle("Convergence over iterations: mean and range over seeds, on held-out starts", fontsize=11)
    save(drawing, path)


FIGURE = Figure(
    number=1,
    title="DVP converges on three systems",
    claim="Bellman residual and distance to ground truth fall over iterations; the pendulum has converged after one, the "
    "cartpole after a few, the unicycle needs more.",
    bars="Median of |V_θ - V| / V over held-out starts, every seed: pendulum at most 1 % at iteration 1, cartpole 2 % at "
    "iteration 5, unicycle 5 % at iteration 10; iteration 0 is the first fit. Six bars, with the paper's settings and ours.",
    full=Settings(truth.FULL, 1.0),
    quick=Settings(truth.QUICK, 0.1),
    compute=compute,
    summarise=summarise,
    plot=plot,
)
