"""What each ingredient of the value is worth: it is left out, everything else stays, and the loop is closed.

python -m dvp_mpc.studies.ablations    # an hour of two cores; goes on where it was stopped

A third of the shipped value's problems and a quarter of its training steps, so that there is something to lose. All runs are
judged on the same starts and goals, none of which is one of training's.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dvp_mpc.arguments import require_jobs
from dvp_mpc.errors import BadSetting, UnknownChoice
from dvp_mpc.files import whole_file, writable_folder
from dvp_mpc.learning.settings import DvpSettings, First, Fit, Optimiser, Sampling, Starts
from dvp_mpc.presets import PANDA_PAPER, PANDA_REACH
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies.evaluation import closed_loops
from dvp_mpc.studies.reproduce.runs import Quiet
from dvp_mpc.value import Value

NODES = (1, 2, 5, 10)
ALL = DvpSettings(
    iterations=2, sampling=Sampling(problems=500), fit=Fit(steps=1000, threads=1), last_fit=1.5, validation=40, jobs=1
)
SAMPLING, FIT, NET = ALL.sampling, ALL.fit, ALL.net


class Variant(NamedTuple):
    """Settings, and how they differ from ALL."""

    settings: DvpSettings
    what: str


VARIANTS: dict[str, Variant] = {
    "paper": Variant(
        PANDA_PAPER,
        "the paper's way alone: zero first terminal cost, 4 iterations of 400 problems, labels at their starts, 3 residuals, "
        "Sobolev loss, Adam",
    ),
    "all": Variant(ALL, "every ingredient"),
    "relative loss": Variant(replace(ALL, fit=replace(FIT, floor=1.0)), "errors relative to V + 1, not to V + 0.01"),
    "policy metric": Variant(replace(ALL, fit=replace(FIT, policy=0.0)), "gradient errors in the metric of V_xx alone"),
    "curvature probes": Variant(replace(ALL, fit=replace(FIT, curvature=0.0)), "the Hessian is not looked at"),
    "anchor": Variant(replace(ALL, net=replace(NET, anchor=False)), "V(goal) = 0 is learned, not built in"),
    "Riccati part": Variant(replace(ALL, net=replace(NET, riccati=False)), "the network learns all of r"),
    "Riccati first": Variant(replace(ALL, first=First.ZERO), "zero terminal cost in the first iteration"),
    "barrier residuals": Variant(replace(ALL, net=replace(NET, barrier=False)), "the network learns the limits' kinks"),
    "SOAP": Variant(
        replace(ALL, fit=replace(FIT, optimiser=Optimiser.ADAM, steps=3 * FIT.steps)),
        "Adam, with three times the steps",
    ),
    "loop states": Variant(
        replace(ALL, sampling=replace(SAMPLING, starts=Starts(loop=0.0))), "no starts on the way of the loop"
    ),
    "other starts": Variant(
        replace(ALL, sampling=replace(SAMPLING, starts=Starts(near=0.0, wide=0.0, kicked=0.0))),
        "starts from the box only",
    ),
    "label horizon": Variant(
        replace(ALL, sampling=replace(SAMPLING, horizon=30, nodes=tuple(k for k in SAMPLING.nodes if k <= 30))),
        "problems of 30 nodes, not 100",
    ),
    "label nodes": Variant(replace(ALL, sampling=replace(SAMPLING, nodes=(0,))), "labels at the starts only"),
}


@dataclass(frozen=True)
class Ablations:
    """Train without one ingredient at a time, and close the loop."""

    variants: tuple[str, ...] = tuple(VARIANTS)
    """What to leave out, `all` for nothing and `paper` for the paper's way."""
    seeds: int = 3
    """Training seeds, from 1 on."""
    starts: int = 40
    """Closed loops behind each number."""
    jobs: int = -1
    """Runs at a time; -1: one per core."""
    out: Path = Path("runs/ablations")
    """Folder of the runs."""
    page: Path | None = None
    """Markdown page to write."""

    def __post_init__(self) -> None:
        for name in self.variants:
            if name not in VARIANTS:
                raise UnknownChoice("variant", name, VARIANTS)
        for name in ("seeds", "starts"):
            if getattr(self, name) < 1:
                raise BadSetting(name, getattr(self, name), "must be at least 1")
        require_jobs(self.jobs)


class Result(NamedTuple):
    """One run: median and 95th percentile of the loss by nodes (infinite where it diverged), and how long it took [s]."""

    loss: dict[int, tuple[float, float]]
    policy_gradient_error: float
    seconds: float


def train_and_close(name: str, seed: int, starts: int, out: Path) -> Result:
    """One run, or what it found when it was done before."""
    from dvp_mpc.learning.dvp import run

    folder = out / f"{name.replace(' ', '_')}-{seed}"
    kept = folder / f"loss-{starts}.json"
    if not kept.is_file():
        began = time.monotonic()
        task = PANDA_REACH.task()
        found = run(task, replace(VARIANTS[name].settings, seed=seed), folder, Quiet())
        seconds = time.monotonic() - began
        loss = _losses(task, found.value, starts)
        facts = {"loss": loss, "policy_gradient_error": found.accuracy.policy_gradient_error, "seconds": seconds}
        with whole_file(kept) as part:
            part.write_text(json.dumps(facts))
    facts = json.loads(kept.read_text())
    loss = {int(n): (float(pair[0]), float(pair[1])) for n, pair in facts["loss"].items()}
    return Result(loss, facts["policy_gradient_error"], facts["seconds"])


def _losses(task: ReachTask, value: Value, starts: int) -> dict[int, tuple[float, float]]:
    runs = closed_loops(task, value, NODES, starts, seed=31, jobs=1, terminals=("value",))
    found = {}
    for n in NODES:
        losses = np.array([outcomes[n, "value"].suboptimality for outcomes in runs])
        found[n] = (float(np.median(losses)), float(np.percentile(losses, 95, method="higher")))
    return found


def study(settings: Ablations) -> dict[str, list[Result]]:
    """Every variant with every seed."""
    out = writable_folder(settings.out)
    todo = [(name, 1 + k) for k in range(settings.seeds) for name in settings.variants]
    calls = (joblib.delayed(train_and_close)(name, seed, settings.starts, out) for name, seed in todo)
    found: dict[str, list[Result]] = {name: [] for name in settings.variants}
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("runs", total=len(todo))
        with joblib.parallel_config(backend="loky", n_jobs=settings.jobs, inner_max_num_threads=1):
            for (name, _), result in zip(todo, joblib.Parallel(return_as="generator")(calls), strict=True):
                found[name].append(result)
                progress.advance(bar)
    return found


def cells(results: Iterable[Result]) -> list[str]:
    """One row: loss by nodes in percent, median and p95, each the mean over seeds with the smallest and the largest."""
    runs, row = list(results), []
    for n in NODES:
        for k in (0, 1):
            values = 100 * np.array([run.loss[n][k] for run in runs])
            row.append(f"{values.mean():.2g} [{values.min():.2g}, {values.max():.2g}]")
    return [*row, f"{np.mean([run.policy_gradient_error for run in runs]):.1e}"]


HEAD = ["left out", *(f"N={n} {what}" for n in NODES for what in ("median %", "p95 %")), "policy error"]


def times_as_much(results: list[Result], complete: list[Result]) -> list[str]:
    """One row: by nodes, the median loss as a multiple of that with every ingredient, mean over mean; bold where no seed of
    the one came near the seeds of the other."""
    row = []
    for n in NODES:
        without, whole = (np.array([run.loss[n][0] for run in runs]) for runs in (results, complete))
        ratio = f"{without.mean() / whole.mean():.2g}" if np.isfinite(without).all() else "diverged"
        apart = without.min() > whole.max() or without.max() < whole.min()
        row.append(f"**{ratio}**" if apart else ratio)
    return row


def write_page(found: dict[str, list[Result]], path: Path, settings: Ablations) -> None:
    """The tables as Markdown."""
    lines = ["# What each ingredient is worth", ""]
    lines += [
        "Closed-loop cost above the infinite-horizon optimum on the small box of `panda_reach`, the plant being the model. One",
        "ingredient is left out, everything else stays. A third of the shipped value's problems and a quarter of its training",
        f"steps; {settings.seeds} training seeds; {settings.starts} starts and goals that training has not seen. This page is",
        "generated by `python -m dvp_mpc.studies.ablations --page docs/ablations.md`.",
        "",
        "The paper's own method has the squared residual, the Sobolev loss and the value before at the end of the horizon;",
        "what these reach alone is the row `paper`. It has none of the ingredients named below it but the horizon.",
        "",
    ]
    if "all" in found:
        lines += [
            "Median loss as a multiple of that with every ingredient. Bold: the seeds of the two do not overlap, so above 1",
            "the ingredient earns its place, and below 1 it does harm here.",
            "",
        ]
        lines += _table(
            ["left out", *(f"N={n}" for n in NODES)],
            {name: times_as_much(results, found["all"]) for name, results in found.items() if name != "all"},
        )
    lines += ["Loss in percent, mean over seeds with the smallest and the largest:", ""]
    lines += _table(HEAD, {name: cells(results) for name, results in found.items()})
    lines += [*(f"- **{name}**: {VARIANTS[name].what}." for name in found), ""]
    with whole_file(path) as part:
        part.write_text("\n".join(lines))


def _table(head: list[str], rows: dict[str, list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return [*lines, *("| " + " | ".join([name, *row]) + " |" for name, row in rows.items()), ""]


def main() -> None:
    """Print the table; write the page where one is asked for."""
    settings = tyro.cli(Ablations)
    found = study(settings)
    table = Table(*HEAD, title="closed-loop cost above the optimum, mean over seeds [smallest, largest]")
    for name, results in found.items():
        table.add_row(name, *cells(results))
    Console(width=180).print(table)
    if settings.page is not None:
        write_page(found, settings.page, settings)


if __name__ == "__main__":
    main()
