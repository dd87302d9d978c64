"""Figure 3: on the unicycle, how fast DVP converges for each horizon T, beside what perfect training would give."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dvp_mpc.learning.settings import DvpSettings
from dvp_mpc.presets import SYSTEMS
from dvp_mpc.studies.reproduce import truth
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.palette import LABEL, LEVELS, METHOD, band, save, sheet
from dvp_mpc.studies.reproduce.runs import METHODS, curves, learn, settings_of

SHORT, LONG = 40, 0.05
"""Horizon from which the paper sees proper convergence, and the error that we call so."""
EARLY, LAST = 2, 10
"""Iteration at which a longer horizon must be ahead, and the last one that is looked at."""


@dataclass(frozen=True)
class Settings:
    """What is run."""

    truth: truth.TruthSettings
    horizons: tuple[int, ...]
    effort: float
    presets: str = repr(SYSTEMS["unicycle"])


def over(settings: DvpSettings, horizon: int) -> DvpSettings:
    """The same run over another horizon; labels that lie in its second half are left out."""
    nodes = tuple(k for k in settings.sampling.nodes if 2 * k <= horizon)
    return replace(settings, sampling=replace(settings.sampling, horizon=horizon, nodes=nodes))


def compute(settings: Settings, work: Work) -> Json:
    """Curves of every method and horizon, and the gap of V_(n+1)T to V."""
    task = SYSTEMS["unicycle"].task
    held_out = truth.ground_truth(work, "unicycle", task, settings.truth)
    result: Json = {}
    for method in METHODS:
        base = settings_of("unicycle", method, settings.effort)
        result[method] = {
            str(T): curves(learn(work, task, over(base, T), held_out.labels), held_out.labels)
            for T in settings.horizons
        }
    iterations = LAST + 1
    result["perfect"] = work.kept(
        f"unicycle-gaps-{settings.truth.states}",
        (task.digest, settings.truth, settings.horizons, iterations),
        lambda: {
            str(T): [truth.median_gap(task, held_out.labels, (n + 1) * T) for n in range(iterations)]
            for T in settings.horizons
        },
    )
    return result


def summarise(settings: Settings, results: Sequence[Json]) -> Summary:
    """Errors at the last iteration per horizon, and whether longer horizons are ahead early on."""
    numbers: dict[str, Json] = {}
    kept, remarks = [], []
    for method in METHODS:
        last = {T: spread([100 * r[method][str(T)]["error"][LAST] for r in results]) for T in settings.horizons}
        early = {T: spread([100 * r[method][str(T)]["error"][EARLY] for r in results]) for T in settings.horizons}
        for T in settings.horizons:
            numbers[f"{method}, T = {T}: median value error at iteration {EARLY} [%]"] = early[T]
            numbers[f"{method}, T = {T}: the same at iteration {LAST} [%]"] = last[T]
        means = [early[T]["mean"] for T in settings.horizons]
        kept.append(means == sorted(means, reverse=True))
        if not kept[-1]:
            remarks.append(f"Missed: {LABEL[method]}: at iteration {EARLY} a longer horizon is not always ahead.")
        for T in settings.horizons:
            if T >= SHORT:
                kept.append(last[T]["max"] <= 100 * LONG)
                if not kept[-1]:
                    remarks.append(f"Missed: {LABEL[method]}, T = {T}: {last[T]['max']:.2f} % with the worst seed.")
    for T in settings.horizons:
        numbers[f"perfect training, T = {T}: median value error at iterations {EARLY}, {LAST} [%]"] = [
            100 * results[0]["perfect"][str(T)][n] for n in (EARLY, -1)
        ]
    return Summary(judge(kept), numbers, tuple(remarks))


def plot(settings: Settings, results: Sequence[Json], path: Path) -> None:
    """A panel per method."""
    drawing, axes = sheet(1, 2, (10, 4.4))
    for ax, method in zip(axes[0], METHODS, strict=True):
        for T, colour in zip(settings.horizons, LEVELS[::2], strict=False):
            runs = np.array([result[method][str(T)]["error"] for result in results])
            band(ax, np.arange(runs.shape[1]), runs, colour, f"T = {T}")
            perfect = results[0]["perfect"][str(T)]
            ax.plot(np.arange(len(perfect)), perfect, color=colour, lw=0.9, ls="--")
        ax.plot([], [], color=METHOD["truth"], lw=0.9, ls="--", label="perfect training")
        ax.set(yscale="log", xlabel="DVP iteration [-]", ylabel="|V_θ - V| / V, median [-]", title=LABEL[method])
    low, high = (pick(ax.get_ylim()[k] for ax in axes[0]) for k, pick in ((0, min), (1, max)))
    for ax in axes[0]:
        ax.set_ylim(low, high)
    axes[0, 1].legend(frameon=False, fontsize=8)
    drawing.suptitle("Unicycle: error over iterations for each horizon, mean and range over seeds", fontsize=11)
    save(drawing, path)


FIGURE = Figure(
    number=3,
    title="Convergence against the horizon (unicycle)",
    claim="DVP converges faster with a longer horizon T, properly for T of 40 and more; with shorter ones it is slower or "
    "fails.",
    bars=f"Median of |V_θ - V| / V on held-out starts: at most {100 * LONG:g} % at iteration {LAST} for each T of "
    f"{SHORT} and more, every seed; and at iteration {EARLY} the error, mean over seeds, falls with T.",
    full=Settings(truth.FULL["unicycle"], (10, 20, 40, 80), 1.0),
    quick=Settings(truth.QUICK["unicycle"], (20, 40), 0.1),
    compute=compute,
    summarise=summarise,
    plot=plot,
)
