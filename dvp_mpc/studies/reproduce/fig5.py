"""Figure 5: residual against plain feedforward network, Sobolev against classical loss, over epochs and samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.fits import WAYS, Data, errors, fitted, labels
from dvp_mpc.studies.reproduce.palette import METHOD, band, save, sheet

FEW, ACCURATE = 50, 1e-3
"""Samples with which the paper reaches this accuracy on held-out ones."""
PAPER = "residual, Sobolev"


@dataclass(frozen=True)
class Settings:
    """What is fitted."""

    data: Data
    epochs: tuple[int, ...]
    """Budgets of training on `samples`; each is a whole run with its own schedule."""
    samples: int
    sweep: tuple[int, ...]
    """Numbers of samples, trained for the longest budget."""
    elsewhere: tuple[tuple[str, int], ...]
    """Other systems, with their horizon, on which the fit to few samples is repeated."""
    ways: str = repr(WAYS)


def compute(settings: Settings, work: Work) -> Json:
    """Errors by way over epochs and over samples, and with few samples on the other systems."""
    longest = settings.epochs[-1]
    result: Json = {"epochs": {}, "samples": {}, "elsewhere": {}}
    for way in WAYS:
        result["epochs"][way] = [
            _kept(work, settings.data, "unicycle", way, settings.samples, n) for n in settings.epochs
        ]
        result["samples"][way] = [_kept(work, settings.data, "unicycle", way, n, longest) for n in settings.sweep]
    for system, horizon in settings.elsewhere:
        data = Data(horizon, settings.data.unseen)
        result["elsewhere"][system] = {way: _kept(work, data, system, way, FEW, longest) for way in list(WAYS)[:2]}
    return result


def _kept(work: Work, data: Data, system: str, way: str, samples: int, epochs: int) -> Json:
    """Errors of one fit, made once."""

    def make() -> Json:
        train, unseen = labels(work, system, data, samples)
        return errors(fitted(work, system, way, train, unseen, epochs), unseen)

    name = f"fit-{way}-{samples}-{epochs}-{work.seed}" + ("" if system == "unicycle" else f"-{system}")
    return work.kept(name, (data, WAYS[way]), make)


def summarise(settings: Settings, results: Sequence[Json]) -> Summary:
    """Who wins, and what few samples reach."""
    numbers: dict[str, Json] = {}
    for way in WAYS:
        for kind in ("value", "gradient"):
            numbers[f"{way}: {kind} error with {settings.samples} samples"] = spread(
                [r["epochs"][way][-1][kind] for r in results]
            )
    for way in WAYS:
        for k, n in enumerate(settings.sweep):
            numbers[f"{way}: value error with {n} samples"] = spread([r["samples"][way][k]["value"] for r in results])
    at = settings.sweep.index(FEW)
    few = {"unicycle": [{way: r["samples"][way][at]["value"] for way in WAYS} for r in results]}
    for name, _ in settings.elsewhere:
        few[name] = [{way: one["value"] for way, one in r["elsewhere"][name].items()} for r in results]
    kept, remarks = [], []
    for system, values in few.items():
        sobolev = spread([one[PAPER] for one in values])
        classical = spread([one["residual, classical"] for one in values])
        numbers[f"{system}, {FEW} samples, residual network: value error, Sobolev"] = sobolev
        numbers[f"{system}, {FEW} samples, residual network: value error, classical"] = classical
        kept.append(sobolev["mean"] <= ACCURATE)
        if not kept[-1]:
            remarks.append(
                f"Missed: {system}: with {FEW} samples the Sobolev loss reaches {sobolev['mean']:.2g} (bar {ACCURATE:g}); the "
                f"classical loss, on the same samples, {classical['mean']:.2g}."
            )
        kept.append(sobolev["mean"] < classical["mean"])
    for kind in ("value", "gradient"):
        ours, plain = (
            np.mean([r["epochs"][way][-1][kind] for r in results]) for way in (PAPER, "feedforward, Sobolev")
        )
        kept.append(bool(ours < plain))
        if not kept[-1]:
            remarks.append(
                f"Missed: the residual network is not ahead of the plain one in {kind} ({ours:.2g}, {plain:.2g})."
            )
    mine, theirs = (np.mean([r["epochs"][way][-1]["value"] for r in results]) for way in ("ours", PAPER))
    ahead = "ahead of" if mine < theirs else "behind"
    remarks.append(
        f"Our loss and network, made for many labels along solutions, are {ahead} the paper's on {settings.samples} labels at "
        f"starts alone: value error {mine:.2g} against {theirs:.2g}."
    )
    return Summary(judge(kept), numbers, tuple(remarks))


def plot(settings: Settings, results: Sequence[Json], path: Path) -> None:
    """Value and gradient error over epochs, value error over samples."""
    drawing, axes = sheet(1, 3, (12.5, 4.3))
    panels = (
        ("epochs", "value", settings.epochs, f"epoch [-], {settings.samples} samples", "value error, held out [-]"),
        (
            "epochs",
            "gradient",
            settings.epochs,
            f"epoch [-], {settings.samples} samples",
            "gradient error, held out [-]",
        ),
        ("samples", "value", settings.sweep, f"samples [-], {settings.epochs[-1]} epochs", "value error, held out [-]"),
    )
    for ax, (over, kind, x, name, what) in zip(axes[0], panels, strict=True):
        for way, chosen in WAYS.items():
            runs = np.array([[point[kind] for point in result[over][way]] for result in results])
            band(ax, np.array(x), runs, METHOD[chosen.method], chosen.label, "s" if chosen.dashed else "o")
            if chosen.dashed:
                ax.lines[-1].set_linestyle("--")
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel=what)
        ax.set_xticks(x, [str(number) for number in x])
        ax.xaxis.set_minor_formatter("")
        if kind == "value":
            ax.axhline(ACCURATE, color=METHOD["truth"], lw=0.9, ls=":", label="1e-3")
    axes[0, 1].legend(frameon=False, fontsize=7.5)
    drawing.suptitle("Unicycle, V over 50 nodes: mean and range over seeds", fontsize=11)
    save(drawing, path)


FIGURE = Figure(
    number=5,
    title="Residual network and Sobolev loss",
    claim="A residual network trained with the Sobolev loss is ahead of a plain feedforward one in value and gradient, and 50 "
    "samples are enough for an accuracy of 1e-3 on held-out data.",
    bars=f"With {FEW} samples the Sobolev loss reaches a held-out value error (mean square over variance) of {ACCURATE:g}, and "
    "is ahead of the classical loss on the same samples, on each of the three systems; the residual network is ahead of the "
    "plain one in value and in gradient, both with the Sobolev loss. Means over seeds. The paper names neither the system nor "
    "the scale of its accuracy.",
    full=Settings(Data(), (100, 300, 1000, 2000), 100, (50, 100, 200), (("pendulum", 30), ("cartpole", 50))),
    quick=Settings(Data(50, 60), (30, 100), 50, (20, 50), ()),
    compute=compute,
    summarise=summarise,
    plot=plot,
)
