"""Runs of DVP on the paper's systems, and how far their values are from ground truth."""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dvp_mpc.learning.labels import Labels
from dvp_mpc.learning.settings import DvpSettings
from dvp_mpc.presets import SYSTEMS
from dvp_mpc.problem.task import Task
from dvp_mpc.studies.reproduce.figure import Json, Work
from dvp_mpc.value import ValueFunction

if TYPE_CHECKING:
    from dvp_mpc.learning.dvp import Run

METHODS = ("paper", "ours")


class Quiet:
    """Nobody looks on: the study shows its own progress."""

    def labels(self, what: str, done: int, total: int, rejected: int) -> None: ...
    def step(self, iteration: int, steps: int, row: dict[str, float]) -> None: ...
    def row(self, row: object, value: object) -> None: ...
    def died(self, workers: int) -> None: ...


def settings_of(system: str, method: str, effort: float, **changes: object) -> DvpSettings:
    """A preset's, with `effort` of its problems and training steps."""
    base: DvpSettings = getattr(SYSTEMS[system], method)
    sampling = replace(base.sampling, problems=max(round(effort * base.sampling.problems), 20))
    fit = replace(base.fit, steps=max(round(effort * base.fit.steps), 50))
    return replace(base, sampling=sampling, fit=fit, **changes)  # type: ignore[arg-type]


def shortened(settings: DvpSettings, problems: int, horizon: int) -> DvpSettings:
    """One iteration of a few problems: the whole way of a run in seconds, for a value that is poor."""
    return replace(
        settings,
        iterations=1,
        sampling=replace(settings.sampling, problems=problems, horizon=horizon),
        fit=replace(settings.fit, steps=50),
        validation=1,
    )


def learn(work: Work, task: Task, settings: DvpSettings, truth: Labels, first: ValueFunction | None = None) -> "Run":
    """One run with the seed of the work, resumed or taken from an earlier figure when there is one. `first` must have a repr
    that tells it from others."""
    from dvp_mpc.learning.dvp import run

    settings = replace(settings, seed=work.seed)
    identity = repr((task.digest, settings, first, len(truth)))
    folder = work.folder / "dvp" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder.parent.mkdir(exist_ok=True)
    return run(task, settings, folder, Quiet(), first=first, truth=truth)


def value_errors(value: ValueFunction | None, truth: Labels) -> np.ndarray:
    """(V_theta - V) / V at every state of the truth: (n,)."""
    V = truth.V.astype(float)
    if value is None:
        return -np.ones(len(V))
    found = [value.at(truth.frame(i)).cost(truth.x[i].astype(float), truth.t[i]) for i in range(len(V))]
    return np.array(found) / V - 1


def curves(found: "Run", truth: Labels) -> Json:
    """Per iteration: Bellman residual, median and 90th percentile of |relative value error|, share of problems rejected."""
    errors = [np.abs(value_errors(value, truth)) for value in found.values]
    return {
        "bellman": [row.bellman_residual for row in found.rows],
        "error": [float(np.median(e)) for e in errors],
        "error_p90": [float(np.percentile(e, 90)) for e in errors],
        "rejected": [row.rejected_share for row in found.rows],
        "seconds": [row.seconds_labels + row.seconds_fit for row in found.rows],
    }
