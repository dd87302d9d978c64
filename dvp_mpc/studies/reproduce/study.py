"""run_figures: every (figure, seed) is one piece of work with a file of its own, so a study that was stopped goes on."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dvp_mpc.arguments import require_jobs
from dvp_mpc.errors import BadSetting, RunFailed
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, kept
from dvp_mpc.workers import unordered

TRIES = 3  # deaths of workers before the study gives up


class Outcome(NamedTuple):
    """A figure, settled."""

    figure: Figure
    summary: Summary
    seeds: int
    seconds: float
    """Time of computing, all seeds together, one process each."""
    plot: Path

    def report(self) -> dict[str, Json]:
        """For machines."""
        return {
            "figure": self.figure.number,
            "title": self.figure.title,
            "claim": self.figure.claim,
            "bars": self.figure.bars,
            "verdict": self.summary.verdict.value,
            "numbers": self.summary.numbers,
            "remarks": list(self.summary.remarks),
            "seeds": self.seeds,
            "seconds": round(self.seconds, 1),
            "plot": str(self.plot),
        }


class _Item(NamedTuple):
    figure: Figure
    seed: int


def run_figures(
    figures: Sequence[Figure],
    seeds: int,
    quick: bool,
    folder: Path,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[Outcome]:
    """Compute what is missing, then summarise and draw every figure.

    progress(what, done, of) is called as pieces end. Raises RunFailed when workers keep dying.
    """
    if seeds < 1:
        raise BadSetting("seeds", seeds, "must be at least 1")
    require_jobs(jobs)
    # Seed by seed, so that a study that is looked at early has something of every figure.
    todo = [_Item(figure, seed) for seed in range(seeds) for figure in figures]
    found: dict[tuple[int, int], dict[str, Json]] = {}
    done, deaths = dict.fromkeys((figure.number for figure in figures), 0), 0
    for figure in figures:
        progress(figure.name, 0, seeds)
    while todo:
        failed = []
        for item, result, death in unordered(partial(_compute, quick, folder), todo, jobs):
            if death is not None:
                deaths += 1
                if deaths == TRIES:
                    raise RunFailed(f"a worker process died {TRIES} times, last in {item.figure.name}") from death
                failed.append(item)
                continue
            number = item.figure.number
            found[number, item.seed] = result
            done[number] += 1
            progress(item.figure.name, done[number], seeds)
        todo = failed
    return [_outcome(figure, [found[figure.number, k] for k in range(seeds)], quick, folder) for figure in figures]


def _compute(quick: bool, folder: Path, item: _Item) -> dict[str, Json]:
    figure, seed = item
    settings = figure.settings(quick)
    shared = folder / "parts"
    shared.mkdir(parents=True, exist_ok=True)
    work = Work(seed, quick, shared)
    return kept(folder / figure.name / f"seed{seed}.json", settings, lambda: figure.compute(settings, work))


def _outcome(figure: Figure, kept_results: list[dict[str, Json]], quick: bool, folder: Path) -> Outcome:
    settings, results = figure.settings(quick), [kept["result"] for kept in kept_results]
    path = folder / f"{figure.name}.png"
    figure.plot(settings, results, path)
    seconds = sum(kept["seconds"] for kept in kept_results)
    return Outcome(figure, figure.summarise(settings, results), len(results), seconds, path)
