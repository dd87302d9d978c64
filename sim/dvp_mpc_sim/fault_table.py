"""The table of faults: what the controller promises when things go wrong, measured on the plant's record.

A row is a trial, a pure function of a seed that gives numbers, and the bounds that the numbers of all trials must keep.
Every trial also gives `violations` (published samples that break the invariant) and, where it has one, `control`: 1 when
the same run without the fault did not stay TRACKING. Both must be 0 in every row.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, parallel_config

from dvp_mpc.arguments import require_seed
from dvp_mpc.errors import UnknownChoice

Trial = dict[str, float]
"""What one trial measured, by name; the name ends in the unit."""

REDUCTIONS: dict[str, Callable[[np.ndarray], float]] = {
    "max": lambda values: float(values.max()),
    "min": lambda values: float(values.min()),
    "sum": lambda values: float(values.sum()),
    "mean": lambda values: float(values.mean()),
}


class Bound(NamedTuple):
    """reduce(values of all trials) must not be above `most` nor below `least`; without either it is only reported."""

    key: str
    reduce: str = "max"
    most: float = math.inf
    least: float = -math.inf
    per: str = ""
    """Another key: the sum of this one is divided by the sum of that one."""

    @property
    def name(self) -> str:
        return f"{self.key} per {self.per}" if self.per else f"{self.key} {self.reduce}"

    def measure(self, trials: Sequence[Trial]) -> float:
        """The reduced value; infinite when nothing was measured."""
        values = np.array([trial[self.key] for trial in trials if self.key in trial])
        if self.per:
            whole = sum(trial[self.per] for trial in trials)
            return float(values.sum()) / whole if whole else math.inf
        return REDUCTIONS[self.reduce](values) if len(values) else math.inf

    def holds(self, value: float) -> bool:
        """Whether the value keeps the bound; NaN, and a time at which something never came, keep none."""
        free = math.isinf(self.most) and math.isinf(self.least)
        return free or (math.isfinite(value) and self.least - 1e-9 <= value <= self.most + 1e-9)


INVARIANT = (Bound("violations", "sum", most=0), Bound("control", "sum", most=0))


@dataclass(frozen=True, eq=False)
class Row:
    """One fault of the table."""

    fault: str
    """Number in the table, such as F1."""
    title: str
    expected: str
    """What must come out, with its number."""
    trial: Callable[[int], Trial]
    """A function that processes can import."""
    bounds: tuple[Bound, ...]
    trials: int
    quick: int
    """Trials of a short run."""
    alone: bool = False
    """Whether its trials measure real time, so that nothing may run beside them."""

    def count(self, quick: bool) -> int:
        """Trials of a quick or a whole run."""
        return self.quick if quick else self.trials

    def result(self, seed: int, trials: Sequence[Trial]) -> dict[str, Any]:
        """The row as it is printed, from the numbers of its trials."""
        bounds = (*self.bounds, *(bound for bound in INVARIANT if any(bound.key in trial for trial in trials)))
        values = {bound.name: bound.measure(trials) for bound in bounds}
        broken = [bound.key for bound, value in zip(bounds, values.values(), strict=True) if not bound.holds(value)]
        return {
            "fault": self.fault,
            "title": self.title,
            "seed": seed,
            "trials": len(trials),
            "expected": self.expected,
            "measured": ", ".join(f"{name} {value:.4g}" for name, value in values.items()),
            "numbers": {name: value if math.isfinite(value) else None for name, value in values.items()},
            "broken": broken,
            "pass": not broken,
        }


MODULES = ("state", "messages", "controller", "process", "value", "plant")


def rows() -> list[Row]:
    """Every row that runs in simulated time."""
    modules = [import_module(f"dvp_mpc_sim.fault_rows_{name}") for name in MODULES]  # they import this file
    return [row for module in modules for row in module.ROWS]


def choose(names: Iterable[str], table: Sequence[Row]) -> list[Row]:
    """The rows of these faults, or all, in the order of the table. Raises UnknownChoice."""
    wanted = set(names)
    faults = sorted({row.fault for row in table}, key=place)
    for name in wanted:
        if name not in faults:
            raise UnknownChoice("row", name, faults)
    chosen = [row for row in table if row.fault in wanted or not wanted]
    return sorted(chosen, key=lambda row: (place(row.fault), row.alone))


def place(fault: str) -> int:
    """Where a fault stands in the table."""
    return int(fault[1:])


def run_table(
    chosen: Sequence[Row], *, seed: int = 2026, quick: bool = False, jobs: int = -1
) -> Iterator[tuple[Row, dict[str, Any] | None]]:
    """Run rows in worker processes. Yields (row, None) after each trial and (row, result) after a row's last one.

    A trial that raises costs its row, which then fails and says so, and no other.
    """
    require_seed(seed)
    outcomes: list[list[Trial | str]] = [[] for _ in chosen]
    for alone in (False, True):
        calls = [
            delayed(_attempt)(i, row, 1000 * seed + k)
            for i, row in enumerate(chosen)
            if row.alone is alone
            for k in range(row.count(quick))
        ]
        with parallel_config(backend="loky", n_jobs=1 if alone else jobs, inner_max_num_threads=1):
            for i, outcome in Parallel(return_as="generator_unordered")(calls):
                outcomes[i].append(outcome)
                whole = len(outcomes[i]) == chosen[i].count(quick)
                yield chosen[i], _finish(chosen[i], seed, outcomes[i]) if whole else None


def _finish(row: Row, seed: int, outcomes: Sequence[Trial | str]) -> dict[str, Any]:
    errors = [outcome for outcome in outcomes if isinstance(outcome, str)]
    result = row.result(seed, [outcome for outcome in outcomes if isinstance(outcome, dict)])
    if errors:
        result |= {"pass": False, "measured": f"{len(errors)} of {len(outcomes)} trials raised: {errors[0]}"}
    return result


def _attempt(i: int, row: Row, seed: int) -> tuple[int, Trial | str]:
    try:
        return i, row.trial(seed)
    except Exception as error:
        return i, f"{type(error).__name__}: {error}"
